"""The disks the machine runs from: below the root, ``/usr``, the boot partitions, the extensions.

From a mount to its device, from a device to what it is made of (partition, device mapper, md, loop:
``slaves``, ``loop/backing_file``), and over layers of overlays, however deep. A file system in
memory has no disk, one on the network needs the network. Where nobody can tell which disk something
is on, every disk is guarded.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sysgraft.firmware.reprobe.guards import Anchor
from sysgraft.firmware.reprobe.reading import exists, read_lines
from sysgraft.host.mounts import Mount, mount_of, parse_mounts
from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.firmware.reprobe.guards import GuardName
    from sysgraft.firmware.reprobe.snapshot import Snapshot
    from sysgraft.host.sysfs import Sysfs

SYSTEM: Final = ("/", "/usr", "/sysroot", "/boot", "/efi", "/boot/efi")
"""Mount points of the system and its boot partitions (systemd-gpt-auto-generator(8))."""
STORES: Final = (
    *("var/lib/extensions", "etc/extensions", "run/extensions"),
    *("var/lib/confexts", "run/confexts", "usr/lib/confexts", "usr/local/lib/confexts"),
    *(".extra", "var/lib/kairos", "var/lib/sysgraft"),
)
"""Where extensions are kept (systemd-sysext(8)), or by Kairos and sysgraft."""

_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "glusterfs", "fuse.sshfs"}
)
_MACHINE: Final = {"9p": "9pnet_virtio", "virtiofs": "virtiofs"}
"""File systems of the machine around a virtual one, and the drivers that get there."""
_DISK_KINDS: Final = frozenset({"btrfs", "bcachefs", "zfs", "overlay"})
"""Have a device number of their own, and are on a disk nevertheless."""
_MEMORY: Final = frozenset({"rootfs", "ramfs", "tmpfs", "autofs"})
"""File systems that the system may be on without a disk."""
_REMOTE_DISKS: Final = ("/session", "/virtual/block/nbd", "/virtual/block/rbd", "/nvme-fabrics/")
"""In the path of a disk that is elsewhere: iSCSI, nbd, Ceph, NVMe over fabrics."""
# systemd's boot loader and stub say it (https://systemd.io/BOOT_LOADER_INTERFACE).
_LOADER: Final = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_BOOT_VARIABLES: Final = ("LoaderDevicePartUUID", "StubDevicePartUUID")
_OTHER_LINKS: Final = ("bdi", "device", "driver", "subsystem")
_NOT_UUID: Final = re.compile(r"[^0-9A-Fa-f-]")


def disk_anchors(files: Sysfs, snapshot: Snapshot) -> tuple[Anchor, ...]:
    """The disks that something is mounted from, or swapped to."""
    return tuple(dict.fromkeys(_Disks(files, snapshot).anchors()))


class _Disks:
    """Finds them.

    Args:
        files: of the machine.
        snapshot: its devices.
    """

    def __init__(self, files: Sysfs, snapshot: Snapshot) -> None:
        self._files = files
        self._snapshot = snapshot
        self._mounts = parse_mounts(read_lines(files, "proc/self/mountinfo"))
        self._done: set[tuple[GuardName, Mount | str]] = set()
        self._trail: list[Mount | str] = []

    def anchors(self) -> Iterator[Anchor]:
        """All anchors."""
        if not any(mount.place == "/" for mount in self._mounts):
            yield from self._unknown("root-disk", "/")
        for mount in self._mounts:
            guard: GuardName = "root-disk" if mount.place in SYSTEM else "mounted-disk"
            yield from self._of_mount(mount, guard, mount.place)
        for store in STORES:
            yield from self._of_store(store)
        yield from self._of_boot_partitions()
        for line in read_lines(self._files, "proc/swaps")[1:]:
            name = line.partition(" ")[0].partition("\t")[0]
            yield from self._of_source(name, "mounted-disk", f"swap {name}")
        for name, path in self._snapshot.things.items():
            if exists(self._files, f"{path}/loop/backing_file"):
                yield from self._of_block(path, "mounted-disk", name)

    def _of_boot_partitions(self) -> Iterator[Anchor]:
        """What the boot loader and the stub were started from, mounted or not."""
        for variable in _BOOT_VARIABLES:
            text = read_text(self._files, f"sys/firmware/efi/efivars/{variable}-{_LOADER}")
            # UTF-16 behind four bytes of attributes.
            uuid = _NOT_UUID.sub("", text).lower()
            real = self._files.resolve(f"dev/disk/by-partuuid/{uuid}") if uuid else None
            if real is not None:
                yield from self._of_source(f"/{real}", "root-disk", "the boot partition")

    def _of_store(self, store: str) -> Iterator[Anchor]:
        """The folder with the extensions, and what links in it lead to."""
        for path in (store, *(f"{store}/{name}" for name in self._files.names(store))):
            real = self._files.resolve(path)
            if real is not None:
                yield from self._of_path(f"/{real}", "root-disk", f"/{path}")

    def _of_path(self, path: str, guard: GuardName, what: str) -> Iterator[Anchor]:
        mount = mount_of(path, self._mounts)
        if mount is not None:
            yield from self._of_mount(mount, guard, what)

    def _of_mount(self, mount: Mount, guard: GuardName, what: str) -> Iterator[Anchor]:
        with self._once(mount, guard) as is_new:
            if is_new:
                yield from self._layers(mount, guard, what)

    @contextmanager
    def _once(self, item: Mount | str, guard: GuardName) -> Iterator[bool]:
        """Whether something is looked at for the first time; it is on the trail meanwhile."""
        is_new = (guard, item) not in self._done
        self._done.add((guard, item))
        self._trail.append(item)
        try:
            yield is_new
        finally:
            self._trail.pop()

    def _layers(self, mount: Mount, guard: GuardName, what: str) -> Iterator[Anchor]:
        block = self._files.resolve(f"sys/dev/block/{mount.number}")
        if block is not None:
            yield from self._of_block(block, guard, what)
        elif mount.kind in _NETWORK:
            yield from self._network(guard, f"{what} is on the network")
        elif mount.kind in _MACHINE:
            yield from self._by_driver(_MACHINE[mount.kind], guard, what)
        elif mount.layers:
            # What was mounted before it: at a merge the lowest layer is what it lies over.
            before = self._mounts[: self._mounts.index(mount)]
            for layer in mount.layers:
                below = mount_of(layer, before)
                if below is None:
                    yield from self._every(guard, f"nobody can tell what {what} is made of")
                else:
                    yield from self._of_mount(below, guard, what)
        elif mount.kind in _DISK_KINDS or (guard == "root-disk" and mount.kind not in _MEMORY):
            yield from self._of_source(mount.source, guard, what)

    def _of_source(self, source: str, guard: GuardName, what: str) -> Iterator[Anchor]:
        """A device by its name, ``/dev/sda2`` or ``/dev/mapper/NAME``; not a file to swap to."""
        if source.startswith("/") and not source.startswith("/dev/"):
            yield from self._of_path(source, guard, what)
            return
        name = source.rpartition("/")[2]
        for block in self._files.names("sys/class/block"):
            if name and name in (block, read_text(self._files, f"sys/class/block/{block}/dm/name")):
                for each in (block, *self._siblings(block)):
                    yield from self._of_name(each, guard, what)
                return
        yield from self._unknown(guard, what)

    def _of_name(self, block: str, guard: GuardName, what: str) -> Iterator[Anchor]:
        found = self._files.resolve(f"sys/class/block/{block}")
        if found is None:
            yield from self._unknown(guard, what)
        else:
            yield from self._of_block(found, guard, what)

    def _unknown(self, guard: GuardName, what: str) -> Iterator[Anchor]:
        return self._every(guard, f"nobody can tell which disk {what} is on")

    def _siblings(self, block: str) -> Iterator[str]:
        """The other devices of the file system that a device is a part of."""
        for name in self._files.names("sys/fs/btrfs"):
            devices = self._files.names(f"sys/fs/btrfs/{name}/devices")
            if block in devices:
                yield from devices

    def _of_block(self, path: str, guard: GuardName, what: str) -> Iterator[Anchor]:
        """A disk or partition, and what it is made of."""
        with self._once(path, guard) as is_new:
            if path in self._trail[:-1]:
                yield from self._every(guard, f"{what}: its layers go round in circles")
            elif is_new:
                yield from self._made_of(path, guard, what)

    def _made_of(self, path: str, guard: GuardName, what: str) -> Iterator[Anchor]:
        yield Anchor(guard, path, f"{what} is on {path.rpartition('/')[2]}")
        if any(each in f"{path}/" for each in _REMOTE_DISKS):
            yield from self._network(guard, f"{what} is on a disk in the network")
        for below in self._below(path):
            yield from self._of_block(below, guard, what)
        backing = read_text(self._files, f"{path}/loop/backing_file") or read_text(
            self._files, f"{path.rpartition('/')[0]}/loop/backing_file"
        )
        if backing.startswith("/"):
            yield from self._of_path(backing, guard, what)

    def _below(self, path: str) -> Iterator[str]:
        """Devices that a device is made of, and those that reach it on several ways."""
        whole = path.rpartition("/")[0]
        folders = [f"{path}/slaves", f"{whole}/slaves"]
        if "/virtual/nvme-subsystem/" in path:
            folders += [whole, whole.rpartition("/")[0]]
        for folder in folders:
            for name in self._files.names(folder):
                real = self._files.resolve(f"{folder}/{name}")
                is_link = real != f"{folder}/{name}"
                if real and is_link and name not in _OTHER_LINKS:
                    yield real

    def _every(self, guard: GuardName, what: str) -> Iterator[Anchor]:
        for name, path in self._snapshot.things.items():
            if name.startswith("block/"):
                yield Anchor(guard, path, what)

    def _network(self, guard: GuardName, what: str) -> Iterator[Anchor]:
        for name, path in self._snapshot.things.items():
            if name.startswith("net/"):
                yield Anchor(guard, path, what)

    def _by_driver(self, driver: str, guard: GuardName, what: str) -> Iterator[Anchor]:
        for device in self._snapshot.devices.values():
            if device.driver == driver:
                yield Anchor(guard, device.path, f"{what} comes from the machine around this one")
