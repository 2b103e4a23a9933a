"""What must not lose its driver, on machines laid out as real ones are.

The paths are those of such machines' ``/sys``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from reprobe_kit import Kit, kit_in
from sysgraft.errors import UsageError
from sysgraft.firmware.reprobe.guards import GUARDS, parse_allowed
from sysgraft.host.mounts import mount_of, parse_mounts
from sysgraft.testing.sysfs_control import Behaviour

if TYPE_CHECKING:
    from pathlib import Path

PCI: Final = "pci0000:00"
NVME: Final = f"{PCI}/0000:00:1d.0/0000:01:00.0"
HUB: Final = f"{PCI}/0000:00:14.0/usb2"
STICK: Final = f"{HUB}/2-1"
VIRTIO: Final = f"{PCI}/0000:00:03.0/virtio1"
CARD: Final = f"{PCI}/0000:00:1c.0/0000:03:00.0"
ROUTE: Final = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A machine with a disk of each kind, a network card and a screen; it runs from memory."""
    kit = kit_in(tmp_path)
    machine = kit.machine
    machine.device("pci:0000:00:1d.0", f"{PCI}/0000:00:1d.0", bound="pcieport")
    machine.device("pci:0000:01:00.0", NVME, Behaviour(driver="nvme"), bound="nvme")
    machine.disk("nvme0n1", f"{NVME}/nvme/nvme0/nvme0n1", "259:0")
    machine.disk("nvme0n1p1", f"{NVME}/nvme/nvme0/nvme0n1/nvme0n1p1", "259:1")
    machine.disk("nvme0n1p2", f"{NVME}/nvme/nvme0/nvme0n1/nvme0n1p2", "259:2")
    machine.device("pci:0000:00:14.0", f"{PCI}/0000:00:14.0", bound="xhci_hcd")
    machine.device("usb:usb2", HUB, bound="usb", authorized="1")
    machine.device("usb:2-0:1.0", f"{HUB}/2-0:1.0", bound="hub", authorized="1")
    machine.device("usb:2-1", STICK, bound="usb", authorized="1")
    machine.device("usb:2-1:1.0", f"{STICK}/2-1:1.0", bound="usb-storage", authorized="1")
    machine.device("scsi:6:0:0:0", f"{STICK}/2-1:1.0/host6/target6:0:0/6:0:0:0", bound="sd")
    machine.disk("sda", f"{STICK}/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sda", "8:0")
    machine.disk("sda1", f"{STICK}/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sda/sda1", "8:1")
    machine.device("pci:0000:00:03.0", f"{PCI}/0000:00:03.0", bound="virtio-pci")
    machine.device("virtio:virtio1", VIRTIO, bound="virtio_blk")
    machine.disk("vda", f"{VIRTIO}/block/vda", "254:0")
    machine.disk("vda3", f"{VIRTIO}/block/vda/vda3", "254:3")
    machine.device("pci:0000:00:1c.0", f"{PCI}/0000:00:1c.0", bound="pcieport")
    machine.device("pci:0000:03:00.0", CARD, Behaviour(driver="igc"), bound="igc")
    machine.thing("net/enp3s0", f"{CARD}/net/enp3s0", ifindex="2")
    machine.device("pci:0000:00:02.0", f"{PCI}/0000:00:02.0", bound="i915")
    machine.thing("drm/card0", f"{PCI}/0000:00:02.0/drm/card0")
    connector = f"{PCI}/0000:00:02.0/drm/card0/card0-eDP-1"
    machine.thing("drm/card0-eDP-1", connector, enabled="disabled", status="connected")
    machine.device("pnp:00:04", "pnp0/00:04", bound="serial")
    machine.thing("tty/ttyS0", "pnp0/00:04/tty/ttyS0")
    return kit


def guarded(kit: Kit) -> dict[str, set[str]]:
    """The devices that would be left alone, with their guards."""
    found: dict[str, set[str]] = {}
    keys = tuple(kit.machine.behaviours)
    report = kit.reprobe(*keys, rebind=True, dry_run=True)
    for each in report.devices:
        guards: set[str] = {
            guard for guard in GUARDS for step in each.steps if f"({guard})" in step.reason
        }
        if guards:
            assert each.status == "guarded"
            found[each.device] = guards
    assert kit.machine.writes == []
    return found


