"""What real firmware refuses for reasons that are easy to miss, ``uki verify`` refuses too.

Certificates and signatures that no usual tool makes: spelt, padded or encoded otherwise, or beside
one that is good. All are boot entries of one machine, as in `test_firmware_verdicts`.
"""

from __future__ import annotations

import dataclasses
import struct
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509

from boot.test_firmware_verdicts import OWNER, by, program, try_cases, with_entries
from executables import OPTIONAL, image_digest, make_authority, signature_of, signed_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.formats import authenticode, cms, esl, pe, wincert
from sysgraft.formats import der as asn1
from sysgraft.formats.x509 import parse_certificate
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import Identity, make_identity

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from boot.conftest import Lab

pytestmark = [pytest.mark.boot, pytest.mark.oracle("osslsigncode")]

CA: Final = (x509.BasicConstraints(ca=True, path_length=None), True)
# BasicConstraints ::= SEQUENCE { TRUE, -1 }
ELSEWHERE: Final = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere")])
NEGATIVE: Final = bytes.fromhex("30060101ff0201ff")
# ProxyCertInfo ::= SEQUENCE { SEQUENCE { id-ppl-inheritAll } }
PROXY: Final = bytes.fromhex("300c300a06082b06010505071501")

ALONE = make_identity("alone")
REVOKED = make_identity("revoked")
PADDED = make_identity("padded")
PADDED_ROOT = make_authority("padded root")
BELOW_PADDED = make_identity("below padded", issuer=PADDED_ROOT)
SPELT_ROOT = make_authority("spelt root")
SPELLING = Identity(SPELT_ROOT.key, make_authority("SPELT  Root").certificate)
BELOW_SPELT = make_identity("below spelt", issuer=SPELLING)
FAR = [make_authority("far root")]
for _number in range(11):
    FAR.append(make_authority(f"far {_number}", issuer=FAR[-1]))
BELOW_FAR = make_identity("below far", issuer=FAR[-1])
ROOT = make_authority("root")
STRANGER = make_authority("stranger root")
INTER = make_authority("inter", issuer=ROOT)
CROSSED = Identity(INTER.key, make_authority("inter", issuer=STRANGER).certificate)
BELOW_INTER = make_identity("below inter", issuer=INTER)
MIMIC = make_authority("mimic")
MIMIC_IN_DB = make_authority("mimic", path_length=3)


def unknown(oid: str, value: bytes) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), True


def below(name: str, *extensions: tuple[x509.ExtensionType, bool]) -> tuple[Identity, Identity]:
    """An issuer with these extensions, and a signer it issued."""
    above = make_authority(name, extensions=extensions)
    return above, make_identity(f"below {name}", issuer=above)


CONSTRAINED, BELOW_CONSTRAINED = below(
    "constrained",
    CA,
    (x509.NameConstraints([x509.DirectoryName(ELSEWHERE)], None), False),
    (x509.SubjectKeyIdentifier(b"x"), False),
)
SHORT, BELOW_SHORT = below("negative", unknown("2.5.29.19", NEGATIVE))
MEANT = make_authority("meant", extensions=[CA, (x509.SubjectKeyIdentifier(b"1" * 20), False)])
BELOW_MEANT = make_authority(
    "below meant",
    issuer=MEANT,
    extensions=[(x509.AuthorityKeyIdentifier(b"2" * 20, None, None), False)],
)
PROXY_SIGNER = make_authority("proxy", extensions=[unknown("1.3.6.1.5.5.7.1.14", PROXY)])

IN_DB: Final = (
    *(ALONE, REVOKED, PADDED, BELOW_PADDED, BELOW_SPELT, BELOW_FAR, ROOT, MIMIC_IN_DB),
    *(CONSTRAINED, SHORT, MEANT, PROXY_SIGNER),
)


def beside(label: str, other: bytes) -> bytes:
    """A good signature and another one."""
    return with_entries(label, signature_of(program(label), ALONE), other)


def twins(label: str) -> bytes:
    """Another certificate with the signer's issuer and serial number, before the signer's."""
    twin = make_identity("alone", kind="rsa-3072")
    signed = authenticode.parse(signature_of(program(label), ALONE)).signed
    ders = (twin.certificate.der, ALONE.certificate.der)
    return with_entries(label, cms.serialise(dataclasses.replace(signed, certificates=ders)))


def without_attributes(label: str) -> bytes:
    signed = authenticode.parse(signature_of(program(label), REVOKED)).signed
    (signer,) = signed.signers
    bare = dataclasses.replace(
        signer,
        signed_attributes=None,
        message_digest=None,
        signature=load_private_key(REVOKED.key_pem).sign(signed.content or b""),
    )
    return cms.serialise(dataclasses.replace(signed, signers=(bare,)))


