"""Where a kernel looks, in its order."""

from __future__ import annotations

import pytest

from sysgraft.formats import firmware_search as search


def test_the_suffix_is_the_outer_loop() -> None:
    assert list(search.candidates("a/b.bin", "6.1")) == [
        f"{folder}a/b.bin{suffix}"
        for suffix in ("", ".zst", ".xz")
        for folder in ("updates/6.1/", "updates/", "6.1/", "")
    ]


@pytest.mark.parametrize("name", ["", "../a", "a/../b", "a\0b", "a" * 4096])
def test_names_the_kernel_refuses(name: str) -> None:
    assert list(search.candidates(name, "6.1")) == []


@pytest.mark.parametrize(
    ("path", "name", "release", "rank"),
    [
        (b"a.bin", b"a.bin", b"", (0, 3)),
        (b"a.bin.zst", b"a.bin", b"", (1, 3)),
        (b"updates/a.bin.xz", b"a.bin", b"", (2, 1)),
        (b"updates/6.1/a.bin", b"a.bin", b"6.1", (0, 0)),
        (b"6.1/a/b", b"a/b", b"6.1", (0, 2)),
        (b"6.2/a", b"6.2/a", b"", (0, 3)),
        (b"updates", b"updates", b"", (0, 3)),
    ],
)
def test_places(path: bytes, name: bytes, release: bytes, rank: tuple[int, int]) -> None:
    assert search.place(path, {b"6.1"}) == (name, release, rank)
