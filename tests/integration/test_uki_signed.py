"""UKIs and addons signed for Secure Boot while they are built, and the kernel inside them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft
from executables import Piece, make_pe, signed_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.formats import authenticode, pe, wincert
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kernel, make_kit, section

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair

VENDOR = make_identity("a kernel's vendor")
CURVE = make_identity("a curve", kind="p384")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


def signers(data: bytes) -> list[str]:
    """Who signed an executable, in the order of its table."""
    image = pe.parse(BytesBlob(data))
    offset, size = image.security
    entries = wincert.parse(data[offset : offset + size])
    names = [authenticode.parse(entry.pkcs7).signer.issuer for entry in entries]
    return [name.partition(",")[0] for name in names]


def verifies(path: Path, certificate: Path) -> bool:
    result = sysgraft("uki", "verify", path, "--certificate", certificate, "--json")
    return result.code == 0


def test_a_uki_is_signed_and_so_is_its_kernel(kit: Kit, signing_pair: SigningPair) -> None:
    uki = kit.build("x.efi", *signing(signing_pair))
    assert verifies(uki, signing_pair.certificate)
    kernel = kit.file("kernel", section(uki, ".linux"))
    assert verifies(kernel, signing_pair.certificate)
    unsigned = kit.kernel.read_bytes()
    assert kernel.read_bytes()[0x200 : len(unsigned)] == unsigned[0x200:]


def test_an_addon_is_signed(kit: Kit, signing_pair: SigningPair, other_pair: SigningPair) -> None:
    path = kit.folder / "x.addon.efi"
    words = ("--cmdline=x", f"--stub={kit.addon_stub}", *signing(signing_pair))
    result = sysgraft("uki", "addon", *words, "-o", path)
    assert "(signed addon for x86-64)" in result.out
    assert verifies(path, signing_pair.certificate)
    assert not verifies(path, other_pair.certificate)


def test_a_kernel_with_a_signature_is_left_alone(kit: Kit, signing_pair: SigningPair) -> None:
    kit.kernel.write_bytes(signed_pe(make_kernel(), VENDOR))
    uki = kit.build("x.efi", *signing(signing_pair))
    assert section(uki, ".linux") == kit.kernel.read_bytes()
    assert verifies(uki, signing_pair.certificate)


def test_a_kernel_with_a_signature_can_get_one_more(kit: Kit, signing_pair: SigningPair) -> None:
    kit.kernel.write_bytes(signed_pe(make_kernel(), VENDOR))
    uki = kit.build("x.efi", "--sign-kernel", *signing(signing_pair))
    kernel = kit.file("kernel", section(uki, ".linux"))
    assert signers(kernel.read_bytes()) == ["CN=a kernel's vendor", "CN=sysgraft test signer"]
    assert verifies(kernel, signing_pair.certificate)
    vendor = kit.file("vendor.pem", VENDOR.certificate_pem)
    assert verifies(kernel, vendor)
    again = kit.file("vmlinuz", kernel.read_bytes())
    uki = kit.build("y.efi", "--sign-kernel", f"--linux={again}", *signing(signing_pair))
    assert section(uki, ".linux") == again.read_bytes(), "the same signature is not added twice"


def test_a_kernel_may_stay_unsigned(kit: Kit, signing_pair: SigningPair) -> None:
    uki = kit.build("x.efi", "--no-sign-kernel", *signing(signing_pair))
    assert section(uki, ".linux") == kit.kernel.read_bytes()
    assert kit.build("y.efi").exists()
    assert section(kit.folder / "y.efi", ".linux") == kit.kernel.read_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_pe([Piece(".text", b"x"), Piece(".data", b"y", gap=512)]), "are in no section"),
        (make_pe(directories=4), "no room for a signature"),
    ],
)
def test_a_kernel_that_cannot_be_signed(
    kit: Kit, signing_pair: SigningPair, data: bytes, message: str
) -> None:
    kit.kernel.write_bytes(data)
    result = kit.run(*signing(signing_pair), "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"error: {kit.kernel}: " in result.err
    assert message in result.err
    kit.build("x.efi", "--no-sign-kernel", *signing(signing_pair))


def test_a_kernel_with_a_broken_signature(kit: Kit, signing_pair: SigningPair) -> None:
    data = bytearray(signed_pe(make_kernel(), VENDOR))
    data[len(make_kernel()) + 4] ^= 1
    kit.kernel.write_bytes(data)
    result = kit.run("--sign-kernel", *signing(signing_pair), "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"error: {kit.kernel}: the certificate table has an entry of revision" in result.err


def test_key_and_certificate_belong_together(
    kit: Kit, signing_pair: SigningPair, other_pair: SigningPair
) -> None:
    result = kit.run(
        f"--secureboot-private-key={signing_pair.key}",
        f"--secureboot-certificate={other_pair.certificate}",
        "-o",
        kit.folder / "x.efi",
    )
    assert result.code == 2
    assert f"error: {other_pair.certificate}: " in result.err
    assert not (kit.folder / "x.efi").exists()


def test_a_curves_signature_is_the_same_every_time(kit: Kit) -> None:
    key, certificate = kit.file("k", CURVE.key_pem), kit.file("c", CURVE.certificate_pem)
    words = (f"--private-key={key}", f"--certificate={certificate}")
    one, two = kit.build("1.efi", *words), kit.build("2.efi", *words)
    assert one.read_bytes() == two.read_bytes()
    assert verifies(one, certificate)


def test_the_digest_in_the_report_is_what_is_signed(kit: Kit, signing_pair: SigningPair) -> None:
    path = kit.folder / "x.efi"
    result = kit.run(*signing(signing_pair), "--json", "-o", path)
    data = path.read_bytes()
    offset, size = pe.parse(BytesBlob(data)).security
    (entry,) = wincert.parse(data[offset : offset + size])
    digest = json.loads(result.out)["digest"]
    found = authenticode.parse(entry.pkcs7).digest
    assert digest == {"algorithm": found.algorithm, "value": found.value.hex()}
    unsigned = kit.run("--no-sign-kernel", "--json", "-o", kit.folder / "y.efi")
    signed = kit.run(
        "--no-sign-kernel", *signing(signing_pair), "--json", "-o", kit.folder / "z.efi"
    )
    assert unsigned.document["digest"] == signed.document["digest"]
    assert (unsigned.document["signed"], signed.document["signed"]) == (False, True)
