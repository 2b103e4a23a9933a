"""The options and examples of ``sysgraft ext``, verb by verb, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base import systemd

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

_KEY_HELP: Final = "private key: a path, file: or pkcs11: URI (PEM, PKCS#8, encrypted too)"
_CERTIFICATE_HELP: Final = "its certificate: a path, file: or pkcs11: URI (PEM or DER)"

BUILD_EXAMPLE: Final = """\
SOURCE is a path (a folder, .deb, .rpm, tar, saved container image, extension image: told by its
content), the name of a container image (the local daemon's if it has it, else the registry's), or
  dir:PATH  deb:FILE  rpm:FILE  tar:FILE  raw:FILE (an extension image)
  docker-archive:FILE[:REF]  oci-archive:FILE[:REF]  oci:DIR[:TAG]
  docker://NAME (a registry)  docker-daemon:NAME (Docker or Podman)  catalog:NAME[@VERSION]
Later sources lie over earlier ones. Of an image the last layer is taken (--layers all: all).

examples:
  sysgraft ext build firmware ./firmware --output . --private-key db.key --certificate db.pem
  sysgraft ext build --private-key=db.key --certificate=db.pem --output=. firmware \
    firmware:ubuntu-24.04
  sysgraft ext build tools docker://registry.example.org/tools:1.2 --layers all --unsigned
"""
INSPECT_EXAMPLE: Final = """\
example:
  sysgraft ext inspect firmware.sysext.raw --files
"""
VERIFY_EXAMPLE: Final = """\
checks: gpt root-hash-link verity-tree signature trust revocation name extension-release
  host-match image-policy. Exit 0: everything required is ok. Exit 1: something is not, or
  could not be checked. The certificate inside a signature never creates trust.

examples:
  sysgraft ext verify firmware.sysext.raw --certificate db.pem
  sysgraft ext verify *.raw --cert-dir /etc/verity.d --os-release /etc/os-release --json
  sysgraft ext verify firmware.sysext.raw --efivars /sys/firmware/efi/efivars
"""
SIGN_EXAMPLE: Final = """\
examples:
  sysgraft ext sign firmware.sysext.raw --output signed/firmware.sysext.raw \\
    --private-key db.key --certificate db.pem
  sysgraft ext sign firmware.sysext.raw --force --certificate db.pem --join-signature hash.p7s
"""
UNSIGN_EXAMPLE: Final = """\
example:
  sysgraft ext unsign firmware.sysext.raw --output unsigned/firmware.sysext.raw
"""
DIFF_EXAMPLE: Final = """\
Files are compared by type, mode, owner, size, content, link target and attributes, not by time.
Exit 0: nothing is different. Exit 1: something is, or could not be compared.

example:
  sysgraft ext diff old/firmware.sysext.raw new/firmware.sysext.raw
"""
EXTRACT_EXAMPLE: Final = """\
DIR appears whole or not at all. As root, files get their owners, attributes and devices; for others
what could not be kept is counted. Nothing is verified: that is ext verify.

examples:
  sysgraft ext extract firmware.sysext.raw firmware
  sysgraft ext extract firmware.sysext.raw modules --path usr/lib/modules
"""
ORDER_EXAMPLE: Final = """\
Only the names count; the files need not be there. What comes last lies over the others, and where
two have the same file, its file is seen. The stub's order counts for PCR 12 and 13.

