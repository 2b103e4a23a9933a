"""Entries for a signature database in whatever form a file has them.

Certificates (PEM, DER, PEM bundles), signature lists (``.esl``), signed updates (``.auth``, whose
signature is not looked at) and SHA-256 hashes of programs as text, one in a line, as sha256sum
writes them. Told by content, since the names of such files say little. A program itself is not
one of them: its hash is not that of its bytes (see `sysgraft.formats.pe`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import authvar, esl
from sysgraft.formats.x509 import load_certificates, parse_certificate

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.formats.x509 import Certificate

MAX_INPUT: Final = authvar.MAX_UPDATE
"""Bytes in one file: the longest of these forms."""

_DER_START: Final = b"\x30\x82"
"""A SEQUENCE with a length of two bytes, as every certificate in DER begins."""
_PEM_START: Final = b"-----BEGIN "
_PEM_WITHIN: Final = 64 << 10
"""Bytes in which the first certificate begins, behind what openssl writes about it."""
_TYPE: Final = 16
_LIST_TYPES: Final = frozenset(
    kind.bytes_le
    for kind in (
        esl.CERT_X509,
        esl.CERT_SHA256,
        esl.CERT_X509_SHA256,
        esl.CERT_X509_SHA384,
        esl.CERT_X509_SHA512,
    )
)
"""What signature lists begin with; lists of other types are told by being nothing else."""
_HASH_LINE: Final = re.compile(rb"([0-9A-Fa-f]{64})(?:\s.*)?")


def read_entries(data: bytes, owner: UUID) -> tuple[esl.SignatureList, ...]:
    """The entries in a file.

    Args:
        data: its content.
        owner: whose the entries are; lists and updates name owners of their own.

    Returns:
        At least one list. Each certificate is in a list of its own, since lengths differ.

    Raises:
        LimitError: it is larger than the parser of its form takes.
        FormatError: it has none of the forms, or a broken one.
    """
    if authvar.is_update(data):
        data = authvar.parse(data).value
    elif data[:_TYPE] in _LIST_TYPES:
        pass  # whatever is inside, such as the words that PEM begins with
    elif data.startswith(_DER_START) or _PEM_START in data[:_PEM_WITHIN]:
        return tuple(certificate_list(each, owner) for each in load_certificates(data))
    elif hashes := _read_hashes(data):
        return (hash_list(hashes, owner),)
    lists = tuple(each for each in esl.parse(data) if each.signatures)
    if not lists:
        raise FormatError("there is no entry for a signature database in it")
    return lists


def certificate_list(certificate: Certificate, owner: UUID) -> esl.SignatureList:
    """A list with one certificate, as cert-to-efi-sig-list writes it."""
    return esl.SignatureList(esl.CERT_X509, (esl.Signature(owner, certificate.der),))


def hash_list(hashes: tuple[bytes, ...], owner: UUID) -> esl.SignatureList:
    """A list with SHA-256 hashes of programs."""
    return esl.SignatureList(esl.CERT_SHA256, tuple(esl.Signature(owner, each) for each in hashes))


def certificates_in(lists: tuple[esl.SignatureList, ...]) -> tuple[Certificate, ...]:
    """The certificates among the entries.

    Raises:
        FormatError: one cannot be read.
    """
    return tuple(
        parse_certificate(entry.data)
        for each in lists
        if each.type == esl.CERT_X509
        for entry in each.signatures
    )


def _read_hashes(data: bytes) -> tuple[bytes, ...]:
    """The hashes of a text with one in each line; nothing if it is not such a text."""
    lines = [line.strip() for line in data.splitlines()[: esl.MAX_SIGNATURES + 1]]
    matches = [_HASH_LINE.fullmatch(line) for line in lines if line and not line.startswith(b"#")]
    if not matches or not all(matches) or len(matches) > esl.MAX_SIGNATURES:
        return ()
    return tuple(bytes.fromhex(each[1].decode()) for each in matches if each)
