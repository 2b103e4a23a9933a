"""The one place that starts external programs.

A program is an argument list, never a shell line, and ends in one of three ways: a `Completed`,
a `ToolError` that says what to install, or a `ToolError` with the last lines it wrote. Its time
and its output are bounded. It runs in the C locale, so that what it says can be read by programs,
and in a session of its own, so that stopping it stops what it started.

What the programs are called, and which package has them, is the table in `sysgraft.host.tools`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from time import monotonic
from typing import IO, TYPE_CHECKING, Final

from sysgraft.errors import ToolError
from sysgraft.host.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Long enough for any helper that is not hashing gigabytes; those callers state their own.
DEFAULT_TIMEOUT: Final = 120.0
# Helpers print listings and JSON. What is larger belongs into a file.
DEFAULT_OUTPUT_LIMIT: Final = 16 << 20
# Messages are read by people: their end is what matters.
STDERR_LIMIT: Final = 64 << 10
STDERR_LINES: Final = 5
# Many users' PATH leaves out the folders where system tools live.
SYSTEM_PATH: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")

SECRETS: Final = frozenset({"SYSGRAFT_PASSPHRASE"})
"""Variables for this process only; a program that needs one is given it."""

_CHUNK: Final = 64 << 10
# After the program has ended, what it left running may still hold its pipes open.
_GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ran to its end.

    Attributes:
        argv: the program's path and its arguments.
        returncode: its exit status; negative: the number of the signal that ended it.
        stdout: all it wrote there.
        stderr: the last `STDERR_LIMIT` bytes it wrote there, as text.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: str


def which(program: str) -> str | None:
    """Where `program` is: looked up on PATH, then in the system folders."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_PATH])
    return shutil.which(program, path=path)


def locate(program: str) -> str:
    """Where `program` is.

    Raises:
        ToolError: it is not installed; the hint names its Debian package.
    """
    found = which(program)
    if found is None:
        raise ToolError(f"the program {program} is not installed", hint=_package_hint(program))
    return found


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a program: this process' without `SECRETS`, the C locale, and `more`."""
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return {**kept, "LC_ALL": "C", **(more or {})}


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    stdin: bytes = b"",
    timeout: float = DEFAULT_TIMEOUT,
    env: Mapping[str, str] | None = None,
    output_limit: int = DEFAULT_OUTPUT_LIMIT,
    check: bool = True,
) -> Completed:
    """Run a program to its end.

    Args:
        argv: the program's name or path, and its arguments.
        stdin: what it reads.
        timeout: seconds it may take.
        env: variables set beside those of this process, which are given without its secrets.
        output_limit: bytes it may write to its standard output.
        check: whether an exit status other than 0 is an error.

    Raises:
        ToolError: the program is missing, failed, took too long or wrote too much.
    """
    words = (locate(os.fspath(argv[0])), *(os.fspath(word) for word in argv[1:]))
    done = _complete(words, stdin, env, _Limits(timeout, output_limit))
    if check and done.returncode != 0:
        raise ToolError(_failure(done))
    return done


@dataclass(frozen=True, slots=True)
class _Limits:
    seconds: float
    stdout: int


class _Collector(threading.Thread):
    """Drains a pipe so that the program never waits; keeps the beginning or the end."""

    def __init__(self, pipe: IO[bytes], limit: int, *, keep_end: bool) -> None:
        super().__init__(daemon=True)
        self.data = bytearray()
        self.overflow = threading.Event()
        self._pipe = pipe
        self._limit = limit
        self._keep_end = keep_end

    def run(self) -> None:
        """Read until the last writer closes the pipe, or too much has come."""
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _CHUNK):
                self.data += chunk
                if len(self.data) > self._limit:
                    if not self._keep_end:
                        self.overflow.set()
                        return
                    del self.data[: -self._limit]


def _package_hint(program: str) -> str:
    tool = TOOLS.get(os.path.basename(program))
    return f"on Debian it is in the package {tool.package}" if tool else ""


def _complete(
    argv: tuple[str, ...], stdin: bytes, env: Mapping[str, str] | None, limits: _Limits
) -> Completed:
    deadline = monotonic() + limits.seconds
    process = _start(argv, env)
    out = _Collector(_pipe(process.stdout), limits.stdout, keep_end=False)
    err = _Collector(_pipe(process.stderr), STDERR_LIMIT, keep_end=True)
    feeder = threading.Thread(target=_feed, args=(_pipe(process.stdin), stdin), daemon=True)
    for thread in (out, err, feeder):
        thread.start()
    try:
        _wait(process, out, deadline, limits)
    except BaseException:
        _kill_session(process)
        raise
    for thread in (out, err, feeder):
        thread.join(_GRACE)
    return Completed(argv, process.returncode, bytes(out.data), err.data.decode(errors="replace"))


def _start(argv: tuple[str, ...], env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - an argument list, no shell; callers name the program
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ToolError(f"cannot start {argv[0]}: {error}") from error


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ToolError("the program was started without its pipes")
    return pipe


def _feed(pipe: IO[bytes], data: bytes) -> None:
    """Write `data`; a program that does not read all of it has that right."""
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(data)


def _wait(
    process: subprocess.Popen[bytes], out: _Collector, deadline: float, limits: _Limits
) -> None:
    """Wait until the program has closed its output and ended.

    Raises:
        ToolError: a limit was reached.
    """
    name = _name(process)
    out.join(max(0.0, deadline - monotonic()))
    if out.overflow.is_set():
        raise ToolError(f"{name} wrote more than {limits.stdout} bytes")
    try:
        process.wait(max(0.0, deadline - monotonic()))
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{name} took longer than {limits.seconds:g} seconds") from error


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Stop the program and what it started; it is not reaped yet, so its id is still its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _name(process: subprocess.Popen[bytes]) -> str:
    words = process.args
    first = words if isinstance(words, (str, bytes, os.PathLike)) else words[0]
    return os.path.basename(os.fsdecode(first))


def _failure(done: Completed) -> str:
    name = os.path.basename(done.argv[0])
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = "; ".join(lines[-STDERR_LINES:]) or "without a message"
    if done.returncode < 0:
        return f"{name} was ended by {_signal_name(-done.returncode)}: {said}"
    return f"{name} failed with exit status {done.returncode}: {said}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
