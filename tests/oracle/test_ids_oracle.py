"""Identifiers of an image made by systemd-repart 257 against ours for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from sysgraft.base import ids
from sysgraft.base.blob import FileBlob, SubBlob
from sysgraft.formats import gpt, gpt_check, verity, verity_signature, verity_tree
from sysgraft.formats.partition_types import lookup, type_uuid

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13, SigningPair

SEED: Final = UUID("6b0d4e55-9f0e-4b5c-8d3a-2f2a7c1e9d10")


def _repart(
    debian13: Debian13, tmp_path: Path, sample_tree: Path, pair: SigningPair, arch: str
) -> Path:
    argv = [
        *("systemd-repart", "--make-ddi=sysext", f"--seed={SEED}", f"--architecture={arch}"),
        *("--offline=yes", "--copy-source=/in"),
        *("--private-key=/keys/signer.key", "--certificate=/keys/signer.crt", "/out/image.raw"),
    ]
    output = tmp_path / "out"
    output.mkdir()
    debian13.run(argv, binds={sample_tree: "/in", pair.key.parent: "/keys", output: "/out"})
    return output / "image.raw"


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("arch", ["x86-64", "arm64"])
def test_identifiers_equal_those_of_systemd_repart_for_an_equal_seed(
    debian13: Debian13, tmp_path: Path, sample_tree: Path, signing_pair: SigningPair, arch: str
) -> None:
    image = _repart(debian13, tmp_path, sample_tree, signing_pair, arch)
    with image.open("rb") as file:
        blob = FileBlob(file)
        table = gpt.parse(blob)
        assert gpt_check.problems(blob, table) == ()
        root, tree, signature = table.partitions
        kinds = [lookup(part.type_uuid) for part in table.partitions]
        assert [kind.name for kind in kinds if kind] == [part.name for part in table.partitions]
        said = verity_signature.parse(SubBlob(blob, signature.offset, signature.size))
        hash_device = SubBlob(blob, tree.offset, tree.size)
        superblock = verity.parse_superblock(hash_device)
        # An EROFS superblock is at byte 1024 and its UUID 48 bytes further.
        filesystem = UUID(bytes=blob.read_at(root.offset + 1024 + 48, 16))
        bad = verity_tree.check_upper_levels(hash_device, superblock, said.root_hash)

    assert table.disk_uuid == ids.disk_uuid(SEED)
    acquired = ids.partition_uuid(SEED, type_uuid("root", arch))
    assert filesystem == ids.filesystem_uuid(acquired)
    assert superblock.salt == ids.verity_salt(SEED)
    assert superblock.uuid == ids.verity_uuid(SEED)
    assert root.uuid == ids.data_uuid(said.root_hash)
    assert tree.uuid == ids.hash_uuid(said.root_hash)
    assert signature.uuid == ids.partition_uuid(SEED, type_uuid("root-verity-sig", arch))
    assert bad is None
    assert said.canonical