def two_algorithms(label: str) -> bytes:
    """By a certificate that says SHA-384 inside, and says and has SHA-256 outside."""
    certificate = BELOW_INTER.certificate
    inside = certificate.algorithm_der
    other = asn1.encode_algorithm("1.2.840.113549.1.1.12", asn1.DER_NULL)
    tbs = certificate.tbs_der.replace(inside, other)
    signature = load_private_key(INTER.key_pem).sign(tbs)
    bits = asn1.encode(asn1.BIT_STRING, b"\0", signature)
    der = asn1.encode(asn1.SEQUENCE, tbs, inside, bits)
    return by(label, Identity(BELOW_INTER.key, parse_certificate(der)), chain=(INTER,))


def of_subsystem(subsystem: int) -> bytes:
    label = f"subsystem {subsystem}"
    data = bytearray(program(label))
    struct.pack_into("<H", data, OPTIONAL + 68, subsystem)
    return signed_pe(bytes(data), ALONE)


GOOD: Final = {
    "the signer is in db": by("0", ALONE),
    "one way to the root": by("1", BELOW_INTER, chain=(INTER,)),
}
CASES: Final = {
    **GOOD,
    "a revoked one without attributes beside a good one": beside("2", without_attributes("2")),
    "bytes behind a certificate in dbx": by("3", PADDED),
    "bytes behind an issuer in dbx": by("4", BELOW_PADDED),
    "an issuer in dbx, spelt otherwise": by("5", BELOW_SPELT),
    "a root in dbx, far above": by("6", BELOW_FAR, chain=tuple(reversed(FAR[1:]))),
    "name constraints": by("7", BELOW_CONSTRAINED),
    "a negative path length": by("8", BELOW_SHORT),
    "an issuer that was not meant": by("9", BELOW_MEANT),
    "a proxy certificate": by("10", PROXY_SIGNER),
    "a twin before the signer": twins("11"),
    "two signature algorithms": two_algorithms("12"),
    "two ways, the wrong one first": by("13", BELOW_INTER, chain=(CROSSED, INTER)),
    "two ways, the right one first": by("14", BELOW_INTER, chain=(INTER, CROSSED)),
    "a mimic of one in db": by("15", MIMIC),
    "unsigned, its sha384 in db": program("16"),
    "unsigned, its sha512 in db": program("17"),
    **{f"subsystem {number}": of_subsystem(number) for number in (1, 2, 3, 9, 14)},
}
SHA1: Final = "a revoked one with SHA-1 beside a good one"

STRICTER: Final = {"two ways, the right one first"}
"""What the firmware starts, and ``uki verify`` refuses: which one is tried depends on OpenSSL."""


def signed_with_sha1(folder: Path, label: str) -> bytes:
    """The signature that osslsigncode makes with SHA-1 and the revoked key."""
    (folder / "key").write_bytes(REVOKED.key_pem)
    (folder / "crt").write_bytes(REVOKED.certificate_pem)
    (folder / "in").write_bytes(program(label))
    words = ("-h", "sha1", "-key", "key", "-certs", "crt", "-in", "in", "-out", "out")
    subprocess.run(
        ["osslsigncode", "sign", *words], cwd=folder, check=True, capture_output=True, timeout=60
    )
    data = (folder / "out").read_bytes()
    offset, size = pe.parse(BytesBlob(data)).security
    (entry,) = wincert.parse(data[offset : offset + size])
    return entry.pkcs7


def databases(folder: Path) -> None:
    """Write ``pk.esl``, ``db.esl`` and ``dbx.esl``."""

    def entry(kind: UUID, value: bytes) -> bytes:
        return esl.serialise([esl.SignatureList(kind, (esl.Signature(OWNER, value),))])

    def certificates(*identities: Identity, behind: bytes = b"") -> bytes:
        ders = (each.certificate.der + behind for each in identities)
        return b"".join(entry(esl.CERT_X509, der) for der in ders)

    (folder / "pk.esl").write_bytes(certificates(STRANGER))
    sha384 = image_digest(CASES["unsigned, its sha384 in db"], "sha384").value
    sha512 = image_digest(CASES["unsigned, its sha512 in db"], "sha512").value
    (folder / "db.esl").write_bytes(
        certificates(*IN_DB) + entry(esl.CERT_SHA384, sha384) + entry(esl.CERT_SHA512, sha512)
    )
    (folder / "dbx.esl").write_bytes(
        certificates(REVOKED, SPELT_ROOT, FAR[0])
        + certificates(PADDED, PADDED_ROOT, behind=bytes(4))
    )


def test_what_firmware_refuses_is_refused(tmp_path: Path, lab: Lab) -> None:
    cases = {**CASES, SHA1: beside("sha1", signed_with_sha1(tmp_path, "sha1"))}
    databases(tmp_path)
    ours, theirs = try_cases(tmp_path, lab, cases, trusted=ALONE)
    assert ours == set(GOOD)
    assert theirs - ours == STRICTER
    assert ours <= theirs
