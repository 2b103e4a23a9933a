"""EFI signature lists against efitools."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.formats import esl
from sysgraft.formats.revocations import Revocations
from sysgraft.sign.verify import trust
from sysgraft.testing.certificates import make_identity
from sysgraft.testing.efivars import certificate_list

if TYPE_CHECKING:
    from pathlib import Path

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")


def run(cwd: Path, *words: str) -> bytes:
    subprocess.run([*words, "out"], cwd=cwd, capture_output=True, check=True, timeout=60)
    return (cwd / "out").read_bytes()


@pytest.mark.oracle("cert-to-efi-sig-list")
def test_a_certificates_list_has_the_bytes_of_efitools(tmp_path: Path) -> None:
    identity = make_identity()
    (tmp_path / "crt").write_bytes(identity.certificate_pem)
    theirs = run(tmp_path, "cert-to-efi-sig-list", "-g", str(OWNER), "crt")
    assert certificate_list(identity.certificate.der, owner=OWNER) == theirs
    (trusted,) = trust.from_signature_lists(theirs, "out").certificates
    assert trusted.certificate == identity.certificate


@pytest.mark.oracle("cert-to-efi-hash-list")
@pytest.mark.parametrize("bits", [256, 384, 512])
def test_a_revocation_by_hash_has_the_bytes_of_efitools(tmp_path: Path, bits: int) -> None:
    identity = make_identity()
    (tmp_path / "crt").write_bytes(identity.certificate_pem)
    words = ("cert-to-efi-hash-list", "-g", str(OWNER), "-s", str(bits))
    theirs = run(tmp_path, *words, "-t", "2026-01-02 03:04:05", "crt")
    (found,) = esl.parse(theirs)
    assert esl.serialise([found]) == theirs
    assert found.signatures[0].owner == OWNER
    digest = hashlib.new(f"sha{bits}", identity.certificate.tbs_der).digest()
    assert found.signatures[0].data[:-16] == digest
    reason = Revocations.from_lists([found]).is_revoked(identity.certificate)
    assert reason == f"dbx holds the sha{bits} of the certificate's signed part"
