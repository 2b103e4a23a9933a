"""What the guests are made of: the packages, modules and settings, as data.

Both are Debian 13. The large one is built as Kairos builds its systems: the whole root file system
is the initrd of a UKI, systemd is its first program, and systemd-stub's extensions are merged by
the stock systemd-sysext.service under a strict policy. The small one is BusyBox and a shell script.
"""

from __future__ import annotations

import hashlib
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 1
"""Raised when the recipe is followed in another way (`sysgraft.lab.cooking`)."""
SUITE: Final = "trixie"
MIRROR: Final = "http://deb.debian.org/debian"
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""The keys that Debian's releases are signed with."""
KERNEL_PACKAGE: Final = "linux-image-amd64"
ARCHITECTURE: Final = "x86-64"

PACKAGES: Final = (
    "busybox-static",
    "cryptsetup-bin",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "iproute2",
    "kmod",
    "libtss2-esys-3.0.2-0t64",
    "libtss2-rc0t64",
    "libtss2-tcti-device0t64",
    "python3-minimal",
    "systemd",
    "systemd-boot-efi",
    "systemd-boot-tools",
    "systemd-container",
    "systemd-cryptsetup",
    "systemd-sysv",
    "tpm2-tools",
    "udev",
)

# What a script can ask of the kernel beyond what is built in; all they need comes along.
MODULES: Final = (
    # disks and file systems, and the emulated disks of other machines
    *("virtio_blk", "virtio_scsi", "virtio_rng", "ahci", "sd_mod", "sr_mod", "isofs", "loop"),
    *("erofs", "squashfs", "ext4", "vfat", "nls_cp437", "nls_ascii", "overlay", "efivarfs"),
    # dm-verity and LUKS
    *("dm-mod", "dm-verity", "dm-crypt", "dm-integrity", "xts", "cbc", "essiv", "algif_skcipher"),
    # algorithms that are asked for by name when they are used
    *("aesni_intel", "crc32c_generic", "crc32c-intel", "sha512_ssse3"),
    # what systemd asks for
    *("autofs4", "configfs", "dmi-sysfs", "fuse", "qemu_fw_cfg"),
    # firmware that is missing: a test device, a network card, USB gadgets of ourselves
    *("test_firmware", "e100", "dummy_hcd", "libcomposite", "usb_f_ss_lb"),
    *("isight_firmware", "ti_usb_3410_5052", "bcm203x"),
)
SMALL_MODULES: Final = ("efivarfs", "virtio_blk")

# Not needed to run; globs below the root, "**" is any depth.
LEFT_OUT: Final = (
    "usr/share/doc/**",
    "usr/share/info/**",
    "usr/share/man/**",
    "usr/share/locale/**",
    "usr/share/i18n/**",
    "usr/share/zoneinfo/**",
    "usr/share/bash-completion/**",
    "usr/share/zsh/**",
    "usr/share/lintian/**",
    "usr/share/perl5/**",
    "usr/share/systemd/kbd-model-map",
    "usr/lib/systemd/boot/**",
    "usr/lib/systemd/catalog/**",
    "usr/lib/udev/hwdb.*",
    "usr/lib/udev/hwdb.d/**",
    "usr/lib/x86_64-linux-gnu/gconv/**",
    "usr/lib/x86_64-linux-gnu/perl-base/**",
    "usr/lib/x86_64-linux-gnu/libapt-*",
    "usr/lib/apt/**",
    "usr/bin/perl*",
    "usr/bin/apt*",
    "var/cache/**",
    "var/lib/apt/**",
    "var/lib/dpkg/info/**",
    "var/log/**",
)

_POLICY: Final = "root=signed+absent:usr=signed+absent"
_STRICT: Final = "[Service]\nExecStart=\nExecStart={program} refresh --image-policy={policy}\n"

# Written below the root; symbolic links are in LINKS.
FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "etc/hostname": "lab\n",
        "etc/machine-id": "",  # empty: made anew at each boot, which is not called the first one
        "etc/fstab": "",
        "usr/lib/systemd/system/systemd-sysext.service.d/strict.conf": _STRICT.format(
            program="systemd-sysext", policy=_POLICY
        ),
        "usr/lib/systemd/system/systemd-confext.service.d/strict.conf": _STRICT.format(
            program="systemd-confext", policy=_POLICY
        ),
    }
)
LINKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # systemd-sysext looks into /.extra itself only in an initrd that is left again.
        "var/lib/extensions": "/.extra/sysext",
        "var/lib/confexts": "/.extra/confext",
        "etc/systemd/system/sysinit.target.wants/systemd-sysext.service": (
            "/usr/lib/systemd/system/systemd-sysext.service"
        ),
        "etc/systemd/system/sysinit.target.wants/systemd-confext.service": (
            "/usr/lib/systemd/system/systemd-confext.service"
        ),
        "etc/systemd/system/default.target": "/usr/lib/systemd/system/multi-user.target",
        **{
            f"etc/systemd/system/{unit}": "/dev/null"
            for unit in (
                # nothing here needs them, and each takes its time
                "getty.target",
                "dev-hugepages.mount",
                "dev-mqueue.mount",
                "sys-fs-fuse-connections.mount",
                "sys-kernel-debug.mount",
                "sys-kernel-tracing.mount",
                "systemd-binfmt.service",
                "systemd-pcrlock.socket",
                "systemd-user-sessions.service",
                "e2scrub_reap.service",
                "systemd-firstboot.service",
                "systemd-hwdb-update.service",
                "systemd-journal-catalog-update.service",
                "systemd-logind.service",
                "systemd-networkd-wait-online.service",
                "apt-daily.timer",
                "apt-daily-upgrade.timer",
                "dpkg-db-backup.timer",
                "e2scrub_all.timer",
                "fstrim.timer",
            )
        },
    }
)

CMDLINE: Final = "console=ttyS0 quiet systemd.show_status=no"
"""Of the UKIs that are made of the guests."""
LEVEL: Final = 12
"""Of zstd."""


def asset(name: str) -> bytes:
    """A script beside this module."""
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return file.read()


def fingerprint() -> str:
    """Changes when anything here does that changes the guests, but for Debian's packages."""
    parts = (
        *(str(VERSION), SUITE, KERNEL_PACKAGE, ARCHITECTURE, CMDLINE, str(LEVEL)),
        *(*PACKAGES, "", *MODULES, "", *SMALL_MODULES, "", *LEFT_OUT, ""),
        *(f"{path}={text}" for path, text in {**FILES, **LINKS}.items()),
        asset("small_init.sh").decode(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
