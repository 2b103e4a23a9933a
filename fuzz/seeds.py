"""Good files that several targets begin with, the same bytes in every process.

Nothing here is random and nothing depends on the day: an input of the campaign can be made again
from three numbers only if its seeds can.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from executables import make_pe, signed_pe, uki_pieces
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.build.sources.model import Options
from sysgraft.formats.x509 import parse_certificate
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.verify.trust import TrustedCertificate, TrustStore
from sysgraft.testing.certificates import NOT_AFTER, NOT_BEFORE, NOW, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSETS: Final = Path(__file__).resolve().parent.parent / "tests/assets"
_SCALAR: Final = 0x5EED_5EED_5EED_5EED_5EED_5EED_5EED_5EED
FILES: Final[Mapping[str, bytes]] = {
    "usr/lib/firmware/one.bin": bytes(range(251)) * 40,
    "usr/lib/firmware/two.bin": b"two",
    "usr/lib/firmware/same.bin": b"two",
    "usr/lib/firmware/deep/er/three.bin": b"3" * 5000,
    "usr/share/licenses/one/LICENSE": b"licence\n" * 20,
}
OS_RELEASE: Final = (
    b'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian \\"13\\""\n# comment\nSYSEXT_LEVEL=1.0\n'
    b"ARCHITECTURE=x86-64\nHOME_URL='https://example.org/'\n"
)


@functools.cache
def rsa_identity() -> Identity:
    """The key in tests/assets."""
    key = serialization.load_pem_private_key((ASSETS / "keys/signer.key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((ASSETS / "keys/signer.crt").read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Identity(key, parse_certificate(der))


@functools.cache
def ec_identity(name: str = "fuzz", *, authority: bool = False) -> Identity:
    """A key on P-256; with `authority` signed by another one, and for issuing."""
    key = ec.derive_private_key(_SCALAR + sum(name.encode()), ec.SECP256R1())
    issuer = ec_identity("root") if authority else None
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")]) if issuer else subject
    builder = x509.CertificateBuilder(
        above, subject, key.public_key(), sum(name.encode()), NOT_BEFORE, NOT_AFTER
    ).add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
    builder = builder.add_extension(usage, critical=False)
    signer = issuer.key if issuer else key
    made = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    return Identity(key, parse_certificate(made.public_bytes(serialization.Encoding.DER)))


def trust(*identities: Identity) -> TrustStore:
    """Trust in these."""
    return TrustStore(tuple(TrustedCertificate(each.certificate, "fuzz") for each in identities))


def public_pem(identity: Identity) -> bytes:
    """The public half of a key."""
    return identity.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@functools.cache
def extension(*, kind: str = "sysext", signed: bool = True, rich: bool = False) -> bytes:
    """An extension image as sysgraft builds it."""
    identity = ec_identity()
    pair = SigningPair(load_private_key(identity.key_pem), identity.certificate)
    top = {"sysext": "usr", "confext": "etc"}[kind]
    files = {name.replace("usr/", f"{top}/", 1): data for name, data in FILES.items()}
    if rich:
        files |= {f"{top}/lib/many/{number:03}{'x' * (number % 90)}": b"n" for number in range(48)}
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work, "tree")
        _write(tree, files)
        (tree / top / "lib/link").symlink_to("firmware/one.bin")
        options = BuildOptions(Options(kind=kind), release={"ID": "debian", "VERSION_ID": "13"})  # type: ignore[arg-type]
        report = build_extension(
            "fuzz",
            [str(tree)],
            output=Path(work, "out"),
            signing=pair if signed else None,
            options=options,
        )
        return Path(report.path).read_bytes()


@functools.cache
def file_system(*, rich: bool = False) -> bytes:
    """The EROFS of an extension, alone."""
    from sysgraft.base.blob import BytesBlob  # noqa: PLC0415
    from sysgraft.formats import gpt  # noqa: PLC0415

    whole = extension(rich=rich, signed=False)
    table = gpt.parse(BytesBlob(whole))
    first = min(table.partitions, key=lambda each: each.first_lba)
    return whole[first.offset : first.offset + first.size]


@functools.cache
def with_attributes() -> bytes:
    """An EROFS with extended attributes, devices, hard links and whiteouts."""
    from uuid import UUID  # noqa: PLC0415

    from sysgraft.base.blob import BytesBlob  # noqa: PLC0415
    from sysgraft.base.tree import Inode  # noqa: PLC0415
    from sysgraft.formats.erofs import writer  # noqa: PLC0415

    pairs = (
        (b"security.capability", bytes(20)),
        (b"trusted.overlay.opaque", b"y"),
        (b"user.a", b"1"),
    )
    shared = Inode(0o100644, content=BytesBlob(b"data" * 2000), xattrs=pairs)
    tree = {
        b"": Inode(0o040755),
        b"usr": Inode(0o040755, xattrs=pairs[1:2]),
        b"usr/a": shared,
        b"usr/b": shared,
        b"usr/c": Inode(0o020600, rdev=(1, 3)),
        b"usr/d": Inode(0o020000, rdev=(0, 0), xattrs=pairs[2:]),
        b"usr/e": Inode(0o120777, target=b"a" * 300, uid=70000, mtime=9, mtime_nsec=7),
        b"usr/f": Inode(0o010644),
    }
    planned = writer.plan(tree, uuid=UUID(int=5), build_time=0, volume_name="label")
    data = bytearray(planned.block_count * 4096)
    planned.fill(0, memoryview(data))
    return bytes(data)


@functools.cache
def uki(*, signatures: int = 1, more: bool = False) -> bytes:
    """A small UKI, signed so many times."""
    further = [
        (".pcrpkey", public_pem(rsa_identity())),
        (".sbat", b"sbat,1,SBAT,sbat,1,u\nuki,1,U,u,1,h\n"),
    ]
    profiles = [
        (".profile", b"ID=one\nTITLE=One\n"),
        (".cmdline", b"debug"),
        (".profile", b"ID=two\n"),
    ]
    unsigned = make_pe(
        uki_pieces(*(further if more else ()), *(profiles if more else ())), alignment=64
    )
    return (
        signed_pe(unsigned, *([ec_identity(), rsa_identity()][:signatures]))
        if signatures
        else unsigned
    )


__all__ = [
    "ASSETS",
    "FILES",
    "NOW",
    "OS_RELEASE",
    "ec_identity",
    "extension",
    "file_system",
    "public_pem",
    "rsa_identity",
    "trust",
    "uki",
    "with_attributes",
]
