"""``ext lint`` of whole sets: nothing wrong, order, places, what the report says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lint_kit import (
    FIRMWARE,
    FOLDER,
    INSTALLED,
    RELOADED,
    UNITS,
    UPHOLDS,
    Maker,
    codes,
    file,
    link,
    lint,
    running,
    unchecked,
    xz,
    zstd,
)
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.finding import RULES, Level
from sysgraft.image.lint.lint import LintOptions
from sysgraft.sign.pair import load_pair
from sysgraft.sign.verify import files as trust_files

if TYPE_CHECKING:
    from conftest import SigningPair


# --- Nothing wrong --------------------------------------------------------------------------------


def test_a_clean_set_is_silent_and_says_what_was_not_checked(make: Maker) -> None:
    again = ("udevadm control --reload", "udevadm trigger", "systemd-hwdb update")
    one = make.image(
        "10-firmware",
        {
            "usr/lib/firmware/demo/a.bin": FIRMWARE,
            "usr/lib/firmware/demo/b.bin.zst": zstd(FIRMWARE),
            "usr/lib/firmware/demo/c.bin.xz": xz(FIRMWARE),
            "usr/lib/firmware/demo/link.bin": link("a.bin"),
            "usr/lib/udev/rules.d/60-demo.rules": "# none\n",
            "usr/lib/udev/hwdb.d/60-demo.hwdb": "# none\n",
            f"{UNITS}/multi-user.target.d/10-again.conf": "[Unit]\nUpholds=again.service\n",
            **running(*again),
        },
        release=RELOADED,
    )
    two = make.image(
        "20-tools",
        {
            "usr/bin/demo": file(mode=0o755),
            "opt/demo/data": b"",
            f"{UNITS}/demo.service": INSTALLED,
            f"{UNITS}/multi-user.target.d/10-demo.conf": UPHOLDS,
        },
        release=RELOADED,
    )
    site = make.image("site", {"etc/demo.conf": b""}, kind=Kind.CONFEXT)
    report = lint(two, one, site)
    assert report.findings == ()
    assert report.ok
    assert unchecked(report) == ["no --os-release", "no --host-root"]
    assert [each.merged for each in report.merges] == [(str(one), str(two)), (str(site),)]


def test_nothing_is_left_unchecked_of_a_target_that_is_known(
    make: Maker, signing_pair: SigningPair
) -> None:
    pair = load_pair(str(signing_pair.key), str(signing_pair.certificate))
    image = make.image("tool", {"usr/bin/demo": file(mode=0o755)}, signing=pair)
    options = LintOptions(
        image_policy="root=signed+absent:usr=signed+absent",
        trust=trust_files.certificate(str(signing_pair.certificate)),
        os_release={"ID": "debian", "VERSION_ID": "13"},
        architecture="x86-64",
        host_root=make.folder_of("base", {"usr/bin/true": b""}),
    )
    report = lint(image, options=options)
    assert (report.findings, report.not_checked) == ((), ())
    assert report.merges[0].fates[0].protection == "signed"


# --- Order ----------------------------------------------------------------------------------------


def test_several_versions(make: Maker) -> None:
    names = (
        "fw_9",
        "fw_10",
        "tool-1.2",
        "tool-1.10",
        "intel_wifi",
        "intel_bt",
        "layer-1",
        "layer-2",
    )
    report = lint(*(make.image(name, {f"usr/share/{name}": ""}) for name in names))
    found = [each for each in report.findings if each.code == "several-versions"]
    assert [[image.rpartition("/")[2] for image in each.images] for each in found] == [
        ["fw_9.sysext.raw", "fw_10.sysext.raw"],
        ["tool-1.2.sysext.raw", "tool-1.10.sysext.raw"],
    ]
    assert "fw_10.sysext.raw lies over" in found[0].problem
    assert set(codes(report)) == {"several-versions", "orders-differ"}


def test_orders_that_are_open_or_differ(make: Maker) -> None:
    report = lint(make.image("fw+1", {"usr/a": ""}), make.image("fw_1", {"usr/b": ""}))
    assert set(codes(report)) == {"several-versions", "undecided-order"}
    report = lint(make.image("a2", {"usr/c": ""}), make.image("a10", {"usr/d": ""}))
    assert set(codes(report)) == {"orders-differ"}
    assert report.ok


# --- Places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hierarchies", "outside"),
    [
        ("default", ["/etc/a", "/srv/x", "/top"]),
        ("kairos-4.2", ["/etc/a", "/opt/o", "/srv/x", "/top", "/usr/games/g", "/usr/x"]),
        (
            "kairos",
            ["/etc/a", "/opt/o", "/srv/x", "/top", "/usr/games/g", "/usr/local/bin/l", "/usr/x"],
        ),
        (
            "/srv:/usr/bin",
            ["/etc/a", "/opt/o", "/top", "/usr/games/g", "/usr/local/bin/l", "/usr/x"],
        ),
    ],
)
def test_files_outside_of_what_is_merged(make: Maker, hierarchies: str, outside: list[str]) -> None:
    files = (
        "etc/a",
        "opt/o",
        "srv/x",
        "top",
        "usr/bin/b",
        "usr/games/g",
        "usr/local/bin/l",
        "usr/x",
    )
    image = make.image("a", dict.fromkeys(files, ""))
    report = lint(image, options=LintOptions(hierarchies=hierarchies))
    assert codes(report) == {"outside-hierarchies": outside}


def test_usr_in_a_configuration_extension(make: Maker) -> None:
    image = make.image("a", {"usr/bin/x": "", "etc/x": ""}, kind=Kind.CONFEXT)
    assert codes(lint(image)) == {"outside-hierarchies": ["/usr/bin/x"]}


@pytest.mark.parametrize("text", ["", "/usr:", "usr", "/usr/../etc", "/usr//bin", "kairos-9"])
def test_hierarchies_that_are_none(make: Maker, text: str) -> None:
    image = make.image("a", {"usr/bin/x": ""})
    with pytest.raises(UsageError, match="hierarchies"):
        lint(image, options=LintOptions(hierarchies=text))


def test_an_image_of_nothing(make: Maker) -> None:
    assert codes(lint(make.image("a", {"usr/bin": FOLDER}))) == {"empty": []}


# --- The rules as a whole -------------------------------------------------------------------------


def test_findings_are_sorted_by_how_bad_they_are(make: Maker) -> None:
    image = make.image(
        "a", {"usr/bin/su": file(mode=0o4777), "srv/x": "", "usr/lib/firmware/x.xz": b""}
    )
    levels = [each.level for each in lint(image).findings]
    assert levels == sorted(levels, key=list(Level).index)
    assert set(levels) == set(Level)


def test_all_advice_is_one_line() -> None:
    assert all("\n" not in rule.advice and not rule.advice.endswith(".") for rule in RULES.values())
