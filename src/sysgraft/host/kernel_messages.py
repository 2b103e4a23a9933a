"""The kernel's log of this machine, and the switch that makes the kernel say what it loads.

``/dev/kmsg`` gives one record for each read; records that were overwritten meanwhile are passed
over (Linux ``Documentation/ABI/testing/dev-kmsg``). The switch is dynamic debug
(``Documentation/admin-guide/dynamic-debug-howto``): it lasts until the next start.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from sysgraft.errors import InputError, ToolError

KMSG: Final = "/dev/kmsg"
"""Where the log is."""
CONTROLS: Final = ("/proc/dynamic_debug/control", "/sys/kernel/debug/dynamic_debug/control")
"""Where dynamic debug is told what to print: the first has it without debugfs, Linux 5.7."""
LOADER_MESSAGES: Final = "file drivers/base/firmware_loader/main.c +p\n"
"""What it is told: all messages of the firmware loader."""

_RECORD_MAX: Final = 8192  # Linux PRINTK_MESSAGE_MAX bounds a record with its dictionary
_RECORDS_MAX: Final = 1_000_000


def read_kernel_log(path: str = KMSG) -> bytes:
    """All records the kernel holds, as ``/dev/kmsg`` writes them.

    Raises:
        InputError: it cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(
            f"the kernel's log cannot be read: {error.strerror}",
            file=path,
            hint="run this as root, or give a log with --kmsg",
        ) from error
    try:
        return b"".join(_records(fd))
    finally:
        os.close(fd)


def _records(fd: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < _RECORDS_MAX:
        try:
            record = os.read(fd, _RECORD_MAX)
        except OSError as error:
            if error.errno == errno.EPIPE:
                continue
            break
        if not record:
            break
        found.append(record)
    return found


def log_firmware_loads(controls: tuple[str, ...] = CONTROLS) -> str:
    """Have the kernel log which firmware it loads from now on.

    Returns:
        Which file it was told through.

    Raises:
        ToolError: the kernel has no dynamic debug, or does not let us.
    """
    reason = "this kernel has no dynamic debug"
    for path in controls:
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write(LOADER_MESSAGES)
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = f"{path}: {error.strerror}"
            continue
        return path
    raise ToolError(
        f"the kernel cannot be told to log what it loads: {reason}",
        hint="needs root; on the kernel's command line the same is "
        'dyndbg="file drivers/base/firmware_loader/main.c +p"',
    )
