"""The options and examples of ``sysgraft uki sign`` and ``uki verify``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

SIGN_EXAMPLE: Final = """\
FILE may be any EFI executable: a UKI, an addon, a kernel, a boot loader. A signature that is there
stays, the new one comes behind it. The result is the same every time: no time is written.

examples:
  sysgraft uki sign linux.efi --output signed/linux.efi --private-key db.key --certificate db.pem
  sysgraft uki sign debug.addon.efi --force --replace --private-key db.key --certificate db.pem
"""
VERIFY_EXAMPLE: Final = """\
checks: pe signature trust revocation content. Exit 0: everything required is ok. Exit 1: something
  is not, or could not be checked. Judges as UEFI firmware does: a trusted certificate may be the
  signer's or stand above it; the certificates inside a signature never create trust.

examples:
  sysgraft uki verify linux.efi --certificate db.pem
  sysgraft uki verify *.efi --esl db.esl --dbx dbx.esl --json
  sysgraft uki verify linux.efi --efivars /sys/firmware/efi/efivars
"""

_JSON: Final[Options] = [
    (("--json",), {"action": "store_true", "help": "one JSON document on stdout"})
]

SIGN: Final[Options] = [
    (("file",), {"metavar": "FILE", "help": "EFI executable"}),
    (
        ("--output",),
        {"metavar": "FILE", "help": "where the result goes (default: FILE itself, with --force)"},
    ),
    (
        ("--private-key", "--secureboot-private-key", "--key"),
        {
            "metavar": "KEY",
            "required": True,
            "help": "private key: a path, file: or pkcs11: URI (PEM, PKCS#8, encrypted too)",
        },
    ),
    (
        ("--certificate", "--secureboot-certificate", "--cert"),
        {
            "metavar": "CERT",
            "required": True,
            "help": "its certificate: a path, file: or pkcs11: URI (PEM or DER)",
        },
    ),
    (
        ("--passphrase-file",),
        {
            "metavar": "FILE",
            "help": "file with the key's passphrase (else $SYSGRAFT_PASSPHRASE, or a prompt)",
        },
    ),
    (
        ("--add-certificate", "--addcert"),
        {
            "metavar": "CERT",
            "action": "append",
            "default": [],
            "help": "put the certificates of this file beside the signer's; again for more",
        },
    ),
    (("--replace",), {"action": "store_true", "help": "drop signatures that are there"}),
    (("--force",), {"action": "store_true", "help": "replace an existing file"}),
    *_JSON,
]
VERIFY: Final[Options] = [
    (("files",), {"metavar": "FILE", "nargs": "+", "help": "EFI executables"}),
    (
        ("--certificate",),
        {
            "metavar": "CERT",
            "action": "append",
            "default": [],
            "help": "trust this certificate and what it issued; again for more",
        },
    ),
    (
        ("--esl",),
        {
            "metavar": "FILE",
            "action": "append",
            "default": [],
            "help": "trust the certificates and digests of an EFI signature list, such as a db",
        },
    ),
    (("--dbx",), {"metavar": "FILE", "help": "revocations: an EFI signature list"}),
    (
        ("--efivars",),
        {
            "metavar": "DIR",
            "help": "trust db minus dbx of these EFI variables, if Secure Boot is on",
        },
    ),
    (
        ("--allow-skip",),
        {
            "metavar": "CHECK",
            "action": "append",
            "default": [],
            "help": "do not fail when CHECK could not be made",
        },
    ),
    *_JSON,
]
