"""Architecture names: one spelling per architecture, whoever named it."""

from __future__ import annotations

import pytest

from sysgraft.base.arch import KNOWN, normalize
from sysgraft.errors import UsageError


@pytest.mark.parametrize(
    ("names", "canonical"),
    [
        (["x86-64", "x86_64", "amd64", "linux/amd64", "AMD64"], "x86-64"),
        (["x86", "386", "i386", "i486", "i586", "i686"], "x86"),
        (["arm64", "aarch64", "linux/arm64", "linux/arm64/v8"], "arm64"),
        (["arm", "armv7l", "armhf", "armel", "linux/arm/v7"], "arm"),
        (["loongarch64", "loong64"], "loongarch64"),
        (["mips64-le", "mips64le", "mips64el"], "mips64-le"),
        (["ppc64-le", "ppc64le", "ppc64el"], "ppc64-le"),
        (["parisc", "hppa"], "parisc"),
        (["s390x"], "s390x"),
        (["riscv64"], "riscv64"),
    ],
)
def test_every_name_of_an_architecture_gives_the_same_spelling(
    names: list[str], canonical: str
) -> None:
    assert {normalize(name) for name in names} == {canonical}


def test_canonical_names_are_fixed_points() -> None:
    assert [normalize(name) for name in KNOWN] == list(KNOWN) == sorted(set(KNOWN))


@pytest.mark.parametrize("name", ["", "x64", "-", "linux/", "windows/amd64", "sparc"])
def test_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="unknown architecture") as caught:
        normalize(name)
    assert "x86-64" in caught.value.hint
    assert "arm64" in caught.value.hint
