"""Damaged RPM packages raise only our errors, and give no file that the damage changed."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpm_kit import F, Kit, archive, string, without_digests
from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import SysgraftError

FILES = [
    F("/usr/lib/a", b"shared", inode=7),
    F("/usr/lib/b", b"x" * 700),
    F("/usr/lib/c", b"shared", inode=7),
    F("/usr/lib/d", mode=stat.S_IFLNK | 0o777, target=b"a"),
]
KITS = [
    Kit(FILES),
    Kit(FILES, is_short=True),
    Kit(FILES, gzip.compress(archive(FILES), mtime=0), values={1125: string(b"gzip")}),
]
PACKAGES = [kit.bytes() for kit in (*KITS, *map(without_digests, KITS))]
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=4)


def contents(package: bytes) -> dict[bytes, bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "demo.rpm")
        path.write_bytes(package)
        with open_tree([f"rpm:{path}"], Options(kind="root", whiteouts="drop")) as collected:
            return {
                name: inode.content.read_at(0, inode.content.size)
                for name, inode in collected.tree.items()
                if inode.content is not None
            }


@settings(max_examples=300, deadline=None)
@given(number=st.integers(0, len(PACKAGES) - 1), changes=CHANGES, cut=st.integers(0, 1 << 16))
def test_only_our_errors(number: int, changes: list[tuple[int, int]], cut: int) -> None:
    package = bytearray(PACKAGES[number])
    for place, change in changes:
        package[place % len(package)] ^= change
    if cut % 4 == 0:
        del package[cut % len(package) :]
    try:
        contents(bytes(package))
    except SysgraftError as error:
        if not str(error).isprintable():
            pytest.fail(f"not one clear line: {error}")


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 1 << 16), bit=st.integers(0, 7))
def test_a_changed_bit_is_seen_or_changes_nothing(place: int, bit: int) -> None:
    package = bytearray(PACKAGES[2])
    package[place % len(package)] ^= 1 << bit
    try:
        found = contents(bytes(package))
    except SysgraftError:
        return
    assert found == contents(PACKAGES[2])
