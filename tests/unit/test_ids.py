"""Identifiers derived from a seed, against values systemd-repart 257 and 262 gave."""

from __future__ import annotations

from uuid import UUID

import pytest

from sysgraft.base import ids
from sysgraft.errors import UsageError
from sysgraft.formats.partition_types import type_uuid

SEED = UUID("0123456789abcdef0123456789abcdef")
SIGNATURE_TYPE = type_uuid("root-verity-sig", "x86-64")


def test_identifiers_are_those_of_systemd_repart() -> None:
    root = ids.partition_uuid(SEED, type_uuid("root", "x86-64"))
    assert str(ids.disk_uuid(SEED)) == "6913f4b6-6690-4a57-a202-f1b53c56dbdf"
    assert str(ids.filesystem_uuid(root)) == "e23fa935-5911-428c-b168-a4b761ee82bd"
    assert str(ids.partition_uuid(SEED, SIGNATURE_TYPE)) == "ca977224-9a98-40c9-bef7-eae884d35446"
    assert str(ids.verity_uuid(SEED)) == "898929e6-7747-423e-8593-3659ba461e7c"
    assert (
        ids.verity_salt(SEED).hex()
        == "c65b6ab68edf421fcc0cb48ba60f7f14f5186b4d003d21ab3b334b91de16759c"
    )


def test_further_partitions_of_a_type_get_other_identifiers() -> None:
    numbered = [ids.partition_uuid(SEED, SIGNATURE_TYPE, number) for number in range(4)]
    assert len(set(numbered)) == 4
    assert numbered[0] == ids.partition_uuid(SEED, SIGNATURE_TYPE)
    assert all(uuid.version == 4 for uuid in numbered)


def test_default_seed_depends_on_the_name_alone() -> None:
    assert str(ids.default_seed("firmware")) == "f6822147-a7cf-5fda-8e4d-a7cbc66f5550"
    assert ids.default_seed("firmware") != ids.default_seed("firmware2")


def test_root_hash_names_both_partitions_unchanged() -> None:
    root_hash = bytes(range(32))
    assert ids.data_uuid(root_hash).bytes + ids.hash_uuid(root_hash).bytes == root_hash


def test_ends_of_a_longer_root_hash_name_the_partitions() -> None:
    root_hash = bytes(range(64))
    assert ids.data_uuid(root_hash).bytes == root_hash[:16]
    assert ids.hash_uuid(root_hash).bytes == root_hash[-16:]


def test_short_root_hash_names_nothing() -> None:
    with pytest.raises(UsageError, match="15 bytes is too short"):
        ids.data_uuid(bytes(15))
    with pytest.raises(UsageError, match="0 bytes is too short"):
        ids.hash_uuid(b"")
