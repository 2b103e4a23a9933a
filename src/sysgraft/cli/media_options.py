"""The options and examples of ``sysgraft media``, verb by verb, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

_WHAT: Final = """\
Neither root nor another program is needed, and the same files give the same bytes. With --keys,
boot loader, UKIs and addons are verified against db and dbx first: exit 1, and nothing is written,
if firmware would not start one of them. SIZE is in bytes, or with K, M, G, T in powers of 1024.
"""
DISK_EXAMPLE: Final = f"""\
{_WHAT}
examples:
  sysgraft media disk --output install.img --uki active=linux.efi --uki passive=linux.efi \\
    --extra active=firmware.sysext.raw --keys keys --carry extensions
  sysgraft media disk --output kairos.img --layout kairos --uki norole=linux.efi --size 8G \\
    --keys keys --boot-loader systemd-bootx64.efi --private-key db.key --certificate db.pem
  sysgraft media disk --output cloud.img --uki linux.efi --partition root=root.erofs --plan
"""
ISO_EXAMPLE: Final = f"""\
{_WHAT}The files of the EFI system partition are in a FAT image, /boot/efi.img, which firmware
starts from a disc by El Torito, and from a USB stick by the GPT that the image has as well. What
is carried is in /extensions.

examples:
  sysgraft media iso --output install.iso --uki install=linux.efi --keys keys --carry extensions
  sysgraft media iso --output kairos.iso --layout kairos --uki norole=linux.efi \\
    --volume-id UKI_ISO_INSTALL --overlay files
"""

_CONTENT: Final[Options] = [
    (
        ("--uki",),
        several(
            "[NAME=]FILE",
            "a UKI and the name of its boot entry (default: that of the file)",
            required=True,
        ),
    ),
    (
        ("--layout",),
        value(
            "LAYOUT",
            "generic: UKIs in EFI/Linux; kairos: in EFI/kairos, with entries of text "
            "(default: generic)",
            choices=("generic", "kairos"),
            default="generic",
        ),
    ),
    (("--title",), value("TEXT", "what the entries of text are called", default="")),
    (
        ("--extra",),
        several(
            "[NAME=]FILE",
            "an extension, addon or credential beside the UKI of that entry, or of every one",
        ),
    ),
    (
        ("--global",),
        several(
            "FILE",
            "the same below loader/, where the stubs of all UKIs look (extensions: systemd 258)",
            dest="shared",
        ),
    ),
    (
        ("--carry",),
        several("PATH", "extension images for an installer: a file, or a folder of them"),
    ),
    (
        ("--boot-loader",),
        value("FILE", "systemd-boot (default: the one of this machine's systemd)", default=""),
    ),
    (("--timeout",), value("SECONDS", "how long the menu is shown (default: 5)", default="5")),
    (("--default",), value("NAME", "the entry that is started", default="")),
    (
        ("--console-mode",),
        value("MODE", "as in loader.conf: auto, max, keep, a number", default=""),
    ),
    (("--tries",), value("N", "boot counting: how often each entry may fail", type=int)),
]
_KEYS: Final[Options] = [
    (
        ("--keys", "--public-keys"),
        value("DIR", "enrol PK, KEK and db (dbx) of this folder, .auth files", default=""),
    ),
    (
        ("--secure-boot-enroll",),
        value(
            "WHEN",
            "off, manual, if-safe (only virtual machines by themselves) or force "
            "(default: if-safe)",
            choices=("off", "manual", "if-safe", "force"),
            default="if-safe",
        ),
    ),
    (
        ("--allow-unverified",),
        switch("write the image even if something would not start with these keys"),
    ),
    (("--private-key",), value("KEY", "sign the boot loader: a path, file: or pkcs11: URI")),
    (("--certificate",), value("CERT", "its certificate: a path, file: or pkcs11: URI")),
    (
        ("--passphrase-file",),
        value("FILE", "file with the key's passphrase or PIN (else $SYSGRAFT_PASSPHRASE)"),
    ),
]
_FORM: Final[Options] = [
    (("--plan",), switch("print what it takes, and write nothing")),
    (
        ("--efi-size-warn",),
        value("MB", "warn of UKIs above this size (default: 1024)", type=int, default=1024),
    ),
    (("--seed",), value("UUID", "what identifiers are made of (default: the files' names, sizes)")),
    (
        ("--source-date-epoch",),
        value("SECONDS", "time of all files (default: $SOURCE_DATE_EPOCH, else 1980)", type=int),
    ),
    (("--force",), switch("replace an existing file")),
    *JSON,
]
DISK: Final[Options] = [
    (("--output", "-o"), value("FILE", "the image", required=True)),
    *_CONTENT,
    *_KEYS,
    (
        ("--partition",),
        several(
            "ROLE[:UUID]=FILE",
            "a further partition, such as root=FILE, and its UUID; ROLE may be a type's UUID",
        ),
    ),
    (("--size",), value("SIZE", "of the image (default: the smallest)")),
    (("--esp-size",), value("SIZE", "of the EFI system partition (default: what is left)")),
    (
        ("--sector-size",),
        value("BYTES", "512 or 4096 (default: 512)", type=int, choices=(512, 4096), default=512),
    ),
    *_FORM,
]
ISO: Final[Options] = [
    (("--output", "-o"), value("FILE", "the image", required=True)),
    *_CONTENT,
    *_KEYS,
    (("--volume-id",), value("NAME", "of the image (default: SYSGRAFT)", default="SYSGRAFT")),
    (
        ("--overlay", "--overlay-iso"),
        value("DIR", "a folder whose files the image has too", default=""),
    ),
    *_FORM,
]
