"""The units that re-probe devices after a merge: what is in them, and what systemd says of them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from command import sysgraft
from conftest import DEBIAN_13
from sysgraft.errors import UsageError
from sysgraft.firmware.reprobe.units.tree import NAME, SCRIPT, UnitOptions, files

if TYPE_CHECKING:
    from pathlib import Path

UNITS: Final = "usr/lib/systemd/system"
FIRMWARE: Final = "rtw88/rtw8821a_fw.bin"
DEVICE: Final = "usb:1-4:1.0"
VARIANTS: Final = {
    "python": UnitOptions(),
    "waiting": UnitOptions(firmware=(FIRMWARE,)),
    "script": UnitOptions(script=True, devices=(DEVICE,)),
    "extension": UnitOptions(
        script=True, extension=True, firmware=(FIRMWARE,), modaliases=('usb:v2357p011E*"%$',)
    ),
}


def texts(options: UnitOptions) -> dict[str, str]:
    return {each.path: each.data.decode() for each in files(options)}


def service(options: UnitOptions) -> str:
    return texts(options)[f"{UNITS}/{NAME}.service"]


def test_the_image_of_a_system_gets_a_service_to_enable() -> None:
    (path,) = texts(UnitOptions())
    text = service(UnitOptions())
    assert path == f"{UNITS}/{NAME}.service"
    assert "After=systemd-sysext.service" in text
    assert "firmware reprobe --after-merge --all-failed --deadline 30\n" in text
    assert text.endswith("[Install]\nWantedBy=multi-user.target\n")
    assert "SuccessExitStatus" not in text  # a device without driver fails the unit


def test_firmware_that_may_come_later_is_waited_for() -> None:
    options = UnitOptions(firmware=(FIRMWARE, "100%.bin"))
    path = texts(options)[f"{UNITS}/{NAME}.path"]
    for suffix in ("", ".zst", ".xz"):
        assert f"\nPathExists=/usr/lib/firmware/{FIRMWARE}{suffix}\n" in path
        assert f"\nPathExists=/usr/lib/firmware/updates/100%%.bin{suffix}\n" in path
    assert path.endswith("WantedBy=multi-user.target\n")
    assert "[Install]" not in service(options)
    assert f'--file {FIRMWARE} --file "100%%.bin"' in service(options)


@pytest.mark.parametrize(("firmware", "unit"), [((), "service"), ((FIRMWARE,), "path")])
def test_an_extension_has_its_unit_upheld(firmware: tuple[str, ...], unit: str) -> None:
    options = UnitOptions(extension=True, firmware=firmware)
    found = texts(options)
    drop_in = found[f"{UNITS}/multi-user.target.d/50-{NAME}.conf"]
    assert drop_in == f"[Unit]\nUpholds={NAME}.{unit}\n"
    # Whoever upholds a failed unit starts it again and again.
    assert "SuccessExitStatus=1" in service(options)
    assert not any("[Install]" in text or ".wants" in path for path, text in found.items())


def test_the_script_is_executable_and_needs_to_know_its_devices(tmp_path: Path) -> None:
    words = ("firmware", "units", "--output", tmp_path / "t", "--script", "--device", DEVICE)
    written = sysgraft(*words, "--json").document["files"]
    assert [os.path.relpath(path, tmp_path / "t") for path in written] == [
        SCRIPT,
        f"{UNITS}/{NAME}.service",
    ]
    modes = [stat.S_IMODE(os.stat(path).st_mode) for path in written]
    assert modes == [0o755, 0o644]
    assert sysgraft(*words).code == 2
    assert sysgraft(*words, "--force").code == 0
    nothing = sysgraft("firmware", "units", "--output", tmp_path / "u", "--script")
    assert (nothing.code, "--device or --modalias" in nothing.err) == (2, True)
    assert not (tmp_path / "u").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        UnitOptions(firmware=("/etc/passwd",)),
        UnitOptions(firmware=("../x",)),
        UnitOptions(firmware=("a//b",)),
        UnitOptions(firmware=("a/./b",)),
        UnitOptions(firmware=("a b\nExecStart=x",)),
        UnitOptions(firmware=("",)),
        UnitOptions(devices=("usb:1-4\n",)),
        UnitOptions(devices=("usb",)),
        UnitOptions(devices=("usb: x",)),
        UnitOptions(devices=("usb:x ",)),
        UnitOptions(modaliases=("usb:a\nb",)),
        UnitOptions(modaliases=("*",)),
        UnitOptions(deadline=0),
        UnitOptions(deadline=10**6),
    ],
)
def test_names_that_would_break_a_unit(wrong: UnitOptions) -> None:
    with pytest.raises(UsageError):
        files(wrong)


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    """A folder that the programs of Debian 13 see, as they run with that as their root."""
    del request
    return DEBIAN_13 / "tmp" / f"sysgraft-units-{os.getpid()}"


@pytest.mark.root
@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("variant", VARIANTS)
def test_systemd_understands_the_units(variant: str, folder: Path) -> None:
    """systemd-analyze verify finds nothing, and the exposure is small (security, 0 to 10)."""
    shutil.rmtree(folder, ignore_errors=True)
    units = []
    try:
        for each in files(VARIANTS[variant]):
            path = folder / os.path.basename(each.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            # The programs of the node are not in that folder.
            text = re.sub(
                r"^ExecStart=\S+", "ExecStart=/usr/bin/true", each.data.decode(), flags=re.MULTILINE
            )
            path.write_text(text)
            units += [path.name] if path.suffix in (".service", ".path") else []
        inside = f"/tmp/{folder.name}"
        verified = inside_debian("verify", "--man=no", *(f"{inside}/{unit}" for unit in units))
        assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
        score = inside_debian(
            "security", "--offline=true", "--no-pager", f"{inside}/{NAME}.service"
        ).stdout
    finally:
        shutil.rmtree(folder)
    found = re.search(r"exposure level .*: ([0-9.]+) ", score)
    assert found is not None
    assert float(found[1]) <= (2.0 if VARIANTS[variant].script else 3.2)


def inside_debian(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ["chroot", str(DEBIAN_13), "systemd-analyze", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False)
