"""The options of ``sysgraft pcr sign`` and ``pcr check``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value
from sysgraft.cli.pcr_options import BOOT, BOUND, SETS

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

SIGN_EXAMPLE: Final = """\
Signs what will be in PCR 11 and 13 (or those of --pcr) at each phase, for every set: the file that
systemd-cryptsetup reads as tpm2-pcr-signature.json. Without --output it goes to stdout.

With the key elsewhere: --to-be-signed writes the policies; sign the bytes "tbs" of each (RSASSA
with SHA-256), and put the signatures in with --attach, as the same JSON with "sig", or as a folder
with a file POLICY.sig for each.

examples:
  sysgraft pcr sign --uki linux.efi --extra firmware.sysext.raw --private-key tpm2-pcr-private.pem
  sysgraft pcr sign --uki linux.efi --set old.raw --set new.raw --append signatures.json \\
      --phase enter-initrd --private-key tpm2-pcr-private.pem --output new-signatures.json
  sysgraft pcr sign --uki linux.efi --extra a.raw --to-be-signed --public-key k.pem --output p.json
  sysgraft pcr sign --policies p.json --attach signed.json --public-key k.pem --output sig.json
"""
CHECK_EXAMPLE: Final = """\
Does a signature file open what is sealed, once these files are booted? Exit 0: it does, at every
phase (default: enter-initrd, where an initrd unlocks its disks), for every set. Exit 1: it does
not, and why. With --luks, what the volume's header asks for counts: PCRs, bank, key, policyref.

examples:
  sysgraft pcr check signatures.json --uki linux.efi --extra firmware.sysext.raw
  sysgraft pcr check --uki linux.efi
  sysgraft pcr check signatures.json --esp /efi --entry active --luks /dev/disk/by-partlabel/data
"""

_PCRS: Final[Options] = [
    (
        ("--pcr",),
        several("N", "PCRs that are signed together (default: 11+13)", dest="pcrs"),
    ),
    (
        ("--phase", "--phases"),
        several(
            "PATH",
            "phase path, as in systemd-measure; : is the start of the kernel (default: the four "
            "of a boot, the last of which opens a volume to the running system too)",
            dest="phases",
        ),
    ),
    (
        ("--bank",),
        several("BANK", "sha1, sha256, sha384, sha512 (default: sha256)", dest="banks"),
    ),
]
_KEY: Final[Options] = [
    (
        ("--private-key",),
        value("KEY", "who signs, RSA: a path, file: or pkcs11: URI (PEM, PKCS#8, encrypted too)"),
    ),
    (
        ("--public-key",),
        value("KEY", "its public half, where the private one is elsewhere (PEM or certificate)"),
    ),
    (
        ("--passphrase-file",),
        value("FILE", "file with the key's passphrase (else $SYSGRAFT_PASSPHRASE, or a prompt)"),
    ),
    (("--policyref",), value("TEXT", "bind the signatures to this text too (systemd 262)")),
]

SIGN: Final[Options] = [
    *BOOT,
    *SETS,
    *_PCRS,
    *_KEY,
    (("--append",), several("FILE", "put the new signatures behind those of this file")),
    (("--to-be-signed",), switch("do not sign: write what is to be signed elsewhere")),
    (("--attach",), value("FILE|DIR", "signatures that were made elsewhere")),
    (("--policies",), value("FILE", "what --to-be-signed wrote, instead of --uki and the like")),
    (("--output", "-o"), value("FILE", "where the signature file goes (default: stdout)")),
    (("--force",), switch("replace an existing file")),
    *JSON,
]
CHECK: Final[Options] = [
    (
        ("signatures",),
        {
            "metavar": "SIG.json",
            "nargs": "*",
            "help": "signature files (default: those in the image)",
        },
    ),
    *BOOT,
    *SETS,
    (
        ("--pcr",),
        several("N", "PCRs that are enrolled together (default: the file's)", dest="pcrs"),
    ),
    *BOUND,
    *JSON,
]
