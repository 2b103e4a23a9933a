"""The options and examples of ``sysgraft uki build``, ``addon`` and ``inspect``.

Names are ukify's. Whatever a config file can say has no default here, so that what the command
line says can be told from what it leaves open.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

BUILD_EXAMPLE: Final = """\
An --initrd is a file, or a root file system: a folder, or one of
  dir:PATH  deb:FILE  rpm:FILE  tar:FILE
  docker-archive:FILE[:REF]  oci-archive:FILE[:REF]  oci:DIR[:TAG]
  docker://NAME (a registry)  docker-daemon:NAME (Docker or Podman)
which becomes one initrd (all layers, cpio, zstd); without --linux its own kernel is taken.
Several --initrd are joined. Options are ukify's, and so is the config file; the first of
  /etc/systemd/ukify.conf  /run/…  /usr/local/lib/…  /usr/lib/systemd/ukify.conf
is read unless --config names another (--config= reads none). An option wins over the file.
Without --linux, and no kernel to take, the result is an addon or (--profile) a profile.

examples:
  sysgraft uki build --linux vmlinuz --initrd initrd.img --cmdline "root=/dev/vda2 ro" \\
    --secureboot-private-key keys/db.key --secureboot-certificate keys/db.pem -o linux.efi
  sysgraft uki build --initrd oci-archive:system.tar --cmdline rdinit=/init -o system.efi
  sysgraft uki build --config ukify.conf --pcr-private-key keys/tpm2-pcr-private.pem --measure
"""
ADDON_EXAMPLE: Final = """\
An addon lies beside a UKI, in NAME.efi.extra.d/, or in loader/addons on the ESP. The stub takes
its command line, devicetrees, and (since systemd 257) initrd and microcode.

example:
  sysgraft uki addon --cmdline "console=ttyS0" --output debug.addon.efi \\
    --secureboot-private-key keys/db.key --secureboot-certificate keys/db.pem
"""
INSPECT_EXAMPLE: Final = """\
It tells what a file claims to be; only `sysgraft uki verify` proves anything.

examples:
  sysgraft uki inspect linux.efi
  sysgraft uki inspect linux.efi --section .cmdline:text --section .initrd:binary@initrd.img
