"""No bit of a signed image can change unnoticed, unless it is on the list of unprotected bytes.

Every region is visited: each header field of both partition tables, the protective MBR, the
entries, data, hash tree, superblock, signature and every gap. Small regions are flipped bit by
bit, large ones at positions hypothesis picks. A flip has to make `verify_image` say no, or to lie
in the few bytes that the threat model lists as not signed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.build.extension import build_extension
from sysgraft.formats import gpt, gpt_check, verity
from sysgraft.formats.gpt_check import Region
from sysgraft.image import dissect
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.verify.trust import TrustedCertificate, TrustStore
from sysgraft.testing.certificates import NOW, make_identity

if TYPE_CHECKING:
    from pathlib import Path


class Subject(NamedTuple):
    """A signed image and everything needed to judge changed copies of it."""

    path: Path
    data: bytes
    options: VerifyOptions
    regions: dict[str, Region]
    allowed: tuple[Region, ...]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(tmp_path_factory.mktemp("bits"), include_certificate=True)


@pytest.fixture(scope="module")
def bare_subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(tmp_path_factory.mktemp("bare"), include_certificate=False)


def make_subject(root: Path, *, include_certificate: bool) -> Subject:
    firmware = root / "tree/usr/lib/firmware"
    firmware.mkdir(parents=True)
    # Enough data for a hash tree of two levels.
    (firmware / "large.bin").write_bytes(bytes(range(251)) * 2500)
    (firmware / "small.bin").write_bytes(b"tail")
    identity = make_identity("bit flipper")
    pair = SigningPair(
        load_private_key(identity.key_pem),
        identity.certificate,
        include_certificate=include_certificate,
    )
    report = build_extension("bits", [str(root / "tree")], output=root / "out", signing=pair)
    path = root / "out/bits.sysext.raw"
    assert str(path) == report.path
    store = TrustStore((TrustedCertificate(identity.certificate, "test"),))
    options = VerifyOptions(trust=store, now=NOW)
    assert verify_image(path, options).ok
    data = path.read_bytes()
    return Subject(path, data, options, regions_of(data), unprotected(data))


def regions_of(data: bytes) -> dict[str, Region]:
    """The image cut into named regions without a gap between them, partitions cut finer."""
    table = gpt.parse(BytesBlob(data))
    cut: list[Region] = []
    for region in gpt_check.regions(table, len(data)):
        cut += finer(region, table)
    assert cut[0].start == 0
    assert cut[-1].end == len(data)
    for before, after in pairwise(cut):
        assert before.end == after.start, (before, after)
    return {f"{index:02} {region.name}": region for index, region in enumerate(cut)}


def finer(region: Region, table: gpt.Table) -> list[Region]:
    """The hash partition's parts: superblock, its block's rest, tree; others stay whole."""
    if not region.name.endswith("-verity"):
        return [region]
    start = region.start
    assert start == table.partitions[1].offset
    return [
        Region(start, start + verity.SUPERBLOCK_SIZE, "verity-superblock"),
        Region(start + verity.SUPERBLOCK_SIZE, start + 4096, "verity-superblock-block"),
        Region(start + 4096, region.end, "verity-tree"),
    ]


def unprotected(data: bytes) -> tuple[Region, ...]:
    """The documented list for an image that has no other partitions: the dm-verity UUID."""
    found = dissect.dissect(BytesBlob(data))
    assert found.verity is not None
    start = found.verity.partition.offset
    return tuple(Region(start + a, start + b, "uuid") for a, b in verity.UNAUTHENTICATED)


def overwrite(path: Path, offset: int, byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes([byte]))


def check_flip(subject: Subject, bit: int) -> None:
    """One flipped bit is detected, or is where nobody promised detection."""
    offset = bit // 8
    old = subject.data[offset]
    overwrite(subject.path, offset, old ^ 1 << bit % 8)
    result = verify_image(subject.path, subject.options)
    overwrite(subject.path, offset, old)
    if any(region.start <= offset < region.end for region in subject.allowed):
        # Nobody reads these bytes, so they may not change the verdict either.
        assert result.ok, result
        return
    if result.ok:
        assert is_form_of_json(subject, offset), f"bit {bit} went unnoticed"
        assert result.notes, "and nothing was said about it"


def is_form_of_json(subject: Subject, offset: int) -> bool:
    """Whether a byte belongs to the unsigned form of the signature's JSON, not to its values."""
    table = gpt.parse(BytesBlob(subject.data))
    part = table.partitions[2]
    if not part.offset <= offset < part.offset + part.size:
        return False
    text = subject.data[part.offset : part.offset + part.size].rstrip(b"\0")
    place = offset - part.offset
    key = text.index(b'"certificateFingerprint"')
    # The name of a field that readers ignore, or the first NUL of the padding (spacing).
    return key <= place < key + len(b'"certificateFingerprint"') or place == len(text)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("protective-mbr", 66),
        ("primary-header", 92),
        ("backup-header", 92),
        ("verity-superblock", 120),
    ],
)
def test_every_bit_of_a_small_structure(subject: Subject, name: str, size: int) -> None:
    (region,) = [r for r in subject.regions.values() if r.name == name]
    for bit in range(region.start * 8, (region.start + size) * 8):
        check_flip(subject, bit)
    for offset in range(region.start + size, region.end):
        check_flip(subject, offset * 8 + offset % 8)


@pytest.mark.parametrize("name", ["primary-entries", "backup-entries"])
def test_every_byte_of_the_used_partition_entries(subject: Subject, name: str) -> None:
    (region,) = [r for r in subject.regions.values() if r.name == name]
    for offset in range(region.start, region.start + 3 * 128):
        check_flip(subject, offset * 8 + offset % 8)


@pytest.mark.parametrize("which", ["subject", "bare_subject"])
def test_every_byte_of_the_signature(request: pytest.FixtureRequest, which: str) -> None:
    subject: Subject = request.getfixturevalue(which)
    (region,) = [r for r in subject.regions.values() if r.name.endswith("-verity-sig")]
    used = len(subject.data[region.start : region.end].rstrip(b"\0"))
    for offset in range(region.start, region.start + used + 16):
        check_flip(subject, offset * 8 + offset % 8)


@settings(max_examples=400)
@given(data=st.data())
def test_any_bit_of_any_region(subject: Subject, data: st.DataObject) -> None:
    region = subject.regions[data.draw(st.sampled_from(sorted(subject.regions)))]
    check_flip(subject, data.draw(st.integers(region.start * 8, region.end * 8 - 1)))


def test_the_list_of_regions_is_whole(subject: Subject) -> None:
    names = {region.name for region in subject.regions.values()}
    assert {"mbr-boot-code", "protective-mbr", "slack", "verity-tree"} <= names
    assert sum(name.startswith("partition:") for name in names) == 2
