"""Names of extensions and of their files."""

from __future__ import annotations

import pytest

from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.image import names


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("fw.sysext.raw", "fw"),
        ("fw.confext.raw", "fw"),
        ("fw.raw", "fw"),
        ("fw", "fw"),
        ("fw_1.2.sysext.raw", "fw_1.2"),
        ("fw.sysext.raw.zst", "fw"),
        ("fw.raw.xz.gz", "fw"),
        ("fw.sysext", "fw.sysext"),
        ("fw.rawx", "fw.rawx"),
    ],
)
def test_suffixes_are_no_part_of_the_name(filename: str, name: str) -> None:
    assert names.image_name(filename) == name


@pytest.mark.parametrize(
    ("version", "filename", "name"),
    [
        (254, "fw.sysext.raw", "fw.sysext"),
        (255, "fw.sysext.raw", "fw"),
        (257, "fw.raw.zst", "fw.raw.zst"),
        (258, "fw.raw.zst", "fw"),
        (252, "fw.raw", "fw"),
    ],
)
def test_older_systemds_strip_less(version: int, filename: str, name: str) -> None:
    assert names.image_name(filename, systemd_version=version) == name


@pytest.mark.parametrize(
    ("name", "base"),
    [("fw_1.2", "fw"), ("fw+3-0", "fw"), ("a+b_c", "a"), ("fw-1.2", "fw-1.2"), ("_1", "")],
)
def test_the_base_name_ends_before_the_version(name: str, base: str) -> None:
    assert names.base_name(name) == base


def test_the_suffix_tells_the_kind() -> None:
    assert names.kind_of("fw.sysext.raw") is Kind.SYSEXT
    assert names.kind_of("fw.confext.raw") is Kind.CONFEXT
    assert names.kind_of("fw.raw") is None


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("name", ["fw", "linux-firmware_20260622", "a b", "größe", "x" * 237])
def test_a_valid_name_survives_the_way_through_the_file_name(name: str, kind: Kind) -> None:
    names.validate_name(name)
    assert names.image_name(names.file_name(name, kind)) == name
    assert len(names.file_name(name, kind).encode()) <= 255


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "empty"),
        ("a/b", "slash"),
        ("..", "leading dot"),
        (".hidden", "leading dot"),
        ("a\nb", "control characters"),
        ("a\x7f", "control characters"),
        ("a\udcff", "not UTF-8"),
        ("\ud800", "not UTF-8"),
        ("x" * 238, "1 bytes too long"),
        ("é" * 200, "too long"),
        ("fw.raw", "suffix"),
        ("fw.sysext.raw", "suffix"),
        ("fw.zst", "suffix"),
    ],
)
def test_a_name_systemd_would_not_find_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        names.validate_name(name)
