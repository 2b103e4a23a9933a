"""CRC-32C (Castagnoli, RFC 3720 appendix B.4) without the final inversion, as EROFS uses it.

btrfs uses it inverted. Meant for single blocks; slow for more.
"""

from __future__ import annotations

from typing import Final

_POLYNOMIAL: Final = 0x82F63B78  # the Castagnoli polynomial, bits reversed


def _table() -> tuple[int, ...]:
    return tuple(_entry(byte) for byte in range(256))


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = _table()


def crc32c(data: bytes | memoryview, crc: int = 0xFFFFFFFF) -> int:
    """Continue `crc` over `data`.

    The usual CRC-32C of a message is this value with all 32 bits inverted.
    """
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc
