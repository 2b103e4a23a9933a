"""Which release file counts, and whether an extension fits a host."""

from __future__ import annotations

import pytest

from sysgraft.formats.extension_release import ExtensionRelease, Kind
from sysgraft.image.matching import Candidate, choose_release, match_host

HOST = {"ID": "ubuntu", "ID_LIKE": "debian other", "VERSION_ID": "22.04"}


# --- The release file that counts ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "candidates", "version", "rule", "name"),
    [
        ("fw.sysext.raw", [Candidate("fw")], 262, "exact", "fw"),
        ("fw.raw", [Candidate("fw", strict=True)], 252, "exact", "fw"),
        ("fw_1.raw", [Candidate("fw_1"), Candidate("fw")], 262, "exact", "fw_1"),
        # A link under the exact name is followed.
        ("fw.raw", [Candidate("fw", regular=False)], 262, "exact", "fw"),
        # The file's name has a version, the release file has not: 256 and newer.
        ("fw_1.2.sysext.raw", [Candidate("fw")], 256, "base-name", "fw"),
        ("fw+3-0.sysext.raw", [Candidate("fw")], 262, "base-name", "fw"),
        ("fw_1.2.sysext.raw", [Candidate("fw")], 255, "none", None),
        ("fw_1.2.sysext.raw", [Candidate("fw", regular=False)], 262, "none", None),
        ("fw-1.2.sysext.raw", [Candidate("fw")], 262, "none", None),
        ("fw.sysext.raw", [Candidate("fw_1.2")], 262, "none", None),
        # Up to 254 ".sysext" is part of the name.
        ("fw.sysext.raw", [Candidate("fw")], 254, "none", None),
        ("fw.sysext.raw", [Candidate("fw", strict=False)], 254, "xattr", "fw"),
        # The attribute.
        ("x.raw", [Candidate("fw", strict=False)], 252, "xattr", "fw"),
        ("x.raw", [Candidate("fw", strict=True)], 262, "none", None),
        ("x.raw", [Candidate("fw", strict=False, regular=False)], 262, "none", None),
        ("x.raw", [Candidate("fw~", strict=False)], 262, "none", None),
        ("x.raw", [Candidate("fw.bak", strict=False)], 262, "none", None),
        ("x.raw", [Candidate("bak", strict=False)], 262, "none", None),
        # More than one.
        ("x.raw", [Candidate(n, strict=False) for n in "ab"], 262, "ambiguous", None),
        ("fw_1.raw", [Candidate("fw"), Candidate("b", strict=False)], 262, "ambiguous", None),
        ("fw_1.raw", [Candidate("fw"), Candidate("b", strict=False)], 255, "xattr", "b"),
        ("fw.raw", [], 262, "none", None),
        # A name without a base has no second chance where bases count.
        ("_1.raw", [Candidate("fw", strict=False)], 262, "none", None),
        ("_1.raw", [Candidate("fw", strict=False)], 255, "xattr", "fw"),
        (".raw", [Candidate("fw", strict=False)], 262, "invalid", None),
    ],
)
def test_the_release_file_is_chosen_as_that_systemd_does(
    filename: str, candidates: list[Candidate], version: int, rule: str, name: str | None
) -> None:
    choice = choose_release(filename, candidates, systemd_version=version)
    assert (choice.rule, choice.name) == (rule, name)


def test_the_refusal_of_a_wrong_name_says_both_names() -> None:
    choice = choose_release("other.sysext.raw", [Candidate("fw")])
    assert choice.reason == "the file name asks for 'other', the image has fw"


# --- The host ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "rule", "ok"),
    [
        ({}, "empty", False),
        ({"ID": "_any"}, "id", True),
        ({"ID": "_any", "VERSION_ID": "1", "SYSEXT_LEVEL": "9"}, "id", True),
        ({"VERSION_ID": "22.04"}, "id", False),
        ({"ID": ""}, "id", False),
        ({"ID": "fedora", "VERSION_ID": "22.04"}, "id", False),
        ({"ID": "ubuntu", "VERSION_ID": "22.04"}, "version", True),
        ({"ID": "ubuntu", "VERSION_ID": "22.4"}, "version", False),
        ({"ID": "ubuntu"}, "version", False),
        ({"ID": "ubuntu", "SYSEXT_LEVEL": "1"}, "version", False),
        ({"ID": "_any", "ARCHITECTURE": "arm64"}, "architecture", False),
        ({"ID": "_any", "ARCHITECTURE": "x86-64"}, "id", True),
        ({"ID": "_any", "ARCHITECTURE": "_any"}, "id", True),
        ({"ID": "_any", "ARCHITECTURE": ""}, "id", True),
        ({"ID": "_any", "SYSEXT_SCOPE": "initrd portable"}, "scope", False),
        ({"ID": "_any", "SYSEXT_SCOPE": ""}, "scope", False),
        ({"ID": "_any", "SYSEXT_SCOPE": "initrd system"}, "id", True),
        ({"ID": "_any", "CONFEXT_SCOPE": "initrd"}, "id", True),
        # The scope is judged before the architecture, that before the ID.
        ({"ID": "x", "ARCHITECTURE": "arm64", "SYSEXT_SCOPE": "initrd"}, "scope", False),
        ({"ID": "x", "ARCHITECTURE": "arm64"}, "architecture", False),
    ],
)
def test_the_rules_decide_in_their_order(fields: dict[str, str], rule: str, ok: bool) -> None:
    release = ExtensionRelease(Kind.SYSEXT, fields)
    verdict = match_host(release, HOST, architecture="x86-64")
    assert (verdict.rule, verdict.ok) == (rule, ok)


