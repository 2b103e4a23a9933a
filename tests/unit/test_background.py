"""Programs beside this process: they are ended on every way out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sysgraft.cli.signing import PASSPHRASE_VARIABLE
from sysgraft.errors import ToolError
from sysgraft.host.background import background


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def messages(tmp_path: Path) -> str:
    return str(tmp_path / "messages")


SLEEP = "import time; time.sleep(1000)"


def test_it_runs_as_long_as_the_context_and_no_longer(tmp_path: Path) -> None:
    with background(python(SLEEP), messages=messages(tmp_path)) as running:
        assert is_running(running.pid)
    assert running.status == -9
    assert not is_running(running.pid)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_it_too(tmp_path: Path, error: type[BaseException]) -> None:
    pids = []

    def fail() -> None:
        with background(python(SLEEP), messages=messages(tmp_path)) as running:
            pids.append(running.pid)
            raise error

    with pytest.raises(error):
        fail()
    assert not is_running(pids[0])


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
print(child.pid, flush=True)
time.sleep(1000)
"""
    with background(python(code), messages=messages(tmp_path)) as running:
        while not (said := Path(messages(tmp_path)).read_text()).endswith("\n"):
            assert running.status is None
        child = int(said)
        assert is_running(child)
    for _ in range(1000):  # whoever adopted it has to reap it
        if not is_running(child) or state_of(child) == "Z":
            return
    pytest.fail("the grandchild still runs")


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_it_may_end_by_itself_and_what_it_said_is_kept(tmp_path: Path) -> None:
    code = "import sys; print('first'); sys.exit('  last words ')"
    with background(python(code), messages=messages(tmp_path)) as running:
        assert running.wait(60)
        assert running.status == 1
        assert "last words" in running.last_words()
        assert "ended by itself" in str(running.failure())


def test_without_words_that_is_said(tmp_path: Path) -> None:
    with background(python("pass"), messages=messages(tmp_path)) as running:
        assert running.wait(60)
        assert running.last_words() == "without a message"
        os.unlink(messages(tmp_path))
        assert running.last_words() == "without a message"


def test_it_inherits_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    given, other = os.pipe(), os.pipe()
    code = (
        "import os, sys\n"
        f"os.write({given[1]}, os.environ['WORD'].encode())\n"
        f"try: os.fstat({other[1]})\n"
        "except OSError: sys.exit(5)\n"
    )
    argv = python(code)
    with background(
        argv, messages=messages(tmp_path), keep=[given[1]], env={"WORD": "here"}
    ) as running:
        assert running.wait(60)
    assert (running.status, os.read(given[0], 100)) == (5, b"here")
    for each in (*given, *other):
        os.close(each)


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysgraft.host.run.SYSTEM_PATH", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    missing = pytest.raises(ToolError, match="swtpm is not installed")
    with missing as caught, background(["swtpm"], messages=messages(tmp_path)):
        pytest.fail("it cannot have been started")
    assert "package swtpm" in caught.value.hint


def test_secrets_are_not_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "hunter2")
    monkeypatch.setenv("OTHER", "kept")
    code = (
        "import os; print('OTHER' in os.environ, any('hunter2' in v for v in os.environ.values()))"
    )
    with background(python(code), messages=messages(tmp_path)) as running:
        assert running.wait(60)
    assert Path(messages(tmp_path)).read_text() == "True False\n"
