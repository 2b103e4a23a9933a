"""`host.run` against real programs: the Python interpreter and the shell."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from sysgraft.errors import ToolError
from sysgraft.host.run import STDERR_LIMIT, STDERR_LINES, run
from sysgraft.host.tools import TOOLS, parse_version

MEGABYTE = 1 << 20
ROOT = Path(__file__).parents[2]


def python(code: str) -> list[str]:
    """The command that runs `code`."""
    return [sys.executable, "-c", code]


def test_output_and_messages_are_kept_apart() -> None:
    done = run(python("import sys; print('result'); print('note', file=sys.stderr)"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"result\n", "note\n")


def test_arguments_are_never_read_by_a_shell() -> None:
    hostile = "$(touch x); `id` | * \n'\""
    done = run([*python("import sys; sys.stdout.write(sys.argv[1])"), hostile])
    assert done.stdout == hostile.encode()


def test_large_input_and_output_pass_through_at_the_same_time() -> None:
    data = os.urandom(MEGABYTE)
    code = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    done = run(python(code), stdin=data)
    assert done.stdout == data


def test_a_program_need_not_read_its_input() -> None:
    assert run(python("print('done')"), stdin=bytes(4 * MEGABYTE)).stdout == b"done\n"


def test_without_input_a_program_reads_nothing() -> None:
    assert run(python("import sys; print(len(sys.stdin.read()))")).stdout == b"0\n"


def test_variables_are_added_to_the_environment_and_the_locale_is_c() -> None:
    code = "import os; print(os.environ['EXTRA'], os.environ['LC_ALL'], 'PATH' in os.environ)"
    assert run(python(code), env={"EXTRA": "here"}).stdout == b"here C True\n"


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysgraft.host.run.SYSTEM_PATH", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError, match="the program veritysetup is not installed") as caught:
        run(["veritysetup", "--version"])
    assert "cryptsetup-bin" in caught.value.hint


def test_an_unknown_missing_program_has_no_hint() -> None:
    with pytest.raises(ToolError, match="no-such-program is not installed") as caught:
        run(["no-such-program"])
    assert caught.value.hint == ""


def test_a_failure_carries_the_last_messages_only() -> None:
    code = "import sys; [print('line', n, file=sys.stderr) for n in range(50)]; sys.exit(3)"
    with pytest.raises(ToolError, match="failed with exit status 3") as caught:
        run(python(code))
    expected = "; ".join(f"line {n}" for n in range(50 - STDERR_LINES, 50))
    assert caught.value.message.endswith(f": {expected}")


def test_a_failure_can_be_the_answer() -> None:
    assert run(python("raise SystemExit(1)"), check=False).returncode == 1


def test_a_program_ended_by_a_signal_is_named_so() -> None:
    with pytest.raises(ToolError, match="was ended by SIGTERM: without a message"):
        run(python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"))


def test_a_file_that_cannot_be_executed_is_a_tool_error(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x00 no program")
    program.chmod(0o755)
    with pytest.raises(ToolError, match="cannot start"):
        run([program])


def test_a_zero_byte_in_an_argument_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="cannot start"):
        run([sys.executable, "a\0b"])


def test_too_slow_a_program_is_stopped_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "still-alive"
    child = f"import time, pathlib; time.sleep(2); pathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"took longer than 0\.5 seconds"):
        run(python(code), timeout=0.5)
    assert time.monotonic() - began < 2
    time.sleep(2)
    assert not mark.exists()


def test_too_much_output_stops_the_program() -> None:
    began = time.monotonic()
    with pytest.raises(ToolError, match=f"wrote more than {MEGABYTE} bytes"):
        run(python("while True: print('x' * 65536)"), output_limit=MEGABYTE)
    assert time.monotonic() - began < 10


def test_endless_messages_are_cut_from_the_front() -> None:
    code = f"import sys; sys.stderr.write('x' * {4 * STDERR_LIMIT} + 'end')"
    done = run(python(code))
    assert len(done.stderr) == STDERR_LIMIT
    assert done.stderr.endswith("xend")


def test_what_a_program_leaves_running_does_not_hold_up_the_answer() -> None:
    child = "import time; time.sleep(8)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}], stdout=-3)"
    began = time.monotonic()
    assert run(python(code)).returncode == 0
    assert time.monotonic() - began < 7


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("systemd 257 (257.13-1~deb13u1)\n+PAM +AUDIT", (257,)),
        ("OpenSSL 3.0.19 27 Jan 2026", (3, 0, 19)),
        ("veritysetup 2.6.1 flags: UDEV BLKID", (2, 6, 1)),
        ("Debian 'dpkg-deb' package archive backend version 1.21.22 (amd64).", (1, 21, 22)),
        ("usage: tool", ()),
    ],
)
def test_versions_are_read_from_what_programs_say(said: str, version: tuple[int, ...]) -> None:
    assert parse_version(said) == version


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.oracle(name)) for name in TOOLS if TOOLS[name].minimum],
)
def test_every_tool_says_a_version_the_table_can_read(name: str) -> None:
    said = run([name, TOOLS[name].version_option], check=False)
    assert parse_version(said.stdout.decode() + said.stderr) >= TOOLS[name].minimum


def test_every_tool_the_tests_compare_with_is_in_the_table_and_gets_installed() -> None:
    marks = re.compile(r"""oracle\(["']([^"']+)["']\)""")
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = {tool for text in texts for tool in marks.findall(text)} - {
        "debian-13",
        "debian-sid",
        "firmware-13",
        "kernel-modules",
        "stubs",
    }
    assert "veritysetup" in named
    script = (ROOT / "scripts/setup-oracles").read_text()
    installed = script.partition("PACKAGES='")[2].partition("'")[0]
    assert named <= TOOLS.keys()
    assert {tool.package for tool in TOOLS.values()} <= set(installed.split())
