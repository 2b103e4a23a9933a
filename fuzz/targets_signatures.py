"""Targets: signatures, certificates and keys."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from executables import signature_of
from seeds import NOW, ec_identity, public_pem, rsa_identity, trust, uki
from sysgraft.errors import KeyMaterialError, SysgraftError
from sysgraft.formats import (
    authenticode,
    authenticode_digest,
    cms,
    wincert,
    x509,
)
from sysgraft.formats.x509_issuing import contradiction, read_issuing, signer_problem
from sysgraft.formats.x509_names import canonical_name, same_name
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pcr_public import from_pem, public_key_in
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.verify.roothash import check_roothash_signature
from target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence


_ROOT_HASH: Final = bytes(range(32))


@functools.cache
def signatures() -> Sequence[bytes]:
    """Of root hashes."""
    made = []
    for identity in (ec_identity(), rsa_identity()):
        key = load_private_key(identity.key_pem)
        made.append(sign_root_hash(_ROOT_HASH, key, identity.certificate))
    key = load_private_key(rsa_identity().key_pem)
    bare = sign_root_hash(_ROOT_HASH, key, rsa_identity().certificate, include_certificate=False)
    return (*made, bare)


def read_cms(data: bytes) -> bool:
    """A signature of a root hash, and the verdict about it."""
    with suppress(SysgraftError):
        cms.serialise(cms.parse(data))
    store = trust(ec_identity(), rsa_identity())
    verdict = check_roothash_signature(data, _ROOT_HASH, fingerprint=None, store=store, now=NOW)
    other = check_roothash_signature(data, bytes(32), fingerprint=None, store=store, now=NOW)
    assert other.signature.status != "ok", "a signature of something else holds"
    return verdict.signature.status == verdict.trust.status == "ok"


@functools.cache
def authenticodes() -> Sequence[bytes]:
    """Of executables."""
    unsigned = uki(signatures=0)
    chain = (ec_identity("root"),)
    return (
        signature_of(unsigned, ec_identity("leaf", authority=True), chain),
        signature_of(unsigned, rsa_identity()),
    )


def read_authenticode(data: bytes) -> None:
    """A signature of an executable."""
    authenticode_digest.likely_algorithms([data])
    found = authenticode.parse(data)
    assert found.signer.digest


def read_wincert(data: bytes) -> None:
    """A certificate table."""
    entries = wincert.parse(data)
    assert wincert.parse(wincert.serialise(entries)) == entries


@functools.cache
def certificates() -> Sequence[bytes]:
    """Certificates, DER and PEM."""
    leaf = ec_identity("leaf", authority=True)
    ders = [each.certificate.der for each in (ec_identity(), rsa_identity(), leaf)]
    return (
        *ders,
        rsa_identity().certificate_pem,
        leaf.certificate_pem + ec_identity().certificate_pem,
    )


def read_certificate(data: bytes) -> None:
    """A certificate, and all that is asked of one."""
    for found in x509.load_certificates(data):
        assert (found.subject + found.issuer).isprintable()
        for ask in (found.is_issued_by, found.is_signed_by):
            with suppress(KeyMaterialError):
                ask(found)
        read_issuing(found)
        signer_problem(found)
        contradiction(found, ec_identity("root").certificate)
        contradiction(ec_identity("leaf", authority=True).certificate, found)
        assert same_name(found.subject_der, found.subject_der)
        with suppress(KeyMaterialError):
            found.load_public_key()


def read_name(data: bytes) -> None:
    """A distinguished name."""
    canonical_name(data)
    x509.name_text(data)


def read_key(data: bytes) -> None:
    """Private and public keys."""
    refused = 0
    readers = (
        lambda: load_private_key(data, b"secret"),
        lambda: from_pem(data),
        lambda: public_key_in(data),
    )
    for each in readers:
        try:
            each()
        except SysgraftError:
            refused += 1
    if refused == len(readers):
        raise SysgraftError("no key")


@functools.cache
def keys() -> Sequence[bytes]:
    """Keys in their forms; those that are encrypted have salt from nowhere, so none is."""
    one, two = ec_identity(), rsa_identity()
    return (
        one.key_pem,
        one.encode_key(pem=False),
        one.encode_key(traditional=True),
        two.key_pem,
        two.encode_key(pem=False),
        public_pem(two),
        public_pem(one),
    )


TARGETS: Final = (
    Target(name="cms", seeds=signatures, read=read_cms, weight=25),
    Target(name="authenticode", seeds=authenticodes, read=read_authenticode, weight=25),
    Target(
        name="wincert",
        seeds=lambda: tuple(
            wincert.serialise([wincert.Entry(s) for s in authenticodes()[:count]])
            for count in (1, 2)
        ),
        read=read_wincert,
        weight=15,
    ),
    Target(name="x509", seeds=certificates, read=read_certificate, weight=30),
    Target(
        name="x509-name",
        seeds=lambda: tuple(x.certificate.subject_der for x in (ec_identity(), rsa_identity())),
        read=read_name,
        weight=10,
    ),
    Target(name="keys", seeds=keys, read=read_key, weight=4),
)