NVME_CHAIN: Final = {"pci:0000:00:1d.0", "pci:0000:01:00.0"}
STICK_CHAIN: Final = {
    "pci:0000:00:14.0",
    "usb:usb2",
    "usb:2-0:1.0",
    "usb:2-1",
    "usb:2-1:1.0",
    "scsi:6:0:0:0",
}
VIRTIO_CHAIN: Final = {"pci:0000:00:03.0", "virtio:virtio1"}
EVERY_DISK: Final = NVME_CHAIN | STICK_CHAIN | VIRTIO_CHAIN
CARD_CHAIN: Final = {"pci:0000:00:1c.0", "pci:0000:03:00.0"}
SCREEN: Final = {"pci:0000:00:02.0"}


def with_guard(kit: Kit, guard: str) -> set[str]:
    return {device for device, guards in guarded(kit).items() if guard in guards}


# --- Disks ---------------------------------------------------------------------------------------


def test_a_system_in_memory_has_no_disk(kit: Kit) -> None:
    assert guarded(kit) == {}


@pytest.mark.parametrize(
    ("mount", "chain"),
    [
        ("259:2 / ext4 /dev/nvme0n1p2 rw", NVME_CHAIN),
        ("8:1 / ext4 /dev/sda1 rw", STICK_CHAIN),
        ("254:3 / xfs /dev/vda3 rw", VIRTIO_CHAIN),
        ("0:30 / btrfs /dev/sda1 rw,subvol=/root", STICK_CHAIN),
        ("0:2 / nfs4 server:/root rw", CARD_CHAIN),
        ("0:2 / zfs rpool/ROOT/debian rw", EVERY_DISK),
        ("0:2 / somethingnew none rw", EVERY_DISK),
        ("7:99 / ext4 /dev/gone rw", EVERY_DISK),
    ],
)
def test_the_root(kit: Kit, mount: str, chain: set[str]) -> None:
    kit.mounted(mount)
    assert with_guard(kit, "root-disk") == chain


def test_a_machine_that_tells_nothing_of_its_mounts(kit: Kit) -> None:
    kit.machine.text("proc/self/mountinfo", "junk\n\n1 2 3\n")
    assert with_guard(kit, "root-disk") == EVERY_DISK


def test_a_root_on_dm_crypt(kit: Kit) -> None:
    kit.machine.disk("dm-0", "virtual/block/dm-0", "253:0")
    kit.machine.text("sys/devices/virtual/block/dm-0/dm/name", "cryptroot\n")
    kit.machine.link(
        "sys/devices/virtual/block/dm-0/slaves/vda3", f"sys/devices/{VIRTIO}/block/vda/vda3"
    )
    kit.mounted("253:0 / ext4 /dev/mapper/cryptroot rw")
    assert with_guard(kit, "root-disk") == VIRTIO_CHAIN
    kit.mounted("0:31 / btrfs /dev/mapper/cryptroot rw")
    assert with_guard(kit, "root-disk") == VIRTIO_CHAIN


def test_a_root_on_lvm_on_raid(kit: Kit) -> None:
    for name, number, below in (
        ("dm-1", "253:1", ("virtual/block/md0",)),
        ("md0", "9:0", (f"{NVME}/nvme/nvme0/nvme0n1/nvme0n1p2", f"{VIRTIO}/block/vda/vda3")),
    ):
        kit.machine.disk(name, f"virtual/block/{name}", number)
        for each in below:
            link = f"sys/devices/virtual/block/{name}/slaves/{each.rpartition('/')[2]}"
            kit.machine.link(link, f"sys/devices/{each}")
    kit.mounted("253:1 / ext4 /dev/mapper/vg-root rw")
    assert with_guard(kit, "root-disk") == NVME_CHAIN | VIRTIO_CHAIN


def test_devices_that_are_made_of_each_other(kit: Kit) -> None:
    for name, number, other in (("dm-1", "253:1", "dm-2"), ("dm-2", "253:2", "dm-1")):
        kit.machine.disk(name, f"virtual/block/{name}", number)
        link = f"sys/devices/virtual/block/{name}/slaves/{other}"
        (kit.root / link).parent.mkdir(parents=True)
        (kit.root / link).symlink_to(f"../../{other}")
    kit.mounted("253:1 / ext4 /dev/mapper/a rw")
    assert with_guard(kit, "root-disk") == EVERY_DISK


def test_both_disks_of_a_btrfs(kit: Kit) -> None:
    for name in ("sda1", "vda3"):
        kit.machine.text(f"sys/fs/btrfs/1234/devices/{name}/x", "")
    kit.mounted("0:30 / btrfs /dev/sda1 rw")
    assert with_guard(kit, "root-disk") == STICK_CHAIN | VIRTIO_CHAIN


