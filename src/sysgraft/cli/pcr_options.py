"""The options of ``sysgraft pcr``, verb by verb, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

BOOT: Final[Options] = [
    (("--uki",), value("FILE", "the unified kernel image")),
    (
        ("--extra",),
        several("FILE|DIR", "what lies beside it: files, or a NAME.efi.extra.d folder"),
    ),
    (("--global",), value("DIR", "the ESP's folder loader/", dest="global_folder")),
    (
        ("--loader",),
        several("FILE", "a program that runs before it, for PCR 4: shim, systemd-boot; in order"),
    ),
    (("--esp",), value("DIR|IMAGE", "an EFI system partition instead of single files")),
    (
        ("--entry",),
        value("NAME", "the boot entry on it, or the path of a UKI on it"),
    ),
    (
        ("--cmdline",),
        value("TEXT", "the command line that is given to the image, instead of the boot entry's"),
    ),
    (("--profile",), value("N", "the profile that is chosen", type=int)),
    (
        ("--smbios-cmdline",),
        value("TEXT", "io.systemd.stub.kernel-cmdline-extra of the firmware"),
    ),
    (
        ("--stub-version",),
        value("N", "release of systemd-stub (default: what the image says)", type=int),
    ),
    (
        ("--systemd-version",),
        value("N", "release of systemd in the initrd (default: that of the stub)", type=int),
    ),
    (
        ("--secure-boot",),
        {
            "choices": ["on", "off"],
            "help": "whether signatures are enforced (default: on if the image is signed)",
        },
    ),
    (
        ("--efivars",),
        value(
            "DIR|FILE",
            "the firmware's keys, for PCR 7 and addons: EFI variables, a folder of keys generate, "
            "or a variable store",
        ),
    ),
    (
        ("--hardware",),
        several("SECTION=N", "which section for certain hardware fits: .dtbauto=1, .efifw=2"),
    ),
]
SETS: Final[Options] = [
    (
        ("--set",),
        several(
            "[NAME=]FILE|DIR[,…]",
            "another set of files beside the image, with what --extra names",
            dest="sets",
        ),
    ),
    (
        ("--all-subsets",),
        switch("every subset of the files beside the image, none of them among it"),
    ),
]
VALUES: Final[Options] = [
    (
        ("--pcr",),
        several("N", "which PCRs, also as 11+13 (default: 4, 11, 12, 13)", dest="pcrs"),
    ),
    (
        ("--phase", "--phases"),
        several(
            "PATH", "phase path, as in systemd-measure; : is the start of the kernel", dest="phases"
        ),
    ),
    (
        ("--bank",),
        several("BANK", "sha1, sha256, sha384, sha512 (default: sha256)", dest="banks"),
    ),
]

BOUND: Final[Options] = [
    (
        ("--phase", "--phases"),
        several(
            "PATH",
            "phase path (default: enter-initrd); : is the start of the kernel",
            dest="phases",
        ),
    ),
    (("--bank",), several("BANK", "which bank (default: the header's, or sha256)", dest="banks")),
    (("--luks",), value("IMAGE|DEVICE", "the volume that is to be unlocked (LUKS2)")),
    (
        ("--public-key",),
        value("KEY", "the key that is enrolled (default: the header's, or the image's .pcrpkey)"),
    ),
    (("--policyref",), value("TEXT", "the text that sign --policyref bound the signatures to")),
]

PREDICT_EXAMPLE: Final = """\
What a TPM holds once exactly these files are booted: PCR 4 (programs), 11 (the image and how far
the boot has come), 12 (command lines, credentials, confexts, addons), 13 (sysexts); if asked for
also 7 (Secure Boot, with --efivars) and 9 (the whole initrd, with stubs up to 260).
Without --uki, PCR 12 and 13 of the files beside an image, by the rules of --stub-version.

examples:
  sysgraft pcr predict --uki linux.efi --extra firmware.sysext.raw
  sysgraft pcr predict --esp /efi --entry active --pcr 11+13 --json
  sysgraft pcr predict --uki linux.efi --extra linux.efi.extra.d --pcrlock /var/lib/pcrlock.d
"""
PREDICT: Final[Options] = [
    *BOOT,
    *SETS,
    *VALUES,
    (("--events",), switch("list what is measured, in order")),
    (
        ("--pcrlock",),
        value("DIR", "write components for systemd-pcrlock into this folder"),
    ),
    (("--force",), switch("replace components that are there")),
    *JSON,
]
