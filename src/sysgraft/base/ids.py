"""Identifiers of an image, derived from one seed so that equal inputs give equal bytes.

The rules are those of systemd-repart with ``--seed=`` (``src/repart/repart.c``, since v255): each
identifier is an HMAC-SHA256 keyed with the seed over a fixed word, cut to 16 bytes and marked as
a version 4 UUID. The two partitions of a dm-verity pair are named after the root hash instead, as
the Discoverable Partitions Specification asks. Nothing here is secret or random.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5

from sysgraft.errors import UsageError

DIGEST_MIN: Final = 16
"""Shortest root hash in bytes that fills a UUID."""


def default_seed(name: str) -> UUID:
    """The seed of the image called `name` when none is given: a version 5 UUID of the name."""
    return uuid5(uuid5(NAMESPACE_DNS, "sysgraft"), name)


def disk_uuid(seed: UUID) -> UUID:
    """The identifier of the whole disk, as in the GPT header."""
    return _version4(_derive(seed, b"disk-uuid"))


def partition_uuid(seed: UUID, type_uuid: UUID, instance: int = 0) -> UUID:
    """The identifier of the partition that is number `instance` (from 0) of its type."""
    number = instance.to_bytes(8, "little") if instance else b""
    return _version4(_derive(seed, type_uuid.bytes + number))


def filesystem_uuid(partition: UUID) -> UUID:
    """The identifier of the file system in a partition that `partition_uuid` named.

    A dm-verity data partition bears another name in the end (see `data_uuid`), but its file
    system still derives from the one it would have had.
    """
    return _version4(_derive(partition, b"file-system-uuid"))


def verity_salt(seed: UUID) -> bytes:
    """The 32 bytes of dm-verity salt."""
    return _derive(seed, b"verity-salt")


def verity_uuid(seed: UUID) -> UUID:
    """The identifier in the dm-verity superblock."""
    return _version4(_derive(seed, b"verity-uuid"))


def data_uuid(root_hash: bytes) -> UUID:
    """The identifier of the data partition: the first 16 bytes of the root hash, unchanged.

    Raises:
        UsageError: the root hash is shorter than that.
    """
    return UUID(bytes=_checked(root_hash)[:16])


def hash_uuid(root_hash: bytes) -> UUID:
    """The identifier of the verity partition: the last 16 bytes of the root hash, unchanged.

    Raises:
        UsageError: the root hash is shorter than that.
    """
    return UUID(bytes=_checked(root_hash)[-16:])


def _derive(key: UUID, word: bytes) -> bytes:
    return hmac.digest(key.bytes, word, hashlib.sha256)


def _version4(digest: bytes) -> UUID:
    """The first 16 bytes with version and variant set, as ``id128_make_v4_uuid`` does."""
    return UUID(bytes=digest[:16], version=4)


def _checked(root_hash: bytes) -> bytes:
    if len(root_hash) < DIGEST_MIN:
        raise UsageError(f"a root hash of {len(root_hash)} bytes is too short to name partitions")
    return root_hash
