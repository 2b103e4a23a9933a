"""Small ELF programs and libraries made by hand: what a loader reads, and nothing that runs."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

X86_64: Final = 62
BASE: Final = 0x400000
"""Address of a file's first byte in memory."""
NEEDED, STRTAB, STRSZ, SONAME, RPATH, RUNPATH = 1, 5, 10, 14, 15, 29


def program(
    *,
    interpreter: str = "",
    name: str = "",
    needed: Sequence[str] = (),
    rpath: str = "",
    runpath: str = "",
    bits: int = 64,
    order: str = "<",
    machine: int = X86_64,
) -> bytes:
    """A file with the program headers and the dynamic section that say this."""
    strings = b"\0"
    entries: list[tuple[int, int]] = []
    words = [*((NEEDED, each) for each in needed), (SONAME, name), (RPATH, rpath)]
    for tag, word in (*words, (RUNPATH, runpath)):
        if word:
            entries.append((tag, len(strings)))
            strings += word.encode() + b"\0"
    header, segment = (64, 56) if bits == 64 else (52, 32)
    kinds = [1, 2, *([3] if interpreter else [])]
    at = header + segment * len(kinds)
    loader = interpreter.encode() + b"\0"
    entry = order + ("qQ" if bits == 64 else "iI")
    entries += [(STRTAB, BASE + at + len(loader)), (STRSZ, len(strings)), (0, 0), (NEEDED, 1 << 30)]
    dynamic = b"".join(struct.pack(entry, *each) for each in entries)
    start = at + len(loader) + len(strings)
    whole = start + len(dynamic)
    places = {1: (0, whole), 2: (start, len(dynamic)), 3: (at, len(loader))}
    table = b"".join(_segment(kind, *places[kind], bits, order) for kind in kinds)
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]).ljust(12, b"\0")
    layout = order + ("HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH")
    fields = (3, machine, 1, 0, header, 0, 0, header, segment, len(kinds), 0, 0, 0)
    return ident + struct.pack(layout, *fields) + table + loader + strings + dynamic


def _segment(kind: int, offset: int, size: int, bits: int, order: str) -> bytes:
    if bits == 64:
        fields = (kind, 4, offset, BASE + offset, BASE + offset, size, size, 1)
        return struct.pack(order + "IIQQQQQQ", *fields)
    fields = (kind, offset, BASE + offset, BASE + offset, size, size, 4, 1)
    return struct.pack(order + "IIIIIIII", *fields)
