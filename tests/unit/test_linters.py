"""Style and types hold for the whole project; a finding is a failed test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Python without the suffix is not found by the tools themselves.
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "scripts").iterdir()
    if path.read_bytes().startswith(b"#!/usr/bin/env python")
)


def check(*argv: str) -> None:
    """Run a tool of the environment over the project; its findings are the failure."""
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{argv[0]}:\n{done.stdout}{done.stderr}"


def test_ruff_finds_nothing() -> None:
    check("ruff", "check", "--no-fix", ".", *SCRIPTS)


def test_ruff_would_format_nothing_differently() -> None:
    check("ruff", "format", "--check", ".", *SCRIPTS)


def test_mypy_finds_nothing() -> None:
    check("mypy")


@pytest.mark.parametrize("script", SCRIPTS)
def test_mypy_finds_nothing_in_scripts(script: str) -> None:
    check("mypy", script)


def test_shell_scripts_parse() -> None:
    shells = [p for p in (ROOT / "scripts").iterdir() if p.read_bytes().startswith(b"#!/bin/sh")]
    assert shells
    for path in [*shells, ROOT / ".ci/run"]:
        done = subprocess.run(["sh", "-n", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
