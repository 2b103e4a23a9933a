"""extension-release files: fields and places."""

from __future__ import annotations

import pytest

from sysgraft.errors import FormatError
from sysgraft.formats import extension_release
from sysgraft.formats.extension_release import ExtensionRelease, Kind


def test_the_fields_of_a_file_are_read() -> None:
    data = (
        b"ID=debian\nVERSION_ID=13\nSYSEXT_LEVEL=2\nARCHITECTURE=arm64\n"
        b'SYSEXT_SCOPE="initrd system"\nEXTENSION_RELOAD_MANAGER=1\nEXTRA=x\n'
    )
    release = extension_release.parse(data, Kind.SYSEXT)
    assert release.id == "debian"
    assert release.version_id == "13"
    assert release.level == "2"
    assert release.architecture == "arm64"
    assert release.scopes == ("initrd", "system")
    assert release.reloads_manager
    assert release.fields["EXTRA"] == "x"


def test_level_and_scope_have_the_name_of_the_kind() -> None:
    data = b"ID=_any\nSYSEXT_LEVEL=1\nCONFEXT_LEVEL=2\nCONFEXT_SCOPE=portable\n"
    release = extension_release.parse(data, Kind.CONFEXT)
    assert (release.level, release.scopes) == ("2", ("portable",))


def test_what_is_not_set_is_none() -> None:
    release = extension_release.parse(b"", Kind.SYSEXT)
    assert (release.id, release.version_id, release.level) == (None, None, None)
    assert (release.architecture, release.scopes) == (None, None)
    assert not release.reloads_manager


def test_an_empty_scope_is_no_scope_at_all() -> None:
    assert extension_release.parse(b"SYSEXT_SCOPE=\n", Kind.SYSEXT).scopes == ()


def test_a_release_does_not_change_with_the_mapping_it_was_made_from() -> None:
    fields = {"ID": "a"}
    release = ExtensionRelease(Kind.SYSEXT, fields)
    fields["ID"] = "b"
    assert release.id == "a"
    assert hash(release) == hash(ExtensionRelease(Kind.SYSEXT, {"ID": "a"}))
    assert release == ExtensionRelease(Kind.SYSEXT, {"ID": "a"})


def test_bad_bytes_are_refused() -> None:
    with pytest.raises(FormatError):
        extension_release.parse(b"ID=\xff", Kind.SYSEXT)


def test_a_rendered_release_reads_back() -> None:
    release = ExtensionRelease(Kind.SYSEXT, {"ID": "_any", "ARCHITECTURE": "x86-64"})
    data = extension_release.render(release)
    assert data == b"ID=_any\nARCHITECTURE=x86-64\n"
    assert extension_release.parse(data, Kind.SYSEXT) == release


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.SYSEXT, b"usr/lib/extension-release.d/extension-release.fw_1.2"),
        (Kind.CONFEXT, b"etc/extension-release.d/extension-release.fw_1.2"),
    ],
)
def test_the_place_holds_the_kind_and_the_name(kind: Kind, path: bytes) -> None:
    assert extension_release.path(kind, "fw_1.2") == path
    assert extension_release.split_path(path) == (kind, "fw_1.2")


@pytest.mark.parametrize(
    "path",
    [
        b"usr/lib/extension-release.d/extension-release.",
        b"usr/lib/extension-release.d/other",
        b"usr/lib/extension-release.d",
        b"usr/share/extension-release.d/extension-release.x",
        b"extension-release.x",
    ],
)
def test_other_places_hold_no_release(path: bytes) -> None:
    assert extension_release.split_path(path) is None


@pytest.mark.parametrize(
    ("value", "meaning"),
    [(b"0", False), (b"no", False), (b"False\0", False), (b"1", True), (b"on", True), (b"?", None)],
)
def test_the_strict_attribute_is_a_systemd_boolean(value: bytes, meaning: bool | None) -> None:
    assert extension_release.parse_strict(value) is meaning
