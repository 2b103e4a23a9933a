"""``sysgraft completion``: scripts for bash, zsh and fish, made from the argument tables."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.cli.output import Output

EXAMPLE: Final = """\
examples:
  sysgraft completion bash > ~/.local/share/bash-completion/completions/sysgraft
  sysgraft completion zsh > "${fpath[1]}/_sysgraft"
  sysgraft completion fish > ~/.config/fish/completions/sysgraft.fish
"""

_BASH: Final = """\
_sysgraft() {{
    local words="" key="" word
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$key $word" in
{moves}
        esac
    done
    case "$key" in
{words}
    esac
    if [[ "${{COMP_WORDS[COMP_CWORD]}}" == -* || -z "$key" || "$words" != *--* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    fi
}}
complete -o default -F _sysgraft sysgraft
"""


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLE
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Print the script of one shell."""
    from sysgraft.cli.main import build_parser  # noqa: PLC0415  main imports this module

    words = dict(_words(build_parser(), ()))
    if arguments.shell == "fish":
        out.text(_fish(words))
    else:
        prefix = "#compdef sysgraft\nautoload -U +X bashcompinit && bashcompinit\n"
        out.text((prefix if arguments.shell == "zsh" else "") + _bash(words))
    return 0


def _words(
    parser: argparse.ArgumentParser,
    path: tuple[str, ...],
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """For every noun and verb, the words that can follow it."""
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001  argparse offers no public walk
        found += [flag for flag in action.option_strings if flag.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found += action.choices
            for name, child in action.choices.items():
                yield from _words(child, (*path, name))
        elif not action.option_strings and action.choices:
            found += map(str, action.choices)
    yield path, found


def _bash(words: dict[tuple[str, ...], list[str]]) -> str:
    moves = [
        f'            "{" ".join(path[:-1])} {path[-1]}") key="{" ".join(path)}" ;;'
        for path in words
        if path
    ]
    lists = [f'        "{" ".join(path)}") words="{" ".join(w)}" ;;' for path, w in words.items()]
    return _BASH.format(moves="\n".join(moves), words="\n".join(lists)).rstrip("\n")


def _fish(words: dict[tuple[str, ...], list[str]]) -> str:
    lines = []
    for path, following in words.items():
        seen = " ".join(f"__fish_seen_subcommand_from {word};" for word in path)
        condition = " and ".join(seen.rstrip(";").split("; ")) if path else "__fish_use_subcommand"
        for word in following:
            what = f"-l {word[2:]}" if word.startswith("--") else f"-f -a {word}"
            lines.append(f"complete -c sysgraft -n '{condition}' {what}")
    return "\n".join(lines)
