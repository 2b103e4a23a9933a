"""What power cuts leave of a FAT volume on which a set of extensions is exchanged, and why so.

The folder beside a UKI is exchanged with its neighbour (renameat2, RENAME_EXCHANGE). One boot does
that in several ways, each in a folder of its own, and in ways that other programs go; every disk
that a power cut could have left is looked at.

That a sequence is safe is a promise. That another one is not is what was seen with Linux 6.12 and
dosfstools 4.2: the reason for the first one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import Lab
from power_checks import Broken, esp_set, fsck_fat, fsck_repair, shared_clusters
from power_kit import MARK, recorded_disk
from sysgraft.base.blob import BytesBlob
from sysgraft.lab.esp import File, make_esp

if TYPE_CHECKING:
    from pathlib import Path

    from power_checks import ExtensionSet
    from power_states import Recording, State
    from sysgraft.lab.guests import Guests

pytestmark = [pytest.mark.boot, pytest.mark.oracle("fsck.fat")]

# 16 entries of a directory are a sector, and here a cluster. Each of these folders takes 3, and so
# do the names between them. "before": the new one's entry comes first; "elsewhere": it is in
# another folder; "back": there is room in front of both; "grow": there is none for the new one.
SCRIPT: Final = (
    MARK
    + r"""
fill() { cp /run/a_1.sysext.raw /run/a.pcrsig.json "$1"; }
safe() { sync -f "$1"; sync "$1"; }  # syncfs, and a flush by fsync
between() { for number in 1 2 3 4 5; do : > "$1/another-long-name-$number"; done; }
prepare() {
    mkdir "$1"
    case $1 in
    near | syncfs | fsync) mkdir "$D" "$N" ;;
    far) mkdir "$D"; between "$1"; mkdir "$N" ;;
    before) mkdir "$1/a-name-in-the-place"; between "$1"; mkdir "$D"; rmdir "$1/a-name-in-the-place"
        mkdir "$N" ;;
    elsewhere) mkdir "$D" elsewhere.new; N=elsewhere.new/new ; mkdir "$N" ;;
    back) between "$1"; mkdir "$D"; rm "$1"/another-* ;;
    grow) mkdir "$D"; : > "$1/A"
        for number in 1 2 3; do : > "$1/another-long-name-$number"; done ;;
    *) mkdir "$D" ;;
    esac
    cp old/* "$D"
}
exchange() {
    mark "$1-fill"; fill "$N"; safe "$1"
    mark "$1-swap"; mv --exchange -T "$N" "$D"
    case $1 in syncfs) sync -f "$1" ;; fsync) sync "$1" ;; *) safe "$1" ;; esac
    mark "$1-empty"; rm "$N"/*; safe "$1"
}

exec 2> "$SYSGRAFT_RESULTS/errors"
mkdir /run/esp
modprobe vfat
mount -t vfat /dev/disk/by-id/virtio-recorded-part1 /run/esp
head -c 30000 /dev/zero | tr '\0' N > /run/a_1.sysext.raw
head -c 1500 /dev/zero | tr '\0' n > /run/a.pcrsig.json
cd /run/esp
for way in near far before elsewhere syncfs fsync back files inplace grow; do
    D=$way/active.efi.extra.d N=$way/active.efi.extra.new
    prepare $way
    [ $way != grow ] || head -c 200000 /dev/zero > room
    settle
    case $way in
    back) mark back-fill; mkdir "$N"; fill "$N"; safe back
        mark back-swap; mv -T "$D" back/active.efi.extra.old; mv -T "$N" "$D"; safe back ;;
    files) mark files
        for file in a_1.sysext.raw a.pcrsig.json; do
            cp /run/$file "$D/.new"; sync "$D/.new"; mv "$D/.new" "$D/$file"
        done
        safe files ;;
    inplace) mark inplace; fill "$D"; safe inplace ;;
    grow) mark grow; mkdir "$N"; safe grow ;;
    *) exchange $way ;;
    esac
    settle
    mark $way-end
done
cd /
umount /run/esp
exit 0
"""
)
OLD: Final = {"a_1.sysext.raw": b"O" * 40000, "a.pcrsig.json": b"o" * 1400}
NEW: Final = {"a_1.sysext.raw": b"N" * 30000, "a.pcrsig.json": b"n" * 1500}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, guests: Guests) -> Recording:
    folder = tmp_path_factory.mktemp("power")
    for name, data in OLD.items():
        (folder / name).write_bytes(data)
    make_esp(str(folder / "disk"), [File(f"old/{name}", str(folder / name)) for name in OLD])
    disk = recorded_disk(folder / "disk", folder)
    report = Lab(folder).boot(SCRIPT, uki=guests.path("debian.efi"), qemu_arguments=disk.arguments)
    assert report.script is not None, report.serial
    assert report.script.files["errors"] == b""
    return disk.recording()


def outcome(found: ExtensionSet) -> str:
    """In a word: old, new, none, broken, or mixed."""
    if isinstance(found, Broken):
        return "broken"
    known = {"old": digests(OLD), "new": digests(NEW), "none": {}}
    return next((name for name, wanted in known.items() if found == wanted), "mixed")


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


class Seen:
    """What is seen in the states of a part.

    Attributes:
        sets: what the stub finds, and how often.
        repaired: likewise after ``fsck.fat -a``, before and after.
        shared: likewise, only where both names begin with one cluster.
        kinds: what ``fsck.fat`` complains about, and in how many states.
    """

    def __init__(self, recording: Recording, part: str, folder: Path) -> None:
        way = part.partition("-")[0]
        self.sets: Counter[str] = Counter()
        self.repaired: Counter[tuple[str, str]] = Counter()
        self.shared: Counter[tuple[str, str]] = Counter()
        self.kinds: Counter[str] = Counter()
        for state in recording.states(part):
            self._look(state, f"{way}/active.efi.extra.d", folder / "volume")

    def _look(self, state: State, place: str, path: Path) -> None:
        found = outcome(esp_set(state.volume, place))
        state.write_volume_to(path)
        self.kinds.update({each.kind for each in fsck_fat(path)})
        fsck_repair(path)
        then = outcome(esp_set(BytesBlob(path.read_bytes()), place))
        self.sets[found] += 1
        self.repaired[found, then] += 1
        if any(place in pair for pair in shared_clusters(state.volume, "")):
            self.shared[found, then] += 1

    def __repr__(self) -> str:
        return f"{dict(self.sets)} {dict(self.repaired)} {dict(self.shared)} {dict(self.kinds)}"


SAFE: Final = ("near", "far", "before", "elsewhere")


@pytest.mark.parametrize("way", SAFE)
def test_the_set_is_the_old_or_the_new_one(recording: Recording, tmp_path: Path, way: str) -> None:
    fill, swap, empty = (
        Seen(recording, f"{way}-{step}", tmp_path) for step in ("fill", "swap", "empty")
    )
    assert set(fill.sets) == {"old"}
    assert set(swap.sets) == {"old", "new"}
    assert set(empty.sets) == {"new"}
    # fsck.fat leaves it alone, too.
    assert set(fill.repaired) == {("old", "old")}
    assert set(empty.repaired) == {("new", "new")}
    # Of a folder that came from elsewhere it does not like "..".
    assert ("parent" in fill.kinds | swap.kinds | empty.kinds) == (way == "elsewhere")
    assert "other" not in fill.kinds | swap.kinds | empty.kinds
    assert not fill.shared
    assert not empty.shared


def test_entries_in_one_sector_change_together(recording: Recording, tmp_path: Path) -> None:
    assert not Seen(recording, "near-swap", tmp_path).shared


def test_of_two_names_for_one_folder_fsck_leaves_the_first(
    recording: Recording, tmp_path: Path
) -> None:
    far = Seen(recording, "far-swap", tmp_path)
    assert set(far.shared) == {("old", "old"), ("new", "new")}
    before = Seen(recording, "before-swap", tmp_path)
    assert set(before.shared) == {("old", "broken"), ("new", "broken")}


@pytest.mark.parametrize("way", ["syncfs", "fsync"])
def test_half_of_the_syncing_loses_sets(recording: Recording, tmp_path: Path, way: str) -> None:
    empty = Seen(recording, f"{way}-empty", tmp_path)
    assert {"broken", "none"} & set(empty.sets)


def test_two_renames_leave_a_moment_without(recording: Recording, tmp_path: Path) -> None:
    swap = Seen(recording, "back-swap", tmp_path)
    assert "none" in swap.sets


@pytest.mark.parametrize("way", ["files", "inplace"])
def test_file_by_file_breaks_sets(recording: Recording, tmp_path: Path, way: str) -> None:
    seen = Seen(recording, way, tmp_path)
    assert "mixed" in {after for _, after in seen.repaired}


def test_a_folder_that_grows_may_break(recording: Recording, tmp_path: Path) -> None:
    grow = Seen(recording, "grow", tmp_path)
    assert set(grow.sets) == {"old", "broken"}
    assert {after for _, after in grow.repaired} == {"old"}
