"""``sysgraft ext extract``: the files of our own and other tools' images, or nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command import sysgraft
from erofs_made import FILE, ONE_FILE, Made, make
from golden_images import IMAGES, golden
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.formats.erofs.ondisk import Layout
from sysgraft.formats.erofs.writer import plan
from sysgraft.host.files import OpenFile
from sysgraft.image import dissect
from sysgraft.image.content import open_filesystem

if TYPE_CHECKING:
    from conftest import SigningPair

LZ4 = "sysext-257-lz4hc"


def extract(image: Path, folder: Path, *words: str) -> str:
    done = sysgraft("ext", "extract", image, folder, *words)
    assert done.code == 0, done.err
    return done.out


@pytest.mark.root
@pytest.mark.parametrize("name", [LZ4, "sysext-262", "confext-257"])
def test_images_of_systemd_repart_give_what_went_in(name: str, tmp_path: Path) -> None:
    files = "sysext.files.json" if name.startswith("sysext") else "confext.files.json"
    wanted = json.loads((IMAGES / files).read_text())
    extract(golden(name, tmp_path), tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    assert found == wanted.keys()
    for path, entry in wanted.items():
        place = tmp_path / "out" / path
        status = place.lstat()
        assert f"{stat.S_IMODE(status.st_mode):04o}" == entry["mode"], path
        assert (status.st_uid, status.st_gid) == (entry["uid"], entry["gid"]), path
        if entry["type"] == "file":
            assert hashlib.sha256(place.read_bytes()).hexdigest() == entry["sha256"], path
        elif entry["type"] == "symlink":
            assert os.readlink(place) == entry["target"], path
        xattrs = {key: os.getxattr(place, key, follow_symlinks=False).hex() for key in
                  os.listxattr(place, follow_symlinks=False)}  # fmt: skip
        assert xattrs == entry.get("xattrs", {}), path


def test_what_was_built_of_a_folder_comes_out_again(
    sample_tree: Path, signing_pair: SigningPair, tmp_path: Path
) -> None:
    signing = (f"--private-key={signing_pair.key}", f"--certificate={signing_pair.certificate}")
    built = sysgraft("ext", "build", "demo", sample_tree, "--output", tmp_path, *signing)
    assert built.code == 0, built.err
    out = extract(tmp_path / "demo.sysext.raw", tmp_path / "out")
    assert out.startswith(f"{tmp_path / 'out'}  (")
    demo = Path("usr/lib/firmware/demo")
    for name in ("empty.bin", "small.bin", "block.bin", "large.bin"):
        assert (tmp_path / "out" / demo / name).read_bytes() == (
            (sample_tree / demo / name).read_bytes()
        )
    hard = [(tmp_path / "out" / demo / name).stat().st_ino for name in ("same.bin", "small.bin")]
    assert hard[0] == hard[1]
    assert os.readlink(tmp_path / "out" / demo / "alias.bin") == "small.bin"
    assert os.access(tmp_path / "out/usr/bin/demo", os.X_OK)


def test_a_part_comes_with_the_folders_above_it(tmp_path: Path) -> None:
    image = golden(LZ4, tmp_path)
    release = "usr/lib/extension-release.d"
    extract(image, tmp_path / "out", f"--path=/{release}/", "--path", "usr/golden/lines")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    names = {name for name in found if name.startswith(f"{release}/")}
    assert names
    assert found == names | {"usr", "usr/lib", release, "usr/golden", "usr/golden/lines"}
    done = sysgraft("ext", "extract", image, tmp_path / "other", "--path=usr/nothing")
    assert (done.code, done.out) == (2, "")
    assert "the image has no usr/nothing" in done.err
    assert not (tmp_path / "other").exists()


# --- Other forms of images -----------------------------------------------------------------------


def test_a_bare_file_system_is_extracted(tmp_path: Path) -> None:
    tree = {
        b"": Inode(stat.S_IFDIR | 0o755),
        b"file": Inode(stat.S_IFREG | 0o644, content=BytesBlob(b"content")),
    }
    planned = plan(tree, uuid=UUID(int=1), build_time=0)
    data = bytearray(planned.block_count * 4096)
    planned.fill(0, memoryview(data))
    (tmp_path / "bare.raw").write_bytes(data)
    extract(tmp_path / "bare.raw", tmp_path / "out")
    assert (tmp_path / "out/file").read_bytes() == b"content"


def test_a_compressed_image_of_another_tool_can_be_built_anew(tmp_path: Path) -> None:
    image = golden(LZ4, tmp_path)
    options = ("--owner=keep", "--unsigned", "--output", tmp_path / "new")
    built = sysgraft("ext", "build", "golden", f"raw:{image}", *options)
    assert built.code == 0, built.err
    done = sysgraft("ext", "diff", image, tmp_path / "new/golden.sysext.raw", "--json")
    assert done.document["notCompared"] == []
    added = [each["path"] for each in done.document["files"]]
    assert added == ["/usr/lib/extension-release.d/extension-release.golden.sysext"]


# --- What cannot be done -------------------------------------------------------------------------


def test_what_is_not_kept_is_said_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    done = sysgraft("ext", "extract", golden(LZ4, tmp_path), tmp_path / "out")
    assert done.code == 0
    (line,) = [line for line in done.err.splitlines() if "owners" in line]
    assert line.startswith("note: owners not kept: /usr/")
    assert line.endswith("more (Operation not permitted)")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no image at all\n" * 100, "there is no GPT"),
        (b"hsqs".ljust(8192, b"\0"), "squashfs"),
    ],
)
def test_what_is_no_image_that_can_be_read_is_an_error(
    tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "x.raw").write_bytes(data)
    done = sysgraft("ext", "extract", tmp_path / "x.raw", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused_before_the_image_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_bytes(b"precious")
    done = sysgraft("ext", "extract", tmp_path / "missing.raw", tmp_path / "out")
    assert done.code == 2
    assert "the folder is not empty" in done.err
    assert "give an empty folder" in done.err
    assert (tmp_path / "out/file").read_bytes() == b"precious"


def test_an_image_that_claims_more_than_disks_hold_is_refused(tmp_path: Path) -> None:
    # One chunk of 8 TiB that is a hole.
    made = Made(mode=FILE, layout=Layout.CHUNK_BASED, data=b"\xff" * 4, size=1 << 42, union=31)
    (tmp_path / "x.raw").write_bytes(make(ONE_FILE, made, incompat=4))
    done = sysgraft("ext", "extract", tmp_path / "x.raw", tmp_path / "out")
    assert done.code == 2
    assert "claims 4398046511104 bytes of content" in done.err
    assert not (tmp_path / "out").exists()


# --- Damaged compressed images -------------------------------------------------------------------


def damaged(image: Path) -> str:
    """Destroy the compressed data of a file; its path."""
    with OpenFile(str(image)) as blob:
        data = dissect.dissect(blob).data
        assert data is not None
        reader = open_filesystem(dissect.part(blob, data), data)
        found = {reader.owners(at, 1) for at in range(0, data.partition.size, 4096)}
        path = next(names[0] for names in found if names == ("usr/golden/lines",))
        block = next(
            at for at in range(0, data.partition.size, 4096) if reader.owners(at, 1) == (path,)
        )
    with image.open("r+b") as file:
        file.seek(data.partition.offset + block)
        file.write(b"\xa5" * 4096)
    return path


def test_damaged_data_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    image = golden(LZ4, tmp_path)
    path = damaged(image)
    done = sysgraft("ext", "extract", image, tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert f"{path}: " in done.err
    assert "LZ4 data" in done.err
    assert os.listdir(tmp_path) == [image.name]
    # What is not damaged can still be had.
    extract(image, tmp_path / "out", "--path=usr/lib")


def test_verifying_names_the_file_that_damaged_compressed_data_belongs_to(tmp_path: Path) -> None:
    image = golden(LZ4, tmp_path)
    path = damaged(image)
    done = sysgraft("ext", "verify", image, "--json")
    checks = {check["name"]: check for check in done.document["images"][0]["checks"]}
    assert checks["verity-tree"]["status"] == "fail"
    assert path in checks["verity-tree"]["reason"]
