"""Signatures of PCR policies, as systemd-measure makes and systemd-cryptsetup uses them.

RSASSA-PKCS1-v1_5 with SHA-256 over the policy's digest; with a reference, over the digest and the
SHA-256 of the reference (TPM2_PolicyAuthorize, policyRef). systemd takes RSA keys only, and for
every bank SHA-256 only; what systemd-measure made for other banks before release 260 is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from sysgraft.base.progress import NoProgress
from sysgraft.errors import KeyMaterialError
from sysgraft.formats.public_key import SignatureScheme, load_public_key, verify_signature
from sysgraft.host.parallel import Crew, cores
from sysgraft.sign.keys import PrivateKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.pcrsig import Entry
    from sysgraft.formats.public_key import PublicKey
    from sysgraft.sign.keys import Signer

_SCHEME: Final = SignatureScheme("rsa", "sha256")
_SHARD: Final = 16
"""Entries that a worker signs at a time: some 10 ms."""


def fingerprint(key_der: bytes) -> bytes:
    """How signature files name a key: SHA-256 of the PKCS #1 RSAPublicKey in DER.

    Args:
        key_der: the SubjectPublicKeyInfo.

    Raises:
        KeyMaterialError: it is no RSA key.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = load_public_key(key_der)
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyMaterialError(
            "PCR policies are signed with RSA keys only",
            hint="systemd-cryptsetup asks the TPM to verify RSASSA signatures and no others",
        )
    return hashlib.sha256(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    ).digest()


def to_sign(policy: bytes, reference: str = "") -> bytes:
    """The bytes whose SHA-256 is signed."""
    if not reference:
        return policy
    return policy + hashlib.sha256(reference.encode("utf-8")).digest()


def sign_entry(entry: Entry, signer: Signer) -> Entry:
    """The entry with its signature and the key's fingerprint.

    Raises:
        KeyMaterialError: the key is no RSA key, cannot sign, or signs something else.
    """
    name = fingerprint(signer.key_der)
    signature = signer.sign(to_sign(entry.policy, entry.reference))
    signed = replace(entry, signature=signature, fingerprint=name)
    if not verifies(signed, signer.key_der):
        raise KeyMaterialError("the PCR signing key made a signature that does not verify")
    return signed


def verifies(entry: Entry, key_der: bytes) -> bool:
    """Whether an entry's signature is by this key (SubjectPublicKeyInfo)."""
    key = load_public_key(key_der)
    data = to_sign(entry.policy, entry.reference)
    return verify_signature(key, _SCHEME, entry.signature, data)


def sign_entries(
    entries: Sequence[Entry], signer: Signer, progress: Progress | None = None
) -> list[Entry]:
    """Sign many entries as `sign_entry` does, with a key from a file on all cores.

    A token is asked by one process only: a forked child must not use its session.

    Raises:
        KeyMaterialError: as `sign_entry`.
    """
    name = fingerprint(signer.key_der)
    key = load_public_key(signer.key_der)
    listener = progress or NoProgress()
    shards = [entries[at : at + _SHARD] for at in range(0, len(entries), _SHARD)]

    def work(shard: int) -> list[bytes]:
        return [_sign(entry, signer, key) for entry in shards[shard]]

    found: dict[int, list[bytes]] = {}
    workers = cores() if isinstance(signer, PrivateKey) else 1
    listener.start("signing", len(entries))
    with Crew(work, len(shards), workers=workers) as crew:
        for shard, signatures in crew:
            found[shard] = cast("list[bytes]", signatures)
            listener.advance(len(shards[shard]))
    listener.finish()
    made = (signature for shard in range(len(shards)) for signature in found[shard])
    return [
        replace(entry, signature=signature, fingerprint=name, to_sign=b"")
        for entry, signature in zip(entries, made, strict=True)
    ]


def _sign(entry: Entry, signer: Signer, key: PublicKey) -> bytes:
    data = to_sign(entry.policy, entry.reference)
    signature = signer.sign(data)
    if not verify_signature(key, _SCHEME, signature, data):
        raise KeyMaterialError("the PCR signing key made a signature that does not verify")
    return signature