def test_a_btrfs_one_of_whose_disks_is_gone(kit: Kit) -> None:
    for name in ("sda1", "sdb1"):
        kit.machine.text(f"sys/fs/btrfs/1234/devices/{name}/x", "")
    kit.mounted("0:30 / btrfs /dev/sda1 rw")
    assert with_guard(kit, "root-disk") == EVERY_DISK


def test_nvme_on_several_paths(kit: Kit) -> None:
    """The disk is nowhere below its controllers then."""
    subsystem = "virtual/nvme-subsystem/nvme-subsys0"
    kit.machine.disk("nvme1n1", f"{subsystem}/nvme1n1", "259:5")
    kit.machine.disk("nvme1n1p1", f"{subsystem}/nvme1n1/nvme1n1p1", "259:6")
    kit.machine.link(f"sys/devices/{subsystem}/nvme0", f"sys/devices/{NVME}/nvme/nvme0")
    kit.mounted("259:6 / ext4 /dev/nvme1n1p1 rw")
    assert with_guard(kit, "root-disk") == NVME_CHAIN


@pytest.mark.parametrize(
    "path",
    ["virtual/block/nbd0", "platform/host9/session1/target9:0:0/9:0:0:1/block/sdz"],
)
def test_a_disk_in_the_network(kit: Kit, path: str) -> None:
    kit.machine.disk(path.rpartition("/")[2], path, "43:0")
    kit.mounted("43:0 / ext4 /dev/x rw")
    assert with_guard(kit, "root-disk") == CARD_CHAIN


def test_a_file_system_of_the_machine_around(kit: Kit) -> None:
    path = f"{PCI}/0000:00:09.0"
    kit.machine.device("pci:0000:00:09.0", path, bound="virtio-pci")
    kit.machine.device("virtio:virtio9", f"{path}/virtio9", bound="virtiofs")
    kit.mounted("0:40 / virtiofs rootfs rw")
    assert with_guard(kit, "root-disk") == {"pci:0000:00:09.0", "virtio:virtio9"}


def test_overlays_over_disks(kit: Kit) -> None:
    """A merged /usr: its lowest layer is in the root."""
    kit.mounted(
        "259:2 / ext4 /dev/nvme0n1p2 rw",
        "0:50 /usr overlay sysext rw,lowerdir=/run/a/usr:/usr",
        "0:51 /opt overlay x rw,lowerdir=relative,upperdir=/var/opt,workdir=/var/work",
    )
    assert with_guard(kit, "root-disk") == NVME_CHAIN


def test_an_overlay_that_is_made_of_itself(kit: Kit) -> None:
    kit.mounted("0:50 / overlay x rw,lowerdir=/:/usr")
    assert with_guard(kit, "root-disk") == EVERY_DISK


@pytest.mark.parametrize("place", ["/usr", "/boot", "/efi", "/boot/efi"])
def test_what_belongs_to_the_system(kit: Kit, place: str) -> None:
    kit.mounted("0:2 / tmpfs none rw", f"8:1 {place} vfat /dev/sda1 rw")
    assert with_guard(kit, "root-disk") == STICK_CHAIN


def test_a_boot_partition_that_is_not_mounted(kit: Kit) -> None:
    name = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    uuid = "AAAABBBB-0000-1111-2222-333344445555"
    path = kit.root / "sys/firmware/efi/efivars" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\6\0\0\0" + f"{uuid}\0".encode("utf-16-le"))
    kit.machine.text("dev/nvme0n1p1", "")
    kit.machine.link(f"dev/disk/by-partuuid/{uuid.lower()}", "dev/nvme0n1p1")
    assert with_guard(kit, "root-disk") == NVME_CHAIN


def test_the_folder_of_the_extensions(kit: Kit) -> None:
    kit.machine.text("var/lib/extensions/a.raw", "")
    kit.mounted("0:2 / tmpfs none rw", "254:3 /var ext4 /dev/vda3 rw")
    assert with_guard(kit, "root-disk") == VIRTIO_CHAIN


def test_an_extension_that_is_linked(kit: Kit) -> None:
    kit.machine.text("media/stick/a.raw", "")
    kit.machine.link("run/extensions/a.raw", "media/stick/a.raw")
    kit.mounted("0:2 / tmpfs none rw", "8:1 /media/stick ext4 /dev/sda1 rw")
    assert with_guard(kit, "root-disk") == STICK_CHAIN


