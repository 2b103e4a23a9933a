"""The documentation says what the program does: help texts, commands, their output, links.

``UPDATE_DOCS=1 python -m pytest tests/unit/test_docs.py`` writes help texts and output anew.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import sysgraft
from sysgraft.cli.main import build_parser
from sysgraft.cli.node import as_of_kairos

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
UPDATE = bool(os.environ.get("UPDATE_DOCS"))
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "benchmarks").rglob("*.md"),
        *(ROOT / "fuzz").rglob("*.md"),
    ]
)
GUIDES = sorted((ROOT / "docs/guide").glob("*.md"))
# Pages whose ``console`` blocks can run anywhere: they begin where the quick start ends.
RUNNABLE = (
    "build-an-extension",
    "verify-an-extension",
    "sign-elsewhere",
    "merge-order",
    "lint",
    "look-inside",
)
COLUMNS = "100"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
# What a new key changes in the output.
VOLATILE = (
    re.compile(r"(?<=serial )[0-9A-F]+"),
    re.compile(r"(?<=until )\d{4}-\d\d-\d\d"),
    re.compile(r'(?<="serial": ")[0-9a-f]+'),
    re.compile(r'(?<="fingerprint": ")[0-9a-f]+'),
)


class Block(NamedTuple):
    """A fenced block: its language, its text, and where the text stands in the page."""

    language: str
    text: str
    start: int
    end: int


def blocks(page: str) -> Iterator[Block]:
    for match in FENCE.finditer(page):
        yield Block(match[1], match[2], match.start(2), match.end(2))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- Help texts ----------------------------------------------------------------------------------


def parsers(
    parser: argparse.ArgumentParser, words: str = "sysgraft"
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every noun and verb with its parser, depth first."""
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from parsers(child, f"{words} {name}")


@pytest.fixture
def help_texts(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("COLUMNS", COLUMNS)
    monkeypatch.setenv("NO_COLOR", "1")
    return {words: parser.format_help() for words, parser in parsers(build_parser())}


def test_the_command_line_page_has_every_help_text(help_texts: dict[str, str]) -> None:
    path = ROOT / "docs/reference/cli.md"
    page = path.read_text()
    head = page[: page.index("## `sysgraft`")]
    body = "\n".join(f"## `{words}`\n\n```text\n{text}```\n" for words, text in help_texts.items())
    if UPDATE:
        path.write_text(head + body)
        return
    # Where lines of usage break depends on Python's version; the words do not.
    assert page[len(head) :].split() == body.split()


# --- Commands and their output -------------------------------------------------------------------


def command_lines(page: str) -> list[str]:
    """The lines of ``console`` and ``sh`` blocks a person would type, continuations joined."""
    lines = []
    for block in blocks(page):
        if block.language == "console":
            lines += [command for command, _ in console_commands(block.text)]
        elif block.language == "sh":
            lines += block.text.replace("\\\n", " ").splitlines()
    return lines


def console_commands(text: str) -> list[tuple[str, str]]:
    """Pairs of what is typed behind ``$`` and what is printed then."""
    pairs: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            pairs.append((line[2:], ""))
        elif pairs[-1][0].endswith("\\\n") and not pairs[-1][1]:
            pairs[-1] = (pairs[-1][0] + line, "")
        else:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + line)
    return pairs


SYSGRAFT_LINES = [
    pytest.param(line, id=f"{name_of(path)}: {' '.join(line.split())[:60]}")
    for path in (ROOT / "README.md", *GUIDES)
    for line in command_lines(path.read_text())
    if line.startswith("sysgraft ")
]


def test_there_are_commands_to_check() -> None:
    assert len(SYSGRAFT_LINES) > 20


@pytest.mark.parametrize("line", SYSGRAFT_LINES)
def test_a_command_shown_is_one_the_program_takes(line: str) -> None:
    words = shlex.split(line.replace("\\\n", " "), comments=True)
    ends = [words.index(end) for end in ("|", ">", "&&", "||", ";") if end in words]
    assert parser_answer(words[1 : min(ends, default=len(words))]) == 0


def parser_answer(words: list[str]) -> str | int | None:
    """The exit code argparse asks for: 0 for what it takes, and for ``--help``."""
    try:
        build_parser().parse_args(as_of_kairos(words))
    except SystemExit as end:
        return end.code
    return 0


