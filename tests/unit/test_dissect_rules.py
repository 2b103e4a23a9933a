"""Which partitions make up an extension, and which arrangements are refused."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats import gpt
from sysgraft.formats.partition_types import type_uuid
from sysgraft.image.dissect import Dissection, dissect, part

SIZE = 1 << 20
EROFS = bytes(1024) + b"\xe2\xe1\xf5\xe0"
SQUASHFS = b"hsqs"


@dataclass(frozen=True, slots=True)
class Part:
    """One partition of a made-up image; two sectors of 4096 bytes."""

    designator: str
    label: str = ""
    arch: str | None = "x86-64"
    attributes: int = 0
    content: bytes = b""
    type_uuid: UUID | None = None


def image(*parts: Part) -> BytesBlob:
    """A disk with these partitions in this order."""
    placed = tuple(
        gpt.Partition(
            index=index,
            type_uuid=item.type_uuid or type_uuid(item.designator, item.arch),
            uuid=UUID(int=index + 1),
            first_lba=40 + 16 * index,
            last_lba=55 + 16 * index,
            attributes=item.attributes,
            name=item.label,
        )
        for index, item in enumerate(parts)
    )
    data = bytearray(SIZE)
    for item, partition in zip(parts, placed, strict=True):
        data[partition.offset : partition.offset + len(item.content)] = item.content
    table = gpt.new_table(SIZE, disk_uuid=UUID(int=99), partitions=placed)
    for offset, piece in gpt.render(table, SIZE):
        data[offset : offset + len(piece)] = piece
    return BytesBlob(bytes(data))


def dissected(*parts: Part) -> Dissection:
    return dissect(image(*parts))


ROOT, VERITY, SIGNATURE = map(Part, ("root", "root-verity", "root-verity-sig"))
USR, USR_VERITY, USR_SIGNATURE = map(Part, ("usr", "usr-verity", "usr-verity-sig"))


# --- What is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["root", "usr"])
def test_data_hashes_and_signature_are_found_in_any_order(base: str) -> None:
    names = (f"{base}-verity-sig", base, f"{base}-verity")
    found = dissected(*map(Part, names))
    roles = [found.data, found.verity, found.signature]
    assert [member.designator if member else None for member in roles] == [
        base, f"{base}-verity", f"{base}-verity-sig",
    ]  # fmt: skip
    assert [member.designator for member in found.members] == list(names)
    assert found.architecture == "x86-64"
    assert found.bare_fstype is None


def test_an_image_may_go_without_hashes() -> None:
    found = dissected(ROOT)
    assert found.data is not None
    assert (found.verity, found.signature) == (None, None)


def test_plain_root_and_usr_may_stand_together() -> None:
    found = dissected(USR, ROOT)
    assert {member.designator for member in found.members} == {"root", "usr"}
    assert found.data == found.member("root")


def test_the_content_of_data_is_looked_at_and_that_of_hashes_is_not() -> None:
    blob = image(Part("root", content=EROFS), Part("root-verity", content=SQUASHFS))
    found = dissect(blob)
    assert [member.fstype for member in found.members] == ["erofs", None]
    assert found.verity is not None
    content = part(blob, found.verity)
    assert (content.size, content.read_at(0, 4)) == (8192, SQUASHFS)


# --- What is passed over -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "skipped",
    [
        Part("root", label="_empty"),
        Part("root", label="zzz", attributes=gpt.NO_AUTO),
        Part("root-verity", label="_empty"),
        Part("usr-verity", attributes=gpt.NO_AUTO),
    ],
)
def test_empty_and_no_auto_partitions_do_not_count(skipped: Part) -> None:
    found = dissected(skipped, Part("root", label="mine"))
    assert [member.partition.name for member in found.members] == ["mine"]


@pytest.mark.parametrize(
    "only", [Part("root", label="_empty"), Part("root", attributes=gpt.NO_AUTO)]
)
def test_an_image_of_nothing_but_those_is_refused(only: Part) -> None:
    with pytest.raises(FormatError, match="no root or usr partition"):
        dissected(only)


@pytest.mark.parametrize("label", ["_Empty", "_empty2", "empty"])
def test_other_labels_are_no_reason_to_pass_over(label: str) -> None:
    assert dissected(Part("root", label=label)).data is not None


def test_unknown_types_are_passed_over() -> None:
    found = dissected(Part("home", type_uuid=UUID(int=7)), ROOT)
    assert found.table is not None
    assert len(found.table.partitions) == 2
    assert [member.designator for member in found.members] == ["root"]


# --- Two of a kind -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "winner"),
    [
        (("demo_1", "demo_2"), 1),
        (("demo_2", "demo_1"), 0),
        (("demo_9", "demo_10"), 1),
        (("demo_1~rc1", "demo_1"), 1),
        # Equal labels: the first stays.
        (("demo", "demo"), 0),
        (("", ""), 0),
    ],
)
@pytest.mark.parametrize("designator", ["root", "usr", "root-verity", "root-verity-sig"])
def test_the_higher_label_wins(designator: str, labels: tuple[str, str], winner: int) -> None:
    others = [item for item in (ROOT, VERITY) if not designator.startswith("usr")]
    others = [item for item in others if item.designator != designator]
    found = dissected(*(Part(designator, label) for label in labels), *others)
    member = found.member(designator)
    assert member is not None
    assert member.partition.index == winner


def test_of_other_partitions_the_first_is_taken() -> None:
    homes = [Part("home", label, arch=None) for label in ("home_1", "home_2")]
    home = dissected(ROOT, *homes).member("home")
    assert home is not None
    assert home.partition.name == "home_1"


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "no root or usr partition"),
        ([Part("home", arch=None)], "no root or usr partition"),
        ([VERITY], "no root or usr partition"),
        ([USR, VERITY], "a root-verity partition, but no root"),
        ([ROOT, USR_VERITY], "a usr-verity partition, but no usr"),
        ([ROOT, SIGNATURE], "a root-verity-sig partition, but no root-verity"),
        ([USR, USR_SIGNATURE], "a usr-verity-sig partition, but no usr-verity"),
        ([ROOT, USR_VERITY, USR_SIGNATURE], "a usr-verity partition, but no usr"),
        ([ROOT, VERITY, SIGNATURE, USR], "exclude each other"),
        ([ROOT, VERITY, USR, USR_VERITY], "exclude each other"),
        ([ROOT, Part("usr", arch="arm64")], "different architectures"),
        ([ROOT, Part("root-verity", arch="arm64")], "root-verity partition is for arm64"),
        (
            [USR, USR_VERITY, Part("usr-verity-sig", arch="arm64")],
            "usr-verity-sig partition is for arm64, its data is for x86-64",
        ),
    ],
)
def test_impossible_arrangements_are_refused(parts: list[Part], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        dissected(*parts)


def test_a_table_with_data_for_two_architectures_is_refused() -> None:
    # Each machine would use its own; a verdict about one says nothing of the other.
    both = [Part(ROOT.designator, f"demo-{arch}", arch) for arch in ("x86-64", "arm64")]
    for parts in (both, both[::-1]):
        with pytest.raises(UnsupportedError, match="depends on the machine"):
            dissected(*parts)


# --- Without a partition table -------------------------------------------------------------------


@pytest.mark.parametrize(("content", "name"), [(EROFS, "erofs"), (SQUASHFS, "squashfs")])
def test_a_bare_file_system_is_an_image_too(content: bytes, name: str) -> None:
    found = dissect(BytesBlob(content.ljust(8192, b"\0")))
    assert (found.table, found.members, found.bare_fstype) == (None, (), name)
    assert (found.data, found.verity, found.signature, found.architecture) == (None,) * 4


@pytest.mark.parametrize("content", [b"", b"no image", bytes(8192), b"\x7fELF" * 4096])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError):
        dissect(BytesBlob(content))


def test_a_file_that_is_two_file_systems_is_refused() -> None:
    content = SQUASHFS + EROFS[len(SQUASHFS) :]
    with pytest.raises(FormatError, match="two file systems"):
        dissect(BytesBlob(content.ljust(8192, b"\0")))
