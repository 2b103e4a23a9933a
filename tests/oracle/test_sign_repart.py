"""Root-hash signatures against systemd-repart: the same bytes for the same root hash and key."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pytest

from sysgraft.sign.keys import load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.roothash import check_roothash_signature
from sysgraft.testing.certificates import NOW, KeyType, make_identity

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("kind", ["rsa-2048", "p256"])
def test_repart_and_we_sign_alike(debian13: Debian13, tmp_path: Path, kind: KeyType) -> None:
    identity = make_identity(kind=kind)
    (tmp_path / "key").write_bytes(identity.key_pem)
    (tmp_path / "crt").write_bytes(identity.certificate_pem)
    release = tmp_path / "tree/usr/lib/extension-release.d/extension-release.x"
    release.parent.mkdir(parents=True)
    release.write_text("ID=_any\n")
    debian13.run(
        [
            "systemd-repart",
            "--make-ddi=sysext",
            "--offline=yes",
            "--copy-source=/mnt/work/tree",
            "--private-key=/mnt/work/key",
            "--certificate=/mnt/work/crt",
            "/mnt/work/x.raw",
        ],
        binds={tmp_path: "/mnt/work"},
    )
    found = re.search(rb'\{"rootHash":[^}]*\}', (tmp_path / "x.raw").read_bytes())
    assert found is not None
    document = json.loads(found[0])
    root_hash = bytes.fromhex(document["rootHash"])
    theirs = base64.b64decode(document["signature"])

    verdict = check_roothash_signature(
        theirs,
        root_hash,
        fingerprint=bytes.fromhex(document["certificateFingerprint"]),
        store=trust.from_certificates(identity.certificate.der, "crt"),
        now=NOW,
    )
    assert (verdict.signature.status, verdict.trust.status) == ("ok", "ok")
    if kind == "rsa-2048":
        key = load_private_key(identity.key_pem)
        assert sign_root_hash(root_hash, key, identity.certificate) == theirs
