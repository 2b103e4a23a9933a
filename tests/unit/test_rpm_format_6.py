"""A package as rpm 6 builds it: an archive in the short form, and no older digests."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from sysgraft.base.blob import BytesBlob
from sysgraft.build.collect import Options, open_tree
from sysgraft.formats.compression import Compression, Decompressor
from sysgraft.formats.rpm import read_package
from sysgraft.formats.stream import BlobSource

ASSETS = Path(__file__).parents[1] / "assets/rpm"
PACKAGE = ASSETS / "demo-format-6.rpm"


def test_its_archive_is_the_short_form() -> None:
    package = read_package(BytesBlob(PACKAGE.read_bytes()))
    assert package.compressor == "zstd"
    assert package.header_digest == "sha256"
    assert package.payload_digest is not None
    source = Decompressor(BlobSource(package.payload), Compression.ZSTD)
    assert source.read(14) == b"07070X00000000"


def test_its_files_are_those_rpm_lists() -> None:
    lines = [
        line.rsplit(" ", 10) for line in (ASSETS / "demo-format-6.dump").read_text().splitlines()
    ]
    listed = {words[0]: words for words in lines if words[0] != "/var/log/ghost"}
    with open_tree([str(PACKAGE)], Options(kind="root")) as collected:
        tree = {"/" + path.decode(): inode for path, inode in collected.tree.items()}
        for path, (_, size, mtime, digest, mode, *_, target) in listed.items():
            inode = tree[path]
            assert inode.mtime == int(mtime)
            assert inode.mode == int(mode, 8) & ~(stat.S_ISGID if path.endswith("empty") else 0)
            assert inode.target.decode() == target.removeprefix("X")
            if inode.content is not None:
                content = inode.content.read_at(0, int(size))
                assert hashlib.sha256(content).hexdigest() == digest
        assert {path for path, inode in tree.items() if not inode.is_dir} <= listed.keys()
        names = [f"/usr/lib/firmware/demo/{name}.bin" for name in ("aaa", "one", "zzz")]
        assert len({id(tree[name]) for name in names}) == 1
        assert [name for name, _ in tree["/usr/bin/prog"].xattrs] == [b"security.capability"]
        assert collected.sources == ("RPM package demo-fw 2:1.0-3 (x86_64)",)
