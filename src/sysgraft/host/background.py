"""Programs that run beside this process until it ends them.

As with `sysgraft.host.run` a program is an argument list and not a shell line. It gets a session of
its own, so that Ctrl-C at the terminal reaches this process only, and it is ended by its process
ID on every way out. Should this process be killed, the kernel ends the program (``setpriv`` of
util-linux asks for that, where it is there).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sysgraft.errors import ToolError
from sysgraft.host.run import STDERR_LINES, environment, locate, which

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MESSAGES_MAX: Final = 64 << 10
# What is killed is gone within moments; longer is a process stuck in the kernel.
_REAP_SECONDS: Final = 30.0


class Background:
    """A program that runs.

    Attributes:
        name: of the program, for messages.
    """

    def __init__(self, process: subprocess.Popen[bytes], name: str, messages: str) -> None:
        self.name = name
        self._process = process
        self._messages = messages

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for the signal that ended it; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it and what it started, at once; it has no say in it."""
        # Until it is reaped its ID is nobody else's.
        if self.status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self.wait(_REAP_SECONDS)

    def last_words(self) -> str:
        """The end of what it wrote to its messages."""
        try:
            with open(self._messages, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _MESSAGES_MAX))
                text = file.read().decode(errors="replace")
        except OSError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "; ".join(lines[-STDERR_LINES:]) or "without a message"

    def failure(self) -> ToolError:
        """The error that says how it ended, and its last words."""
        return ToolError(f"{self.name} ended by itself: {self.last_words()}")


@contextmanager
def background(
    argv: Sequence[str],
    *,
    messages: str,
    keep: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[Background]:
    """Run a program as long as the context lasts; it is killed at the end, if it still runs.

    Args:
        argv: the program's name or path, and its arguments.
        messages: the file that gets all it writes.
        keep: descriptors it inherits, under their numbers.
        env: variables set beside those of this process, which are given without its secrets.

    Raises:
        ToolError: it is missing, or cannot be started.
    """
    words = [*_dies_with_us(), locate(argv[0]), *argv[1:]]
    name = os.path.basename(argv[0])
    with open(messages, "wb") as file:
        try:
            process = subprocess.Popen(  # noqa: S603  an argument list, no shell
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment(env),
                pass_fds=keep,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ToolError(f"cannot start {name}: {error}") from error
    running = Background(process, name, messages)
    try:
        yield running
    finally:
        running.kill()


def _dies_with_us() -> list[str]:
    setpriv = which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
