"""The options of ``sysgraft pcr enroll`` and ``pcr units``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

ENROLL_EXAMPLE: Final = """\
Binds a LUKS2 volume to signed policies for PCR 11 and 13 (or --pcr), with systemd-cryptenroll.
Refuses if this boot could not unlock it again: the values it had at --phase have to be signed. A
recovery key is added where nothing else would open the volume, and printed once: write it down.
No PCR is enrolled with a fixed value.
Exit 1: something speaks against it, and nothing was changed.

checks: volume event-log key boots-again placement location

examples:
  sysgraft pcr enroll /dev/disk/by-partlabel/data --dry-run
  sysgraft pcr enroll /dev/vda3 --phase : --unlock-key-file key --recovery-key add
"""
UNITS_EXAMPLE: Final = """\
Files for an initrd: a unit that runs before anything is unlocked, and its script (a POSIX shell
script, no Python). It collects the *.pcrsig.json files that lie beside the booted image, in
NAME.efi.extra.d/ and loader/extensions/, for systemd-cryptsetup. The initrd has to have grep,
mount, sed, tail, tr and the kernel's vfat.

examples:
  sysgraft pcr units --output initrd-tree
  sysgraft uki build --initrd initrd.img --initrd dir:initrd-tree --linux vmlinuz --output linux.efi
"""

ENROLL: Final[Options] = [
    (("device",), {"metavar": "DEVICE", "help": "the volume (LUKS2)"}),
    (
        ("--signatures", "--tpm2-signature"),
        several(
            "FILE",
            "signatures for coming boots (default: what this boot collected, "
            "/run/systemd/tpm2-pcr-signature.json); looked at before anything is done",
        ),
    ),
    (
        ("--public-key", "--tpm2-public-key"),
        value(
            "FILE",
            "who signs, PEM (default: the image's, /run/systemd/tpm2-pcr-public-key.pem)",
        ),
    ),
    (
        ("--pcr", "--tpm2-public-key-pcrs"),
        several("N", "PCRs that are enrolled together (default: 11+13)", dest="pcrs"),
    ),
    (("--bank",), value("BANK", "which bank (default: sha256)")),
    (
        ("--phase",),
        value(
            "PATH",
            "where the volume is unlocked (default: enter-initrd); : is the start of the kernel, "
            "for a system that has no initrd of its own",
        ),
    ),
    (
        ("--recovery-key",),
        {
            "choices": ["auto", "add", "keep"],
            "default": "auto",
            "help": "add a recovery key, or keep what there is (default: add one if nothing but "
            "a TPM opens the volume)",
        },
    ),
    (
        ("--unlock-key-file",),
        value("FILE", "opens the volume now (else $SYSGRAFT_PASSPHRASE, or a prompt)"),
    ),
    (
        ("--policyref", "--tpm2-public-key-policyref"),
        value("TEXT", "the text that pcr sign --policyref bound the signatures to (systemd 262)"),
    ),
    (("--tpm2-device",), value("PATH", "which TPM (default: auto)")),
    (("--tpm2-with-pin",), switch("ask for a PIN too")),
    (("--wipe",), switch("remove what a TPM opened until now")),
    (
        ("--allow-unmeasured",),
        switch("although system extensions are in use that nobody measures"),
    ),
    (("--root",), value("DIR", "where the machine's files are (default: /)")),
    (("--event-log",), value("FILE", "the firmware's event log")),
    (("--userspace-log",), value("FILE", "systemd's log of measurements")),
    (("--values",), value("DIR|FILE", "the TPM's values")),
    (("--dry-run",), switch("check, and print what would be done")),
    *JSON,
]
UNITS: Final[Options] = [
    (
        ("--output",),
        value("DIR", "the root of the tree that the files are written below", required=True),
    ),
    (("--force",), switch("replace files that are there")),
    *JSON,
]
