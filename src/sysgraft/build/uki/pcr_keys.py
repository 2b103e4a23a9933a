"""The keys that sign PCR policies, and the public key that goes into the image.

Public halves may be given in PEM or as a certificate; where they are given, they must belong to
the private key: signatures by one key under another's name would unlock nothing.
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.build.uki.pcrs import INITRD_ONLY, SigningGroup
from sysgraft.errors import FormatError, KeyMaterialError, in_file
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.small import read_small
from sysgraft.measure import pcr11
from sysgraft.sign import pcr as sign_pcr
from sysgraft.sign.pair import load_certificate_file, load_signer
from sysgraft.sign.source import resolve

if TYPE_CHECKING:
    from sysgraft.build.uki.inputs import Inputs
    from sysgraft.build.uki.options import PcrKey, UkiOptions
    from sysgraft.sign.keys import Passphrase, Signer

_BEGIN: Final = b"-----BEGIN PUBLIC KEY-----"
_END: Final = b"-----END PUBLIC KEY-----"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Attributes:
        der: SubjectPublicKeyInfo.
        pem: the bytes that go into ``.pcrpkey``.
    """

    der: bytes
    pem: bytes


@dataclass(frozen=True, slots=True)
class PcrKeys:
    """All that signs PCR policies.

    Attributes:
        groups: which key signs which phases.
        pcrpkey: what goes into ``.pcrpkey``; None leaves the section out.
    """

    groups: tuple[SigningGroup, ...] = ()
    pcrpkey: bytes | None = None


def load(options: UkiOptions, inputs: Inputs, passphrase: Passphrase) -> PcrKeys:
    """Read all keys the options name.

    Raises:
        KeyMaterialError: a key cannot be used, or its public half is another's.
        InputError: a file cannot be read.
    """
    groups, public = [], []
    for key in options.pcr_keys:
        signer = load_signer(key.private_key, passphrase)
        public.append(_public_half(key, signer))
        groups.append(_group(signer, signer.key_der, key.phases, key.reference))
    if options.policy_digest:
        public.append(_read_public(options.pcr_public_key, options.pcr_certificate))
        groups.append(_group(None, public[0].der, options.digest_phases, ""))
    if options.sign_initrd_pcrs and groups:
        phase, reference = INITRD_ONLY
        first = groups[0]
        groups.append(_group(first.signer, public[0].der, (phase,), reference))
    return PcrKeys(tuple(groups), _pcrpkey(options, inputs, public))


def _group(
    signer: Signer | None, key_der: bytes, phases: tuple[str, ...], reference: str
) -> SigningGroup:
    return SigningGroup(
        signer=signer,
        fingerprint=sign_pcr.fingerprint(key_der),
        phases=phases or pcr11.DEFAULT_PATHS,
        reference=reference,
    )


def _public_half(key: PcrKey, signer: Signer) -> PublicKey:
    """The public key as its file has it, or made from the private one."""
    path = key.public_key or key.certificate
    if path is None:
        return PublicKey(signer.key_der, _as_pem(signer.key_der))
    found = _read_public(key.public_key, key.certificate)
    if sign_pcr.fingerprint(found.der) != sign_pcr.fingerprint(signer.key_der):
        raise KeyMaterialError(
            "the public key does not belong to the private key",
            file=path,
            hint="leave it out: the private key knows its public half",
        )
    return found


def _read_public(public_key: str | None, certificate: str | None) -> PublicKey:
    if public_key is None:
        der = load_certificate_file(certificate or "").key_der
        return PublicKey(der, _as_pem(der))
    path = resolve(public_key).name
    with in_file(path):
        data = read_small(path, MAX_BUNDLE, "public key")
        if b"-----BEGIN CERTIFICATE-----" in data:
            der = load_certificate_file(public_key).key_der
            return PublicKey(der, _as_pem(der))
        return PublicKey(public_key_in(data), data)


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


def _as_pem(der: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(der).decode("ascii"), 64)
    return b"\n".join((_BEGIN, *(line.encode("ascii") for line in lines), _END, b""))


def _pcrpkey(options: UkiOptions, inputs: Inputs, public: list[PublicKey]) -> bytes | None:
    """What was given, else the only key's public half, as ukify does it."""
    if options.pcrpkey is not None:
        blob = inputs.file(options.pcrpkey, "public key")
        return blob.read_at(0, blob.size)
    return public[0].pem if len(public) == 1 else None
