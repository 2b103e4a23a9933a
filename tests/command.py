"""Runs the command line in this process, as the tests of several rooms need it."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sysgraft.cli.main import main

if TYPE_CHECKING:
    import os

    from conftest import SigningPair


@dataclass(frozen=True, slots=True)
class Result:
    """What one command line left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def sysgraft(*words: str | os.PathLike[str]) -> Result:
    """Run one command line; argparse's own exits count as exit codes too."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return Result(code, out.getvalue(), err.getvalue())


def signing(pair: SigningPair) -> tuple[str, ...]:
    """The options that sign with a pair."""
    return ("--private-key", str(pair.key), "--certificate", str(pair.certificate))
