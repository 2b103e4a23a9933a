"""Power cuts: what a guest's disk can hold when its power fails at any moment.

A disk is recorded (`recorded_disk`) while a guest writes to it; `Recording.states` then gives the
disks that the power cuts could have left. A disk with a write cache keeps what it had finished
before the last flush, and of what came later any part: each sector is written whole or not at all.

    disk = recorded_disk(image, folder)
    lab.boot(MARK + script, uki=…, qemu_arguments=disk.arguments)
    recording = disk.recording()
    for state in recording.states("install"):
        assert esp_set(state.volume, folder) in (old, new), state.label

In the script ``mark install`` begins a part (`MARK`). States of a part include those in which the
end of the part before is not durable: who says that he is done must have flushed. ``settle`` makes
all durable first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from power_log import MARKS, SECTOR, SIGN, parse
from power_states import Recording, copy_sparse

if TYPE_CHECKING:
    from pathlib import Path

DEVICE: Final = "/dev/disk/by-id/virtio-recorded"
"""The recorded disk in the guest; its partition is ``…-part1``."""

MARK: Final = f"""
mark() {{
    printf '{SIGN.decode()}%s' "$1" |
        dd of={DEVICE} bs={SECTOR} seek=$(($(blockdev --getsz {DEVICE}) - {MARKS // SECTOR})) \\
            conv=sync,notrunc oflag=direct status=none
}}
settle() {{
    sync
    dd if=/dev/null of={DEVICE} conv=fsync,notrunc status=none
}}
"""
"""Shell functions: ``mark NAME`` begins a part, ``settle`` makes all that was written durable."""


@dataclass(frozen=True, slots=True)
class RecordedDisk:
    """A disk that is recorded.

    Attributes:
        initial: the image as it is before; it stays so.
        written: what the guest writes to.
        log: what QEMU notes.
    """

    initial: Path
    written: Path
    log: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """QEMU's, for `LabOptions.qemu_arguments`."""
        options = {
            "driver": "blklogwrites",
            "node-name": "recorded",
            "file.driver": "file",
            "file.filename": str(self.written.absolute()),
            "log.driver": "file",
            "log.filename": str(self.log.absolute()),
            "log.cache.no-flush": "on",
            "log-sector-size": str(SECTOR),
            # So that nothing is missing when QEMU is killed.
            "log-super-update-interval": "1",
        }
        node = ",".join(f"{name}={value.replace(',', ',,')}" for name, value in options.items())
        device = "virtio-blk-pci,drive=recorded,serial=recorded,write-cache=on"
        return ("-blockdev", node, "-device", device)

    def recording(self) -> Recording:
        """What was recorded, once QEMU has ended."""
        return Recording(self.initial, parse(self.log.read_bytes(), self.initial.stat().st_size))


def recorded_disk(image: Path, folder: Path) -> RecordedDisk:
    """Have a disk recorded; `folder` gets a copy of it and the log."""
    written, log = folder / "recorded.raw", folder / "recorded.log"
    with open(image, "rb") as source, open(written, "wb") as target:
        copy_sparse(source.fileno(), target.fileno(), 0, image.stat().st_size)
    log.touch()
    return RecordedDisk(image, written, log)
