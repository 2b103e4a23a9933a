"""Damaged squashfs images give files or one of our errors, and nothing of the child's."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_images import golden
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.image.inspect import inspect_image
from sysgraft.image.squashfs import SquashfsReader


def _partition() -> bytes:
    with TemporaryDirectory() as folder:
        image = golden("sysext-252-squashfs", Path(folder))
        data = inspect_image(image).dissection.data
        assert data is not None
        partition = image.read_bytes()[data.partition.offset :][: data.partition.size]
        # The superblock's bytes_used; the last table ends in zeros, which belong to it.
        return partition[: int.from_bytes(partition[40:48], "little")]


IMAGE = _partition()
# Tables and superblock are where damage does most: the ends of the image.
PLACES = st.one_of(
    st.integers(0, 95),
    st.integers(len(IMAGE) - 3000, len(IMAGE) - 1),
    st.integers(0, len(IMAGE) - 1),
)
CHANGES = st.lists(st.tuples(PLACES, st.integers(1, 255)), min_size=1, max_size=4)


def test_the_undamaged_image_is_read() -> None:
    assert len(SquashfsReader(BytesBlob(IMAGE)).read_tree()) > 200


@settings(max_examples=150, deadline=None)
@given(changes=CHANGES, cut=st.integers(0, 8 * len(IMAGE)))
def test_only_our_errors(changes: list[tuple[int, int]], cut: int) -> None:
    image = bytearray(IMAGE)
    for place, change in changes:
        image[place] ^= change
    try:
        reader = SquashfsReader(BytesBlob(bytes(image[:cut] if cut < len(IMAGE) else image)))
        for inode in reader.read_tree().values():
            if inode.content is not None:
                inode.content.read_at(0, min(inode.content.size, 1 << 20))
    except FormatError as error:
        if not error.message.isprintable():
            pytest.fail(f"not one clear line: {error.message!r}")
