"""``ext lint``: firmware the kernel will not load."""

from __future__ import annotations

import lzma
from typing import TYPE_CHECKING, Final

import pytest

from lint_kit import (
    FIRMWARE,
    KERNEL,
    MODULES,
    RELOADED,
    Maker,
    codes,
    link,
    lint,
    module,
    running,
    xz,
    zstd,
)
from sysgraft.image.lint.lint import LintOptions

if TYPE_CHECKING:
    from pathlib import Path


# --- Firmware -------------------------------------------------------------------------------------

QUIET: Final = running("udevadm trigger")
FW: Final = "usr/lib/firmware"


def quiet(make: Maker) -> Path:
    """An extension whose unit probes devices again."""
    return make.image("zz", QUIET, release=RELOADED)


@pytest.mark.parametrize(
    ("files", "shadowed"),
    [
        # The kernel's order: plain, .zst, .xz; each in updates/RELEASE, updates, RELEASE, all.
        (["x.bin", "x.bin.zst"], ["x.bin.zst"]),
        (["x.bin", "x.bin.xz"], ["x.bin.xz"]),
        (["x.bin.zst", "x.bin.xz"], ["x.bin.xz"]),
        (["x.bin", "updates/x.bin.zst"], ["updates/x.bin.zst"]),
        (["x.bin", "updates/x.bin"], ["x.bin"]),
        (["x.bin.zst", "updates/x.bin.xz"], ["updates/x.bin.xz"]),
        ([f"{KERNEL}/x.bin", "updates/x.bin"], [f"{KERNEL}/x.bin"]),
        ([f"updates/{KERNEL}/x.bin", "updates/x.bin"], ["updates/x.bin"]),
        ([f"{KERNEL}/x.bin", "x.bin"], ["x.bin"]),
        (["x.bin", "y.bin.zst", "updates/z.bin"], []),
        (["sub/x.bin", "x.bin.zst"], []),
    ],
)
def test_firmware_that_is_found_too_late(
    make: Maker, files: list[str], shadowed: list[str]
) -> None:
    content = {".zst": zstd(FIRMWARE), ".xz": xz(FIRMWARE)}
    tree = {f"{FW}/{name}": content.get(name[name.rfind(".") :], FIRMWARE) for name in files}
    depmod = running("udevadm trigger", "depmod")
    known = {f"{MODULES}/kernel/a.ko": module("a")}
    image = make.image("a", {**tree, **known, **depmod}, release=RELOADED)
    found = [f"/{FW}/{name}" for name in shadowed]
    assert codes(lint(image)) == ({"firmware-shadowed": found} if shadowed else {})


def test_firmware_of_one_kernel_of_two_is_no_shadow(make: Maker) -> None:
    modules = {
        f"usr/lib/modules/{name}/kernel/a.ko": module("a", magic=f"{name} SMP ") for name in "12"
    }
    image = make.image(
        "a",
        {
            f"{FW}/1/x.bin": FIRMWARE,
            f"{FW}/x.bin": FIRMWARE,
            **modules,
            **running("depmod", "udevadm trigger"),
        },
        release=RELOADED,
    )
    assert codes(lint(image)) == {}


def test_firmware_shadowed_by_another_extension_and_by_the_base(make: Maker) -> None:
    one = make.image("a", {f"{FW}/x.bin.zst": zstd(FIRMWARE), f"{FW}/y.bin.xz": xz(FIRMWARE)})
    two = make.image("b", {f"{FW}/x.bin": FIRMWARE})
    base = make.folder_of("base", {f"{FW}/y.bin.zst": zstd(FIRMWARE), "usr/bin/true": ""})
    report = lint(one, two, quiet(make), options=LintOptions(host_root=base))
    assert codes(report) == {"firmware-shadowed": [f"/{FW}/x.bin.zst", f"/{FW}/y.bin.xz"]}
    assert {each.problem for each in report.findings} == {
        f"the plain file is found before compressed ones: that of {two} is loaded",
        ".zst is found before .xz: the base's is loaded",
    }


def test_firmware_the_kernel_cannot_decompress(make: Maker) -> None:
    files = {
        "a.bin.zst": zstd(FIRMWARE, with_size=False),
        "b.bin.xz": xz(FIRMWARE, lzma.CHECK_CRC64),
        "c.bin.zst": FIRMWARE,
        "d.bin.xz": b"",
        "e.bin.xz": xz(FIRMWARE, lzma.CHECK_NONE),
        "f.bin.xz": xz(FIRMWARE, lzma.CHECK_SHA256),
        "g.bin.zst": zstd(b"x"),
    }
    image = make.image("a", {f"{FW}/{name}": data for name, data in files.items()})
    report = lint(image, quiet(make))
    assert codes(report) == {
        "firmware-not-loadable": [f"/{FW}/{name}" for name in sorted(files) if name[0] in "abcdf"]
    }


def test_firmware_links_to_nothing(make: Maker) -> None:
    image = make.image(
        "a",
        {
            f"{FW}/good.bin": link("sub/real.bin"),
            f"{FW}/sub/real.bin": FIRMWARE,
            f"{FW}/bad.bin": link("none.bin"),
            f"{FW}/bad.bin.zst": zstd(FIRMWARE),
            f"{FW}/linked": link("sub"),
        },
    )
    assert codes(lint(image, quiet(make))) == {"firmware-dangling-link": [f"/{FW}/bad.bin"]}


def test_devices_that_asked_too_early(make: Maker) -> None:
    image = make.image("a", {f"{FW}/x.bin": FIRMWARE})
    report = lint(image)
    assert codes(report) == {"late-devices": []}
    assert report.ok
