"""Power cuts while a node changes what lies beside its boot images: each set is old or new.

One boot takes every verb that writes to the EFI system partition, and every disk that a power cut
could have left is looked at: with our reader, and with it again after ``fsck.fat -a``. Some are
started by firmware and systemd-boot, and hold in PCR 13 what was predicted of the old set or of the
new one; and in all of those the same command, given again, brings what it should.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import Lab, initrd
from command import sysgraft
from extension_cases import extension
from guest_kit import agent_initrd
from power_checks import Broken, esp_set, fsck_fat, fsck_repair, shared_clusters
from power_kit import DEVICE, MARK, recorded_disk
from sysgraft.base.blob import BytesBlob
from sysgraft.lab.esp import File, make_esp
from sysgraft.lab.options import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from boot.conftest import BuildUki, Keys
    from power_checks import ExtensionSet
    from power_states import Recording, State
    from sysgraft.lab.guests import Guests

pytestmark = [pytest.mark.boot, pytest.mark.oracle("fsck.fat")]

ENTRIES: Final = ("active", "passive")
FOLDERS: Final = {name: f"EFI/kairos/{name}.efi.extra.d" for name in ENTRIES}
PREPARE: Final = r"""
mkdir -p /efi /run/images /var/lib/kairos
modprobe vfat
mount -t vfat -o ro /dev/disk/by-id/virtio-disk0-part1 /run/images
node() { verb=$1; shift; sysgraft node "$verb" --esp /efi "$@" || echo "FAILED: $verb"; }
install() {
    for file in /run/images/*.sysext.raw; do
        node install "$file" "--policy-signature=${file%.sysext.raw}.pcrsig.json"
    done
}
"""
SCRIPT: Final = (
    MARK
    + PREPARE
    + rf"""
exec > "$SYSGRAFT_RESULTS/log" 2>&1
set -x
mount -t vfat -o ro {DEVICE}-part1 /efi
settle
install
mark enable; node enable --active --passive --placement esp fw_1; settle
mark upgrade; node upgrade fw_2; settle
mark again; node upgrade fw_3; settle
mark rollback; node rollback fw; settle
mark remove; node remove fw_2; settle
mark end
grep ' /efi ' /proc/mounts
umount /efi
exit 0
"""
)
PARTS: Final = ("enable", "upgrade", "again", "rollback", "remove")
# What both entries have before the first part, and after each.
SETS: Final = ((0, 0), (1, 1), (2, 1), (3, 2), (2, 2), (0, 0))
BOOTED: Final = 6


@dataclass(frozen=True)
class Scene:
    """What was recorded.

    Attributes:
        folder: with the files.
        recording: of the partition.
        files: of each version, digests by name.
    """

    folder: Path
    recording: Recording
    files: dict[int, dict[str, str]]

    def version(self, found: ExtensionSet) -> object:
        """Which version a set is, 0 for none; what is no version's set."""
        return next((each for each, files in self.files.items() if files == found), found)

    def sets(self, state: State) -> tuple[object, ...]:
        """The versions that both entries have."""
        return tuple(self.version(esp_set(state.volume, FOLDERS[each])) for each in ENTRIES)


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, guests: Guests, uki: BuildUki, keys: Keys
) -> Scene:
    folder = tmp_path_factory.mktemp("power")
    versions = make_versions(folder, keys)
    make_esp(str(folder / "images"), [File(path.name, str(path)) for path in versions])
    make_esp(str(folder / "disk"), list(boot_files(folder, guests)))
    disk = recorded_disk(folder / "disk", folder)
    report = Lab(folder).boot(
        SCRIPT,
        uki=str(node_image(folder, uki, keys)),
        disks=(Disk(str(folder / "images")),),
        qemu_arguments=disk.arguments,
    )
    assert report.script is not None, report.serial
    log = report.script.files["log"].decode()
    assert "FAILED" not in log, log
    # Writable only while it was written to.
    assert " vfat ro," in log, log
    files = {number: digests(folder, number) for number in (1, 2, 3)}
    return Scene(folder, disk.recording(), {0: {}, **files})


def make_versions(folder: Path, keys: Keys) -> list[Path]:
    """Three versions, each with a signed policy."""
    made = []
    for number in (1, 2, 3):
        path = extension(folder, f"fw_{number}", keys.pair("extension"))
        policy = folder / f"fw_{number}.pcrsig.json"
        entry = {"pcrs": [11, 13], "pkfp": "11" * 32, "pol": f"{number:064x}", "sig": "c2ln"}
        policy.write_text(json.dumps({"sha256": [entry]}))
        made += [path, policy]
    return made


def digests(folder: Path, number: int) -> dict[str, str]:
    names = (f"fw_{number}.sysext.raw", f"fw_{number}.pcrsig.json")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def boot_files(folder: Path, guests: Guests) -> Iterator[File]:
    """systemd-boot with two entries, both of them the small guest."""
    yield File("EFI/BOOT/BOOTX64.EFI", guests.path("systemd-bootx64.efi"))
    (folder / "loader.conf").write_text("default active.conf\ntimeout 0\n")
    yield File("loader/loader.conf", str(folder / "loader.conf"))
    for name in ENTRIES:
        (folder / f"{name}.conf").write_text(f"title {name}\nefi /EFI/kairos/{name}.efi\n")
        yield File(f"loader/entries/{name}.conf", str(folder / f"{name}.conf"))
        yield File(f"EFI/kairos/{name}.efi", guests.path("small.efi"))


def node_image(folder: Path, uki: BuildUki, keys: Keys) -> Path:
    path = folder / "node.efi"
    if path.exists():
        return path
    certificate = (keys.folder / "extension.pem").read_bytes()
    trust = initrd(folder, {"usr/lib/verity.d/extension.crt": certificate})
    uki(path, "debian", initrds=(agent_initrd(folder), trust))
    return path


@pytest.mark.parametrize("part", PARTS)
def test_each_set_is_the_old_or_the_new_one(scene: Scene, part: str, tmp_path: Path) -> None:
    before, after = dict(zip(PARTS, pairwise(SETS), strict=True))[part]
    allowed = {before, (before[0], after[1]), after}
    if part in ("enable", "remove"):
        allowed.add((after[0], before[1]))
    # Else the passive entries come first: no entry ever has what none had before.
    seen = set()
    for state in scene.recording.states(part):
        found = scene.sets(state)
        assert found in allowed, f"{state.label}: {found}"
        seen.add(found)
        state.write_volume_to(tmp_path / "volume")
        complaints = {each.kind for each in fsck_fat(tmp_path / "volume")}
        assert "other" not in complaints, state.label
        fsck_repair(tmp_path / "volume")
        mended = BytesBlob((tmp_path / "volume").read_bytes())
        again = tuple(scene.version(esp_set(mended, FOLDERS[each])) for each in ENTRIES)
        assert again in allowed, f"{state.label}: {again} once it was mended"
    assert {before, after} <= seen


@pytest.fixture(scope="module")
def chosen(scene: Scene) -> list[tuple[str, State]]:
    """Some states, of the parts that change what is there, and not only the quiet ones."""
    rng = random.Random("six")
    found = []
    for part in ("enable", "upgrade", "again"):
        states = list(scene.recording.states(part))
        before, after = dict(zip(PARTS, pairwise(SETS), strict=True))[part]
        for wanted in (before, after):
            middle = [each for each in states if scene.sets(each) == wanted]
            found.append((part, rng.choice(middle)))
    assert len(found) == BOOTED
    return found


def test_they_boot_with_what_was_predicted(
    lab: Lab, scene: Scene, chosen: list[tuple[str, State]], guests: Guests
) -> None:
    predicted = {number: pcr13(scene, number, guests) for number in (1, 2, 3)}
    predicted[0] = "00" * 32
    for number, (_, state) in enumerate(chosen):
        path = scene.folder / f"state-{number}"
        state.write_to(path)
        report = lab.boot(esp=str(path))
        assert report.ending == "powered-off", report.serial
        active = scene.sets(state)[0]
        assert isinstance(active, int)
        assert report.pcrs["sha256"][13].hex() == predicted[active], state.label


def pcr13(scene: Scene, number: int, guests: Guests) -> str:
    """The value that is predicted of a version's set."""
    extras = [f"--extra={scene.folder / name}" for name in digests(scene.folder, number)]
    uki = guests.path("small.efi")
    done = sysgraft("pcr", "predict", "--uki", uki, *extras, "--pcr=13", "--json")
    assert done.code == 0, done.err
    (found,) = {each["value"] for each in done.document["sets"][0]["values"]}
    return str(found)


REPEAT: Final = (
    PREPARE
    + r"""
exec > "$SYSGRAFT_RESULTS/log" 2>&1
set -x
install
number=0
for part in PARTS; do
    number=$((number + 1))
    mount -t vfat /dev/disk/by-id/virtio-disk$number-part1 /efi
    case $part in
    enable) node enable --active --passive --placement esp fw_1 ;;
    upgrade) node upgrade fw_2 ;;
    again) node upgrade fw_3 ;;
    esac
    umount /efi
done
exit 0
"""
)


def test_the_command_given_again_brings_what_it_should(
    lab: Lab, scene: Scene, chosen: list[tuple[str, State]], uki: BuildUki, keys: Keys
) -> None:
    disks = [Disk(str(scene.folder / "images"))]
    for number, (_, state) in enumerate(chosen):
        path = scene.folder / f"repeat-{number}"
        state.write_to(path)
        assert not shared_clusters(state.volume, "EFI/kairos"), state.label
        disks.append(Disk(str(path), writable=True))
    script = REPEAT.replace("PARTS", " ".join(part for part, _ in chosen))
    image = node_image(scene.folder, uki, keys)
    report = lab.boot(script, uki=str(image), disks=tuple(disks))
    assert report.script is not None, report.serial
    log = report.script.files["log"].decode()
    after = dict(zip(PARTS, SETS[1:], strict=True))
    for (part, state), disk in zip(chosen, disks[1:], strict=True):
        found = sets_of_disk(scene, disk)
        assert found == after[part], f"{state.label}\n{log}"


def sets_of_disk(scene: Scene, disk: Disk) -> tuple[object, ...]:
    from sysgraft.formats.esp import find_esp  # noqa: PLC0415
    from sysgraft.host.files import OpenFile  # noqa: PLC0415

    with OpenFile(disk.path) as blob:
        volume = find_esp(blob)
        found = [esp_set(volume, FOLDERS[each]) for each in ENTRIES]
        assert not any(isinstance(each, Broken) for each in found), found
        return tuple(map(scene.version, found))
