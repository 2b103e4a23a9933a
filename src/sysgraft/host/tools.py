"""The external programs sysgraft can make use of, and where they come from.

Each is an optional helper, or what the tests compare with: building and verifying need none. The
minimum versions are those of Debian 12, the oldest release these programs are used with here.
Looking for a program and running it is done by `sysgraft.host.run`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

Version = tuple[int, ...]

# The first number that stands alone: "systemd 257 (257.13-1)", "OpenSSL 3.0.19 27 Jan 2026".
_VERSION: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Tool:
    """An external program.

    Attributes:
        name: the file name looked up on PATH.
        package: the Debian package that holds it.
        minimum: the oldest version that will do; empty if any will.
        version_option: the argument that makes it print its version.
    """

    name: str
    package: str
    minimum: Version = ()
    version_option: str = "--version"


def parse_version(text: str) -> Version:
    """The version in what a program says about itself; empty if it says none."""
    found = _VERSION.search(text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


_ALL: Final = (
    Tool("blkid", "util-linux", (2, 38)),
    Tool("busybox", "busybox-static", (), "--help"),
    Tool("cert-to-efi-hash-list", "efitools"),
    Tool("cert-to-efi-sig-list", "efitools"),
    Tool("cpio", "cpio", (2, 13)),
    Tool("cryptsetup", "cryptsetup-bin", (2, 6)),
    Tool("debootstrap", "debootstrap"),
    Tool("depmod", "kmod", (29,)),
    Tool("devlink", "iproute2", (), "-V"),
    Tool("docker-registry", "docker-registry", (2, 8)),
    Tool("dpkg-deb", "dpkg", (1, 21, 18)),
    Tool("dmesg", "util-linux", (2, 38)),
    Tool("dtc", "device-tree-compiler", (1, 6)),
    Tool("dump.erofs", "erofs-utils", (1, 5), "-V"),
    Tool("fdisk", "fdisk", (2, 38)),
    Tool("fsck.erofs", "erofs-utils", (1, 5), "-V"),
    Tool("fsck.fat", "dosfstools", (), "--help"),
    Tool("getfattr", "attr"),
    Tool("grub-mkstandalone", "grub-common", (2, 6)),
    Tool("grub-script-check", "grub-common", (2, 6)),
    Tool("hash-to-efi-sig-list", "efitools"),
    Tool("losetup", "mount", (2, 38)),
    Tool("lsblk", "util-linux", (2, 38)),
    Tool("lspci", "pciutils", (3, 9)),
    Tool("mcopy", "mtools", (4, 0)),
    Tool("mdir", "mtools", (4, 0)),
    Tool("mformat", "mtools", (4, 0)),
    Tool("minfo", "mtools", (4, 0)),
    Tool("mkfs.btrfs", "btrfs-progs"),
    Tool("mkfs.erofs", "erofs-utils"),
    Tool("mkfs.ext4", "e2fsprogs", (), "-V"),
    Tool("mkfs.vfat", "dosfstools", (), "--help"),
    Tool("mksquashfs", "squashfs-tools", (4, 5), "-version"),
    Tool("mmd", "mtools", (4, 0)),
    Tool("modinfo", "kmod", (29,)),
    Tool("modprobe", "kmod", (29,)),
    Tool("mount", "mount", (2, 38)),
    Tool("objcopy", "binutils", (2, 40)),
    Tool("objdump", "binutils", (2, 40)),
    Tool("openssl", "openssl", (3, 0), "version"),
    Tool("osslsigncode", "osslsigncode", (2, 5)),
    Tool("pkcs11-tool", "opensc"),
    Tool("podman", "podman", (4, 3)),
    Tool("qemu-system-x86_64", "qemu-system-x86", (7, 2)),
    Tool("rpmbuild", "rpm", (4, 18)),
    Tool("sbsiglist", "sbsigntool"),
    Tool("sbsign", "sbsigntool"),
    Tool("sbvarsign", "sbsigntool"),
    Tool("sbverify", "sbsigntool"),
    Tool("setcap", "libcap2-bin"),
    Tool("setfattr", "attr"),
    Tool("setpriv", "util-linux", (2, 38)),
    Tool("sfdisk", "fdisk", (2, 38)),
    Tool("sgdisk", "gdisk", (1, 0)),
    Tool("sh", "dash"),
    Tool("shellcheck", "shellcheck"),
    Tool("sign-efi-sig-list", "efitools"),
    Tool("skopeo", "skopeo", (1, 9)),
    Tool("softhsm2-util", "softhsm2"),
    Tool("swtpm", "swtpm", (0, 7)),
    Tool("systemd-analyze", "systemd", (252,)),
    Tool("systemd-cryptenroll", "systemd", (252,)),
    Tool("systemd-dissect", "systemd-container", (252,)),
    Tool("systemd-hwdb", "udev"),
    Tool("systemd-id128", "systemd", (252,)),
    Tool("systemd-repart", "systemd", (252,)),
    Tool("tar", "tar", (1, 34)),
    Tool("tpm2_eventlog", "tpm2-tools", (5, 4)),
    Tool("udevadm", "udev", (252,)),
    Tool("unshare", "util-linux", (2, 38)),
    Tool("unsquashfs", "squashfs-tools", (4, 5), "-version"),
    Tool("veritysetup", "cryptsetup-bin", (2, 6)),
    Tool("xorriso", "xorriso", (1, 5), "-version"),
    Tool("zstd", "zstd", (1, 5)),
)

TOOLS: Final = {tool.name: tool for tool in _ALL}
