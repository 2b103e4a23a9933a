"""``node list`` is asked for at every prompt: it loads next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_startup import loaded_after

from node_root import KAIROS, Root, make_root

if TYPE_CHECKING:
    from pathlib import Path

NEVER = {
    "cryptography",
    "urllib3",
    "msgspec",
    "yaml",
    "rich",
    "backports",
    "asyncio",
    "ssl",
    "http",
}


def loaded(root: Root, *words: str, code: int = 0) -> set[str]:
    """Everything that a command line has loaded, by the whole name."""
    argv = ["sysgraft", "node", *words, "--root", str(root.path)]
    script = (
        f"import sys; sys.argv = {argv!r}\n"
        "from sysgraft.cli.main import entry\n"
        f"try:\n    entry()\nexcept SystemExit as end:\n    assert end.code == {code}, end.code\n"
        "sys.modules = {n.replace('.', '/'): m for n, m in sys.modules.items()}"
    )
    return {name.replace("/", ".") for name in loaded_after(script)}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = make_root(tmp_path)
    (root.esp / "EFI").rmdir()  # there is none that could be read
    for name in ("one_1.2.sysext.raw", "two.raw"):
        root.write(f"{KAIROS}/extensions/{name}", "x")
        root.link(f"{KAIROS}/extensions/active/{name}", f"../{name}")
    return root


def test_listing_loads_nothing_heavy(root: Root) -> None:
    found = loaded(root, "list")
    assert not {name.partition(".")[0] for name in found} & {*NEVER, "tomllib", "uuid", "difflib"}
    mine = {name for name in found if name.startswith("sysgraft.")}
    assert "sysgraft.node.store" in mine
    rooms = {name.split(".")[1] for name in mine}
    assert not rooms & {"build", "transport", "sign", "seal", "firmware", "lab"}


def test_a_configuration_costs_its_reader_only(root: Root) -> None:
    root.write("etc/sysgraft/config.toml", 'deny = ["x"]\n')
    found = loaded(root, "list")
    assert "tomllib" in found
    assert not {name.partition(".")[0] for name in found} & NEVER


def test_enabling_needs_neither_network_nor_cryptography(root: Root) -> None:
    found = loaded(root, "enable", "one_1.2", "--common")
    assert (root.store / "common/one_1.2.sysext.raw").is_symlink()
    assert not {name for name in found if name.startswith("sysgraft.build")}


def test_nothing_of_the_node_ever_loads_the_builder(root: Root) -> None:
    (root.path / "etc/os-release").unlink()
    for words in (
        ("list", "--json"),
        ("gc",),
        ("remove", "one_1.2"),
        ("enable", "two", "--active"),
    ):
        assert not {name for name in loaded(root, *words) if name.startswith("sysgraft.build")}
