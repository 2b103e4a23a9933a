"""Completion scripts: bash runs ours, and offers what the command line takes."""

from __future__ import annotations

import subprocess

import pytest

from sysgraft.cli.main import main

# Arguments: the words of the line, the last one being completed. Prints one offer per line.
ASK = """
eval "$SCRIPT"
COMP_WORDS=(sysgraft "$@")
COMP_CWORD=$#
_sysgraft
printf '%s\\n' "${COMPREPLY[@]}"
complete -p sysgraft
"""


@pytest.fixture
def scripts(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What ``sysgraft completion`` prints for each shell."""
    texts = {}
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        texts[shell] = capsys.readouterr().out
    return texts


def offered(script: str, *words: str) -> set[str]:
    """What bash offers for the last of `words`."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", *words],
        env={"PATH": "/usr/bin:/bin", "SCRIPT": script},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    *offers, registration = done.stdout.splitlines()
    # Where nothing is offered the shell goes on with file names.
    assert registration == "complete -o default -F _sysgraft sysgraft"
    return {offer for offer in offers if offer}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_bash_can_parse_the_script(shell: str, scripts: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=scripts[shell], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (
            [""],
            {
                "ext",
                "uki",
                "policy",
                "keys",
                "pcr",
                "firmware",
                "kernel",
                "media",
                "lab",
                "node",
                "disk",
                "completion",
            },
        ),
        (["e"], {"ext"}),
        (
            ["ext", ""],
            {"build", "inspect", "verify", "sign", "unsign", "diff", "extract", "order", "lint"},
        ),
        (["ext", "b"], {"build"}),
        (["ext", "build", "--priv"], {"--private-key"}),
        (["ext", "build", "demo", "./tree", "--priv"], {"--private-key"}),
        (["ext", "verify", "--priv"], set()),
        (["policy", "ch"], {"check"}),
        (["policy", "show", "--systemd"], {"--systemd-version"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["--v"], {"--version"}),
        (["ext", "--"], {"--help"}),
        (["nonsense", "ext", "un"], {"unsign"}),
    ],
)
def test_bash_offers_what_can_follow(
    words: list[str], offers: set[str], scripts: dict[str, str]
) -> None:
    assert offered(scripts["bash"], *words) == offers


@pytest.mark.parametrize("words", [["ext", "build", ""], ["ext", "build", "demo", "./t"]])
def test_operands_are_left_to_file_names(words: list[str], scripts: dict[str, str]) -> None:
    assert offered(scripts["bash"], *words) == set()


def test_every_option_of_a_verb_is_offered(scripts: dict[str, str]) -> None:
    offers = offered(scripts["bash"], "ext", "sign", "--")
    assert {"--help", "--private-key", "--certificate", "--join-signature", "--json"} <= offers


def test_zsh_takes_the_script_of_bash(scripts: dict[str, str]) -> None:
    first, second, rest = scripts["zsh"].split("\n", 2)
    # compinit reads the first line to find out what the file completes.
    assert first == "#compdef sysgraft"
    assert second == "autoload -U +X bashcompinit && bashcompinit"
    assert rest == scripts["bash"]


def test_fish_gets_one_line_for_every_word(scripts: dict[str, str]) -> None:
    lines = scripts["fish"].splitlines()
    assert all(line.startswith("complete -c sysgraft -n '") for line in lines)
    assert all(line.count("'") == 2 for line in lines)
    for noun in ("ext", "policy", "completion"):
        assert any(
            "__fish_use_subcommand" in line and line.endswith(f" -f -a {noun}") for line in lines
        )
    build = "'__fish_seen_subcommand_from ext; and __fish_seen_subcommand_from build'"
    assert f"complete -c sysgraft -n {build} -l private-key" in lines


def test_fish_offers_file_names_once_the_verb_is_there(scripts: dict[str, str]) -> None:
    # "-f" rules file names out wherever its condition holds.
    choices = [line for line in scripts["fish"].splitlines() if " -f " in line]
    for line in choices:
        assert "__fish_use_subcommand" in line or "and not __fish_seen_subcommand_from" in line
    verbs = [line for line in choices if line.startswith("complete -c sysgraft -n '__fish_seen")]
    assert any(
        "from build inspect verify sign unsign diff extract order lint' -f -a build" in line
        for line in verbs
    )
