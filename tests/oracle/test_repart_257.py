"""One tree, one seed, one key: systemd-repart 257's image and ours side by side.

The two file systems are laid out differently, so the root hash and what follows from it differ.
Everything else that identifies an image has to be equal, and each image has to be proven by us.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.build.resign import Target, sign_image, unsign_image
from sysgraft.host.files import OpenFile
from sysgraft.image import dissect
from sysgraft.image.inspect import ImageInfo, inspect_image
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.sign.pair import load_pair
from sysgraft.sign.verify.trust import from_certificates

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13, SigningPair

pytestmark = pytest.mark.oracle("debian-13")

SEED = UUID("8c6a9f0e-31d4-4b7c-9d55-0f1e2d3c4b5a")
RELEASE = "ID=_any\nARCHITECTURE=x86-64\n"


@pytest.fixture
def theirs(
    debian13: Debian13, signing_pair: SigningPair, sample_tree: Path, tmp_path: Path
) -> Path:
    """What systemd-repart makes of the sample tree."""
    release = sample_tree / "usr/lib/extension-release.d/extension-release.demo"
    release.parent.mkdir()
    release.write_text(RELEASE)
    debian13.run(
        [
            "systemd-repart",
            "--make-ddi=sysext",
            "--offline=yes",
            f"--seed={SEED}",
            "--copy-source=/mnt/tree",
            f"--private-key=/run/signer/{signing_pair.key.name}",
            f"--certificate=/run/signer/{signing_pair.certificate.name}",
            "/mnt/demo.raw",
        ],
        binds={tmp_path: "/mnt", signing_pair.key.parent: "/run/signer"},
    )
    return tmp_path / "demo.raw"


@pytest.fixture
def ours(signing_pair: SigningPair, sample_tree: Path, tmp_path: Path) -> Path:
    """What we make of it."""
    report = build_extension(
        "demo",
        [str(sample_tree)],
        output=tmp_path / "ours",
        signing=load_pair(str(signing_pair.key), str(signing_pair.certificate)),
        options=BuildOptions(seed=SEED),
    )
    return tmp_path / "ours" / report.path.rpartition("/")[2]


def trusting(pair: SigningPair) -> VerifyOptions:
    """Trust in this pair alone."""
    return VerifyOptions(trust=from_certificates(pair.certificate.read_bytes(), "the signer"))


def signature_partition(path: Path) -> bytes:
    """Its bytes."""
    with OpenFile(str(path)) as blob:
        member = dissect.dissect(blob).signature
        assert member is not None
        part = dissect.part(blob, member)
        return part.read_at(0, part.size)


def test_their_image_is_proven(theirs: Path, signing_pair: SigningPair) -> None:
    result = verify_image(theirs, trusting(signing_pair))
    assert result.ok, result.checks


def test_their_image_is_proven_by_no_other_certificate(
    theirs: Path, other_pair: SigningPair
) -> None:
    result = verify_image(theirs, trusting(other_pair))
    assert [check.name for check in result.checks if not check.passes] == ["trust"]


def test_our_image_is_proven(ours: Path, signing_pair: SigningPair) -> None:
    result = verify_image(ours, trusting(signing_pair))
    assert result.ok, result.checks


def test_identifiers_are_equal_for_an_equal_seed(theirs: Path, ours: Path) -> None:
    assert identifiers(inspect_image(ours)) == identifiers(inspect_image(theirs))


def identifiers(info: ImageInfo) -> dict[str, object]:
    """All that the seed and the architecture decide."""
    assert info.verity is not None
    assert info.filesystem is not None
    return {
        "disk": info.disk_uuid,
        "types": [m.partition.type_uuid for m in info.members],
        "names": [m.partition.name for m in info.members],
        "signature partition": info.members[2].partition.uuid,
        "file system": info.filesystem.uuid,
        "verity": info.verity.uuid,
        "salt": info.verity.salt,
        "verity parameters": (
            info.verity.hash_type,
            info.verity.algorithm,
            info.verity.data_block_size,
            info.verity.hash_block_size,
        ),
    }


def test_both_images_hold_the_same_files(theirs: Path, ours: Path) -> None:
    found = summary(ours)
    # For systemd versions that take ".sysext" as part of the image's name.
    second = found.pop(b"usr/lib/extension-release.d/extension-release.demo.sysext")
    assert second == found[b"usr/lib/extension-release.d/extension-release.demo"]
    assert found == summary(theirs)


def summary(path: Path) -> dict[bytes, tuple[object, ...]]:
    """Path → type and mode, owner, target, attributes, content; the root's own mode is repart's."""
    with OpenFile(str(path)) as blob:
        data = dissect.dissect(blob).data
        assert data is not None
        from sysgraft.image.content import open_filesystem  # noqa: PLC0415 - while it is open

        return {
            name: (
                inode.mode,
                inode.uid,
                inode.gid,
                inode.target,
                inode.xattrs,
                inode.content and inode.content.read_at(0, inode.content.size),
            )
            for name, inode in open_filesystem(dissect.part(blob, data)).read_tree().items()
            if name
        }


def test_signing_their_image_anew_gives_their_bytes(
    theirs: Path, signing_pair: SigningPair, tmp_path: Path
) -> None:
    unsigned, signed = (tmp_path / folder / "demo.raw" for folder in ("unsigned", "signed"))
    unsigned.parent.mkdir()
    signed.parent.mkdir()
    unsign_image(theirs, target=Target(str(unsigned)))
    assert inspect_image(unsigned).signature is None
    pair = load_pair(str(signing_pair.key), str(signing_pair.certificate))
    sign_image(unsigned, pair, target=Target(str(signed)))
    assert signature_partition(signed) == signature_partition(theirs)
    assert verify_image(signed, trusting(signing_pair)).ok


def test_exchanging_the_signer_touches_nothing_but_the_signature(
    theirs: Path, other_pair: SigningPair, tmp_path: Path
) -> None:
    changed = tmp_path / "changed" / "demo.raw"
    changed.parent.mkdir()
    pair = load_pair(str(other_pair.key), str(other_pair.certificate))
    sign_image(theirs, pair, target=Target(str(changed)))
    before, after = theirs.read_bytes(), changed.read_bytes()
    old, new = signature_partition(theirs), signature_partition(changed)
    assert old != new
    assert before.replace(old, b"") == after.replace(new, b"")
    assert verify_image(changed, trusting(other_pair)).ok


def test_systemd_repart_takes_our_image_for_a_disk_it_knows(
    debian13: Debian13, ours: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    (copy / "definitions").mkdir(parents=True)
    shutil.copy(ours, copy / "demo.raw")
    for number, kind in enumerate(("root", "root-verity", "root-verity-sig"), 1):
        (copy / f"definitions/{number}0-{kind}.conf").write_text(
            f"[Partition]\nType={kind}\nSizeMinBytes=4096\n"
        )
    done = debian13.run(
        ["systemd-repart", "--definitions=/mnt/definitions", "--dry-run=yes", "--json=short",
         "/mnt/demo.raw"],
        binds={copy: "/mnt"},
    )  # fmt: skip
    assert done.stdout.count('"activity":"unchanged"') == 3, done.stdout
