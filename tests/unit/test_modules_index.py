"""The files of depmod, as depmod writes them."""

from __future__ import annotations

import pytest

from sysgraft.errors import LimitError
from sysgraft.formats import modules_index as index


def test_aliases() -> None:
    data = b"# Aliases extracted from modules themselves.\nalias pci:v1* snd-hda-intel\nalias x\n"
    assert index.aliases(data) == (("pci:v1*", "snd_hda_intel"),)


def test_dependencies_are_names() -> None:
    data = b"kernel/a/b-c.ko.xz: kernel/d.ko.xz kernel/e.ko\nkernel/d.ko.xz:\nnonsense\n"
    assert index.dependencies(data) == {"b_c": ("d", "e"), "d": ()}


def test_soft_dependencies() -> None:
    data = b"softdep a pre: b-c post: d\nsoftdep a post: e\nsoftdep cifs gcm\n"
    assert index.soft_dependencies(data) == {
        "a": (("b_c",), ("d", "e")),
        "cifs": ((), ()),  # without pre: or post: nothing is loaded
    }


def test_weak_dependencies() -> None:
    assert index.weak_dependencies(b"weakdep a b c-d\nweakdep a e\n") == {"a": ("b", "c_d", "e")}


def test_what_is_built_in() -> None:
    assert index.built_in(b"kernel/a-b.ko\nkernel/c.ko\n") == ("a_b", "c")
    data = b"a-b.firmware=x.bin\0a-b.alias=acpi*\0broken\0c.license=GPL\0"
    found = index.built_in_info(data)
    assert found["a_b"] == (("firmware", "x.bin"), ("alias", "acpi*"))
    assert found["c"] == (("license", "GPL"),)


def test_a_file_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MAX_SIZE", 10)
    with pytest.raises(LimitError, match="11 bytes"):
        index.aliases(b"a" * 11)


@pytest.mark.parametrize("data", [b"\xff\xfe\0", b":", b"::::\n:\n", b"softdep\nalias \n"])
def test_nonsense_is_nothing(data: bytes) -> None:
    assert index.aliases(data) == ()
    assert index.dependencies(data) == {}
    assert index.soft_dependencies(data) == {}
    assert index.weak_dependencies(data) == {}
