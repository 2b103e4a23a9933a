"""SignedData: what is read, and each single thing that is refused."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats import cms, cms_signer, public_key, x509
from sysgraft.formats import der as asn1
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.testing.certificates import Identity, make_identity

ROOT_HASH = bytes(range(32))
CONTENT = ROOT_HASH.hex().encode()


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity(serial=0x1234ABCD)


@pytest.fixture(scope="module")
def signature(identity: Identity) -> bytes:
    return sign_root_hash(ROOT_HASH, load_private_key(identity.key_pem), identity.certificate)


def with_signer(base: bytes, **changes: object) -> bytes:
    signed = cms.parse(base)
    signer = dataclasses.replace(signed.signers[0], **changes)  # type: ignore[arg-type]
    return cms.serialise(dataclasses.replace(signed, signers=(signer,)))


def attribute(oid: str, *values: bytes) -> bytes:
    return asn1.encode(asn1.SEQUENCE, asn1.encode_oid(oid), asn1.encode(asn1.SET, *values))


CONTENT_TYPE = attribute("1.2.840.113549.1.9.3", asn1.encode_oid("1.2.840.113549.1.7.1"))
DIGEST_VALUE = asn1.encode(asn1.OCTET_STRING, hashlib.sha256(CONTENT).digest())
DIGEST = attribute("1.2.840.113549.1.9.4", DIGEST_VALUE)


def with_attributes(signature: bytes, identity: Identity, *attributes: bytes) -> bytes:
    """The signature made again, over these signed attributes."""
    signed = asn1.encode(asn1.SET, *attributes)
    made = load_private_key(identity.key_pem).sign(signed)
    return with_signer(signature, signed_attributes=signed, signature=made)


def test_what_was_signed_is_read_back(identity: Identity, signature: bytes) -> None:
    signed = cms.parse(signature)
    (signer,) = signed.signers
    assert signed.certificates == (identity.certificate.der,)
    assert signed.content is None
    assert (signer.issuer_der, signer.serial) == (identity.certificate.issuer_der, 0x1234ABCD)
    assert signer.issuer == "CN=test signer,O=sysgraft tests"
    assert (signer.digest, signer.scheme) == ("sha256", public_key.SignatureScheme("rsa", "sha256"))
    assert signer.signed_attributes is None
    assert cms_signer.verify(signer, CONTENT, identity.certificate)
    assert not cms_signer.verify(signer, CONTENT.upper(), identity.certificate)
    assert not cms_signer.verify(signer, CONTENT + b"\n", identity.certificate)


def test_reading_and_writing_gives_the_same_bytes(signature: bytes) -> None:
    assert cms.serialise(cms.parse(signature)) == signature


def test_signed_attributes_are_verified(identity: Identity, signature: bytes) -> None:
    der = with_attributes(signature, identity, CONTENT_TYPE, DIGEST)
    (signer,) = cms.parse(der).signers
    assert cms_signer.verify(signer, CONTENT, identity.certificate)
    assert not cms_signer.verify(signer, CONTENT[::-1], identity.certificate)
    assert cms.serialise(cms.parse(der)) == der


def test_a_signature_over_the_content_does_not_pass_for_one_over_attributes(
    identity: Identity, signature: bytes
) -> None:
    attributes = asn1.encode(asn1.SET, CONTENT_TYPE, DIGEST)
    der = with_signer(signature, signed_attributes=attributes)
    assert not cms_signer.verify(cms.parse(der).signers[0], CONTENT, identity.certificate)


def test_a_signature_over_attributes_does_not_pass_for_their_bytes_as_content(
    identity: Identity, signature: bytes
) -> None:
    der = with_attributes(signature, identity, CONTENT_TYPE, DIGEST)
    (signer,) = cms.parse(der).signers
    content = signer.signed_attributes
    assert content is not None
    assert not cms_signer.verify(signer, content, identity.certificate)


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        (CONTENT_TYPE,),
        (DIGEST,),
        (CONTENT_TYPE, CONTENT_TYPE, DIGEST),
        (CONTENT_TYPE, DIGEST, DIGEST),
        (attribute("1.2.840.113549.1.9.3", asn1.encode_oid("1.2.840.113549.1.7.2")), DIGEST),
        (CONTENT_TYPE, attribute("1.2.840.113549.1.9.4")),
        (CONTENT_TYPE, attribute("1.2.840.113549.1.9.4", DIGEST_VALUE, DIGEST_VALUE)),
        (CONTENT_TYPE, attribute("1.2.840.113549.1.9.4", asn1.encode_integer(1))),
    ],
)
def test_attributes_must_hold_one_type_and_one_digest(
    identity: Identity, signature: bytes, attributes: tuple[bytes, ...]
) -> None:
    with pytest.raises(FormatError):
        cms.parse(with_attributes(signature, identity, *attributes))


def test_rsa_with_a_combined_algorithm_identifier_is_verified(
    identity: Identity, signature: bytes
) -> None:
    combined = asn1.encode_algorithm("1.2.840.113549.1.1.11", asn1.DER_NULL)
    signer = cms.parse(with_signer(signature, algorithm_der=combined)).signers[0]
    assert cms_signer.verify(signer, CONTENT, identity.certificate)


def test_two_different_digests_in_one_signer_are_refused(signature: bytes) -> None:
    sha512 = asn1.encode_algorithm("1.2.840.113549.1.1.13", asn1.DER_NULL)
    with pytest.raises(FormatError, match="two digests, sha256 and sha512"):
        cms.parse(with_signer(signature, algorithm_der=sha512))


@pytest.mark.parametrize(
    ("dotted", "parameters"),
    [
        ("1.3.14.3.2.26", (asn1.DER_NULL,)),  # SHA-1
        ("1.2.840.113549.2.5", (asn1.DER_NULL,)),  # MD5
        ("2.16.840.1.101.3.4.2.4", ()),  # SHA-224
        ("2.16.840.1.101.3.4.2.1", (asn1.encode(asn1.OCTET_STRING),)),  # SHA-256, odd parameters
    ],
)
def test_other_digests_are_refused_by_name(
    signature: bytes, dotted: str, parameters: tuple[bytes, ...]
) -> None:
    other = asn1.encode_algorithm(dotted, *parameters)
    with pytest.raises(UnsupportedError, match=dotted):
        cms.parse(with_signer(signature, digest_der=other))


@pytest.mark.parametrize(
    "algorithm",
    [
        asn1.encode_algorithm("1.2.840.113549.1.1.5", asn1.DER_NULL),  # sha1WithRSA
        asn1.encode_algorithm("1.2.840.113549.1.1.1"),  # rsaEncryption without NULL
        asn1.encode_algorithm("1.2.840.10045.4.3.2", asn1.DER_NULL),  # ECDSA with NULL
        asn1.encode_algorithm("1.3.101.112"),  # Ed25519
    ],
)
def test_other_algorithms_are_refused(signature: bytes, algorithm: bytes) -> None:
    with pytest.raises(UnsupportedError, match="accepted"):
        cms.parse(with_signer(signature, algorithm_der=algorithm))


def test_the_key_must_be_of_the_algorithms_type(identity: Identity, signature: bytes) -> None:
    ecdsa = asn1.encode_algorithm("1.2.840.10045.4.3.2")
    signer = cms.parse(with_signer(signature, algorithm_der=ecdsa)).signers[0]
    assert not cms_signer.verify(signer, CONTENT, identity.certificate)


@pytest.mark.parametrize(
    "digests",
    [
        (),
        (cms_signer.SHA256, cms_signer.SHA256),
        (asn1.encode_algorithm("2.16.840.1.101.3.4.2.3", asn1.DER_NULL),),
        (asn1.encode_algorithm("2.16.840.1.101.3.4.2.1"),),
        (cms_signer.SHA256, asn1.encode_algorithm("1.3.14.3.2.26", asn1.DER_NULL)),
    ],
)
def test_the_unsigned_list_of_digests_must_be_right(
    signature: bytes, digests: tuple[bytes, ...]
) -> None:
    signed = dataclasses.replace(cms.parse(signature), digests=digests)
    with pytest.raises(FormatError, match="lists other digests"):
        cms.parse(cms.serialise(signed))


def test_content_inside_is_reported(signature: bytes) -> None:
    signed = dataclasses.replace(cms.parse(signature), content=b"abc")
    der = cms.serialise(signed)
    assert cms.parse(der).content == b"abc"
    assert cms.serialise(cms.parse(der)) == der


def test_no_signer_is_refused(signature: bytes) -> None:
    signed = dataclasses.replace(cms.parse(signature), signers=(), digests=())
    with pytest.raises(FormatError, match="no signer"):
        cms.parse(cms.serialise(signed))


def test_counts_and_sizes_are_limited(signature: bytes) -> None:
    signed = cms.parse(signature)
    small = asn1.encode(asn1.SEQUENCE)
    many = dataclasses.replace(signed, certificates=(small,) * (cms.MAX_CERTIFICATES + 1))
    with pytest.raises(LimitError, match="17 certificates"):
        cms.parse(cms.serialise(many))
    crowd = dataclasses.replace(signed, signers=signed.signers * (cms.MAX_SIGNERS + 1))
    with pytest.raises(LimitError, match="17 signers"):
        cms.parse(cms.serialise(crowd))
    with pytest.raises(LimitError):
        cms.parse(bytes(cms.MAX_SIGNED_DATA + 1))


def raw_signed_data(
    signature: bytes,
    *,
    version: int = 1,
    content_type: str = "1.2.840.113549.1.7.1",
    before_signers: bytes = b"",
    after_signature: bytes = b"",
) -> bytes:
    """A signature assembled by hand, to say what `serialise` would not."""
    (signer,) = cms.parse(signature).signers
    signer_der = asn1.encode(
        asn1.SEQUENCE,
        asn1.encode_integer(1),
        asn1.encode(asn1.SEQUENCE, signer.issuer_der, asn1.encode_integer(signer.serial)),
        signer.digest_der,
        signer.algorithm_der,
        asn1.encode(asn1.OCTET_STRING, signer.signature),
        after_signature,
    )
    fields = asn1.encode(
        asn1.SEQUENCE,
        asn1.encode_integer(version),
        asn1.encode(asn1.SET, cms_signer.SHA256),
        asn1.encode(asn1.SEQUENCE, asn1.encode_oid(content_type)),
        before_signers,
        asn1.encode(asn1.SET, signer_der),
    )
    oid = asn1.encode_oid("1.2.840.113549.1.7.2")
    return asn1.encode(asn1.SEQUENCE, oid, asn1.encode(0xA0, fields))


def test_a_hand_made_signature_is_read(identity: Identity, signature: bytes) -> None:
    signer = cms.parse(raw_signed_data(signature)).signers[0]
    assert cms_signer.verify(signer, CONTENT, identity.certificate)


def test_unsigned_parts_are_refused(signature: bytes) -> None:
    stamp = asn1.encode(0xA1, attribute("1.2.840.113549.1.9.16.2.14", asn1.encode_integer(1)))
    with pytest.raises(UnsupportedError, match="unsigned attributes"):
        cms.parse(raw_signed_data(signature, after_signature=stamp))
    with pytest.raises(UnsupportedError, match="revocation lists"):
        cms.parse(raw_signed_data(signature, before_signers=asn1.encode(0xA1)))
    with pytest.raises(FormatError, match="empty set"):
        cms.parse(raw_signed_data(signature, before_signers=asn1.encode(0xA0)))
    with pytest.raises(UnsupportedError, match="version 3"):
        cms.parse(raw_signed_data(signature, version=3))
    for version in (2**7000, -(2**70)):
        with pytest.raises(FormatError, match="a version of"):
            cms.parse(raw_signed_data(signature, version=version))
    with pytest.raises(UnsupportedError, match="content type"):
        cms.parse(raw_signed_data(signature, content_type="1.3.6.1.4.1.311.2.1.4"))


def test_a_list_of_certificates_is_not_a_signature(identity: Identity) -> None:
    from cryptography import x509 as reference  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    loaded = reference.load_der_x509_certificate(identity.certificate.der)
    with pytest.raises(FormatError):
        cms.parse(pkcs7.serialize_certificates([loaded], Encoding.DER))


def test_names_and_serials_too_long_to_show_are_refused(signature: bytes) -> None:
    text = asn1.encode(0x0C, b"x" * x509.MAX_NAME)
    part = asn1.encode(asn1.SET, asn1.encode(asn1.SEQUENCE, asn1.encode_oid("2.5.4.3"), text))
    with pytest.raises(LimitError, match="a name of"):
        cms.parse(with_signer(signature, issuer_der=asn1.encode(asn1.SEQUENCE, part)))
    with pytest.raises(LimitError, match="a serial number of"):
        cms.parse(with_signer(signature, serial=1 << 8 * x509.MAX_SERIAL))
    longest = with_signer(signature, serial=(1 << 8 * x509.MAX_SERIAL - 1) - 1)
    assert cms.serialise(cms.parse(longest)) == longest


def test_every_truncation_is_refused(signature: bytes) -> None:
    for length in range(len(signature)):
        with pytest.raises(FormatError):
            cms.parse(signature[:length])


def test_signers_are_found_by_issuer_and_serial(identity: Identity, signature: bytes) -> None:
    (signer,) = cms.parse(signature).signers
    other_serial = make_identity(serial=5).certificate
    other_name = make_identity("somebody", serial=0x1234ABCD).certificate
    namesake = make_identity(kind="p256", serial=0x1234ABCD).certificate
    everybody = (other_serial, namesake, other_name, identity.certificate)
    assert cms_signer.find_signer(signer, everybody) == (namesake, identity.certificate)
