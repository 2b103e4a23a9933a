"""Source arguments: prefixes, recognition by content, and honest refusals."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from sysgraft.build.sources.spec import SourceKind, SourceSpec, resolve
from sysgraft.errors import FormatError, InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

HEX = "0123456789abcdef" * 4


def archive(path: Path, *names: str, compress: bool = False) -> Path:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(info)
    path.write_bytes(gzip.compress(out.getvalue()) if compress else out.getvalue())
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["./", "./usr/x"], "tar"),
        ([], "tar"),
        ([f"{HEX}/layer.tar", f"{HEX}.json", "manifest.json", "repositories"], "docker-archive"),
        ([f"sha256:{HEX}", f"{HEX}.tar.gz", "manifest.json"], "docker-archive"),
        (["blobs/sha256/x", "index.json", "oci-layout", "manifest.json"], "docker-archive"),
        (["./oci-layout", "./blobs/", "./index.json"], "oci-archive"),
        (["manifest.json", "usr/x"], "tar"),
    ],
)
def test_archives_are_known_by_their_content(
    tmp_path: Path, names: list[str], kind: str, *, compress: bool
) -> None:
    path = str(archive(tmp_path / "file", *names, compress=compress))
    spec = resolve(path)
    assert (spec.kind, spec.path, spec.reference) == (kind, path, "")


def test_folders_and_packages_are_known(tmp_path: Path) -> None:
    (tmp_path / "deb").write_bytes(b"!<arch>\ndebian-binary")
    (tmp_path / "rpm").write_bytes(b"\xed\xab\xee\xdb\3\0")
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout/oci-layout").write_text("{}")
    kinds = [resolve(str(tmp_path / name)).kind for name in ("deb", "rpm", "layout", ".")]
    assert kinds == ["deb", "rpm", "oci", "dir"]


def test_a_prefix_decides(tmp_path: Path) -> None:
    path = archive(tmp_path / "file", "manifest.json")
    assert resolve(f"tar:{path}") == SourceSpec("tar", str(path))
    assert str(resolve(f"oci:{tmp_path}:v1")) == f"oci:{tmp_path}:v1"


def test_files_and_references_may_both_hold_colons(tmp_path: Path) -> None:
    path = archive(tmp_path / "fw:ubuntu-24.04.tar", "manifest.json")
    reference = "registry:5000/fw:24.04"
    assert resolve(f"docker-archive:{path}:{reference}") == SourceSpec(
        "docker-archive", str(path), reference
    )
    assert resolve(f"docker-archive:{path}").reference == ""
    assert resolve(f"tar:{path}").path == str(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(FormatError, match="neither a package nor an archive") as caught:
        resolve(str(tmp_path / "text"))
    assert caught.value.file == str(tmp_path / "text")


@pytest.mark.parametrize(
    ("argument", "words", "hint"),
    [
        ("quay.io/kairos/x@sha256:00", "no such file or folder: quay.io", ""),
        ("docker:quay.io/x:1", "a registry's image is docker://", "docker://quay.io/x:1"),
        ("docker://quay.io/X", "not the name of an image", ""),
        ("docker-daemon:", "not the name of an image", ""),
        ("containers-storage:x:1", "local storage", "docker-daemon:x:1"),
        ("./missing", "no such file or folder: ./missing", ""),
        ("", "no such file", ""),
        ("tar:", "no path", ""),
        ("n" * 9000, "no such file", ""),
        ("a\0b", "no such file", ""),
    ],
)
def test_what_cannot_be_read_says_what_to_do(argument: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        resolve(argument)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("argument", "kind", "name"),
    [
        ("docker://quay.io/kairos/x:1", "docker", "quay.io/kairos/x:1"),
        ("docker-daemon:firmware:24.04", "docker-daemon", "firmware:24.04"),
        ("firmware:ubuntu-24.04", "image", "firmware:ubuntu-24.04"),
        ("localhost:5000/fw", "image", "localhost:5000/fw"),
        ("firmware", "image", "firmware"),
    ],
)
def test_names_of_images(argument: str, kind: SourceKind, name: str) -> None:
    assert resolve(argument) == SourceSpec(kind, name)
    assert str(resolve(argument)) == argument


def test_missing_files_and_wrong_prefixes(tmp_path: Path) -> None:
    path = archive(tmp_path / "file")
    with pytest.raises(InputError, match="no such file"):
        resolve(f"deb:{tmp_path}/none")
    for argument in (f"dir:{path}", f"oci:{path}", f"tar:{tmp_path}"):
        with pytest.raises(UsageError, match="does not go with"):
            resolve(argument)
