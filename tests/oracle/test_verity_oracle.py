"""dm-verity trees against veritysetup: same bytes, same root hash, and it accepts ours."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.formats.verity import Superblock, hash_blocks, parse_superblock
from sysgraft.formats.verity_tree import check_upper_levels, upper_levels

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle("veritysetup")

SALT: Final = bytes.fromhex("c65b6ab68edf421fcc0cb48ba60f7f14f5186b4d003d21ab3b334b91de16759c")
UID: Final = UUID("898929e6-7747-423e-8593-3659ba461e7c")


def veritysetup(*argv: str) -> subprocess.CompletedProcess[str]:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return subprocess.run(
        ["veritysetup", *argv], capture_output=True, text=True, check=False, env={"PATH": path}
    )


def make_data(path: Path, superblock: Superblock) -> Path:
    """Data with a hole in the middle and no two other blocks alike."""
    blocks, size = superblock.data_blocks, superblock.data_block_size
    with path.open("wb") as file:
        file.truncate(blocks * size)
        for number in {*range(min(blocks, 300)), *range(max(0, blocks - 300), blocks)}:
            file.seek(number * size)
            file.write(number.to_bytes(4, "big") * (size // 4))
    return path


def make_tree(data: bytes, superblock: Superblock) -> tuple[bytes, bytes]:
    """The hash device and the root hash."""
    digests = hash_blocks(
        data,
        salt=superblock.salt,
        block_size=superblock.data_block_size,
        algorithm=superblock.algorithm,
        hash_type=superblock.hash_type,
    )
    bottom = superblock.levels.level0
    if bottom:
        digests = digests.ljust(bottom.blocks * superblock.hash_block_size, b"\0")
    upper, root_hash = upper_levels(superblock, BytesBlob(digests))
    head = bytes(superblock).ljust(superblock.hash_block_size, b"\0")
    return head + upper + (digests if bottom else b""), root_hash


def theirs(tmp_path: Path, superblock: Superblock) -> tuple[Path, bytes, bytes]:
    """Data, hash device and root hash by veritysetup."""
    data = make_data(tmp_path / "data", superblock)
    tree = tmp_path / "theirs"
    done = veritysetup(
        *("format", str(data), str(tree), f"--uuid={superblock.uuid}"),
        *(f"--salt={superblock.salt.hex() or '-'}", f"--hash={superblock.algorithm}"),
        f"--data-block-size={superblock.data_block_size}",
        f"--hash-block-size={superblock.hash_block_size}",
        f"--format={superblock.hash_type}",
    )
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("Root hash:")]
    return data, tree.read_bytes(), bytes.fromhex(said.split()[-1])


SIZES: Final = [1, 2, 3, 127, 128, 129, 255, 256, 257, 16383, 16384, 16385]
KINDS: Final = [
    Superblock(UID, 1000),
    Superblock(UID, 1000, SALT, "sha512"),
    Superblock(UID, 1000, SALT, data_block_size=512, hash_block_size=1024),
    Superblock(UID, 1000, SALT, data_block_size=1024, hash_block_size=512),
    Superblock(UID, 1000, SALT, "sha512", data_block_size=512, hash_block_size=512),
    Superblock(UID, 1000, SALT, hash_type=0),
    Superblock(UID, 1, SALT, hash_type=0),
    Superblock(UID, 1000, bytes(range(256))),
    Superblock(UID, 1000, b"\0"),
]


@pytest.mark.parametrize(
    "superblock",
    [*(Superblock(UID, blocks, SALT) for blocks in SIZES), *KINDS],
    ids=lambda sb: f"{sb.data_blocks}-{sb.algorithm}-{sb.hash_block_size}-{sb.hash_type}",
)
def test_tree_and_root_hash_are_those_of_veritysetup(
    tmp_path: Path, superblock: Superblock
) -> None:
    data, tree, root_hash = theirs(tmp_path, superblock)
    ours, our_root_hash = make_tree(data.read_bytes(), superblock)
    assert our_root_hash == root_hash
    assert ours == tree
    assert len(ours) == superblock.levels.size
    assert parse_superblock(BytesBlob(tree)) == superblock
    assert check_upper_levels(BytesBlob(tree), superblock, root_hash) is None


@pytest.mark.parametrize("blocks", [1, 2, 128, 129, 16385])
def test_veritysetup_accepts_our_tree_and_no_other_root_hash(tmp_path: Path, blocks: int) -> None:
    superblock = Superblock(UID, blocks, SALT)
    data = make_data(tmp_path / "data", superblock)
    tree, root_hash = make_tree(data.read_bytes(), superblock)
    (tmp_path / "ours").write_bytes(tree)
    verify = ("verify", str(data), str(tmp_path / "ours"))
    assert veritysetup(*verify, root_hash.hex()).returncode == 0
    assert veritysetup(*verify, root_hash[::-1].hex()).returncode != 0


@pytest.mark.parametrize("block", [0, 1, 2, 3, 130])
def test_both_refuse_the_same_damaged_tree(tmp_path: Path, block: int) -> None:
    superblock = Superblock(UID, 16385, SALT)
    data = make_data(tmp_path / "data", superblock)
    tree, root_hash = make_tree(data.read_bytes(), superblock)
    damaged = bytearray(tree)
    damaged[4096 * (1 + block) + 7] ^= 0x10
    (tmp_path / "ours").write_bytes(damaged)
    done = veritysetup("verify", str(data), str(tmp_path / "ours"), root_hash.hex())
    assert done.returncode != 0
    bad = check_upper_levels(BytesBlob(bytes(damaged)), superblock, root_hash)
    assert bad is not None
    assert bad.offset == 4096 * (1 + block)
