"""The keys that sign PCR policies, and the public key that goes into the image.

Public halves may be given in PEM or as a certificate, which may be in a token; where they are
given, they must belong to the private key: signatures by one key under another's name would unlock
nothing.
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sysgraft.build.uki.pcrs import INITRD_ONLY, SigningGroup
from sysgraft.errors import FormatError, KeyMaterialError, in_file
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.small import read_small
from sysgraft.measure import pcr11
from sysgraft.sign import pcr as sign_pcr
from sysgraft.sign.pair import load_certificate_file, load_signer
from sysgraft.sign.source import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.build.uki.inputs import Inputs
    from sysgraft.build.uki.options import PcrKey, UkiOptions
    from sysgraft.sign.keys import Passphrase, Signer

_BEGIN: Final = b"-----BEGIN PUBLIC KEY-----"
_END: Final = b"-----END PUBLIC KEY-----"
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"

Asker: TypeAlias = "Callable[[str], bytes]"
"""Gives the passphrase of an encrypted key, or the PIN of a token, whose name it is told."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Attributes:
        pem: the bytes that go into ``.pcrpkey``.
        fingerprint: how signatures name it.
    """

    pem: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class PcrKeys:
    """All that signs PCR policies.

    Attributes:
        groups: which key signs which phases.
        pcrpkey: what goes into ``.pcrpkey``; None leaves the section out.
    """

    groups: tuple[SigningGroup, ...] = ()
    pcrpkey: bytes | None = None


def load(options: UkiOptions, inputs: Inputs, passphrase: Asker | None = None) -> PcrKeys:
    """Read all keys the options name.

    Raises:
        KeyMaterialError: a key cannot be used, or its public half is another's.
        InputError: a file cannot be read.
    """
    groups, public = [], []
    for key in options.pcr_keys:
        signer = _signer(key, passphrase)
        half = _public_half(key, signer, passphrase)
        public.append(half)
        groups.append(_group(signer, half, key.phases, key.reference))
    if options.sign_initrd_pcrs:
        phase, reference = INITRD_ONLY
        groups.append(_group(groups[0].signer, public[0], (phase,), reference))
    return PcrKeys(tuple(groups), _pcrpkey(options, inputs, public))


def _signer(key: PcrKey, passphrase: Asker | None) -> Signer | None:
    if key.private_key is None:
        return None
    return load_signer(key.private_key, _asking(passphrase, key.private_key))


def _asking(passphrase: Asker | None, name: str) -> Passphrase:
    return None if passphrase is None else lambda: passphrase(name)


def _group(
    signer: Signer | None, public: PublicKey, phases: tuple[str, ...], reference: str
) -> SigningGroup:
    return SigningGroup(
        signer=signer,
        fingerprint=public.fingerprint,
        phases=phases or pcr11.DEFAULT_PATHS,
        reference=reference,
    )


def _public_half(key: PcrKey, signer: Signer | None, passphrase: Asker | None) -> PublicKey:
    """The public key as its file has it, or made from the private one."""
    with in_file(resolve(key.private_key).label if key.private_key else ""):
        own = None if signer is None else _public_key(signer.key_der)
    name = key.public_key or key.certificate
    if name is None and own is not None:
        return own
    found = _read_public(name or "", passphrase, is_certificate=key.public_key is None)
    if own is not None and found.fingerprint != own.fingerprint:
        raise KeyMaterialError(
            "the public key does not belong to the private key",
            file=resolve(name or "").label,
            hint="leave it out: the private key knows its public half",
        )
    return found


def _public_key(der: bytes, pem: bytes | None = None) -> PublicKey:
    return PublicKey(pem or _as_pem(der), sign_pcr.fingerprint(der))


def _read_public(name: str, passphrase: Asker | None, *, is_certificate: bool) -> PublicKey:
    """A public key or a certificate; a certificate is taken for the key too, as by ukify."""
    source = resolve(name)
    with in_file(source.label):
        if source.kind == "file" and not is_certificate:
            data = read_small(source.path, MAX_BUNDLE, "public key")
            if _CERTIFICATE not in data:
                return _public_key(public_key_in(data), data)
        return _public_key(load_certificate_file(name, _asking(passphrase, name)).key_der)


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
    path = options.pcrpkey
    if path is None:
        return public[0].pem if len(public) == 1 else None
    with in_file(path):
        data = read_small(path, MAX_BUNDLE, "public key")
        name = sign_pcr.fingerprint(public_key_in(data))
    if public and name not in [each.fingerprint for each in public]:
        inputs.workspace.note(
            f"{path} is none of the keys that sign PCR policies: "
            "what is sealed to it needs other signatures"
        )
    return data