def test_a_loop_device_keeps_the_disk_of_its_file(kit: Kit) -> None:
    """A merged extension is mounted where nobody sees it; its loop device is there."""
    kit.machine.disk("loop0", "virtual/block/loop0", "7:0")
    kit.machine.disk("loop0p1", "virtual/block/loop0/loop0p1", "259:9")
    kit.machine.text("sys/devices/virtual/block/loop0/loop/backing_file", "/store/a.raw\n")
    kit.mounted("0:2 / tmpfs none rw", "254:3 /store ext4 /dev/vda3 rw")
    assert with_guard(kit, "mounted-disk") == VIRTIO_CHAIN
    kit.mounted(
        "0:2 / tmpfs none rw",
        "254:3 /store ext4 /dev/vda3 rw",
        "259:9 /usr erofs /dev/loop0p1 ro",
    )
    assert with_guard(kit, "root-disk") == VIRTIO_CHAIN


def test_other_disks_that_are_in_use(kit: Kit) -> None:
    kit.mounted("0:2 / tmpfs none rw", "8:1 /data ext4 /dev/sda1 rw")
    assert guarded(kit) == {key: {"mounted-disk"} for key in STICK_CHAIN}


def test_swap(kit: Kit) -> None:
    head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    kit.machine.text("proc/swaps", f"{head}/dev/vda3                      partition\t1\t0\t-2\n")
    assert with_guard(kit, "mounted-disk") == VIRTIO_CHAIN
    kit.machine.text("proc/swaps", f"{head}/data/swap file\t1\t0\t-2\n")
    kit.mounted("0:2 / tmpfs none rw", "8:1 /data ext4 /dev/sda1 rw")
    assert with_guard(kit, "mounted-disk") == STICK_CHAIN


# --- The network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("route", f"{ROUTE}enp3s0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"),
        ("ipv6_route", f"{'0' * 32} 00 {'0' * 32} 00 {'f' * 32} 0 0 0 0 enp3s0\n"),
    ],
)
def test_the_interface_of_the_default_route(kit: Kit, table: str, line: str) -> None:
    kit.machine.text(f"proc/net/{table}", line)
    assert guarded(kit) == {key: {"default-route"} for key in CARD_CHAIN}


def test_other_routes_are_not_guarded(kit: Kit) -> None:
    kit.machine.text(
        "proc/net/route", f"{ROUTE}enp3s0\t000200C0\t0\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\njunk\n"
    )
    assert guarded(kit) == {}


def test_a_bond_over_a_vlan(kit: Kit) -> None:
    for upper, lower in (("bond0", "vlan5"), ("vlan5", "enp3s0")):
        kit.machine.thing(f"net/{upper}", f"virtual/net/{upper}")
        kit.machine.text(f"sys/devices/virtual/net/{upper}/lower_{lower}/x", "")
    kit.machine.text(
        "proc/net/route", f"{ROUTE}bond0\t00000000\t0\t3\t0\t0\t0\t00000000\t0\t0\t0\n"
    )
    assert with_guard(kit, "default-route") == CARD_CHAIN


def test_a_vpn_goes_out_somewhere(kit: Kit) -> None:
    kit.machine.thing("net/wg0", "virtual/net/wg0")
    kit.machine.text(
        "proc/net/route",
        f"{ROUTE}wg0\t00000000\t0\t3\t0\t0\t0\t00000000\t0\t0\t0\n"
        "enp3s0\t000200C0\t0\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
    )
    assert with_guard(kit, "default-route") == CARD_CHAIN


def test_interfaces_on_top_of_each_other(kit: Kit) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        kit.machine.thing(f"net/{name}", f"virtual/net/{name}")
        kit.machine.text(f"sys/devices/virtual/net/{name}/lower_{other}/x", "")
    kit.machine.text("proc/net/route", f"{ROUTE}a\t00000000\t0\t3\t0\t0\t0\t00000000\t0\t0\t0\n")
    assert guarded(kit) == {}


# --- Consoles ------------------------------------------------------------------------------------


def test_a_serial_console(kit: Kit) -> None:
    kit.machine.text("proc/consoles", "ttyS0                -W- (EC  p a)    4:64\n")
    assert guarded(kit) == {"pnp:00:04": {"console"}}


def test_a_console_on_a_screen(kit: Kit) -> None:
    kit.machine.thing("graphics/fb0", f"{PCI}/0000:00:02.0/graphics/fb0")
    kit.machine.text("proc/consoles", "tty0                 -WU (EC  p  )    4:7\n")
    assert guarded(kit) == {key: {"console"} for key in SCREEN}


def test_a_screen_that_is_on(kit: Kit) -> None:
    kit.machine.text(f"sys/devices/{PCI}/0000:00:02.0/drm/card0/card0-eDP-1/enabled", "enabled\n")
    assert guarded(kit) == {key: {"console"} for key in SCREEN}


