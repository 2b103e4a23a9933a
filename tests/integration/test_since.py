"""``--layers since:IMAGE``: what an image adds to another, built upon it or not."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from image_kit import Layout, contents, docker_archive, tar_of
from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import SysgraftError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = tar_of(
    {"usr/base": b"base" * 500, "usr/lib/old": b"old", "usr/same": b"same", "etc/x": b"1"}
)
MORE = tar_of({"usr/more": b"more", "usr/lib/.wh.old": b""})
TOP = tar_of({"usr/top": b"top", "usr/more": b"changed"})


def saved(path: Path, *layers: bytes) -> str:
    layout = Layout()
    layout.add(layout.manifest(*layers, pack=lambda data: gzip.compress(data, mtime=0)))
    return layout.write(path)


def since(image: str, base: str, **more: object) -> dict[str, bytes | None]:
    options = Options(layers="all", since=base, **more)  # type: ignore[arg-type]
    with open_tree([image], options) as collected:
        return contents(collected)


def test_the_layers_on_top_of_the_base(tmp_path: Path) -> None:
    base, image = saved(tmp_path / "base", BASE), saved(tmp_path / "image", BASE, MORE, TOP)
    expected = {"usr/more": b"changed", "usr/top": b"top"}
    assert since(image, base, whiteouts="drop") == expected
    assert since(image, base, whiteouts="keep") == {**expected, "usr/lib/old": None}
    with pytest.raises(SysgraftError, match="delete 1 path that none of them holds: usr/lib/old"):
        since(image, base)
    with pytest.raises(UsageError, match="has the same layers as"):
        since(base, base)


def test_images_of_which_neither_is_built_upon_the_other(tmp_path: Path) -> None:
    """A squashed image: one layer, with the files of the base and others."""
    squashed = tar_of(
        {
            "usr/base": b"base" * 500,
            "usr/same": b"same",
            "usr/lib/new/deep": b"deep",
            "usr/hard": "=usr/lib/new/deep",
            "usr/link": "->same",
            "etc/x": b"2",
        }
    )
    base, image = saved(tmp_path / "base", BASE), saved(tmp_path / "image", squashed)
    expected = {"usr/lib/new/deep": b"deep", "usr/hard": b"deep", "usr/link": None}
    options = Options(layers="all", since=base, whiteouts="keep")
    with open_tree([image], options) as collected:
        assert contents(collected) == {**expected, "usr/lib/old": None}
        assert collected.tree[b"usr/hard"] is collected.tree[b"usr/lib/new/deep"]
        assert collected.tree[b"usr/lib/old"].is_whiteout
        assert "is not built upon" in " ".join(collected.notes)
        assert "(0 of 1 layers in common)" in " ".join(collected.notes)


def test_a_file_that_became_a_folder_and_the_other_way_round(tmp_path: Path) -> None:
    before = tar_of({"usr/a": b"file", "usr/b/x": b"x", "usr/b/y": b"y", "usr/keep": b""})
    after = tar_of({"usr/a/x": b"x", "usr/b": b"file", "usr/keep": b""})
    base, image = saved(tmp_path / "base", before), saved(tmp_path / "image", after)
    assert since(image, base) == {"usr/a/x": b"x", "usr/b": b"file"}


def test_other_sources_and_bases_that_are_no_images(tmp_path: Path) -> None:
    base = saved(tmp_path / "base", BASE)
    image = docker_archive(tmp_path / "image", BASE, TOP)
    (tmp_path / "folder/usr").mkdir(parents=True)
    (tmp_path / "folder/usr/f").write_bytes(b"f")
    options = Options(layers="all", since=base)
    with open_tree([image, str(tmp_path / "folder")], options) as collected:
        assert contents(collected) == {"usr/more": b"changed", "usr/top": b"top", "usr/f": b"f"}
    with pytest.raises(UsageError, match="wants an image, and that is none"):
        since(image, str(tmp_path / "folder"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_only_a_chain_of_hard_links_still_shows(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """The names that bear the content are replaced above; the last link to it stays."""

    def image(name: str, data: bytes) -> str:
        lower: dict[str, bytes | str] = {
            "usr/a": data,
            "usr/b": "=usr/a",
            "usr/c": "=usr/b",
            f"usr/{name}": b"1",
        }
        layout = Layout()
        upper = tar_of({"usr/a": b"new", "usr/b": b"new too"})
        layout.add(layout.manifest(tar_of(lower), upper, pack=pack))
        return layout.write(tmp_path / name)

    found = since(image("image", b"B" * 5000), image("base", b"A" * 5000), whiteouts="drop")
    assert found == {"usr/c": b"B" * 5000, "usr/image": b"1"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_hard_link_written_by_way_of_an_alias(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    layers = [
        tar_of({"lib": "->usr/lib", "usr/lib/x": b"x" * 5000}),
        tar_of({"usr/bin/y": "=lib/x"}),
        tar_of({"usr/lib/x": b"new"}),
    ]
    layout = Layout()
    layout.add(layout.manifest(*layers, pack=pack))
    with open_tree([layout.write(tmp_path / "image")], Options(layers="all")) as collected:
        assert contents(collected) == {"usr/bin/y": b"x" * 5000, "usr/lib/x": b"new"}


def test_without_an_image_there_is_nothing_since(tmp_path: Path) -> None:
    (tmp_path / "folder/usr").mkdir(parents=True)
    with pytest.raises(UsageError, match="wants an image, and no source is one"):
        since(str(tmp_path / "folder"), "none:1")


def test_on_the_command_line(tmp_path: Path) -> None:
    base, image = saved(tmp_path / "base", BASE), saved(tmp_path / "image", BASE, TOP)
    line = ["ext", "build", "x", image, "--unsigned", "--output", str(tmp_path / "out")]
    done = sysgraft(*line, "--layers", f"since:{base}", "--json")
    assert done.code == 0, done.err
    assert done.document["content"]["files"] == 2 + 1
    for wrong in ("since:", "first", "since:/nowhere"):
        assert sysgraft(*line, "--force", "--layers", wrong).code == 2