@pytest.mark.parametrize(
    ("extension", "host", "rule", "ok"),
    [
        # A level on both sides replaces the version.
        ({"SYSEXT_LEVEL": "2", "VERSION_ID": "1"}, {"SYSEXT_LEVEL": "2"}, "level", True),
        ({"SYSEXT_LEVEL": "1", "VERSION_ID": "22.04"}, {"SYSEXT_LEVEL": "2"}, "level", False),
        # On one side only it does not count.
        ({"VERSION_ID": "22.04"}, {"SYSEXT_LEVEL": "2"}, "version", True),
        ({"SYSEXT_LEVEL": "2"}, {}, "version", False),
        ({"SYSEXT_LEVEL": "", "VERSION_ID": "22.04"}, {"SYSEXT_LEVEL": "2"}, "version", True),
        # Rolling releases have no version.
        ({}, {"VERSION_ID": ""}, "version", True),
        ({"VERSION_ID": "7"}, {"VERSION_ID": ""}, "version", True),
        ({"VERSION_ID": "7"}, {"VERSION_ID": "", "SYSEXT_LEVEL": "1"}, "version", True),
    ],
)
def test_level_and_version_are_weighed_as_systemd_does(
    extension: dict[str, str], host: dict[str, str], rule: str, ok: bool
) -> None:
    release = ExtensionRelease(Kind.SYSEXT, {"ID": "ubuntu", **extension})
    verdict = match_host(release, {**HOST, **host}, architecture="x86-64")
    assert (verdict.rule, verdict.ok) == (rule, ok)


def test_a_related_distribution_counts_since_258() -> None:
    release = ExtensionRelease(Kind.SYSEXT, {"ID": "debian", "VERSION_ID": "22.04"})
    assert match_host(release, HOST, architecture=None, systemd_version=258).ok
    verdict = match_host(release, HOST, architecture=None, systemd_version=257)
    assert not verdict.ok
    assert verdict.reason == "ID=debian in the extension, ubuntu on the host"


def test_configuration_extensions_came_with_254() -> None:
    release = ExtensionRelease(Kind.CONFEXT, {"ID": "_any"})
    assert match_host(release, HOST, architecture=None, systemd_version=254).ok
    assert match_host(release, HOST, architecture=None, systemd_version=253).rule == "kind"


def test_the_level_of_a_confext_is_its_own() -> None:
    release = ExtensionRelease(Kind.CONFEXT, {"ID": "ubuntu", "CONFEXT_LEVEL": "1"})
    host = {**HOST, "CONFEXT_LEVEL": "1", "SYSEXT_LEVEL": "2"}
    assert match_host(release, host, architecture=None).rule == "level"


def test_an_initrd_wants_its_own_scope() -> None:
    release = ExtensionRelease(Kind.SYSEXT, {"ID": "_any"})
    verdict = match_host(release, HOST, architecture=None, scope="initrd")
    assert verdict.reason == "it is to be merged in the scope 'initrd', and allows system portable"


def test_a_host_without_an_id_takes_nothing() -> None:
    release = ExtensionRelease(Kind.SYSEXT, {"ID": "_any"})
    assert not match_host(release, {"VERSION_ID": "1"}, architecture=None).ok


def test_the_reason_has_the_values_of_both_sides() -> None:
    release = ExtensionRelease(Kind.SYSEXT, {"ID": "ubuntu", "VERSION_ID": "24.04"})
    verdict = match_host(release, HOST, architecture="x86-64")
    assert verdict.reason == "VERSION_ID=24.04 in the extension, 22.04 on the host"
    release = ExtensionRelease(Kind.SYSEXT, {"ID": "_any", "ARCHITECTURE": "arm64"})
    verdict = match_host(release, HOST, architecture="x86-64")
    assert verdict.reason == "ARCHITECTURE=arm64 in the extension, the host is x86-64"
