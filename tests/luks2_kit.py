"""LUKS2 headers made by hand, good ones and others."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any, Final

UUID: Final = "9fdb4a1f-2960-474c-8529-54aa2f2a2340"
SIZE: Final = 0x4000

TPM2_TOKEN: Final[dict[str, Any]] = {
    "type": "systemd-tpm2",
    "keyslots": ["1"],
    "tpm2-blob": "c2VhbGVk",
    "tpm2-pcrs": [7, 4],
    "tpm2-pcr-bank": "sha256",
    "tpm2-primary-alg": "ecc",
    "tpm2-policy-hash": "ab" * 32,
}


def metadata(**changes: Any) -> dict[str, Any]:
    """The JSON of a volume with two key slots and no token."""
    slot = {"type": "luks2", "key_size": 64}
    segment = {
        "type": "crypt",
        "offset": "16777216",
        "size": "dynamic",
        "iv_tweak": "0",
        "encryption": "aes-xts-plain64",
        "sector_size": 4096,
    }
    return {
        "keyslots": {"0": slot, "1": slot},
        "tokens": {},
        "segments": {"0": segment},
        "digests": {},
        "config": {"json_size": "12288", "keyslots_size": "16744448"},
        **changes,
    }


def copy(
    document: dict[str, Any] | bytes,
    *,
    offset: int = 0,
    size: int = SIZE,
    seqid: int = 4,
    algorithm: str = "sha256",
    **fields: Any,
) -> bytes:
    """One copy of a header, its checksum right."""
    area = document if isinstance(document, bytes) else json.dumps(document).encode()
    values = {
        "magic": b"SKUL\xba\xbe" if offset else b"LUKS\xba\xbe",
        "version": 2,
        "size": size,
        "seqid": seqid,
        "label": b"lab",
        "algorithm": algorithm.encode(),
        "salt": bytes(range(64)),
        "uuid": UUID.encode(),
        "subsystem": b"",
        "offset": offset,
        "padding": b"",
        **fields,
    }
    head = struct.pack(">6sHQQ48s32s64s40s48sQ184s", *values.values())
    rest = bytes(4096 - 512) + area.ljust(size - 4096, b"\0")
    known = algorithm if algorithm in hashlib.algorithms_available else "sha256"
    checksum = hashlib.new(known, head + bytes(64) + rest).digest()
    return head + checksum.ljust(64, b"\0") + rest


def volume(
    document: dict[str, Any] | bytes, *, size: int = SIZE, seqids: tuple[int, int] = (4, 4)
) -> bytes:
    """Both copies."""
    first, second = seqids
    return copy(document, size=size, seqid=first) + copy(
        document, offset=size, size=size, seqid=second
    )
