"""The tables of docs/security/what-systemd-enforces.md are what the code says."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from sysgraft.cli import policy as policy_cli
from sysgraft.cli.output import Output

DOCUMENT = Path(__file__).parents[2] / "docs/security/what-systemd-enforces.md"


def documented() -> dict[str, list[list[str]]]:
    """The rows of each table of outcomes, by policy."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## What follows")[0]
    tables = {}
    for section in text.split("\n### ")[1:]:
        match = re.match(r"`([^`]+)`", section)
        assert match
        rows = [line.strip("| ").split(" | ") for line in section.splitlines() if "|" in line]
        tables[match[1]] = [rows[0], *rows[2:]]
    return tables


def test_the_document_has_the_policies_that_matter() -> None:
    assert {"@sysext", "root=signed+absent:usr=signed+absent"} < documented().keys()


@pytest.mark.parametrize("policy", documented())
def test_the_table_is_what_the_command_prints(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    policy_cli.fill(parser.add_subparsers().add_parser("policy"))
    arguments = parser.parse_args(["policy", "show", policy])
    arguments.run(arguments, Output())
    printed = capsys.readouterr().out.partition("under this policy:\n")[2]
    lines = [line for line in printed.splitlines() if line.startswith("  ")]
    assert [re.split(r"  +", line.strip()) for line in lines] == documented()[policy]