examples:
  sysgraft ext order firmware_2 firmware_10 tools
  sysgraft ext order linux.efi.extra.d/*.raw --json
"""

SIGNING: Final[Options] = [
    (("--private-key",), {"metavar": "KEY", "help": _KEY_HELP}),
    (("--certificate",), {"metavar": "CERT", "help": _CERTIFICATE_HELP}),
    (
        ("--passphrase-file",),
        {
            "metavar": "FILE",
            "help": "file with the key's passphrase or PIN (else $SYSGRAFT_PASSPHRASE, or a "
            "prompt)",
        },
    ),
    (
        ("--nocerts",),
        {
            "action": "store_true",
            "help": "leave the certificate out of the signature, as openssl -nocerts",
        },
    ),
]
JSON: Final[Options] = [
    (("--json",), {"action": "store_true", "help": "one JSON document on stdout"})
]
_FORCE: Final[Options] = [
    (("--force",), {"action": "store_true", "help": "replace an existing file"})
]

TRUST: Final[Options] = [
    (
        ("--certificate",),
        {
            "metavar": "CERT",
            "action": "append",
            "default": [],
            "help": "trust this certificate; again for more",
        },
    ),
    (
        ("--cert-dir",),
        {
            "metavar": "DIR",
            "action": "append",
            "default": [],
            "help": "trust the *.crt of this folder, as verity.d",
        },
    ),
    (
        ("--esl",),
        {
            "metavar": "FILE",
            "action": "append",
            "default": [],
            "help": "trust the certificates of an EFI signature list",
        },
    ),
    (("--dbx",), {"metavar": "FILE", "help": "revocations: an EFI signature list"}),
    (
        ("--efivars",),
        {
            "metavar": "DIR",
            "help": "trust PK, KEK and db minus dbx of these EFI variables, if Secure Boot is on",
        },
    ),
]
"""Whose signatures are taken."""
HOST: Final[Options] = [
    (
        ("--systemd-version",),
        {
            "metavar": "N",
            "type": int,
            "default": 262,
            "help": "judge as this systemd would (default: 262)",
        },
    ),
    (("--os-release",), {"metavar": "FILE", "help": "os-release of the host to match"}),
    (("--arch",), {"metavar": "ARCH", "help": "architecture of the host to match"}),
]
"""Where an image is to be merged."""

BUILD: Final[Options] = [
    (("name",), {"metavar": "NAME", "help": "name of the extension"}),
    (("sources",), {"metavar": "SOURCE", "nargs": "+", "help": "what goes in, see below"}),
    (
        ("--output",),
        {"metavar": "DIR", "default": ".", "help": "folder for NAME.sysext.raw (default: here)"},
    ),
    *SIGNING,
    (("--unsigned",), {"action": "store_true", "help": "dm-verity without a signature"}),
    (
        ("--also-unsigned",),
        {
            "action": "store_true",
            "help": "also write the same image without its signature, to DIR/unsigned/",
        },
    ),
    (
        ("--type",),
        {
            "choices": ["sysext", "confext"],
            "default": "sysext",
            "help": "sysext extends /usr, confext /etc",
        },
    ),
    (
        ("--arch",),
        {
            "metavar": "ARCH",
            "help": "architecture, systemd's or Docker's name (default: the source's, else x86-64)",
        },
    ),
    (
        ("--release",),
        {
            "metavar": "KEY=VALUE",
            "action": "append",
            "default": [],
            "help": "a field of extension-release; again for more",
        },
    ),
    (
        ("--match-os",),
        {
            "metavar": "FILE",
            "help": "match only hosts with the ID and level or version of this os-release",
        },
    ),
    (
        ("--service-reload", "--service-load"),
        {
            "action": "store_true",
            "dest": "service_reload",
            "help": "have systemd reload its units after the merge",
        },
    ),
    (
        ("--compress",),
        {
            "metavar": "CODEC[:LEVEL]",
            "default": "none",
            "help": "none, lz4, lz4hc[:3-12] or zstd[:1-22] (default: none)",
        },
    ),
    (
        ("--layers",),
        {
            "metavar": "WHICH",
            "default": "last",
            "help": "of an image: last (the default), all, or since:IMAGE for what it adds to that",
        },
    ),
    (
        ("--insecure-registry",),
        {
            "metavar": "HOST",
            "action": "append",
            "default": [],
            "help": "HOST[:PORT] that may speak plain HTTP or show any certificate",
        },
    ),
    (
        ("--catalog",),
        {
            "metavar": "FILE|URL",
            "action": "append",
            "default": [],
            "help": "a catalog of extensions for catalog: sources; again for more, the first wins",
        },
    ),
    (
        ("--whiteouts",),
        {
            "choices": ["error", "drop", "keep"],
            "default": "error",
            "help": "deletions of files no source holds: refuse, ignore, or hide the base's file",
        },
    ),
    (
        ("--owner",),
        {
            "choices": ["root", "keep"],
            "help": "owners (default: archives keep theirs, folders become root's)",
        },
    ),
    (
        ("--include-path",),
        {
            "metavar": "PREFIX",
            "action": "append",
            "default": [],
            "help": "also take what is below PREFIX, such as /opt",
        },
    ),
    (("--with-opt",), {"action": "store_true", "help": "the same as --include-path /opt"}),
    (
        ("--exclude",),
        {
            "metavar": "GLOB",
            "action": "append",
            "default": [],
            "help": "leave out matching paths; again for more",
        },
    ),
    (
        ("--seed",),
        {"metavar": "UUID", "help": "seed of all identifiers (default: derived from NAME)"},
    ),
    (
        ("--source-date-epoch",),
        {
            "metavar": "SECONDS",
            "type": int,
            "help": "latest time stamp (default: $SOURCE_DATE_EPOCH)",
        },
    ),
    (("--debug",), {"action": "store_true", "help": "show a traceback on errors"}),
    *_FORCE,
    *JSON,
]
INSPECT: Final[Options] = [
    (("file",), {"metavar": "FILE", "help": "image"}),
    (("--files",), {"action": "store_true", "help": "list the content"}),
    *JSON,
]
VERIFY: Final[Options] = [
    (("files",), {"metavar": "FILE", "nargs": "+", "help": "images"}),
    *TRUST,
    (
        ("--image-policy",),
        {
            "metavar": "POLICY",
            "help": "policy to meet (default: @sysext-strict, for a confext @confext-strict)",
        },
    ),
    *HOST,
    (
        ("--allow-skip",),
        {
            "metavar": "CHECK",
            "action": "append",
            "default": [],
            "help": "do not fail when CHECK could not be made",
        },
    ),
    *JSON,
]
SIGN: Final[Options] = [
    (("file",), {"metavar": "FILE", "help": "image with dm-verity"}),
    (
        ("--output",),
        {"metavar": "FILE", "help": "where the result goes (default: FILE itself, with --force)"},
    ),
    *SIGNING,
    (
        ("--join-signature",),
        {
            "metavar": "P7S",
            "help": "take this ready-made PKCS#7 (DER) instead of signing with a key",
        },
    ),
    *_FORCE,
    *JSON,
]
UNSIGN: Final[Options] = [
    (("file",), {"metavar": "FILE", "help": "signed image"}),
    (
        ("--output",),
        {"metavar": "FILE", "help": "where the result goes (default: FILE itself, with --force)"},
    ),
    *_FORCE,
    *JSON,
]
DIFF: Final[Options] = [
    (("old",), {"metavar": "OLD", "help": "an image"}),
    (("new",), {"metavar": "NEW", "help": "another one"}),
    *JSON,
]
EXTRACT: Final[Options] = [
    (("file",), {"metavar": "FILE", "help": "an image, with a partition table or without"}),
    (("folder",), {"metavar": "DIR", "help": "a folder that is empty or not there yet"}),
    (
        ("--path",),
        {
            "metavar": "PATH",
            "action": "append",
            "default": [],
            "help": "only this file or folder of the image; again for more",
        },
    ),
    *JSON,
]
ORDER: Final[Options] = [
    (
        ("names",),
        {"metavar": "NAME", "nargs": "+", "help": "names of extensions, or of their files"},
    ),
    (
        ("--type",),
        {
            "choices": ["sysext", "confext"],
            "default": "sysext",
            "help": "what those are whose names do not say it (default: sysext)",
        },
    ),
    (
        ("--systemd-version",),
        {
            "metavar": "N",
            "type": int,
            "default": systemd.LATEST,
            "help": f"release of systemd and its stub (default: {systemd.LATEST})",
        },
    ),
    *JSON,
]