def test_the_lines_of_kairos_agent_are_taken() -> None:
    page = (ROOT / "docs/guide/install-on-a-node.md").read_text()
    pairs = re.findall(r"^\| `kairos-agent (.*?)` \| `sysgraft node (.*?)` \|$", page, re.MULTILINE)
    assert len(pairs) > 5
    for theirs, ours in pairs:
        assert theirs == ours
        assert parser_answer(["node", *shlex.split(ours)]) == 0


def test_the_check_of_commands_finds_a_wrong_one() -> None:
    assert parser_answer(["ext", "build", "name", "source", "--no-such-option"]) == 2


def run_page(path: Path, work: Path, *, section: str = "") -> str:
    """The page with all its output as it is now; commands run in the folder `work`."""
    page = path.read_text()
    begin = page.index(section)
    end = page.find("\n## ", begin + len(section)) if section else -1
    end = end if end >= 0 else len(page)
    for block in reversed(list(blocks(page))):
        if block.language != "console" or not begin <= block.start < end:
            continue
        page = page[: block.start] + "\0" + page[block.end :]
    texts = [
        block.text
        for block in blocks(path.read_text())
        if block.language == "console" and begin <= block.start < end
    ]
    for text in texts:
        page = page.replace("\0", run_block(text, work), 1)
    return page


def run_block(text: str, work: Path) -> str:
    return "".join(f"$ {command}{shell(command, work)}" for command, _ in console_commands(text))


def shell(command: str, work: Path) -> str:
    """What a command prints, both streams; a person's terminal shows the same."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(work),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": COLUMNS,
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        ["sh", "-c", f"umask 022; {command}"],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def settled(page: str) -> str:
    for pattern in VOLATILE:
        page = pattern.sub("…", page)
    return page


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder in which ``examples`` is the project's."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def check_page(path: Path, work: Path, *, section: str = "") -> None:
    now = run_page(path, work, section=section)
    if UPDATE:
        path.write_text(now)
    else:
        assert settled(now) == settled(path.read_text())


@pytest.mark.oracle("openssl")
def test_the_quick_start_prints_what_the_readme_says(work: Path) -> None:
    check_page(ROOT / "README.md", work, section="## Quick start")


@pytest.mark.oracle("openssl")
@pytest.mark.parametrize("name", RUNNABLE)
def test_a_guide_prints_what_it_says(name: str, work: Path) -> None:
    run_page(ROOT / "README.md", work, section="## Quick start")
    check_page(ROOT / f"docs/guide/{name}.md", work)


# --- Links and names -----------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    found = set()
    for heading in HEADING.findall(FENCE.sub("", page)):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        found = (path.parent / place).resolve() if place else path
        assert found.exists(), target
        assert ROOT in found.parents, target
        if anchor:
            assert anchor in anchors(found.read_text()), target


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= named <= targets


def test_every_guide_and_decision_is_reachable_from_the_readme() -> None:
    reached: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        path = pending.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        links = LINK.findall(FENCE.sub("", path.read_text()))
        places = (link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link))
        pending += [(path.parent / place).resolve() for place in places if place]
    assert {*(ROOT / "docs").rglob("*.md")} <= reached


def test_the_library_page_has_every_public_name() -> None:
    page = (ROOT / "docs/reference/library.md").read_text()
    assert [name for name in sysgraft.__all__ if f"`{name}" not in page] == []


def test_the_errors_page_has_the_whole_tree() -> None:
    from sysgraft import errors  # noqa: PLC0415 - only its classes are needed, and only here

    page = (ROOT / "docs/reference/errors.md").read_text()
    pending: list[type[errors.SysgraftError]] = [errors.SysgraftError]
    while pending:
        kind = pending.pop()
        assert re.search(rf"`{kind.__name__}` +\| +`{kind.code}` ", page), kind
        pending += kind.__subclasses__()


def test_the_checks_page_has_every_check_in_order() -> None:
    from sysgraft.image.checks import CHECKS  # noqa: PLC0415 - only needed here

    page = (ROOT / "docs/reference/checks.md").read_text()
    assert re.findall(r"^### `(.*)`$", page, re.MULTILINE) == list(CHECKS)
