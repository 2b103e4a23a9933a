"""Compressed firmware: whether Linux' firmware loader can decompress a file, from its first bytes.

``drivers/base/firmware_loader/main.c``: ``.zst`` is a single zstd frame (RFC 8878 §3.1.1) whose
header has to say how large the content is; ``.xz`` is a stream (The .xz File Format §2.1.1) whose
check may be none or CRC32, since ``lib/xz`` has no other. What is behind the first bytes is not
looked at.
"""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = (b"", b".zst", b".xz")
"""In the order in which the loader tries them; each in all folders before the next."""

TEXT_SUFFIXES: Final = tuple(suffix.decode() for suffix in SUFFIXES)
"""They, as text."""

HEAD_SIZE: Final = 12
"""Bytes `problem` wants to see."""

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
# Frame_Header_Descriptor: how many bytes the content size has, and that there is no window size.
_SIZE_FLAG: Final = 0xC0
_SINGLE_SEGMENT: Final = 0x20
_XZ: Final = b"\xfd7zXZ\0"
_XZ_CHECKS: Final = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}
_XZ_CHECKS_OF_LINUX: Final = (0, 1)


def split(name: bytes) -> tuple[bytes, int]:
    """The name a driver asks for, and the rank of the suffix behind it."""
    for rank, suffix in enumerate(SUFFIXES):
        if suffix and name.endswith(suffix):
            return name.removesuffix(suffix), rank
    return name, 0


def split_text(name: str) -> tuple[str, int]:
    """As `split`, of a name as text."""
    plain, rank = split(name.encode("utf-8", "surrogateescape"))
    return plain.decode("utf-8", "surrogateescape"), rank


def problem(name: bytes, head: bytes) -> str:
    """Why the loader cannot use a file of this name that begins with `head`; empty if it can."""
    suffix = SUFFIXES[split(name)[1]]
    if suffix == b".zst":
        return _zstd_problem(head)
    return _xz_problem(head) if suffix == b".xz" else ""


def _zstd_problem(head: bytes) -> str:
    if not head.startswith(_ZSTD) or len(head) <= len(_ZSTD):
        return "it is no zstd frame"
    if not head[len(_ZSTD)] & (_SIZE_FLAG | _SINGLE_SEGMENT):
        return "its zstd frame does not say how large the content is"
    return ""


def _xz_problem(head: bytes) -> str:
    if not head.startswith(_XZ) or len(head) < len(_XZ) + 2:
        return "it is no xz stream"
    check = head[len(_XZ) + 1] & 0xF
    if check in _XZ_CHECKS_OF_LINUX:
        return ""
    return f"its check is {_XZ_CHECKS.get(check, str(check))}, Linux knows CRC32 and none"
