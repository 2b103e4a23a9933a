"""Images that systemd-repart makes without a signature are signed, and nothing else moves.

Whoever signs later leaves it out (``--exclude-partitions``) or has no definition for it
(``Verity=hash`` alone, as mkosi and others build).
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.build.resign import Target, sign_image, unsign_image
from sysgraft.formats import gpt
from sysgraft.host.files import OpenFile
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.sign.pair import load_pair
from sysgraft.sign.verify.trust import from_certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from conftest import Debian13, SigningPair

RELEASE = "ID=_any\nARCHITECTURE=x86-64\n"
# systemd 252 has no --make-ddi; sizes are fixed where it has no Minimize=.
DATA = "Format={}\nVerity=data\nCopyFiles={}:/\n"
HASH = "Verity=hash\n"


def definitions(folder: Path, kind: str, tree: str, *, fstype: str, sizes: bool) -> Path:
    """Definitions of a data and a hash partition."""
    where = folder / "definitions"
    where.mkdir()
    parts = (
        (kind, DATA.format(fstype, tree), "512K"),
        (f"{kind}-verity", HASH, "64K"),
    )
    for number, (name, text, size) in enumerate(parts):
        fixed = f"SizeMinBytes={size}\nSizeMaxBytes={size}\n" if sizes else "Minimize=best\n"
        (where / f"{number}0-{name}.conf").write_text(
            f"[Partition]\nType={name}\nVerityMatchKey=one\n{text}{fixed}"
        )
    return where


@pytest.fixture
def tree(sample_tree: Path) -> Path:
    release = sample_tree / "usr/lib/extension-release.d/extension-release.demo"
    release.parent.mkdir()
    release.write_text(RELEASE)
    return sample_tree


@pytest.fixture
def repart_257(debian13: Debian13, tree: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes /mnt/demo.raw in the Debian 13 folder."""

    def make(*options: str) -> Path:
        assert tree.is_dir()
        argv = ["systemd-repart", "--offline=yes", *options, "/mnt/demo.raw"]
        debian13.run(argv, binds={tmp_path: "/mnt"})
        return tmp_path / "demo.raw"

    return make


def partitions_of(path: Path) -> tuple[list[gpt.Partition], list[bytes], UUID]:
    """The entries of the table, and what the partitions hold."""
    with OpenFile(path) as blob:
        table = gpt.parse(blob)
        contents = [blob.read_at(part.offset, part.size) for part in table.partitions]
    return list(table.partitions), contents, table.disk_uuid


def signed_by(image: Path, pair: SigningPair) -> Path:
    """The image with a signature beside those of `image`, which is found unchanged in it."""
    target = image.parent / "signed" / image.name
    signing = load_pair(str(pair.key), str(pair.certificate))
    sign_image(image, signing, target=Target(str(target)))
    before, after = partitions_of(image), partitions_of(target)
    assert after[2] == before[2]
    count = len(before[0])
    assert len(after[0]) == count + 1
    added = next(part for part in after[0] if part not in before[0])
    kept = [number for number, part in enumerate(after[0]) if part is not added]
    assert [after[0][number] for number in kept] == before[0]
    assert [after[1][number] for number in kept] == before[1]
    assert added.name.endswith("-verity-sig")
    assert added.read_only
    assert added.offset >= max(part.offset + part.size for part in before[0])
    trust = from_certificates(pair.certificate.read_bytes(), "the signer")
    result = verify_image(target, VerifyOptions(trust=trust))
    assert result.ok, result.checks
    return target


def dissected(debian13: Debian13, image: Path) -> dict[str, str]:
    """What systemd-dissect 257 says of dm-verity, by designator."""
    argv = ["systemd-dissect", "--json=short", f"/mnt/{image.name}"]
    said = json.loads(debian13.run(argv, binds={image.parent: "/mnt"}).stdout)
    return {mount["designator"]: mount["verity"] for mount in said["mounts"]}


@pytest.mark.oracle("debian-13")
@pytest.mark.oracle("fdisk")
@pytest.mark.parametrize("sector_size", ["512", "4096"])
def test_an_image_made_without_the_signature_partition(
    debian13: Debian13,
    repart_257: Callable[..., Path],
    signing_pair: SigningPair,
    sector_size: str,
) -> None:
    image = repart_257(
        "--make-ddi=sysext",
        "--copy-source=/mnt/tree",
        "--exclude-partitions=root-verity-sig",
        f"--sector-size={sector_size}",
    )
    signed = signed_by(image, signing_pair)
    assert dissected(debian13, signed)["root"] == "signed"
    listed = printed("fdisk", "--sector-size", sector_size, "--output", "Name", "--list", signed)
    names = ["root-x86-64", "root-x86-64-verity", "root-x86-64-verity-sig"]
    assert listed.splitlines()[-3:] == names
    back = signed.parent / "back/demo.raw"
    unsign_image(signed, target=Target(str(back)))
    assert partitions_of(back)[:2] == partitions_of(image)[:2]


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("kind", ["root", "usr"])
def test_definitions_without_a_signature(
    debian13: Debian13,
    repart_257: Callable[..., Path],
    signing_pair: SigningPair,
    tree: Path,
    kind: str,
) -> None:
    source = "/mnt/tree/usr" if kind == "usr" else "/mnt/tree"
    definitions(tree.parent, kind, source, fstype="erofs", sizes=False)
    image = repart_257(
        "--empty=create", "--size=auto", "--dry-run=no", "--definitions=/mnt/definitions"
    )
    signed = signed_by(image, signing_pair)
    assert dissected(debian13, signed)[kind] == "signed"


@pytest.mark.root
@pytest.mark.oracle("systemd-repart")
@pytest.mark.oracle("mksquashfs")
@pytest.mark.oracle("sfdisk")
@pytest.mark.oracle("sgdisk")
def test_an_image_of_this_machines_repart(tree: Path, signing_pair: SigningPair) -> None:
    """systemd 252 here: squashfs with dm-verity blocks of 512 bytes, a disk with room to spare."""
    folder = definitions(tree.parent, "root", str(tree), fstype="squashfs", sizes=True)
    image = tree.parent / "demo.raw"
    argv = ["systemd-repart", "--empty=create", "--size=2M", "--dry-run=no"]
    subprocess.run([*argv, f"--definitions={folder}", image], check=True, capture_output=True)
    signed = signed_by(image, signing_pair)
    said = json.loads(printed("systemd-dissect", "--json=short", signed))
    assert said["mounts"][0]["verity"] == "signed"
    assert "No errors detected" in printed("sfdisk", "--verify", signed)
    assert "No problems found" in printed("sgdisk", "--verify", signed)


def printed(*argv: str | Path) -> str:
    """What a program prints when it is content."""
    done = subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout
