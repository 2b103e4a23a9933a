"""The keys that sign PCR policies, and the public key that goes into the image.

Public halves may be given in PEM or as a certificate, which may be in a token; where they are
given, they must belong to the private key: signatures by one key under another's name would unlock
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sysgraft.build.uki.pcrs import INITRD_ONLY, SigningGroup
from sysgraft.errors import KeyMaterialError, in_file
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.small import read_small
from sysgraft.measure import pcr11
from sysgraft.sign.pair import load_signer
from sysgraft.sign.pcr_public import from_der, from_pem, read_public
from sysgraft.sign.source import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.build.uki.inputs import Inputs
    from sysgraft.build.uki.options import PcrKey, UkiOptions
    from sysgraft.sign.keys import Passphrase, Signer
    from sysgraft.sign.pcr_public import PublicKey

Asker: TypeAlias = "Callable[[str], bytes]"
"""Gives the passphrase of an encrypted key, or the PIN of a token, whose name it is told."""


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
        own = None if signer is None else from_der(signer.key_der)
    name = key.public_key or key.certificate
    if name is None and own is not None:
        return own
    found = read_public(
        name or "",
        _asking(passphrase, name or ""),
        is_certificate=key.public_key is None,
    )
    if own is not None and found.fingerprint != own.fingerprint:
        raise KeyMaterialError(
            "the public key does not belong to the private key",
            file=resolve(name or "").label,
            hint="leave it out: the private key knows its public half",
        )
    return found


def _pcrpkey(options: UkiOptions, inputs: Inputs, public: list[PublicKey]) -> bytes | None:
    """What was given, else the only key's public half, as ukify does it."""
    path = options.pcrpkey
    if path is None:
        return public[0].pem if len(public) == 1 else None
    with in_file(path):
        data = read_small(path, MAX_BUNDLE, "public key")
        name = from_pem(data).fingerprint
    if public and name not in [each.fingerprint for each in public]:
        inputs.workspace.note(
            f"{path} is none of the keys that sign PCR policies: "
            "what is sealed to it needs other signatures"
        )
    return data
