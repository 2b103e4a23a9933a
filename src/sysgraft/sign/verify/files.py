"""Trust stores from what a user names: files, folders and firmware variables.

Each is a path or a ``file:`` URI, as for the certificate to sign with.
"""

from __future__ import annotations

from sysgraft.formats import esl
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.small import read_small
from sysgraft.sign.source import resolve
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.trust import TrustStore


def empty() -> TrustStore:
    """A store that trusts nobody."""
    return TrustStore()


def certificate(path: str) -> TrustStore:
    """The certificates of one file, PEM or DER."""
    path = resolve(path).path
    return trust.from_certificates(read_small(path, MAX_BUNDLE, "certificate"), path)


def folder(path: str) -> TrustStore:
    """The ``*.crt`` of a folder, as systemd reads ``verity.d``.

    Raises:
        InputError: the folder cannot be read.
    """
    from sysgraft.host.folders import read_folder  # noqa: PLC0415  only for folders

    path = resolve(path).path
    contents = read_folder(path, suffix=".crt", limit=MAX_BUNDLE, what="certificate")
    return trust.from_folder(contents, path)


def signature_lists(path: str, *, for_executables: bool = False) -> TrustStore:
    """The certificates of an EFI signature list file; also digests in it if for executables."""
    path = resolve(path).path
    data = read_small(path, esl.MAX_SIGNATURE_LISTS, "EFI signature list")
    return trust.from_signature_lists(data, path, for_executables=for_executables)


def dbx(path: str) -> TrustStore:
    """The revocations of an EFI signature list file."""
    path = resolve(path).path
    return trust.from_dbx(read_small(path, esl.MAX_SIGNATURE_LISTS, "EFI signature list"), path)


def efivars(path: str, *, for_executables: bool = False) -> TrustStore:
    """PK, KEK and db minus dbx of a folder like ``/sys/firmware/efi/efivars``.

    Args:
        path: the folder.
        for_executables: db minus dbx alone, as firmware judges what it starts.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    from sysgraft.host.efivars import EfivarsFolder  # noqa: PLC0415  only for firmware

    variables = EfivarsFolder(resolve(path).path)
    return trust.from_efivars(variables, for_executables=for_executables)
