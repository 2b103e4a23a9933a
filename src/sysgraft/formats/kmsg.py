r"""Records of the kernel's log as ``/dev/kmsg`` gives them.

Linux ``Documentation/ABI/testing/dev-kmsg``: ``PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,KEY=VALUE]…;``
and the text; lines that begin with a space, ``KEY=VALUE``, belong to the record above. What is not
printable ASCII, and the backslash, are written ``\xHH``. ``DEVICE=`` names the device that the
message is about (`subject`). Other forms of the log are `sysgraft.formats.kernel_log`'s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KERNEL: Final = "kernel"
"""Who says what the kernel says, in `Record.origin`."""

MAX_TEXT: Final = 8192
"""Bytes of a record's text; no message of the kernel is longer (PRINTK_MESSAGE_MAX is 2,048)."""

_HEADER: Final = re.compile(rb"(\d{1,4}),(\d{1,20}),(\d{1,20}),([^;\n]{0,256});")
_ESCAPE: Final = re.compile(rb"\\x([0-9a-fA-F]{2})")
_KERNEL_FACILITY: Final = 0
_LEVEL_BITS: Final = 3


class Record(NamedTuple):
    """One message.

    Attributes:
        text: as the kernel printed it; it may have line breaks in it.
        time: microseconds since the kernel started; None where the log has no such time.
        origin: who said it: `KERNEL`, or a program's name.
        subsystem: of the device it is about; empty where the log does not say.
        device: which one, as ``/dev/kmsg`` writes it: ``+pci:0000:02:00.0``, ``c189:3``, ``n2``.
    """

    text: str
    time: int | None = None
    origin: str = KERNEL
    subsystem: str = ""
    device: str = ""


def is_record(line: bytes) -> bool:
    """Whether a line begins a record."""
    return _HEADER.match(line) is not None


def parse_records(lines: Iterable[bytes]) -> Iterator[Record]:
    """The records that lines, without their ends, consist of.

    Lines before the first record, which a log that was cut off begins with, are passed over, as is
    what belongs to no record.
    """
    head: re.Match[bytes] | None = None
    about: dict[bytes, str] = {}
    for line in lines:
        found = _HEADER.match(line)
        if found is None:
            if head is not None and line.startswith(b" "):
                key, _, value = line[1:MAX_TEXT].partition(b"=")
                about[key] = unescape(value)
            continue
        if head is not None:
            yield _record(head, about)
        head, about = found, {}
    if head is not None:
        yield _record(head, about)


def _record(head: re.Match[bytes], about: dict[bytes, str]) -> Record:
    facility = int(head[1]) >> _LEVEL_BITS
    text = unescape(head.string[head.end() : head.end() + MAX_TEXT])
    origin = KERNEL
    if facility != _KERNEL_FACILITY:
        # What programs write to /dev/kmsg begins with their name, as on a console.
        tag, colon, _ = text.partition(":")
        origin = tag.partition("[")[0].strip() if colon else "user"
    return Record(text, int(head[3]), origin, about.get(b"SUBSYSTEM", ""), about.get(b"DEVICE", ""))


def unescape(data: bytes) -> str:
    r"""Text without ``\xHH``; bytes that are not UTF-8 become escapes of Python's."""
    if b"\\x" in data:
        data = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), data)
    return data.decode("utf-8", "backslashreplace")


def subject(record: Record) -> str:
    """The device a record is about, as ``BUS:NAME``; empty where only sysfs could tell.

    Device numbers (``b8:0``, ``c189:3``) and network interfaces (``n2``) have no name here.
    """
    return record.device[1:] if record.device.startswith("+") else ""
