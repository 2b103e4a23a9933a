"""Power cuts while kernels come and go: what boots is the old one or the new, never half of one.

One boot installs a kernel, replaces it by another build of the same version, and removes it; every
disk that a power cut could have left is looked at, also once ``fsck.fat -a`` was at it. Some are
started.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import CMDLINE, Lab
from guest_kit import agent_initrd
from power_checks import Broken, esp_set, fsck_fat, fsck_repair
from power_kit import DEVICE, MARK, recorded_disk
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import SysgraftError
from sysgraft.formats import fat
from sysgraft.lab.esp import File, make_esp
from sysgraft.lab.options import Disk

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki
    from power_states import Recording, State
    from sysgraft.base.blob import Blob
    from sysgraft.lab.guests import Guests

pytestmark = [pytest.mark.boot, pytest.mark.oracle("fsck.fat")]

FOLDER: Final = "EFI/Linux"
BUILDS: Final = ("old", "new", "again")
SCRIPT: Final = (
    MARK
    + rf"""
exec > "$SYSGRAFT_RESULTS/log" 2>&1
mkdir -p /efi /run/kernels
modprobe vfat
mount -t vfat -o ro /dev/disk/by-id/virtio-disk0-part1 /run/kernels
set -x
mount -t vfat {DEVICE}-part1 /efi
rm /efi/FILLER
settle
kernel() {{ verb=$1; shift
    sysgraft kernel "$verb" --esp /efi --entry-token lab "$@" || echo "FAILED: $verb"; }}
beside="--extra /run/kernels/one.cred"
mark install; kernel install /run/kernels/new.efi --kernel-version 2 $beside; settle
mark replace; kernel install /run/kernels/again.efi --kernel-version 2 $beside; settle
mark remove; kernel remove 2; settle
mark end
umount /efi
exit 0
"""
)
PARTS: Final = ("install", "replace", "remove")
ONE: Final = {"lab-1.efi": "old"}
# What is on the partition before the first part, and after each.
FOUND: Final = (
    ONE,
    {**ONE, "lab-2.efi": "new"},
    {**ONE, "lab-2.efi": "again"},
    ONE,
)
STEPS: Final = dict(zip(PARTS, pairwise(FOUND), strict=True))


@dataclass(frozen=True)
class Scene:
    """What was recorded.

    Attributes:
        folder: with the files.
        recording: of the partition.
        builds: name of each UKI by its digest.
    """

    folder: Path
    recording: Recording
    builds: dict[str, str]

    def kernels(self, volume: Blob) -> dict[str, str] | Broken:
        """Which build each UKI is that a boot loader would find."""
        try:
            opened = fat.open_volume(volume)
            found = {}
            for each in opened.list(FOLDER):
                if each.is_dir or not each.name.lower().endswith(".efi"):
                    continue
                blob = opened.content(each)
                beside = esp_set(volume, f"{FOLDER}/{each.name}.extra.d")
                if isinstance(beside, Broken):
                    return beside
                digest = hashlib.sha256(blob.read_at(0, blob.size)).hexdigest()
                found[each.name] = self.builds.get(digest, "neither")
        except SysgraftError as error:
            return Broken(str(error))
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, guests: Guests, uki: BuildUki) -> Scene:
    folder = tmp_path_factory.mktemp("kernels")
    builds = {}
    for name in BUILDS:
        uki(folder / f"{name}.efi", cmdline=f"{CMDLINE} lab.build={name}", uname="")
        builds[hashlib.sha256((folder / f"{name}.efi").read_bytes()).hexdigest()] = name
    (folder / "one.cred").write_bytes(b"credential" * 500)
    come = [File(f"{name}.efi", str(folder / f"{name}.efi")) for name in BUILDS[1:]]
    come.append(File("one.cred", str(folder / "one.cred")))
    make_esp(str(folder / "come"), come)
    (folder / "loader.conf").write_text("timeout 0\n")
    with open(folder / "filler", "wb") as filler:
        filler.truncate(32 << 20)
    there = [
        File("EFI/BOOT/BOOTX64.EFI", guests.path("systemd-bootx64.efi")),
        File("loader/loader.conf", str(folder / "loader.conf")),
        File(f"{FOLDER}/lab-1.efi", str(folder / "old.efi")),
        File("FILLER", str(folder / "filler")),
    ]
    make_esp(str(folder / "disk"), there)
    image = folder / "node.efi"
    uki(image, "debian", initrds=(agent_initrd(folder),))
    disk = recorded_disk(folder / "disk", folder)
    report = Lab(folder).boot(
        SCRIPT, uki=str(image), disks=(Disk(str(folder / "come")),), qemu_arguments=disk.arguments
    )
    assert report.script is not None, report.serial
    log = report.script.files["log"].decode()
    assert "FAILED" not in log, log
    return Scene(folder, disk.recording(), builds)


@pytest.mark.parametrize("part", PARTS)
def test_each_kernel_is_whole_or_not_there(scene: Scene, part: str, tmp_path: Path) -> None:
    before, after = STEPS[part]
    seen = []
    for state in scene.recording.states(part, sample=16):
        found = scene.kernels(state.volume)
        assert found in (before, after), f"{state.label}: {found}"
        seen.append(found)
        state.write_volume_to(tmp_path / "volume")
        complaints = {each.kind: each.text for each in fsck_fat(tmp_path / "volume")}
        assert "other" not in complaints, f"{state.label}: {complaints['other']}"
        fsck_repair(tmp_path / "volume")
        mended = scene.kernels(BytesBlob((tmp_path / "volume").read_bytes()))
        assert mended in (before, after), f"{state.label}: {mended} once it was mended"
    assert before in seen
    assert after in seen


def test_the_machine_boots(lab: Lab, scene: Scene) -> None:
    rng = random.Random("boots")
    for part in PARTS:
        states = list(scene.recording.states(part, sample=16))
        for wanted in STEPS[part]:
            state = rng.choice([each for each in states if scene.kernels(each.volume) == wanted])
            assert booted(lab, scene, state, f"{part}-{wanted == STEPS[part][0]}") == wanted.get(
                "lab-2.efi", "old"
            ), state.label


def booted(lab: Lab, scene: Scene, state: State, name: str) -> str:
    """The build that a machine with this disk starts."""
    path = scene.folder / name
    state.write_to(path)
    report = lab.boot(esp=str(path))
    path.unlink()
    assert report.ending == "powered-off", report.serial
    assert report.guest is not None
    words = dict(word.partition("=")[::2] for word in report.guest.cmdline.split())
    return words["lab.build"]
