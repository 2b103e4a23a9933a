"""The kernel's log in the forms people keep it in, recognised by content.

* ``/dev/kmsg`` (see `sysgraft.formats.kmsg`),
* ``dmesg``, with any of its time stamps or none, with levels (``-x``), raw (``-r``), as JSON
  (``-J``),
* ``journalctl`` in its line forms (``short``, ``short-monotonic``, ``short-iso``, ``short-full``,
  ``short-unix``, ``cat``), as ``-o export``, ``-o json`` or ``json-seq``, and what syslog daemons
  write,
* a piece of any line form, quoted or not, as it is pasted into a bug report.

Line forms are recognised line by line, so that several may be in one file. What is no message, or
is damaged, is a line like any other: nothing here decides what a message means. ``json-pretty`` and
binary journal files are not read. Times of day are not kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sysgraft.errors import LimitError
from sysgraft.formats import kmsg
from sysgraft.formats.kmsg import KERNEL, MAX_TEXT, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE: Final = 128 << 20
"""Bytes of a log; a journal's JSON takes about a kilobyte for each message."""
MAX_LINES: Final = 1_000_000
"""Lines of a log."""

# Of json-seq, entries begin with a record separator (RFC 7464).
_BLANK: Final = b" \t\r\n\x1e"
_LEVELS: Final = "emerg|alert|crit|err|warn|notice|info|debug"
_ISO: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_MONTH_DAY: Final = r"[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d{1,9})?"
# What may stand before a message, in this order; every part may be missing.
_QUOTED: Final = re.compile(r"[ \t>|]{0,40}")
_RAW_LEVEL: Final = re.compile(r"<\d{1,3}>")
_DECODED: Final = re.compile(rf"[a-z]{{2,8}}\d? {{0,7}}:(?:{_LEVELS}) {{0,7}}: ")
_SYSLOG: Final = re.compile(
    rf"(?:{_MONTH_DAY}|{_ISO}|[A-Z][a-z]{{2}} {_ISO} [A-Z]{{2,5}}|\d{{9,11}}\.\d{{6}}) "
    r"(?P<host>[\w.-]{1,64}) (?P<tag>[^\s:\[]{1,64})(?:\[\d{1,10}\])?: "
)
# What is left of a journal's line when the time was cut off.
_BARE_TAG: Final = re.compile(r"(?:[\w.-]{1,64} )?kernel: ")
_ISO_STAMP: Final = re.compile(rf"{_ISO} ")
_MONOTONIC: Final = re.compile(
    r"\[ {0,12}(?P<seconds>\d{1,10})\.(?P<fraction>\d{1,6})(?: <[ +\d.]{1,24}>)?\] ?"
)
_OTHER_STAMP: Final = re.compile(
    r"\[(?:[A-Z][a-z]{2} [A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4}"
    r"|[A-Z][a-z]{2} {0,2}\d{1,2} \d\d:\d\d| {0,8}[+<][ \d.]{1,20}>?)\] ?"
)
_CALLER: Final = re.compile(r"\[ {0,8}[TC]\d{1,10}\] ?")
# Behind a monotonic time only the journal has a host and a tag.
_JOURNAL_TAG: Final = re.compile(
    r"[\w.-]{1,64} (?:(?P<kernel>kernel)|(?P<tag>[^\s:\[]{1,64})\[\d{1,10}\]): "
)


def parse(data: bytes) -> list[Record]:
    """The messages of a log, in its order.

    Raises:
        LimitError: it has more than `MAX_SIZE` bytes or `MAX_LINES` lines.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a log of more than {MAX_SIZE} bytes")
    if data.count(b"\n") > MAX_LINES:
        raise LimitError(f"a log of more than {MAX_LINES} lines")
    head = data[:4096].lstrip(_BLANK)
    if head.startswith(b"{"):
        return list(_parse_json(data))
    if re.search(rb"^(?:__CURSOR|__REALTIME_TIMESTAMP)=", head, re.MULTILINE):
        return list(_parse_export(data))
    # The files that dmesg --kmsg-file reads have a NUL behind each record.
    lines = data.replace(b"\r\n", b"\n").replace(b"\n\0", b"\n").split(b"\n")
    if any(kmsg.is_record(line) for line in lines[:64]):
        return list(kmsg.parse_records(lines))
    return [record for line in lines if (record := parse_line(line)) is not None]


def parse_line(line: bytes) -> Record | None:
    """A line of any line form; None for one that says nothing."""
    text = line[:MAX_TEXT].decode("utf-8", "backslashreplace").rstrip()
    at = _skip(_QUOTED, text, 0)
    at = _skip(_RAW_LEVEL, text, at)
    at = _skip(_DECODED, text, at)
    time, origin = None, KERNEL
    if found := _SYSLOG.match(text, at):
        at, origin = found.end(), found["tag"]
    else:
        at = _skip(_ISO_STAMP, text, at)
    if found := _MONOTONIC.match(text, at):
        at = found.end()
        time = int(found["seconds"]) * 1_000_000 + int(found["fraction"].ljust(6, "0"))
        if found := _JOURNAL_TAG.match(text, at):
            at, origin = found.end(), found["kernel"] or found["tag"]
    else:
        at = _skip(_OTHER_STAMP, text, at)
    at = _skip(_BARE_TAG, text, at)
    text = text[_skip(_CALLER, text, at) :]
    return Record(text, time, origin) if text.strip() else None


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


# --- The journal ---------------------------------------------------------------------------------

_JOURNAL: Final = {
    "MESSAGE": "text",
    "_TRANSPORT": "transport",
    "SYSLOG_IDENTIFIER": "tag",
    "_KERNEL_SUBSYSTEM": "subsystem",
    "_KERNEL_DEVICE": "device",
    "_SOURCE_MONOTONIC_TIMESTAMP": "time",
}
_LENGTH: Final = 8
_NUMBER: Final = re.compile(r"\d{1,18}")


def _entry(fields: dict[str, str]) -> Record | None:
    """A record of an entry's fields, by the names in `_JOURNAL`."""
    text = fields.get("text", "")
    if not text:
        return None
    is_kernel = fields.get("transport", KERNEL) == KERNEL
    time = fields.get("time", "")
    return Record(
        text[:MAX_TEXT],
        int(time) if _NUMBER.fullmatch(time) else None,
        KERNEL if is_kernel else fields.get("tag", "user"),
        fields.get("subsystem", ""),
        fields.get("device", ""),
    )


def _parse_export(data: bytes) -> Iterator[Record]:
    """The journal's export format: entries of ``KEY=VALUE``, or a key, a length and bytes."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        key, equals, value = data[at:end].partition(b"=")
        at = end + 1
        if not key:
            yield from filter(None, [_entry(fields)])
            fields = {}
            continue
        if not equals:
            length = int.from_bytes(data[at : at + _LENGTH], "little")
            at += _LENGTH
            value = data[at : at + min(length, MAX_TEXT)]
            at += length + 1
        name = _JOURNAL.get(key.decode("ascii", "replace"))
        if name:
            fields[name] = value[:MAX_TEXT].decode("utf-8", "backslashreplace")
    yield from filter(None, [_entry(fields)])


def _parse_json(data: bytes) -> Iterator[Record]:
    """One document of ``dmesg -J``, or an entry of the journal on each line."""
    if b'"dmesg"' in data[:4096]:
        document = _decoded(data)
        entries = document.get("dmesg") if isinstance(document, dict) else None
        for each in entries if isinstance(entries, list) else ():
            yield from filter(None, [_dmesg_entry(each)])
        return
    for line in data.split(b"\n"):
        entry = _decoded(line.lstrip(_BLANK))
        if isinstance(entry, dict):
            found = {name: _text(entry.get(key)) for key, name in _JOURNAL.items()}
            yield from filter(None, [_entry({key: v for key, v in found.items() if v})])


def _decoded(data: bytes) -> Any:  # noqa: ANN401  whatever the JSON holds
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _dmesg_entry(entry: object) -> Record | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("msg"), str):
        return None
    text = entry["msg"].rstrip("\n")[:MAX_TEXT]
    return Record(text, _microseconds(entry.get("time"))) if text else None


def _microseconds(seconds: object) -> int | None:
    if isinstance(seconds, (int, float)) and 0 <= seconds < 1 << 40:
        return round(seconds * 1_000_000)
    return None


def _text(value: object) -> str:
    """A field of the journal's JSON; what is not UTF-8 is a list of its bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(b, int) and 0 <= b < 256 for b in value):
        return bytes(value[:MAX_TEXT]).decode("utf-8", "backslashreplace")
    return ""
