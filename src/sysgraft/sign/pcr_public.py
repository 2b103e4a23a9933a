"""Public keys that PCR policies are signed for: read from PEM or a certificate, and named.

The bytes of a PEM file go into ``.pcrpkey`` as they are; signatures name the key by its fingerprint
(`sysgraft.sign.pcr.fingerprint`).
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, in_file
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.small import read_small
from sysgraft.sign import pcr as sign_pcr
from sysgraft.sign.pair import load_certificate_file
from sysgraft.sign.source import resolve

if TYPE_CHECKING:
    from sysgraft.sign.keys import Passphrase

_BEGIN: Final = b"-----BEGIN PUBLIC KEY-----"
_END: Final = b"-----END PUBLIC KEY-----"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Attributes:
        pem: the bytes that go into ``.pcrpkey``.
        der: SubjectPublicKeyInfo.
        fingerprint: how signatures name it.
    """

    pem: bytes
    der: bytes
    fingerprint: bytes


def from_der(der: bytes, pem: bytes | None = None) -> PublicKey:
    """The key of a SubjectPublicKeyInfo.

    Raises:
        KeyMaterialError: it is no RSA key.
    """
    return PublicKey(pem or as_pem(der), der, sign_pcr.fingerprint(der))


def from_pem(data: bytes) -> PublicKey:
    """The key in a PEM text, such as the content of ``.pcrpkey``.

    Raises:
        FormatError: there is none.
        KeyMaterialError: it is no RSA key.
    """
    return from_der(public_key_in(data), data)


def read_public(
    name: str, passphrase: Passphrase = None, *, is_certificate: bool = False
) -> PublicKey:
    """A public key or a certificate; a certificate is taken for the key too, as by ukify.

    Raises:
        InputError: the file cannot be read.
        KeyMaterialError: it is no RSA key.
    """
    source = resolve(name)
    with in_file(source.label):
        if source.kind == "file" and not is_certificate:
            data = read_small(source.path, MAX_BUNDLE, "public key")
            if _CERTIFICATE not in data:
                return from_pem(data)
        return from_der(load_certificate_file(name, passphrase).key_der)


def public_key_in(data: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a PEM file.

    Raises:
        FormatError: it is none.
    """
    _, begin, rest = data.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not begin or not end:
        raise FormatError("not a public key in PEM", hint="openssl pkey -pubout makes one")
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError as error:
        raise FormatError("the public key is not base64") from error


def as_pem(der: bytes) -> bytes:
    """A SubjectPublicKeyInfo in PEM (RFC 7468)."""
    lines = textwrap.wrap(base64.b64encode(der).decode("ascii"), 64)
    return b"\n".join((_BEGIN, *(line.encode("ascii") for line in lines), _END, b""))
