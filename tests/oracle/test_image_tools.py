"""A whole image as other tools see it: the kernel, veritysetup, openssl, fsck.erofs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair


@pytest.fixture
def image(sample_tree: Path, tmp_path: Path, signing_pair: SigningPair) -> Path:
    """An image with attributes, capabilities, owners, a deep folder and many names."""
    demo = sample_tree / "usr/lib/firmware/demo"
    os.setxattr(demo / "large.bin", "user.origin", b"a test")
    # CAP_NET_RAW=ep, version 2 of struct vfs_cap_data (linux/capability.h).
    capability = bytes.fromhex("01000002" + "00200000" + "00000000" * 3)
    if os.geteuid() == 0:
        os.setxattr(sample_tree / "usr/bin/demo", "security.capability", capability)
        os.chown(demo / "small.bin", 1000, 70000)
    (sample_tree / "usr/bin/demo").chmod(0o4755)
    many = sample_tree / "usr/share/many"
    many.mkdir(parents=True)
    for number in range(700):
        (many / f"file-{number:05}").write_text(f"{number}\n")
    result = sysgraft(
        "ext", "build", "fw", sample_tree, "--owner", "keep", "--output", tmp_path / "out",
        *signing(signing_pair),
    )  # fmt: skip
    assert result.code == 0, result.err
    return tmp_path / "out/fw.sysext.raw"


def partition(image: Path, designator: str) -> tuple[int, int]:
    document = sysgraft("ext", "inspect", image, "--json").document
    (found,) = [part for part in document["partitions"] if part["designator"] == designator]
    return int(found["offset"]), int(found["size"])


def cut(image: Path, designator: str, target: Path) -> Path:
    offset, size = partition(image, designator)
    target.write_bytes(image.read_bytes()[offset : offset + size])
    return target


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything a reader can see of a tree, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        names = os.listxattr(path, follow_symlinks=False)
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = path.readlink()
        links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
        owner = (status.st_uid, status.st_gid)
        found[str(path.relative_to(root))] = (status.st_mode, owner, links, attributes, content)
    return found


@pytest.mark.root
def test_the_kernel_sees_the_tree_that_went_in(
    image: Path, sample_tree: Path, tmp_path: Path
) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    offset, size = partition(image, "root")
    options = f"loop,ro,offset={offset},sizelimit={size}"
    subprocess.run(
        ["mount", "-t", "erofs", "-o", options, str(image), str(mounted)],
        check=True,
        capture_output=True,
    )
    try:
        seen = listing(mounted)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
    release = [path for path in seen if "extension-release" in path]
    assert len(release) == 3, "the folder and both names of the release file"
    for path in release:
        del seen[path]
    assert seen == listing(sample_tree)


@pytest.mark.oracle("veritysetup")
def test_veritysetup_accepts_the_tree_and_makes_the_same(image: Path, tmp_path: Path) -> None:
    data, hashes = cut(image, "root", tmp_path / "data"), cut(image, "root-verity", tmp_path / "h")
    document = sysgraft("ext", "inspect", image, "--json").document
    root_hash = document["rootHash"]
    subprocess.run(["veritysetup", "verify", data, hashes, root_hash], check=True)
    verity = document["verity"]
    again = tmp_path / "again"
    options = [f"--salt={verity['salt']}", f"--uuid={verity['uuid']}"]
    done = subprocess.run(
        ["veritysetup", "format", str(data), str(again), *options],
        check=True,
        capture_output=True,
        text=True,
    )
    assert root_hash in done.stdout
    assert again.read_bytes() == hashes.read_bytes()


@pytest.mark.oracle("openssl")
@pytest.mark.parametrize("certificates", ["included", "left out"])
def test_openssl_verifies_as_systemd_calls_it(
    image: Path, tmp_path: Path, signing_pair: SigningPair, certificates: str
) -> None:
    if certificates == "left out":
        argv = ("ext", "sign", str(image), "--force", "--nocerts", *signing(signing_pair))
        assert sysgraft(*argv).code == 0
    text = cut(image, "root-verity-sig", tmp_path / "sig").read_bytes().rstrip(b"\0")
    fields = json.loads(text)
    assert list(fields) == ["rootHash", "certificateFingerprint", "signature"]
    (tmp_path / "p7s").write_bytes(b64decode(fields["signature"]))
    (tmp_path / "hash").write_text(fields["rootHash"])
    command = ["openssl", "smime", "-verify", "-inform", "der", "-binary", "-nointern", "-noverify"]
    paths = ["-in", str(tmp_path / "p7s"), "-content", str(tmp_path / "hash")]
    trusted = ["-certfile", str(signing_pair.certificate)]
    subprocess.run([*command, *paths, *trusted], check=True, capture_output=True)


@pytest.mark.oracle("fsck.erofs")
def test_fsck_accepts_the_file_system(image: Path, tmp_path: Path) -> None:
    subprocess.run(["fsck.erofs", cut(image, "root", tmp_path / "data")], check=True)
