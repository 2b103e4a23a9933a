"""Partition types: the table itself and both directions of looking things up."""

from __future__ import annotations

from uuid import UUID

import pytest

from sysgraft.base.arch import KNOWN
from sysgraft.errors import UsageError
from sysgraft.formats.partition_types import ALL, PartitionType, lookup, type_uuid

ROLES = ("root", "usr")
SUFFIXES = ("", "-verity", "-verity-sig")


def test_table_has_six_types_for_every_architecture_and_no_uuid_twice() -> None:
    per_arch = {(known.designator, known.arch) for known in ALL if known.arch is not None}
    assert per_arch == {
        (role + suffix, arch) for role in ROLES for suffix in SUFFIXES for arch in KNOWN
    }
    assert len({known.uuid for known in ALL}) == len(ALL) == 6 * len(KNOWN) + 9


def test_lookup_is_the_inverse_of_type_uuid() -> None:
    assert all(lookup(type_uuid(known.designator, known.arch)) == known for known in ALL)


@pytest.mark.parametrize(
    ("uuid", "designator", "arch", "name"),
    [
        ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "root", "x86-64", "root-x86-64"),
        ("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", "root-verity", "x86-64", "root-x86-64-verity"),
        (
            "41092b05-9fc8-4523-994f-2def0408b176",
            "root-verity-sig",
            "x86-64",
            "root-x86-64-verity-sig",
        ),
        ("b0e01050-ee5f-4390-949a-9101b17104e9", "usr", "arm64", "usr-arm64"),
        (
            "c8bfbd1e-268e-4521-8bba-bf314c399557",
            "usr-verity-sig",
            "ppc64-le",
            "usr-ppc64-le-verity-sig",
        ),
        ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "esp", None, "esp"),
    ],
)
def test_lookup_tells_role_architecture_and_name(
    uuid: str, designator: str, arch: str | None, name: str
) -> None:
    found = lookup(UUID(uuid))
    assert found == PartitionType(UUID(uuid), designator, arch)
    assert found is not None
    assert found.name == name


def test_foreign_type_is_unknown() -> None:
    assert lookup(UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")) is None
    assert lookup(UUID(int=0)) is None


def test_architecture_may_be_spelled_in_any_way() -> None:
    assert type_uuid("root", "amd64") == type_uuid("root", "x86_64") == type_uuid("root", "x86-64")


@pytest.mark.parametrize(
    ("designator", "arch"), [("root", None), ("esp", "x86-64"), ("boot", None), ("root", "vax")]
)
def test_role_that_does_not_exist_is_refused(designator: str, arch: str | None) -> None:
    with pytest.raises(UsageError):
        type_uuid(designator, arch)
