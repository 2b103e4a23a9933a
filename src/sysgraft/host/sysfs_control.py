"""Writes attributes of devices: the one place that changes what the kernel does with them.

A driver may take its time over a write, or never come back. The write is made by a forked process
that is waited for until a deadline; one that is stuck in the kernel cannot be ended by anybody, and
is left there. Only regular files below ``/sys`` are written, wherever links lead.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.errors import OutputError, StuckError
from sysgraft.host.signals import default_in_child, held_back
from sysgraft.host.sysfs import SysfsFolder

if TYPE_CHECKING:
    from typing import NoReturn

MAX_VALUE: Final = 4095
"""Bytes of a value: a page of the kernel's, less the end."""
_SYSFS: Final = "sys"


class SysfsControl(Protocol):
    """Changes attributes."""

    def write(self, path: str, value: str, *, seconds: float) -> None:
        """Write an attribute.

        Args:
            path: relative to the root: ``sys/bus/usb/drivers_probe``.
            value: what is written, in one piece.
            seconds: that the kernel may take.

        Raises:
            OutputError: the kernel refuses it, or there is no such file.
            StuckError: it did not answer in time.
        """


class KernelSysfs:
    """The running kernel's attributes; implements `SysfsControl`.

    Args:
        root: the folder that stands for ``/``.
    """

    def __init__(self, root: str = "/") -> None:
        self._files = SysfsFolder(root)

    def write(self, path: str, value: str, *, seconds: float) -> None:
        """See `SysfsControl.write`."""
        data = value.encode()
        if not data or len(data) > MAX_VALUE:
            raise OutputError(f"a value of {len(data)} bytes is not written", file=f"/{path}")
        number = _write_by_child(self._attribute(path), data, seconds)
        if number is None:
            message = f"the kernel did not answer within {seconds:.0f} seconds"
            raise StuckError(message, file=f"/{path}")
        if number:
            raise OutputError(os.strerror(number), file=f"/{path}")

    def _attribute(self, path: str) -> str:
        """The file itself.

        Raises:
            OutputError: it is not below ``/sys``, not there, or no file.
        """
        real = self._files.resolve(path)
        if real is None:
            raise OutputError("there is no such attribute", file=f"/{path}")
        if not real.startswith(f"{_SYSFS}/"):
            raise OutputError("not an attribute of a device: it is not below /sys", file=f"/{path}")
        found = os.path.join(self._files.source, real)
        if not stat.S_ISREG(os.lstat(found).st_mode):
            raise OutputError("not an attribute: it is no file", file=f"/{path}")
        return found


def _write_by_child(path: str, data: bytes, seconds: float) -> int | None:
    """The errno of a write, 0 for success, None if it does not end in time."""
    reader, writer = os.pipe()
    try:
        with held_back() as waiting:
            pid = os.fork()
            if pid == 0:
                _be_writer(path, data, writer, waiting)
    except OSError as error:
        os.close(reader)
        raise OutputError(f"cannot start a process: {error.strerror}", file=path) from error
    finally:
        os.close(writer)
    try:
        return _answer(reader, seconds)
    finally:
        os.close(reader)
        _end(pid)


def _answer(reader: int, seconds: float) -> int | None:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if not poll.poll(max(0, round(seconds * 1000))):
        return None
    answer = os.read(reader, 4)
    return int.from_bytes(answer, "little") if len(answer) == 4 else None


def _end(pid: int) -> None:
    """End the process, without waiting for one that the kernel does not let go."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    poll = select.poll()
    with contextlib.suppress(OSError, AttributeError):
        process = os.pidfd_open(pid)  # Linux only, as all of this
        poll.register(process, select.POLLIN)
        poll.poll(1000)
        os.close(process)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _be_writer(path: str, data: bytes, writer: int, waiting: set[int]) -> NoReturn:
    """The child's whole life."""
    number = 1
    try:
        default_in_child(waiting)
        number = _write(path, data)
        os.write(writer, number.to_bytes(4, "little"))
    finally:
        os._exit(0)


def _write(path: str, data: bytes) -> int:
    """Write at once: each write to an attribute is a request of its own."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY)
        os.write(descriptor, data)
    except OSError as error:
        return error.errno or 1
    return 0
