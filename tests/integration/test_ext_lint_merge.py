"""``ext lint``: what systemd makes of each image, and with it of the set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from conftest import make_pair
from lint_kit import (
    Maker,
    codes,
    file,
    lint,
    unchecked,
)
from sysgraft.base.tree import Inode
from sysgraft.errors import InputError
from sysgraft.image.lint.lint import LintOptions
from sysgraft.sign.pair import load_pair
from sysgraft.sign.verify import files as trust_files

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair


# --- The image and systemd ------------------------------------------------------------------------


def test_os_release_inside(make: Maker) -> None:
    image = make.image("a", {"usr/lib/os-release": "ID=debian\n"})
    report = lint(image, make.image("b", {"usr/bin/x": ""}))
    assert codes(report) == {"os-release-inside": []}
    assert report.merges[0].merged == (str(make.folder / "b.sysext.raw"),)


def test_name_mismatch(make: Maker) -> None:
    image = make.image("a", {"usr/bin/x": ""}, called="other")
    report = lint(image)
    assert codes(report) == {"name-mismatch": []}
    assert report.merges[0].refused == (str(image),)


def test_a_release_file_that_cannot_be_told_ends_the_merge(make: Maker) -> None:
    other = "usr/lib/extension-release.d/extension-release.third"
    lax = ((b"user.extension-release.strict", b"0"),)
    files = {
        path: Inode(0o100644, content=file("ID=_any\n").content, xattrs=lax)
        for path in (other, other + "2")
    }
    image = make.image("a", {"usr/bin/x": "", **files}, release="")
    good = make.image("b", {"usr/bin/y": ""})
    report = lint(image, good)
    assert codes(report) == {"name-mismatch": []}
    (merge,) = report.merges
    assert (merge.refused, merge.merged) == ((str(image),), ())


@pytest.mark.parametrize(
    ("os_release", "architecture", "found"),
    [
        ({"ID": "debian", "VERSION_ID": "13"}, None, {}),
        ({"ID": "debian", "VERSION_ID": "12"}, None, {"host-mismatch": []}),
        ({"ID": "fedora", "VERSION_ID": "13"}, None, {"host-mismatch": []}),
        ({"ID": "debian", "VERSION_ID": "13"}, "arm64", {"host-mismatch": []}),
    ],
)
def test_host_match(
    make: Maker, os_release: dict[str, str], architecture: str | None, found: dict[str, list[str]]
) -> None:
    release = "ID=debian\nVERSION_ID=13\nARCHITECTURE=x86-64\n"
    image = make.image("a", {"usr/bin/x": ""}, release=release)
    options = LintOptions(os_release=os_release, architecture=architecture)
    report = lint(image, options=options)
    assert codes(report) == found
    assert "no --os-release" not in unchecked(report)


@pytest.mark.parametrize("release", ["X=1\n", "ID=_any\nSYSEXT_SCOPE=initrd\n"])
def test_what_no_host_takes_is_told_without_a_host(make: Maker, release: str) -> None:
    image = make.image("a", {"usr/bin/x": ""}, release=release)
    assert codes(lint(image)) == {"host-mismatch": []}


def test_duplicate_and_impossible_names(make: Maker, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    one = make.image("a", {"usr/bin/x": ""})
    two = Maker(tmp_path / "more").image("a", {"usr/bin/x": "other"})
    odd = make.image("b", {"usr/bin/y": ""}, file_name="b.img")
    report = lint(one, two, odd)
    assert codes(report) == {"duplicate-name": [], "not-an-image-name": []}
    assert report.merges[0].merged == (str(one),)
    assert lint(one, one).findings == ()


def test_mixed_architectures_and_kinds(make: Maker) -> None:
    one = make.image("a", {"usr/bin/x": ""})
    two = make.image("b", {"usr/bin/y": ""}, release="ID=_any\nARCHITECTURE=arm64\n")
    three = make.image("c", {"usr/bin/z": ""}, release="ID=_any\nARCHITECTURE=_any\n")
    report = lint(one, two, three)
    assert codes(report) == {"mixed-architectures": []}
    assert set(report.findings[0].images) == {str(one), str(two)}
    release = "etc/extension-release.d/extension-release.d"
    image = make.image("d", {"usr/bin/x": "", release: "ID=_any\n"})
    assert codes(lint(image)) == {"both-kinds": []}


def test_unreadable_content_is_a_finding(make: Maker, tmp_path: Path) -> None:
    image = tmp_path / "a.sysext.raw"
    image.write_bytes(b"hsqs".ljust(1 << 16, b"\0"))
    report = lint(image, make.image("b", {"usr/bin/x": ""}))
    assert codes(report) == {"unreadable": []}
    assert report.merges[0].fates[0].outcome == "unknown"
    assert not report.ok


def test_a_file_that_is_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.raw").write_text("text")
    with pytest.raises(InputError):
        lint(tmp_path / "text.raw")
    with pytest.raises(InputError):
        lint(tmp_path / "nowhere.raw")


# --- The policy -----------------------------------------------------------------------------------

STRICT: Final = "root=signed+absent:usr=signed+absent"
LAX: Final = "root=verity+signed+absent:usr=verity+signed+absent"


@pytest.mark.parametrize(
    ("policy", "version", "outcomes"),
    [
        # Signed by whom the target trusts, by a stranger, by nobody: docs/security/.
        (STRICT, 252, ("merges", "refused", "merges")),
        (STRICT, 254, ("merges", "refused", "refused")),
        (STRICT, 262, ("merges", "refused", "refused")),
        (LAX, 257, ("merges", "refused", "merges")),
        (LAX, 258, ("merges", "refused", "merges")),
        (LAX, 262, ("merges", "merges", "merges")),
        (None, 257, ("merges", "refused", "merges")),
        (None, 262, ("merges", "merges", "merges")),
    ],
)
def test_what_each_systemd_makes_of_signatures(
    make: Maker,
    signing_pair: SigningPair,
    tmp_path: Path,
    policy: str | None,
    version: int,
    outcomes: tuple[str, ...],
) -> None:
    (tmp_path / "other").mkdir()
    other = make_pair(tmp_path / "other", "somebody else")
    pairs = [load_pair(str(pair.key), str(pair.certificate)) for pair in (signing_pair, other)]
    images = [
        # Without suffixes that old systemd takes for a part of the name.
        make.image(name, {f"usr/bin/{name}": ""}, signing=pair, file_name=f"{name}.raw")
        for name, pair in zip("abc", [*pairs, None], strict=True)
    ]
    options = LintOptions(
        systemd_version=version,
        image_policy=policy,
        trust=trust_files.certificate(str(signing_pair.certificate)),
    )
    report = lint(*images, options=options)
    (merge,) = report.merges
    assert tuple(each.outcome for each in merge.fates) == outcomes
    refused = outcomes.count("refused")
    found = [each for each in report.findings if each.code == "refused"]
    assert len(report.findings) == len(found) == refused
    assert len(merge.merged) == (0 if refused else 3)


def test_signers_that_nobody_vouched_for_stay_open(make: Maker, signing_pair: SigningPair) -> None:
    pair = load_pair(str(signing_pair.key), str(signing_pair.certificate))
    image = make.image("a", {"usr/bin/x": ""}, signing=pair)
    report = lint(image, options=LintOptions(image_policy=STRICT))
    (fate,) = report.merges[0].fates
    assert fate.outcome == "if-trusted"
    assert report.findings == ()
    assert "no certificate of the target was given" in unchecked(report)


def test_damage(make: Maker) -> None:
    image = make.image("a", {"usr/bin/x": b"needle" * 2000, "usr/bin/y": bytes(range(256)) * 64})
    data = bytearray(image.read_bytes())
    at = data.rindex(b"needleneedle")
    image.write_bytes(data[:at] + b"X" + data[at + 1 :])
    report = lint(image)
    assert codes(report) == {"damaged": []}
    assert report.merges[0].fates[0].outcome == "merges"
    at = 40 * 512 + 1024  # the superblock of the file system in the first partition
    image.write_bytes(data[: at + 100] + b"X" + data[at + 101 :])
    report = lint(image)
    assert set(codes(report)) <= {"damaged", "unreadable"}
    assert report.merges[0].refused == (str(image),)


def test_damage_under_a_signature_that_nobody_vouched_for(
    make: Maker, signing_pair: SigningPair
) -> None:
    pair = load_pair(str(signing_pair.key), str(signing_pair.certificate))
    image = make.image("a", {"usr/bin/x": b"needle" * 2000}, signing=pair)
    data = bytearray(image.read_bytes())
    data[data.rindex(b"needleneedle")] ^= 1
    image.write_bytes(data)
    report = lint(image, options=LintOptions(image_policy=STRICT, systemd_version=257))
    assert codes(report) == {"damaged": []}
    assert report.merges[0].fates[0].outcome == "if-trusted"


# --- Sidecars -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "wrong"),
    [
        ("a.sysext.raw.roothash", True),
        ("a.roothash", True),
        ("a.sysext.raw.verity", True),
        ("a.verity", True),
        ("a.sysext.raw.roothash.p7s", True),
        ("a.sysext.roothash", False),
        ("a.sysext.verity", False),
        ("b.roothash", False),
    ],
)
def test_sidecars_under_wrong_names(make: Maker, beside: str, wrong: bool) -> None:
    image = make.bare("a", {"usr/bin/x": ""})
    (make.folder / beside).write_text("00" * 32)
    assert codes(lint(image)) == ({"sidecar-name": []} if wrong else {})
