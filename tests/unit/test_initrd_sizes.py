"""An initrd's archives, and what takes the room in them."""

from __future__ import annotations

import gzip
import lzma
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import cpio, initrd
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import Compression
from sysgraft.image.initrd_sizes import KINDS, initrd_sizes, kind_of, sizes_of, uki_initrd_sizes
from uki_kit import make_kit

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.image.initrd_sizes import InitrdSizes


def archive(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    tree = {b"": Inode(stat.S_IFDIR | 0o755)}
    for path, data in files.items():
        steps = path.encode().split(b"/")
        for depth in range(1, len(steps)):
            tree[b"/".join(steps[:depth])] = Inode(stat.S_IFDIR | 0o755)
        tree[path.encode()] = Inode(stat.S_IFREG | mode, content=BytesBlob(data))
    return b"".join(cpio.plan(tree).chunks())


def read(data: bytes) -> InitrdSizes:
    return sizes_of(BytesBlob(data), Allowance())


FIRST = archive({"kernel/x86/microcode/GenuineIntel.bin": bytes(100)})
SECOND = archive({"usr/lib/modules/6.12/kernel/a.ko.xz": bytes(5000), "init": b"#!/bin/sh\n"})
THIRD = archive({"usr/lib/firmware/b.bin": bytes(700), "usr/lib/systemd/system/c.service": b"x"})


def test_parts_of_all_kinds_behind_one_another() -> None:
    packed = zstd.compress(SECOND)
    data = FIRST + bytes(512) + packed + gzip.compress(THIRD, mtime=0)
    found = read(data)
    kinds = [part.compression for part in found.parts]
    assert kinds == [Compression.NONE, Compression.ZSTD, Compression.GZIP]
    assert [part.offset for part in found.parts] == [
        0,
        len(FIRST) + 512,
        len(FIRST) + 512 + len(packed),
    ]
    assert sum(part.size for part in found.parts) == found.size == len(data)
    assert [part.plain_size for part in found.parts] == [
        len(FIRST) + 512,
        len(SECOND),
        len(THIRD),
    ]
    assert {share.kind: (share.files, share.size) for share in found.shares} == {
        "kernel modules": (1, 5000),
        "firmware": (2, 800),
        "programs": (1, 10),
        "systemd units": (1, 1),
    }
    assert found.unpacked == 5811
    assert found.largest[0] == ("usr/lib/modules/6.12/kernel/a.ko.xz", 5000)


@pytest.mark.parametrize("pack", [lzma.compress, zstd.compress, gzip.compress])
def test_several_archives_in_one_stream(pack: object) -> None:
    assert callable(pack)
    found = read(pack(FIRST + bytes(1000) + SECOND))
    assert len(found.parts) == 1
    assert found.unpacked == 5110


def test_the_last_file_of_a_path_counts() -> None:
    found = read(archive({"a": bytes(10)}) + archive({"a": bytes(3)}))
    assert found.unpacked == 3
    assert found.shares == (("other", 1, 3),)


@pytest.mark.parametrize(
    ("path", "mode", "kind"),
    [
        ("usr/lib/modules/6.1/modules.dep", 0o644, "kernel modules"),
        ("lib/modules/6.1/a.ko", 0o644, "kernel modules"),
        ("lib/firmware/x/y.bin.zst", 0o644, "firmware"),
        ("usr/lib64/libc.so.6", 0o755, "shared libraries"),
        ("usr/lib/x86_64-linux-gnu/libz.so.1.3", 0o644, "shared libraries"),
        ("usr/lib/systemd/libsystemd-shared-257.so", 0o644, "shared libraries"),
        ("usr/lib/systemd/system/a.service", 0o644, "systemd units"),
        ("etc/systemd/system/b.target.wants/a.service", 0o644, "systemd units"),
        ("usr/lib/systemd/systemd-udevd", 0o755, "programs"),
        ("usr/bin/sh", 0o755, "programs"),
        ("sbin/fsck", 0o755, "programs"),
        ("init", 0o755, "programs"),
        ("usr/lib/udev/rules.d/60.rules", 0o644, "other"),
        ("etc/fstab", 0o644, "other"),
        ("usr/share/x/lib/modules/y", 0o644, "other"),
    ],
)
def test_kinds(path: str, mode: int, kind: str) -> None:
    assert kind in KINDS
    assert kind_of(initrd.Entry(path.encode(), stat.S_IFREG | mode, 1)) == kind


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", FormatError, "it is empty"),
        (b"nothing of the kind", FormatError, "at byte 0 begins neither"),
        (b"\x02\x21\x4c\x18" + bytes(600), UnsupportedError, "LZ4"),
        (FIRST + b"\x89LZO" + bytes(600), UnsupportedError, "LZO"),
        (gzip.compress(b"not an archive" * 20), FormatError, "no newc header"),
        (gzip.compress(SECOND[:-400]), TruncatedError, "ends"),
        (gzip.compress(SECOND)[:-20], TruncatedError, "end"),
        (gzip.compress(FIRST.replace(b"kernel", b"../../")), FormatError, "leads out"),
    ],
)
def test_what_is_refused(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read(data)


def test_a_bomb_is_refused() -> None:
    data = gzip.compress(archive({"zeros": bytes(4 << 20)}))
    small = Allowance(Limits(output=1 << 20, free=1 << 10, ratio=10))
    with pytest.raises(LimitError, match="grow"):
        sizes_of(BytesBlob(data), small)


def test_too_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initrd, "MAX_PARTS", 3)
    one = gzip.compress(archive({}), mtime=0) + zstd.compress(archive({}))
    assert len(read(one).parts) == 2
    with pytest.raises(LimitError, match="more than 3 parts"):
        read(one * 2)


def test_zeros_without_end_are_passed_quickly() -> None:
    found = read(zstd.compress(FIRST + bytes(64 << 20)))
    assert found.parts[0].plain_size == len(FIRST) + (64 << 20)


@pytest.mark.oracle("cpio")
def test_hard_links_as_cpio_writes_them(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/one").write_bytes(bytes(1000))
    (tmp_path / "tree/two").hardlink_to(tmp_path / "tree/one")
    made = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"],
        input=b"one\ntwo\n",
        cwd=tmp_path / "tree",
        capture_output=True,
        check=True,
    )
    path = tmp_path / "initrd"
    path.write_bytes(made.stdout)
    assert initrd_sizes(path).unpacked == 1000


def test_initrds_of_a_uki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    one = kit.file("one.img", FIRST)
    two = kit.file("two.img", zstd.compress(SECOND))
    uki = kit.build("linux.efi", f"--initrd={one}", f"--initrd={two}")
    (found,) = uki_initrd_sizes(uki)
    assert [share.kind for share in found.shares] == ["kernel modules", "firmware", "programs"]
    assert uki_initrd_sizes(kit.build("none.efi")) == ()
