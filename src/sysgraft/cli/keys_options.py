"""The options and examples of ``sysgraft keys``, verb by verb, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

GENERATE_EXAMPLE: Final = """\
Makes PK, KEK and db, each as .key .pem .der .esl .auth (PK signs PK and KEK, KEK signs db), and
tpm2-pcr-private.pem with tpm2-pcr-public.pem for PCR policies. The private keys are encrypted if
there is a passphrase. FILE is a certificate (PEM, DER), signature lists (.esl, .auth), text with
SHA-256 hashes, or an EFI executable, which stands for its own hash.

examples:
  sysgraft keys generate mykeys --output keys
  sysgraft keys generate mykeys -o keys -e 730 --extension-key --db-certificate microsoft.der
"""
SIGN_EXAMPLE: Final = """\
PK and KEK are signed with PK's key, db and dbx with KEK's. FILE is a certificate (PEM, DER),
signature lists (.esl, .auth), text with SHA-256 hashes, or an EFI executable, which stands for its
own hash. Without FILE the database is emptied.

examples:
  sysgraft keys sign dbx old.efi --append --output dbx.auth \\
    --private-key keys/KEK.key --certificate keys/KEK.pem
  sysgraft keys sign db keys/db.esl new/db.pem --output db.auth \\
    --private-key "pkcs11:token=HSM;object=KEK" --certificate KEK.pem
"""
CERTIFY_EXAMPLE: Final = """\
For keys in a token, which no other program need be able to use. The certificate signs nothing but
itself and is one for Secure Boot: it names a key.

example:
  sysgraft keys certify "mykeys KEK" --private-key "pkcs11:token=HSM;object=KEK" --output KEK.pem
"""
ENROLL_EXAMPLE: Final = """\
DIR is a folder that keys generate has made, or any with PK, KEK and db (dbx) as .esl and .auth.
With --output it becomes a variable store for OVMF with Secure Boot on (needs virt-fw-vars); with
--esp the .auth files are put where systemd-boot enrols them from.

examples:
  sysgraft keys enroll-vars keys --output OVMF_VARS.fd
  sysgraft keys enroll-vars keys --esp /efi
"""

_JSON: Final[Options] = [
    (("--json",), {"action": "store_true", "help": "one JSON document on stdout"})
]
_FORCE: Final[Options] = [
    (("--force",), {"action": "store_true", "help": "replace existing files"})
]
_TIME: Final[Options] = [
    (
        ("--time",),
        {
            "metavar": "TIME",
            "help": "time of the signed updates and certificates, such as 2026-01-31T12:00:00Z "
            "(default: $SOURCE_DATE_EPOCH, else now)",
        },
    )
]
_DAYS: Final[Options] = [
    (
        ("-e", "--expiration-in-days"),
        {
            "metavar": "DAYS",
            "type": int,
            "default": 3650,
            "help": "how long certificates are valid (default: 3650)",
        },
    )
]
_OWNER: Final[Options] = [
    (
        ("--owner",),
        {"metavar": "UUID", "help": "owner of the entries (default: derived from the name)"},
    )
]
_KEY: Final[Options] = [
    (
        ("--private-key",),
        {
            "metavar": "KEY",
            "required": True,
            "help": "private key: a path, file: or pkcs11: URI (PEM, PKCS#8, encrypted too)",
        },
    )
]
_PASSPHRASE: Final[Options] = [
    (
        ("--passphrase-file",),
        {
            "metavar": "FILE",
            "help": "file with the key's passphrase or PIN (else $SYSGRAFT_PASSPHRASE, or a "
            "prompt)",
        },
    )
]

GENERATE: Final[Options] = [
    (
        ("name",),
        {"metavar": "NAME", "help": "what the certificates are called: NAME PK, NAME KEK, NAME db"},
    ),
    (
        ("-o", "--output"),
        {"metavar": "DIR", "default": "keys", "help": "folder to make (default: keys)"},
    ),
    *_DAYS,
    (
        ("--rsa-bits",),
        {
            "type": int,
            "choices": [2048, 3072, 4096],
            "default": 2048,
            "help": "size of the Secure Boot keys; some firmware takes 2048 only (default: 2048)",
        },
    ),
    (
        ("--extension-key",),
        {
            "action": "store_true",
            "help": "make a key for extensions too, whose certificate is not in db",
        },
    ),
    (
        ("--db-certificate",),
        {
            "metavar": "FILE",
            "action": "append",
            "default": [],
            "help": "also trust this in db, such as Microsoft's certificates; again for more",
        },
    ),
    (
        ("--kek-certificate",),
        {
            "metavar": "FILE",
            "action": "append",
            "default": [],
            "help": "also let this change db and dbx; again for more",
        },
    ),
    (
        ("--custom-cert-dir",),
        {"metavar": "DIR", "help": "also trust the files db and KEK of this folder"},
    ),
    (
        ("--dbx",),
        {
            "metavar": "FILE",
            "action": "append",
            "default": [],
            "help": "make a dbx that revokes this; again for more",
        },
    ),
    *_OWNER,
    *_TIME,
    (
        ("--passphrase-file",),
        {
            "metavar": "FILE",
            "help": "file with a passphrase to encrypt the keys with (else $SYSGRAFT_PASSPHRASE; "
            "without either they are not encrypted)",
        },
    ),
    *_FORCE,
    *_JSON,
]
SIGN: Final[Options] = [
    (
        ("variable",),
        {
            "metavar": "VARIABLE",
            "choices": ["PK", "KEK", "db", "dbx"],
            "help": "PK, KEK, db or dbx",
        },
    ),
    (("files",), {"metavar": "FILE", "nargs": "*", "help": "what goes in, see below"}),
    (
        ("-o", "--output"),
        {"metavar": "FILE", "required": True, "help": "the signed update, such as db.auth"},
    ),
    *_KEY,
    (
        ("--certificate",),
        {
            "metavar": "CERT",
            "required": True,
            "help": "its certificate: a path, file: or pkcs11: URI (PEM or DER)",
        },
    ),
    *_PASSPHRASE,
    (
        ("--append",),
        {
            "action": "store_true",
            "help": "add to what the machine has, instead of replacing it",
        },
    ),
    *_OWNER,
    *_TIME,
    *_FORCE,
    *_JSON,
]
CERTIFY: Final[Options] = [
    (("name",), {"metavar": "NAME", "help": "whom the certificate names"}),
    (
        ("-o", "--output"),
        {"metavar": "FILE", "required": True, "help": "the certificate, PEM"},
    ),
    *_KEY,
    *_PASSPHRASE,
    *_DAYS,
    *_TIME,
    *_FORCE,
    *_JSON,
]
ENROLL: Final[Options] = [
    (("folder",), {"metavar": "DIR", "help": "folder with the keys"}),
    (("-o", "--output"), {"metavar": "FILE", "help": "variable store to make"}),
    (
        ("--template",),
        {
            "metavar": "FILE",
            "help": "empty variable store of the same firmware (default: this machine's OVMF)",
        },
    ),
    (
        ("--esp",),
        {"metavar": "FOLDER", "help": "ESP whose loader/keys/auto gets the .auth files"},
    ),
    *_FORCE,
    *_JSON,
]
