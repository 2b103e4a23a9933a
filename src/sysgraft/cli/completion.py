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
    local words="" options="" key="" word current="${{COMP_WORDS[COMP_CWORD]}}"
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$key $word" in
{moves}
        esac
    done
    case "$key" in
{words}
    esac
    if [[ "$current" == -* ]]; then words="$options"; fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
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
        out.script(_fish(words))
    else:
        prefix = "#compdef sysgraft\nautoload -U +X bashcompinit && bashcompinit\n"
        out.script((prefix if arguments.shell == "zsh" else "") + _bash(words))
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


def _sorted_out(words: list[str]) -> tuple[list[str], list[str]]:
    """The words that stand for themselves, and the options."""
    options = [word for word in words if word.startswith("--")]
    return [word for word in words if word not in options], options


def _bash(words: dict[tuple[str, ...], list[str]]) -> str:
    moves = [
        f'            "{" ".join(path[:-1])} {path[-1]}") key="{" ".join(path)}" ;;'
        for path in words
        if path
    ]
    lists = []
    for path, following in words.items():
        names, options = map(" ".join, _sorted_out(following))
        lists.append(f'        "{" ".join(path)}") words="{names}" options="{options}" ;;')
    return _BASH.format(moves="\n".join(moves), words="\n".join(lists)).rstrip("\n")


def _fish(words: dict[tuple[str, ...], list[str]]) -> str:
    lines = []
    for path, following in words.items():
        names, options = _sorted_out(following)
        seen = [f"__fish_seen_subcommand_from {word}" for word in path]
        here = "; and ".join(seen) if path else "__fish_use_subcommand"
        # "-f" forbids file names; once the word is chosen they are wanted again.
        choosing = f"{here}; and not __fish_seen_subcommand_from {' '.join(names)}"
        lines += [f"complete -c sysgraft -n '{choosing}' -f -a {name}" for name in names]
        lines += [f"complete -c sysgraft -n '{here}' -l {option[2:]}" for option in options]
    return "\n".join(lines)
