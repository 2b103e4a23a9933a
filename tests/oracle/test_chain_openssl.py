"""Chains of certificates against OpenSSL, asked as EDK II asks it (CryptPkcs7VerifyCommon.c).

One trusted certificate, partial chains, no dates, any purpose.
"""

from __future__ import annotations

import itertools
import subprocess
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from executables import key_usage, make_authority, version_1
from sysgraft.sign.verify.chain import find_path
from sysgraft.sign.verify.trust import TrustedCertificate
from sysgraft.testing.certificates import Identity, make_identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sysgraft.formats.x509 import Certificate

pytestmark = pytest.mark.oracle("openssl")

Extensions: TypeAlias = list[tuple[x509.ExtensionType, bool]]
CA: Final = (x509.BasicConstraints(ca=True, path_length=None), True)
KINDS: Final[dict[str, Extensions]] = {
    "plain": [],
    "authority": [CA],
    "no authority": [(x509.BasicConstraints(ca=False, path_length=None), True)],
    "no path": [(x509.BasicConstraints(ca=True, path_length=0), True)],
    "path of one": [(x509.BasicConstraints(ca=True, path_length=1), True)],
    "may sign certificates": [CA, (key_usage(may_sign=True), True)],
    "may not sign certificates": [CA, (key_usage(may_sign=False), True)],
    "for servers": [CA, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True)],
    "unknown": [CA, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\0"), True)],
    "constrained": [CA, (x509.NameConstraints([x509.DNSName("a.example")], None), True)],
}
# OpenSSL evaluates names and finds none that is constrained; here such issuers are refused.
STRICTER: Final = {"constrained"}


