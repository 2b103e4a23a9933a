"""The signature partition that systemd-repart 257 writes: read, and written again byte by byte."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob, SubBlob
from sysgraft.formats import gpt, verity_signature

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13, SigningPair


@pytest.fixture
def partition(
    debian13: Debian13, tmp_path: Path, sample_tree: Path, signing_pair: SigningPair
) -> SubBlob:
    """The verity signature partition of a fresh image."""
    output = tmp_path / "out"
    output.mkdir()
    debian13.run(
        [
            *("systemd-repart", "--make-ddi=sysext", "--offline=yes", "--copy-source=/in"),
            *("--private-key=/keys/signer.key", "--certificate=/keys/signer.crt"),
            "/out/image.raw",
        ],
        binds={sample_tree: "/in", signing_pair.key.parent: "/keys", output: "/out"},
    )
    blob = BytesBlob((output / "image.raw").read_bytes())
    part = gpt.parse(blob).partitions[2]
    return SubBlob(blob, part.offset, part.size)


@pytest.mark.oracle("debian-13")
@pytest.mark.oracle("openssl")
def test_signature_of_systemd_repart_is_read_and_written_alike(
    partition: SubBlob, tmp_path: Path, signing_pair: SigningPair
) -> None:
    found = verity_signature.parse(partition)
    assert partition.size == verity_signature.PARTITION_SIZE
    assert verity_signature.render(found) == partition.read_at(0, partition.size)
    certificate = ssl.PEM_cert_to_DER_cert(signing_pair.certificate.read_text())
    assert found.fingerprint == hashlib.sha256(certificate).digest()
    # What was decoded is the signature of the root hash, if openssl can check it.
    (tmp_path / "p7").write_bytes(found.pkcs7)
    (tmp_path / "hash").write_text(found.root_hash.hex())
    done = subprocess.run(
        [
            *("openssl", "cms", "-verify", "-inform", "DER", "-in", str(tmp_path / "p7")),
            *("-content", str(tmp_path / "hash"), "-binary", "-noverify"),
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
