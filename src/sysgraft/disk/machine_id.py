"""The name that the partition for /var has to have: it is bound to one installation.

UAPI.2: the first 128 bits of HMAC-SHA256 over the type's UUID, keyed with the machine ID; systemd
marks them as a version 4 UUID as well (``sd_id128_get_machine_app_specific``), which
``systemd-id128 var-partition-uuid`` prints.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from typing import Final
from uuid import UUID

from sysgraft.errors import InputError
from sysgraft.formats.partition_types import type_uuid
from sysgraft.host.small import read_small

_ID: Final = re.compile(rb"[0-9a-f]{32}\n?")


def var_uuid(machine_id: bytes) -> UUID:
    """The name of the partition for /var of the installation with this ID, 16 bytes."""
    digest = hmac.digest(machine_id, type_uuid("var").bytes, hashlib.sha256)
    return UUID(bytes=digest[:16], version=4)


def read_machine_id(root: str) -> bytes | None:
    """The ID of the installation whose root is mounted at a folder; None if it has none yet."""
    try:
        data = read_small(os.path.join(root or os.sep, "etc/machine-id"), 64, "machine ID")
    except InputError:
        return None
    return (
        bytes.fromhex(data.decode()) if _ID.fullmatch(data) and any(data[:32].strip(b"0")) else None
    )