def openssl_follows(
    folder: Path, leaf: Certificate, anchor: Certificate, between: Sequence[Certificate]
) -> bool:
    """Whether OpenSSL finds the way from `leaf` to `anchor`."""
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    def pem(*certificates: Certificate) -> bytes:
        loaded = (x509.load_der_x509_certificate(each.der) for each in certificates)
        return b"".join(each.public_bytes(Encoding.PEM) for each in loaded)

    (folder / "leaf.pem").write_bytes(pem(leaf))
    (folder / "anchor.pem").write_bytes(pem(anchor))
    words = ["openssl", "verify", "-partial_chain", "-no_check_time", "-purpose", "any"]
    words += ["-trusted", "anchor.pem"]
    if between:
        (folder / "between.pem").write_bytes(pem(*between))
        words += ["-untrusted", "between.pem"]
    done = subprocess.run(
        [*words, "leaf.pem"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert ("OK" in done.stdout) is (done.returncode == 0), done.stderr
    return done.returncode == 0


def we_follow(leaf: Certificate, anchor: Certificate, between: Sequence[Certificate]) -> bool:
    return find_path(leaf, [TrustedCertificate(anchor, "db")], between) is not None


def compare(
    folder: Path,
    leaf: Certificate,
    anchor: Certificate,
    between: Sequence[Certificate],
    *,
    stricter: bool = False,
) -> bool:
    """Both say the same; only where we are `stricter` may we say no to their yes."""
    theirs = openssl_follows(folder, leaf, anchor, between)
    ours = we_follow(leaf, anchor, between)
    assert ours == theirs or (stricter and theirs)
    return ours


@pytest.mark.parametrize("kind", KINDS)
def test_one_issuer(tmp_path: Path, kind: str) -> None:
    root = make_authority("root", kind="p256", extensions=KINDS[kind])
    leaf = make_identity("leaf", kind="p256", issuer=root)
    compare(tmp_path, leaf.certificate, root.certificate, [], stricter=kind in STRICTER)
    # Almost whatever it is, trusted itself it may sign executables.
    alone = compare(tmp_path, root.certificate, root.certificate, [])
    assert alone == (kind != "unknown")
    other = make_identity("other", kind="p256")
    assert not compare(tmp_path, other.certificate, root.certificate, [])


@pytest.mark.parametrize(("below", "above"), list(itertools.product(KINDS, KINDS)))
def test_two_issuers(tmp_path: Path, below: str, above: str) -> None:
    root = make_authority("root", kind="p256", extensions=KINDS[above])
    inter = make_authority("inter", kind="p256", issuer=root, extensions=KINDS[below])
    leaf = make_identity("leaf", kind="p256", issuer=inter)
    stricter = bool(STRICTER & {below, above})
    for anchor, between in (
        (root, [inter]),
        (root, [inter, root]),
        (inter, [inter]),
        (inter, []),
        (root, []),
        (leaf, []),
    ):
        links = [each.certificate for each in between]
        compare(tmp_path, leaf.certificate, anchor.certificate, links, stricter=stricter)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_lengths_of_paths(tmp_path: Path, length: int, depth: int) -> None:
    links: list[Identity] = [make_authority("0", kind="p256", path_length=length)]
    for number in range(1, depth):
        links.append(make_authority(str(number), kind="p256", issuer=links[-1]))
    leaf = make_identity("leaf", kind="p256", issuer=links[-1])
    between = [each.certificate for each in links[1:]]
    assert compare(tmp_path, leaf.certificate, links[0].certificate, between) == (
        depth - 1 <= length
    )


# Where a value that cannot be read is passed over by OpenSSL, and refused here: what it means
# (that the key may not sign; that it is a proxy's) could be read by another program.
REFUSED_IF_BROKEN = frozenset({"2.5.29.15", "1.3.6.1.5.5.7.1.14"})


@pytest.mark.parametrize(
    "oid",
    [
        *("2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.32"),
        *("2.5.29.33", "2.5.29.36", "2.5.29.37", "2.5.29.54", "2.5.29.9", "2.5.29.14"),
        *("2.5.29.18", "2.5.29.35", "2.5.29.46", "2.16.840.1.113730.1.1", "1.3.6.1.5.5.7.1.1"),
        *("1.3.6.1.5.5.7.1.14", "1.3.6.1.5.5.7.1.24", "1.3.6.1.5.5.7.48.1.5"),
    ],
)
def test_which_critical_extensions_a_signer_may_have(tmp_path: Path, oid: str) -> None:
    """What OpenSSL cannot read it refuses for that, so that only its own refusals are compared."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x00")
    signer = make_authority("signer", kind="p256", extensions=[(extension, True)]).certificate
    followed = we_follow(signer, signer, [])
    if oid in REFUSED_IF_BROKEN:
        assert not followed
    elif not followed:
        assert not openssl_follows(tmp_path, signer, signer, [])


@pytest.mark.parametrize(
    ("oid", "value", "followed"),
    [
        ("2.5.29.15", "03020780", True),  # keyUsage: digitalSignature
        ("1.3.6.1.5.5.7.1.14", "300c300a06082b06010505071501", False),  # a proxy, inheritAll
    ],
)
def test_the_same_extensions_with_values_that_can_be_read(
    tmp_path: Path, oid: str, value: str, followed: bool
) -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), bytes.fromhex(value))
    signer = make_authority("signer", kind="p256", extensions=[(extension, True)]).certificate
    assert compare(tmp_path, signer, signer, []) is followed


def test_roots_of_version_1(tmp_path: Path) -> None:
    root = version_1(self_issued=True)
    assert compare(tmp_path, root, root, [])


def test_namesakes_and_circles(tmp_path: Path) -> None:
    root = make_authority("root", kind="p256")
    namesake = make_authority("root", kind="p384")
    inter = make_authority("inter", kind="p256", issuer=root)
    back = make_authority("root", kind="p256", issuer=inter)
    leaf = make_identity("leaf", kind="p256", issuer=inter)
    for anchor, between in (
        (namesake, [inter]),
        (namesake, [inter, root]),
        (root, [inter, back]),
        (back, [inter]),
        (inter, [inter, back, root]),
        (leaf, [inter, back]),
    ):
        links = [each.certificate for each in between]
        compare(tmp_path, leaf.certificate, anchor.certificate, links)