"""


def _value(metavar: str, text: str) -> dict[str, Any]:
    return {"metavar": metavar, "help": text}


def _list(metavar: str, text: str) -> dict[str, Any]:
    return {"metavar": metavar, "action": "append", "help": f"{text}; again for more"}


def _yes_or_no(text: str) -> dict[str, Any]:
    """A switch that a config file may set, and the command line set back."""
    return {"action": argparse.BooleanOptionalAction, "default": None, "help": text}


def _switch(text: str) -> dict[str, Any]:
    return {"action": "store_true", "help": text}


_JSON: Final[Options] = [(("--json",), _switch("one JSON document on stdout"))]

_CONTENT: Final[Options] = [
    (("--cmdline",), _value("TEXT|@PATH", "kernel command line [.cmdline]")),
    (("--initrd",), _list("INITRD", "initrd file or root file system [.initrd]")),
    (("--microcode",), _value("FILE", "microcode for the processor [.ucode]")),
    (("--devicetree",), _value("FILE", "devicetree [.dtb]")),
    (("--devicetree-auto",), _list("FILE", "devicetree chosen by hardware [.dtbauto]")),
    (("--hwids",), _value("DIR", "folder with descriptions of hardware, JSON [.hwids]")),
    (("--uname",), _value("VERSION", "kernel release [.uname] (default: the kernel's own)")),
    (("--sbat",), _list("TEXT|@PATH", "SBAT metadata [.sbat]")),
    (("--section",), _list("NAME:TEXT|@PATH", "a further section")),
]
_TARGET: Final[Options] = [
    (("--efi-arch",), _value("ARCH", "x64, aa64, riscv64, … (default: the kernel's)")),
    (("--stub",), _value("FILE", "stub (default: in /usr/lib/systemd/boot/efi)")),
]
_INITRD: Final[Options] = [
    (
        ("--initrd-compression",),
        _value("zstd[:LEVEL]|none", "of root file systems as initrds (default: zstd:9)"),
    ),
    (("--exclude",), _list("GLOB", "leave matching paths out of root file systems")),
    (
        ("--insecure-registry",),
        _list("HOST", "HOST[:PORT] that may speak plain HTTP or show any certificate"),
    ),
    (
        ("--owner",),
        {
            "choices": ["root", "keep"],
            "help": "owners in them (default: archives keep theirs, folders become root's)",
        },
    ),
    (
        ("--source-date-epoch",),
        {
            "metavar": "SECONDS",
            "type": int,
            "help": "latest time stamp in such initrds (default: $SOURCE_DATE_EPOCH)",
        },
    ),
]
_SECURE_BOOT: Final[Options] = [
    (
        ("--secureboot-private-key", "--private-key"),
        _value("KEY", "sign for Secure Boot: a path, file: or pkcs11: URI"),
    ),
    (
        ("--secureboot-certificate", "--certificate"),
        _value("CERT", "its certificate: a path, file: or pkcs11: URI"),
    ),
    (
        ("--passphrase-file",),
        _value(
            "FILE", "passphrase or PIN of the keys (default: $SYSGRAFT_PASSPHRASE, else asked for)"
        ),
    ),
]
_OUTPUT: Final[Options] = [
    (("--force",), _switch("replace an existing file")),
    *_JSON,
]
# What ukify needs for the programs it calls; here nothing is called.
_COMPATIBLE: Final[Options] = [
    (
        ("--signtool",),
        _value("TOOL", "as for ukify: sbsign or systemd-sbsign; signing is built in"),
    ),
    (("--signing-engine",), _value("NAME", "as for ukify: pkcs11, for pkcs11: keys")),
    (("--signing-provider",), _value("NAME", "as for ukify: pkcs11, for pkcs11: keys")),
    (("--certificate-provider",), _value("NAME", "as for ukify: pkcs11, for pkcs11: certificates")),
    (("--tools",), _list("DIR", "as for ukify; no tool is needed")),
]

BUILD: Final[Options] = [
    (("--config", "-c"), _value("FILE", "ukify's config file (default: see below)")),
    (("--linux",), _value("FILE", "kernel, compressed or not [.linux]")),
    (("--os-release",), _value("TEXT|@PATH", "os-release [.osrel] (default: the system's)")),
    *_CONTENT,
    (("--splash",), _value("BMP", "picture shown while booting [.splash]")),
    (("--efifw",), _list("DIR", "folder with one firmware file [.efifw]")),
    (("--profile",), _value("TEXT|@PATH", "description of the profile [.profile]")),
    (("--join-profile",), _list("FILE", "add a profile, made with --profile and no --linux")),
    (("--sign-profile",), _list("ID", "sign PCR policies for this profile only")),
    *_TARGET,
    (("--pcr-private-key",), _list("KEY", "sign PCR policies: a path, file: or pkcs11: URI")),
    (("--pcr-public-key",), _list("FILE", "its public half in PEM")),
    (("--pcr-certificate",), _list("FILE", "a certificate with its public half, instead")),
    (("--phases",), _list("PATH…", "phase paths to sign for, with commas")),
    (("--policyref",), _list("TEXT", "what the signatures are bound to")),
    (("--sign-initrd-pcrs",), _yes_or_no("sign also for the initrd alone")),
    (("--pcr-banks",), _value("BANK…", "banks, with commas (default: sha1,sha256,sha384,sha512)")),
    (
        ("--pcr-passphrase-file",),
        _value("FILE", "passphrase or PIN of the PCR signing keys (default: as for Secure Boot)"),
    ),
    (("--pcrpkey",), _value("FILE", "public key for sealing [.pcrpkey] (default: the only one)")),
    (
        ("--policy-digest",),
        _yes_or_no("print PCR policies to be signed elsewhere, and leave room for them"),
    ),
    (("--join-pcrsig",), _value("UKI", "put the signatures of --pcrsig into this UKI")),
    (("--pcrsig",), _value("TEXT|@PATH", "PCR signatures made elsewhere, JSON")),
    *_SECURE_BOOT,
    (
        ("--sign-kernel",),
        _yes_or_no("sign the kernel inside, or do not (default: if it bears no signature)"),
    ),
    *_INITRD,
    (("--measure",), _yes_or_no("show what PCR 11 will be")),
    (
        ("--efi-size-warn",),
        {
            "metavar": "MB",
            "type": int,
            "default": 1024,
            "help": "warn above this size (default: 1024)",
        },
    ),
    (
        ("--esp-copies",),
        {"metavar": "N", "type": int, "default": 1, "help": "copies on the ESP (Kairos: 4)"},
    ),
    (("--esp-size",), {"metavar": "MB", "type": int, "help": "warn if the copies do not fit"}),
    *_COMPATIBLE,
    (("--output", "-o"), _value("FILE", "the result (default: LINUX.efi or LINUX.unsigned.efi)")),
    *_OUTPUT,
]
ADDON: Final[Options] = [
    *_CONTENT,
    *_TARGET,
    *_SECURE_BOOT,
    *_INITRD,
    (("--output", "-o"), {**_value("FILE", "the result, NAME.addon.efi"), "required": True}),
    *_OUTPUT,
]
INSPECT: Final[Options] = [
    (("files",), {"metavar": "FILE", "nargs": "+", "help": "UKI, addon or other EFI executable"}),
    (
        ("--section",),
        {
            **_list("NAME[:text|binary][@PATH]", "only this section, or write it to a file"),
            "default": [],
        },
    ),
    (
        ("--profile",),
        {"metavar": "N", "type": int, "help": "only what profile N shows the stub, from 0"},
    ),
    (("--all",), _switch("also sections that say nothing of the system (.text, .reloc)")),
    (("--initrd-sizes",), _switch("also what takes the room in the initrd")),
    (("--force",), _switch("replace existing files")),
    *_JSON,
]
