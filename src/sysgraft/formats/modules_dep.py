"""``modules.dep``: which modules of a kernel's folder modprobe finds, and what each needs.

Lines are ``PATH: PATH…``, each path relative to the folder ``modules.dep`` lies in (kmod's
depmod(8)). The binary index beside it, which modprobe really reads, is made from the same lines and
not read here.
"""

from __future__ import annotations

from typing import Final

from sysgraft.errors import LimitError

MAX_SIZE: Final = 64 << 20
"""Bytes of a ``modules.dep``; Debian's, of 4,000 modules, has 700 KB."""


def listed(data: bytes) -> frozenset[bytes]:
    """The paths of all modules it knows.

    Raises:
        LimitError: more than `MAX_SIZE` bytes.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a modules.dep of {len(data)} bytes, the limit is {MAX_SIZE}")
    lines = (line.partition(b":") for line in data.splitlines())
    return frozenset(path.strip() for path, colon, _ in lines if colon)
