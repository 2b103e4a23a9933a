"""RPM packages made field by field, so that each can be wrong."""

from __future__ import annotations

import hashlib
import stat
import struct
from dataclasses import dataclass, field

INT16, INT32, INT64, STRING, BIN, STRINGS = 3, 4, 5, 6, 7, 8
_WIDTHS = {INT16: 2, INT32: 4, INT64: 8}
_CODES = {INT16: "H", INT32: "I", INT64: "Q"}

Value = tuple[int, int, bytes]  # type, count, bytes


def numbers(kind: int, values: list[int]) -> Value:
    return kind, len(values), struct.pack(f">{len(values)}{_CODES[kind]}", *values)


def strings(values: list[bytes]) -> Value:
    return STRINGS, len(values), b"".join(value + b"\0" for value in values)


def string(value: bytes) -> Value:
    return STRING, 1, value + b"\0"


def header(region: int, values: dict[int, Value]) -> bytes:
    """A header whose region covers all of `values`, in the order of their tags."""
    store, entries = b"", b""
    for tag, (kind, count, data) in sorted(values.items()):
        store += bytes(-len(store) % _WIDTHS.get(kind, 1))
        entries += struct.pack(">IIiI", tag, kind, len(store), count)
        store += data
    count = len(values) + 1
    entries = struct.pack(">IIiI", region, BIN, len(store), 16) + entries
    store += struct.pack(">IIiI", region, BIN, -count * 16, 16)
    return b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", count, len(store)) + entries + store


@dataclass
class F:
    """A file of a package: what its header says, and its content in the archive."""

    path: str
    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    inode: int = 0
    user: bytes = b"root"
    group: bytes = b"root"
    target: bytes = b""
    caps: bytes = b""
    flags: int = 0
    mtime: int = 1_700_000_000


def file_values(files: list[F]) -> dict[int, Value]:
    folders = sorted({file.path.rpartition("/")[0] + "/" for file in files})
    place = {name: number for number, name in enumerate(folders)}
    return {
        1028: numbers(INT32, [len(file.data or file.target) for file in files]),
        1030: numbers(INT16, [file.mode for file in files]),
        1033: numbers(INT16, [0 for _ in files]),
        1034: numbers(INT32, [file.mtime for file in files]),
        1035: strings(
            [
                hashlib.sha256(file.data).hexdigest().encode() if stat.S_ISREG(file.mode) else b""
                for file in files
            ],
        ),
        1036: strings([file.target for file in files]),
        1037: numbers(INT32, [file.flags for file in files]),
        1039: strings([file.user for file in files]),
        1040: strings([file.group for file in files]),
        1095: numbers(INT32, [1 for _ in files]),
        1096: numbers(INT32, [file.inode or number + 100 for number, file in enumerate(files)]),
        1116: numbers(INT32, [place[file.path.rpartition("/")[0] + "/"] for file in files]),
        1117: strings([file.path.rpartition("/")[2].encode() for file in files]),
        1118: strings([name.encode() for name in folders]),
        5010: strings([file.caps for file in files]),
        5011: numbers(INT32, [8]),
    }


def newc(name: bytes, data: bytes = b"", mode: int = 0) -> bytes:
    """One entry of the usual archive."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % number for number in fields) + name + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def short(number: int, data: bytes = b"") -> bytes:
    """One entry of rpm's short archive."""
    return b"07070X%08x\0\0" % number + data + bytes(-len(data) % 4)


TRAILER = newc(b"TRAILER!!!")


def archive(files: list[F], *, is_short: bool = False) -> bytes:
    """All files but ghosts; of hard links the last has the content."""
    last = {file.inode: number for number, file in enumerate(files) if file.inode}
    parts = []
    for number, file in enumerate(files):
        if file.flags & 64:
            continue
        data = (file.data or file.target) if last.get(file.inode, number) == number else b""
        name = b"." + file.path.encode()
        parts.append(short(number, data) if is_short else newc(name, data, file.mode))
    return b"".join(parts) + TRAILER


@dataclass
class Kit:
    """A package, piece by piece; what is set here stands in it as it is."""

    files: list[F] = field(default_factory=list)
    payload: bytes | None = None
    is_short: bool = False
    values: dict[int, Value | None] = field(default_factory=dict)
    signatures: dict[int, Value] | None = None
    lead: bytes = b"\xed\xab\xee\xdb\3\0\0\0" + bytes(88)

    def header(self) -> bytes:
        payload = self.archive()
        values: dict[int, Value] = {
            1000: string(b"demo"),
            1001: string(b"1.0"),
            1002: string(b"3"),
            1022: string(b"x86_64"),
            5092: strings([hashlib.sha256(payload).hexdigest().encode()]),
            5093: numbers(INT32, [8]),
        }
        if self.files:
            values |= file_values(self.files)
        for tag, value in self.values.items():
            if value is None:
                values.pop(tag, None)
            else:
                values[tag] = value
        return header(63, values)

    def archive(self) -> bytes:
        if self.payload is None:
            return archive(self.files, is_short=self.is_short)
        return self.payload

    def bytes(self) -> bytes:
        main = self.header()
        stated = {273: string(hashlib.sha256(main).hexdigest().encode())}
        signatures = header(62, stated if self.signatures is None else self.signatures)
        signatures += bytes(-len(signatures) % 8)
        return self.lead + signatures + main + self.archive()


def without_digests(kit: Kit) -> Kit:
    """The same package, in which damage reaches the parsers."""
    values = {**kit.values, 5092: None, 1035: None}
    return Kit(kit.files, kit.payload, kit.is_short, values, {1000: string(b"")})
