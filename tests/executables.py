"""Small EFI executables made by hand, signed or not, for tests that need no real stub.

They have the headers that firmware and signing tools look at, and no code that would run.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from sysgraft.base.blob import BytesBlob
from sysgraft.formats import authenticode_digest, pe, wincert
from sysgraft.formats import der as asn1
from sysgraft.formats.authenticode import ImageDigest
from sysgraft.formats.x509 import parse_certificate
from sysgraft.sign.authenticode import sign
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import (
    NOT_AFTER,
    NOT_BEFORE,
    Identity,
    KeyType,
    make_identity,
    make_key,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.x509 import Certificate

PE_OFFSET: Final = 0x40
OPTIONAL: Final = PE_OFFSET + 4 + 20
CHECKSUM: Final = OPTIONAL + 64
SECURITY: Final = OPTIONAL + 112 + 8 * 4
TABLE: Final = OPTIONAL + 112 + 8 * 16
ALIGNMENT: Final = 512
MAGIC: Final = b"#### LoaderInfo: systemd-stub 257.13 ####\0"


class Piece(NamedTuple):
    """A section to be laid out."""

    name: str
    data: bytes
    gap: int = 0
    """Bytes to leave free before it, in the file."""


def make_pe(
    pieces: Sequence[Piece | tuple[str, bytes]] = ((".text", b"\xc3"),),
    *,
    machine: int = 0x8664,
    subsystem: int = 10,
    directories: int = 16,
    behind: bytes = b"",
    gap_byte: bytes = b"\0",
    alignment: int = ALIGNMENT,
) -> bytes:
    """An executable with these sections, one behind the other.

    Args:
        pieces: names and contents.
        machine: IMAGE_FILE_MACHINE_….
        subsystem: 10 for EFI applications.
        directories: how many data directories the headers have.
        behind: what follows the last section.
        gap_byte: what gaps are filled with.
        alignment: of raw data in the file.
    """
    sections = [Piece(*each) for each in pieces]
    table = OPTIONAL + 112 + 8 * directories
    header_size = -(-(table + 40 * len(sections)) // alignment) * alignment
    address, offset = 0x1000, header_size
    headers, body = b"", b""
    for name, data, gap in sections:
        raw = -(-len(data) // alignment) * alignment
        offset += gap
        headers += struct.pack(
            "<8sIIIIIIHHI",
            *(name.encode(), len(data), address, raw, offset if raw else 0),
            *(0, 0, 0, 0, 0x4000_0040),
        )
        body += gap_byte * gap + data.ljust(raw, b"\0")
        address += -(-max(len(data), 1) // 0x1000) * 0x1000
        offset += raw
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        *(0x20B, 0, 0, 0, len(body), 0, 0x1000, 0x1000),
        *(0, 0x1000, alignment, 0, 0, 0, 0, 0, 0, 0, address, header_size, 0, subsystem, 0x100),
        *(0, 0, 0, 0, 0, directories),
    )
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", PE_OFFSET)
    coff = struct.pack(
        "<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, 0, 0, 112 + 8 * directories, 0x22
    )
    head = dos + coff + optional + bytes(8 * directories) + headers
    return head.ljust(header_size, b"\0") + body + behind


def uki_pieces(*further: tuple[str, bytes]) -> list[tuple[str, bytes]]:
    """The sections of a small UKI."""
    return [
        (".text", b"\xc3"),
        (".sdmagic", MAGIC),
        (".osrel", b"ID=test\nVERSION_ID=1\n"),
        (".cmdline", b"quiet"),
        (".linux", b"MZ kernel"),
        (".initrd", b"070701"),
        *further,
    ]


def image_digest(data: bytes, algorithm: str = "sha256") -> ImageDigest:
    """The Authenticode digest of an executable."""
    blob = BytesBlob(data)
    covered = authenticode_digest.coverage(pe.parse(blob))
    value = authenticode_digest.compute(blob, covered, [algorithm])[algorithm]
    return ImageDigest(algorithm, value)


def with_table(data: bytes, table: bytes, *, at: int | None = None) -> bytes:
    """An unsigned executable with this certificate table behind it."""
    padded = data.ljust(wincert.aligned(len(data)), b"\0")
    head = bytearray(padded)
    place = len(padded) if at is None else at
    head[SECURITY : SECURITY + 8] = struct.pack("<II", place, len(table))
    return bytes(head) + table


def signature_of(
    data: bytes, identity: Identity, chain: Sequence[Identity] = (), **options: Sequence[bytes]
) -> bytes:
    """A PKCS#7 signature of an unsigned executable."""
    return sign(
        image_digest(data.ljust(wincert.aligned(len(data)), b"\0")),
        load_private_key(identity.key_pem),
        identity.certificate,
        chain=[each.certificate for each in chain],
        **options,
    )


def signed_pe(data: bytes, *identities: Identity, chain: Sequence[Identity] = ()) -> bytes:
    """An unsigned executable with one signature by each of these."""
    entries = [wincert.Entry(signature_of(data, each, chain)) for each in identities]
    return with_table(data, wincert.serialise(entries))


def make_authority(
    name: str,
    *,
    issuer: Identity | None = None,
    kind: KeyType = "rsa-2048",
    path_length: int | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] | None = None,
) -> Identity:
    """A certificate that may issue others.

    Args:
        name: common name; it also chooses the key.
        issuer: who signs it; itself without one.
        kind: the key's type.
        path_length: how many certificates may be below it, but for the last one.
        extensions: instead of the usual basicConstraints, each with whether it is critical.
    """
    key = make_key(kind, name)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above = x509.load_der_x509_certificate(issuer.certificate.der).subject if issuer else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(sum(name.encode()) + 1)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
    )
    if extensions is None:
        extensions = [(x509.BasicConstraints(ca=True, path_length=path_length), True)]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer.key if issuer else key
    made = builder.sign(signer, hashes.SHA256())
    return Identity(key, parse_certificate(made.public_bytes(serialization.Encoding.DER)))


def key_usage(*, may_sign: bool) -> x509.KeyUsage:
    """The extension keyUsage of a signer."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=may_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def version_1(*, self_issued: bool) -> Certificate:
    """A certificate without extensions and without a version; its signature does not matter."""
    made = make_identity(kind="p256", issuer=None if self_issued else make_identity("other"))
    outer = asn1.open_der(made.certificate.der, "it")
    fields = asn1.DerReader(outer.take(asn1.SEQUENCE).content, "it")
    fields.take(0xA0)
    kept = []
    while fields.next_tag is not None and fields.next_tag != 0xA3:
        kept.append(fields.take_any().raw)
    rest = [outer.take(asn1.SEQUENCE).raw, outer.take(asn1.BIT_STRING).raw]
    tbs = asn1.encode(asn1.SEQUENCE, *kept)
    return parse_certificate(asn1.encode(asn1.SEQUENCE, tbs, *rest))
