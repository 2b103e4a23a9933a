"""What is read and extracted of images of mkfs 1.8 is what went in, and what fsck.erofs extracts.

Every algorithm, both kinds of index, and what tails, duplicates and small files become.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from erofs_kit import (
    ALL,
    OF_1_8,
    assert_equal,
    fill_ordinary,
    folder_snapshot,
    make_compressed,
    tree_snapshot,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.formats.erofs.ondisk import Incompat
from sysgraft.formats.erofs.reader import Reader
from sysgraft.image.extraction import extract_image
from sysgraft.image.inspect import inspect_image

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13
    from erofs_kit import Snapshot

pytestmark = [pytest.mark.root, pytest.mark.oracle("debian-13")]

# fsck.erofs 1.8 changes owners last, by which Linux takes capabilities away, and gives folders
# their default lists before what is in them, which so gets lists it did not have.
NOT_AS_IN_THE_IMAGE: Final = {b"security.capability", b"system.posix_acl_access"}
# It reads no blocks of 1024 bytes, and makes files of nothing but holes empty.
BEYOND_FSCK: Final = ("-b1024", "--chunksize")
BY_ALL_ROOT: Final = ALL - {"mtime", "uid", "gid"}


@pytest.mark.parametrize("options", ["", "-b1024", "--chunksize=8192", *OF_1_8])
def test_extracting_gives_what_went_in_and_what_fsck_extracts(
    compressible_tree: Path, tmp_path: Path, debian13: Debian13, options: str
) -> None:
    image = make_compressed(debian13, compressible_tree, tmp_path, options)
    expected = folder_snapshot(compressible_tree)
    fields = BY_ALL_ROOT if "--all-root" in options else ALL
    tree = Reader(BytesBlob(image.read_bytes())).read_tree()
    assert_equal(tree_snapshot(tree), expected, fields)
    done = extract_image(image, tmp_path / "ours")
    assert done.not_kept == ()
    ours = folder_snapshot(tmp_path / "ours")
    assert_equal(ours, expected, fields)
    if any(option in options for option in BEYOND_FSCK):
        return
    words = ["fsck.erofs", "--extract=/mnt/out/theirs", "--xattrs", "/mnt/out/image"]
    debian13.run(words, binds={tmp_path: "/mnt/out"})
    theirs = folder_snapshot(tmp_path / "theirs")
    assert_equal(comparable(ours), comparable(theirs))


def comparable(snapshot: Snapshot) -> Snapshot:
    kept = {}
    for path, values in snapshot.items():
        xattrs = values["xattrs"]
        assert isinstance(xattrs, dict)
        left = {name: xattrs[name] for name in xattrs.keys() - NOT_AS_IN_THE_IMAGE}
        kept[path] = {**values, "xattrs": left}
    return kept


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("Compression=zstd\nCompressionLevel=5\n", ""),
        ("Compression=lz4hc\n", ""),
        ("", "-zlz4hc,12 -C65536 -Efragments,ztailpacking"),
        ("", "-zlzma -C262144 -Ededupe,all-fragments"),
    ],
)
def test_images_of_systemd_repart_give_what_went_in(
    tmp_path: Path, debian13: Debian13, setting: str, options: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    fill_ordinary(source)
    (tmp_path / "repart.d").mkdir()
    (tmp_path / "repart.d/10-root.conf").write_text(
        f"[Partition]\nType=root\nFormat=erofs\nMinimize=best\nCopyFiles=/:/\n{setting}"
    )
    debian13.run(
        [
            "systemd-repart",
            "--empty=create",
            "--size=auto",
            "--offline=yes",
            "--definitions=/mnt/out/repart.d",
            "--copy-source=/mnt/out/source",
            "/mnt/out/demo.raw",
        ],
        binds={tmp_path: "/mnt/out"},
        env={"SYSTEMD_REPART_MKFS_OPTIONS_EROFS": options},
    )
    info = inspect_image(tmp_path / "demo.raw")
    assert info.filesystem is not None
    assert info.filesystem.feature_incompat & (Incompat.LZ4_0PADDING | Incompat.COMPRESSION_CONFIGS)
    extract_image(tmp_path / "demo.raw", tmp_path / "ours")
    ours, expected = folder_snapshot(tmp_path / "ours"), folder_snapshot(source)
    # systemd-repart copies into the root of a file system of its own.
    del ours[b""], expected[b""]
    assert_equal(ours, expected)