def test_a_console_of_the_hypervisor(kit: Kit) -> None:
    kit.machine.device("virtio:virtio5", f"{PCI}/0000:00:05.0/virtio5", bound="virtio_console")
    kit.machine.text("proc/consoles", "hvc0                 -W- (EC  p  )  229:0\n")
    assert guarded(kit) == {"virtio:virtio5": {"console"}}


def test_a_console_over_usb(kit: Kit) -> None:
    kit.machine.thing("tty/ttyUSB0", f"{STICK}/2-1:1.0/ttyUSB0/tty/ttyUSB0")
    kit.machine.text("proc/consoles", "ttyUSB0              -W- (E   p  )  188:0\n")
    assert with_guard(kit, "console") == STICK_CHAIN - {"scsi:6:0:0:0"}


# --- What a guard does ---------------------------------------------------------------------------


def test_a_guarded_device_is_not_touched(kit: Kit) -> None:
    kit.mounted("259:2 / ext4 /dev/nvme0n1p2 rw")
    result = kit.reprobe("pci:0000:01:00.0", rebind=True)
    (report,) = result.devices
    assert (result.ok, report.status, report.driver) == (False, "guarded", "nvme")
    assert "/ is on nvme0n1p2 (root-disk)" in report.steps[0].reason
    assert (kit.machine.writes, kit.programs.runs) == ([], [])


def test_a_guard_is_off_for_the_device_that_was_named(kit: Kit) -> None:
    kit.mounted("259:2 / ext4 /dev/nvme0n1p2 rw")
    allowed = (parse_allowed("root-disk=pci:0000:01:00.0"),)
    assert kit.one("pci:0000:01:00.0", rebind=True, allowed=allowed).status == "recovered"
    assert kit.one("pci:0000:00:1d.0", rebind=True, allowed=allowed).status == "guarded"
    other = (parse_allowed("console=pci:0000:00:1d.0"),)
    assert kit.one("pci:0000:00:1d.0", rebind=True, allowed=other).status == "guarded"


def test_the_whole_usb_device_is_guarded_for_what_its_other_interface_holds(kit: Kit) -> None:
    """An interface may be asked for a driver, but its device is not taken away."""
    kit.machine.device("usb:2-1:1.1", f"{STICK}/2-1:1.1", Behaviour(), authorized="1")
    kit.mounted("8:1 / ext4 /dev/sda1 rw")
    report = kit.one("usb:2-1:1.1")
    assert [(s.name, s.status) for s in report.steps] == [
        ("probe", "done"),
        ("interface", "done"),
        ("usb-device", "guarded"),
    ]
    assert report.status == "failed"
    assert kit.machine.bound("usb:2-1:1.0") == "usb-storage"


@pytest.mark.parametrize(
    "text",
    ["", "root-disk", "root-disk=", "=usb:1-4", "disk=usb:1-4", "console=x", "console=a:b/c"],
)
def test_what_cannot_be_allowed(text: str) -> None:
    with pytest.raises(UsageError):
        parse_allowed(text)


def test_devices_that_lose_their_drivers_with_it(kit: Kit) -> None:
    """Beside it in the tree, as a disk controller and what gives it its clock."""
    clock = kit.machine.device("platform:clock", "platform/clock", bound="clk")
    kit.machine.text(f"{clock}/consumer:platform:phy/x", "")
    phy = kit.machine.device("platform:phy", "platform/phy", bound="phy")
    kit.machine.text(f"{phy}/consumer:pci:0000:01:00.0/x", "")
    kit.machine.text(f"{phy}/consumer:platform:clock/x", "")
    kit.mounted("259:2 / ext4 /dev/nvme0n1p2 rw")
    assert with_guard(kit, "root-disk") == NVME_CHAIN | {"platform:clock", "platform:phy"}


# --- The table of mounts -------------------------------------------------------------------------


def test_mounts_are_read_as_proc_writes_them() -> None:
    lines = [
        r"36 35 98:0 /mnt1 /mnt/with\040blank rw,noatime master:1 shared:2 - ext3 /dev/a\134b rw",
        "37 36 0:5 / /mnt/with\\040blank/sub rw - tmpfs - rw",
        "38 36 0:6 / /x rw - tmpfs",
        "",
    ]
    mounts = parse_mounts(lines)
    assert [m.place for m in mounts] == ["/mnt/with blank", "/mnt/with blank/sub"]
    assert (mounts[0].source, mounts[0].kind) == ("/dev/a\\b", "ext3")
    assert mount_of("/mnt/with blank/sub/file", mounts) == mounts[1]
    assert mount_of("/mnt/with blank/subway", mounts) == mounts[0]
    assert mount_of("/elsewhere", mounts) is None
