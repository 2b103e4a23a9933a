"""UKIs that look like one and have nothing to start."""

from __future__ import annotations

import pytest

from executables import make_pe, uki_pieces
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.seal.image import read_uki
from sysgraft.seal.material import Source

PROFILES = [(".profile", b"ID=one\n"), (".linux", b""), (".profile", b"ID=two\n")]


def source(data: bytes) -> Source:
    return Source("x.efi", "x.efi", BytesBlob(data))


def test_a_kernel_of_no_size_is_none() -> None:
    pieces = [(name, b"" if name == ".linux" else data) for name, data in uki_pieces()]
    with pytest.raises(FormatError, match=r"the section \.linux is empty"):
        read_uki(source(make_pe(pieces)))


def test_a_profile_may_do_without_the_kernel_and_then_starts_nothing() -> None:
    data = make_pe(uki_pieces(*PROFILES))
    with pytest.raises(FormatError, match=r"the section \.linux is empty"):
        read_uki(source(data), profile=0)
    names = [part.name for part in read_uki(source(data), profile=1).parts]
    assert names[-2:] == [".initrd", ".profile"]
    assert ".linux" in names
