"""Which firmware Linux loads out of an extension, and which it cannot: as ``ext lint`` says.

The guest's ``test_firmware`` asks for each name as a driver would, and shows what it was given.
"""

from __future__ import annotations

import lzma
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import initrd
from lint_kit import Maker, codes, file, lint, xz, zstd

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from lint_kit import Content
    from sysgraft.lab.guests import Guests

pytestmark = pytest.mark.boot

FIRMWARE: Final = "usr/lib/firmware"
ASK: Final = """
cd /sys/devices/virtual/misc/test_firmware || modprobe test_firmware
cd /sys/devices/virtual/misc/test_firmware || exit 1
for name in $(cat /usr/share/demo/names); do
    printf %s "$name" > trigger_request && cat /dev/test_firmware > "$SYSGRAFT_RESULTS/$name"
done
exit 0
"""
# The places of one name in each case; RELEASE stands for the kernel's.
PLACES: Final = (
    ("{}", "{}.zst", "{}.xz"),
    ("{}.zst", "{}.xz"),
    ("{}", "updates/{}.zst"),
    ("{}", "updates/{}"),
    ("{}.zst", "updates/{}.xz"),
    ("RELEASE/{}", "updates/{}"),
    ("updates/RELEASE/{}", "updates/{}"),
    ("RELEASE/{}", "{}"),
    ("updates/RELEASE/{}.xz", "{}.zst"),
    ("{}.zst",),
    ("{}.xz",),
)
DATA: Final = b"firmware " * 500


def packed(path: str) -> bytes:
    """A file whose content, when it is decompressed, is its own path."""
    data = path.encode() * 100
    if path.endswith(".zst"):
        return zstd(data)
    return xz(data) if path.endswith(".xz") else data


def test_the_kernel_loads_what_is_not_shadowed(
    lab: Lab, uki: BuildUki, keys: Keys, guests: Guests, tmp_path: Path
) -> None:
    cases = {
        f"case{number}": [each.format(f"case{number}") for each in places]
        for number, places in enumerate(PLACES)
    }
    cases = {
        name: [each.replace("RELEASE", guests.kernel) for each in each_case]
        for name, each_case in cases.items()
    }
    bad = {
        "unsized.zst": zstd(DATA, with_size=False),
        "crc64.xz": xz(DATA, lzma.CHECK_CRC64),
        "sha256.xz": xz(DATA, lzma.CHECK_SHA256),
        "text.xz": DATA,
        "text.zst": DATA,
    }
    good = {"crc32.xz": xz(DATA), "none.xz": xz(DATA, lzma.CHECK_NONE), "sized.zst": zstd(DATA)}
    names = [*cases, *(name.partition(".")[0] for name in (*bad, *good))]
    files: dict[str, Content] = {
        f"{FIRMWARE}/{path}": packed(path) for case in cases.values() for path in case
    }
    files |= {f"{FIRMWARE}/{name}": data for name, data in (bad | good).items()}
    # Kernels are known by their folders.
    marker = f"usr/lib/modules/{guests.kernel}/extra/README"
    signing = keys.pair("extension")
    more = {"usr/share/demo/names": file("\n".join(names)), marker: file("text")}
    image = Maker(tmp_path).image("firmware", {**files, **more}, signing=signing)
    found = codes(lint(image))
    certificate = (keys.folder / "extension.pem").read_bytes()
    trust = initrd(tmp_path, {"usr/lib/verity.d/extension.crt": certificate})
    report = lab.boot(
        ASK, uki=uki(tmp_path / "full.efi", "debian", initrds=(trust,)), extras=(str(image),)
    )
    assert report.succeeded, report.serial
    assert report.script is not None
    loaded = report.script.files
    chosen = {
        f"/{FIRMWARE}/{path}"
        for name, case in cases.items()
        for path in case
        if loaded.get(name) == path.encode() * 100
    }
    assert len(chosen) == len(cases)
    every = {f"/{FIRMWARE}/{path}" for case in cases.values() for path in case}
    # "text.xz" and "text.zst" are one name: the kernel tries .zst, fails, and goes no further.
    assert {*found.pop("firmware-shadowed")} == (every - chosen) | {f"/{FIRMWARE}/text.xz"}
    refused = {name for name in (bad | good) if name.partition(".")[0] not in loaded}
    assert {*found.pop("firmware-not-loadable")} == {f"/{FIRMWARE}/{name}" for name in refused}
    assert refused == {*bad}
    assert found == {"late-devices": []}
