"""Images of a lone usr partition: it is mounted at /usr, and judged by what is there then."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.image import partition
from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats import gpt
from sysgraft.formats.erofs.writer import plan
from sysgraft.formats.extension_release import Kind
from sysgraft.image import dissect
from sysgraft.image.content import open_filesystem, release_files
from sysgraft.image.extraction import extract_image
from sysgraft.image.inspect import inspect_image
from sysgraft.image.verify import Verification, VerifyOptions, verify_image
from sysgraft.sign.verify.trust import from_certificates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conftest import Debian13, SigningPair
    from sysgraft.image.content import FileSystem

RELEASE = "ID=_any\nARCHITECTURE=x86-64\n"
RELEASE_PATH = b"lib/extension-release.d/extension-release.demo"
BLOCK = 4096
START = 1 << 20
MISSING = "there is no extension-release file in it"


# --- Of our own making, unsigned -----------------------------------------------------------------


def regular(text: str) -> Inode:
    return Inode(stat.S_IFREG | 0o644, content=BytesBlob(text.encode()))


def link(target: bytes) -> Inode:
    return Inode(stat.S_IFLNK | 0o777, target=target)


def write_image(path: Path, files: Mapping[bytes, Inode], designator: str = "usr") -> Path:
    """An image of one partition; `files` are named as in its file system."""
    names = [name.split(b"/") for name in files]
    folders = {b"/".join(parts[:count]) for parts in names for count in range(len(parts))}
    tree = {name: Inode(stat.S_IFDIR | 0o700) for name in folders} | dict(files)
    planned = plan(tree, uuid=UUID(int=1), build_time=0)
    size = planned.block_count * BLOCK
    data = bytearray(START + size + START)
    planned.fill(0, memoryview(data)[START : START + size])
    part = partition(0, designator, "x86-64", uuid=UUID(int=2), place=(START, size))
    table = gpt.new_table(len(data), disk_uuid=UUID(int=3), partitions=[part])
    for offset, piece in gpt.render(table, len(data)):
        data[offset : offset + len(piece)] = piece
    path.write_bytes(data)
    return path


def reader_of(path: Path) -> FileSystem:
    blob = BytesBlob(path.read_bytes())
    data = dissect.dissect(blob).data
    assert data is not None
    return open_filesystem(dissect.part(blob, data), data)


def verdicts(result: Verification) -> dict[str, tuple[str, str]]:
    """What was said of name and extension-release."""
    found = {check.name: (check.status, check.reason) for check in result.checks}
    return {name: found[name] for name in ("name", "extension-release")}


@pytest.mark.parametrize("designator", ["usr", "root"])
@pytest.mark.parametrize("prefix", [b"", b"usr/"])
def test_the_release_file_counts_where_it_will_be(
    tmp_path: Path, designator: str, prefix: bytes
) -> None:
    files = {prefix + RELEASE_PATH: regular(RELEASE)}
    image = write_image(tmp_path / "demo.raw", files, designator)
    right = (designator == "usr") == (prefix == b"")
    statuses = {name: status for name, (status, _) in verdicts(verify_image(image)).items()}
    assert set(statuses.values()) == {"ok" if right else "fail"}
    info = inspect_image(image)
    assert info.kind is (Kind.SYSEXT if right else None)
    assert list(info.releases) == (["demo"] if right else [])


def test_files_are_listed_below_usr(tmp_path: Path) -> None:
    program = regular("#!/bin/sh\n")
    files = {RELEASE_PATH: regular(RELEASE), b"bin/demo": program, b"bin/same": program}
    info = inspect_image(write_image(tmp_path / "demo.raw", files), files=True)
    assert info.tree is not None
    assert sorted(info.tree) == [
        b"",
        b"usr",
        b"usr/bin",
        b"usr/bin/demo",
        b"usr/bin/same",
        b"usr/lib",
        b"usr/lib/extension-release.d",
        b"usr/lib/extension-release.d/extension-release.demo",
    ]
    assert info.tree[b"usr/bin/demo"] is info.tree[b"usr/bin/same"]
    # The root is systemd's, the folder below it the partition's.
    assert [info.tree[name].mode & 0o777 for name in (b"", b"usr")] == [0o755, 0o700]


def test_a_usr_image_is_extracted_below_usr(tmp_path: Path) -> None:
    image = write_image(tmp_path / "demo.raw", {b"bin/demo": regular("#!/bin/sh\n")})
    extract_image(image, tmp_path / "out", only=[b"usr/bin"])
    assert (tmp_path / "out/usr/bin/demo").read_text() == "#!/bin/sh\n"


def test_an_os_release_is_refused_in_it(tmp_path: Path) -> None:
    files = {RELEASE_PATH: regular(RELEASE), b"lib/os-release": regular("ID=other\n")}
    result = verify_image(write_image(tmp_path / "demo.raw", files))
    assert verdicts(result)["extension-release"] == (
        "fail",
        "it brings /usr/lib/os-release, which systemd refuses",
    )


def test_an_os_release_that_ends_up_elsewhere_is_none(tmp_path: Path) -> None:
    files = {RELEASE_PATH: regular(RELEASE), b"usr/lib/os-release": regular("ID=other\n")}
    result = verify_image(write_image(tmp_path / "demo.raw", files))
    assert verdicts(result)["extension-release"][0] == "ok"


def test_there_is_no_confext_in_it(tmp_path: Path) -> None:
    files = {b"etc/extension-release.d/extension-release.demo": regular("ID=_any\n")}
    result = verify_image(write_image(tmp_path / "demo.confext.raw", files))
    assert verdicts(result)["name"][0] == "fail"


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    """Mounted at /usr it leads to real/, and as a root to usr/real/: neither is looked at."""
    files = {
        b"lib": link(b"/usr/real"),
        b"usr/real/extension-release.d/extension-release.demo": regular(RELEASE),
    }
    image = write_image(tmp_path / "demo.raw", files)
    reason = "usr/lib is a symbolic link, which is not followed in a usr partition"
    assert set(verdicts(verify_image(image)).values()) == {("skipped", reason)}
    assert inspect_image(image).releases == {}
    with pytest.raises(UnsupportedError, match="usr/lib is a symbolic link"):
        release_files(reader_of(image), Kind.SYSEXT)


def test_paths_are_those_of_the_mounted_image(tmp_path: Path) -> None:
    files = {RELEASE_PATH: regular(RELEASE), b"bin/demo": regular("x" * 2 * BLOCK)}
    reader = reader_of(write_image(tmp_path / "demo.raw", files))
    assert reader.listdir(b"") == [b"usr"]
    assert reader.listdir(b"usr") == [b"bin", b"lib"]
    assert reader.listdir(b"usr/bin") == [b"demo"]
    with pytest.raises(FormatError, match="no directory in the image: bin"):
        reader.listdir(b"bin")
    assert [reader.lookup(path) is None for path in (b"", b"usr", b"bin", b"usr/bin/demo")] == [
        False, False, True, False,
    ]  # fmt: skip
    owners = set(reader.owners(0, 1 << 20))
    assert owners >= {"superblock", "metadata of usr", "directory usr/bin", "usr/bin/demo"}
    assert all("usr" in owner for owner in owners - {"superblock"})


# --- systemd-repart's, signed --------------------------------------------------------------------

ROLES = {
    "usr": "Format=erofs\nVerity=data\nMinimize=best\nCopyFiles={copied}\n",
    "usr-verity": "Verity=hash\nMinimize=best\n",
    "usr-verity-sig": "Verity=signature\n",
}


def repart(debian13: Debian13, tree: Path, output: Path, *, pair: SigningPair, copied: str) -> Path:
    """A signed image with the files `copied` ("from:to") of `tree` in its usr partition."""
    release = tree / "usr" / RELEASE_PATH.decode()
    release.parent.mkdir(parents=True)
    release.write_text(RELEASE)
    definitions = output / "definitions"
    definitions.mkdir(parents=True)
    for number, (kind, lines) in enumerate(ROLES.items(), 1):
        text = f"[Partition]\nType={kind}\nVerityMatchKey=usr\n{lines.format(copied=copied)}"
        (definitions / f"{number}0-{kind}.conf").write_text(text)
    debian13.run(
        [
            "systemd-repart",
            "--offline=yes",
            "--empty=create",
            "--size=auto",
            "--dry-run=no",
            "--architecture=x86-64",
            "--definitions=/mnt/definitions",
            "--copy-source=/run/tree",
            f"--private-key=/run/signer/{pair.key.name}",
            f"--certificate=/run/signer/{pair.certificate.name}",
            "/mnt/demo.raw",
        ],
        binds={output: "/mnt", tree: "/run/tree", pair.key.parent: "/run/signer"},
    )
    return output / "demo.raw"


def systemd_says_sysext(debian13: Debian13, image: Path) -> bool:
    """Whether systemd-dissect finds a system extension in it."""
    done = debian13.run(
        ["systemd-dissect", "--json=short", "/mnt/demo.raw"], binds={image.parent: "/mnt"}
    )
    return bool(json.loads(done.stdout)["useSystemExtension"])


def trusting(pair: SigningPair) -> VerifyOptions:
    return VerifyOptions(trust=from_certificates(pair.certificate.read_bytes(), "the signer"))


@pytest.mark.oracle("debian-13")
def test_a_usr_image_of_systemd_repart_is_proven(
    debian13: Debian13, signing_pair: SigningPair, sample_tree: Path, tmp_path: Path
) -> None:
    image = repart(debian13, sample_tree, tmp_path / "out", pair=signing_pair, copied="/usr:/")
    assert systemd_says_sysext(debian13, image)
    result = verify_image(image, trusting(signing_pair))
    assert result.ok, result.checks
    info = inspect_image(image, files=True)
    assert (info.kind, list(info.releases)) == (Kind.SYSEXT, ["demo"])
    wanted = {str(path.relative_to(sample_tree)).encode() for path in sample_tree.rglob("*")}
    assert info.tree is not None
    assert info.tree.keys() == {b"", *wanted}


@pytest.mark.oracle("debian-13")
def test_files_one_folder_too_deep_are_no_extension(
    debian13: Debian13, signing_pair: SigningPair, sample_tree: Path, tmp_path: Path
) -> None:
    image = repart(debian13, sample_tree, tmp_path / "out", pair=signing_pair, copied="/:/")
    assert not systemd_says_sysext(debian13, image)
    result = verify_image(image, trusting(signing_pair))
    assert set(verdicts(result).values()) == {("fail", MISSING)}
    assert inspect_image(image).kind is None
    assert inspect_image(image).releases == {}


@pytest.mark.oracle("debian-13")
def test_damage_is_placed_below_usr(
    debian13: Debian13, signing_pair: SigningPair, sample_tree: Path, tmp_path: Path
) -> None:
    image = repart(debian13, sample_tree, tmp_path / "out", pair=signing_pair, copied="/usr:/")
    content = (sample_tree / "usr/lib/firmware/demo/large.bin").read_bytes()[:BLOCK]
    data = bytearray(image.read_bytes())
    data[data.index(content)] ^= 1
    image.write_bytes(data)
    result = verify_image(image, trusting(signing_pair))
    [failed] = [check for check in result.checks if not check.passes]
    assert failed.name == "verity-tree"
    assert ", in usr/lib/firmware/demo/large.bin: " in failed.reason
