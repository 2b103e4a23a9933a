"""Same inputs, same bytes: wherever, whenever and by whomever an image is built."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from command import signing, sysgraft

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from conftest import SigningPair


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_elsewhere(
    source: Path, output: Path, *, environment: Mapping[str, str], pair: SigningPair, umask: str
) -> str:
    """Build in a process of its own with another environment, folder and umask."""
    output.mkdir()
    command = [sys.executable, "-m", "sysgraft", "ext", "build", "fw", str(source)]
    subprocess.run(
        ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *command, *signing(pair), "--output", "."],
        cwd=output,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    return digest(output / "fw.sysext.raw")


def copy_shuffled(source: Path, target: Path) -> None:
    """A copy whose files were made in another order, at other times, with another folder order."""
    paths = sorted(source.rglob("*"))
    random.Random(7).shuffle(paths)
    linked: dict[int, Path] = {}
    for path in paths:
        new = target / path.relative_to(source)
        new.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            new.symlink_to(path.readlink())
        elif path.is_file() and path.stat().st_ino in linked:
            new.hardlink_to(linked[path.stat().st_ino])
        elif path.is_file():
            shutil.copy(path, new)
            linked[path.stat().st_ino] = new
            os.utime(new, (1, 1))
    for path in source.rglob("*"):
        if path.is_dir():
            (target / path.relative_to(source)).mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(source)).chmod(path.stat().st_mode)


def test_two_builds_in_different_worlds(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    other = tmp_path / "elsewhere/with a longer name"
    copy_shuffled(sample_tree, other)
    first = build_elsewhere(
        sample_tree, tmp_path / "one", environment={"TZ": "UTC"}, pair=signing_pair, umask="022"
    )
    second = build_elsewhere(
        other,
        tmp_path / "two",
        environment={"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "99"},
        pair=signing_pair,
        umask="077",
    )
    assert first == second


@pytest.mark.root
def test_another_user_builds_the_same(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    mine = build_elsewhere(
        sample_tree, tmp_path / "one", environment={}, pair=signing_pair, umask="022"
    )
    for path in [sample_tree, *sample_tree.rglob("*")]:
        os.chown(path, 12345, 23456, follow_symlinks=False)
    theirs = build_elsewhere(
        sample_tree, tmp_path / "two", environment={}, pair=signing_pair, umask="022"
    )
    assert mine == theirs


def shuffled_tar(root: Path, seed: int) -> bytes:
    """The tree as a tar archive whose members stand in a random order."""
    paths = sorted(root.rglob("*"))
    random.Random(seed).shuffle(paths)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in paths:
            tar.add(path, path.relative_to(root), recursive=False, filter=plain)
    return buffer.getvalue()


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = 1_700_000_000
    member.uid = member.gid = 0
    return member


def test_order_and_compression_of_an_archive_do_not_matter(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    digests = set()
    compressors: list[Callable[[bytes], bytes]] = [bytes, bytes, gzip.compress, lzma.compress]
    for number, compress in enumerate(compressors):
        archive = tmp_path / f"{number}.archive"
        archive.write_bytes(compress(shuffled_tar(sample_tree, number)))
        target = tmp_path / str(number)
        result = sysgraft("ext", "build", "fw", archive, "--output", target, *signing(signing_pair))
        assert result.code == 0, result.err
        digests.add(digest(target / "fw.sysext.raw"))
    assert len(digests) == 1


def test_the_seed_and_the_epoch_are_inputs(sample_tree: Path, tmp_path: Path) -> None:
    argv = ("ext", "build", "fw", sample_tree, "--unsigned", "--output")
    assert sysgraft(*argv, tmp_path / "a").code == 0
    seed = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert sysgraft(*argv, tmp_path / "b", "--seed", seed).code == 0
    assert sysgraft(*argv, tmp_path / "c", "--source-date-epoch", "1700000000").code == 0
    assert len({digest(tmp_path / name / "fw.sysext.raw") for name in "abc"}) == 3


def test_source_date_epoch_is_read_from_the_environment(
    sample_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("ext", "build", "fw", sample_tree, "--unsigned", "--output")
    assert sysgraft(*argv, tmp_path / "a", "--source-date-epoch", "1700000000").code == 0
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert sysgraft(*argv, tmp_path / "b").code == 0
    assert digest(tmp_path / "a/fw.sysext.raw") == digest(tmp_path / "b/fw.sysext.raw")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert sysgraft(*argv, tmp_path / "c").code == 2
