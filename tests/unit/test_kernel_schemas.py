"""Every document of ``sysgraft kernel`` is what its schema says, much and little in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_schemas import errors_of

from command import sysgraft
from kernel_kit import EFIVARS, MACHINE_ID, make_system
from sysgraft.cli import kernel_change

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from kernel_kit import System
    from sysgraft.kernel.partition import BootPartition


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A system that runs, whatever the command line says."""
    made = make_system(tmp_path)

    def partition(_: object) -> BootPartition:
        return made.partition()

    monkeypatch.setattr(kernel_change, "boot_partition", partition)
    return made


def held(verb: str, *words: str | os.PathLike[str]) -> dict[str, object]:
    done = sysgraft("kernel", verb, *words, "--json")
    assert done.code == 0, done.err
    assert errors_of(f"kernel.{verb}", done.document) == []
    return done.document


def test_what_changes(system: System) -> None:
    held("install", system.kernel("6.1"))
    system.boot(f"{MACHINE_ID}-6.1.efi")
    new = system.kernel("6.2")
    done = held("install", new, "--boot-entry", "--default", "once", "--keep", "3")
    assert isinstance(done["changes"], list)
    whats = [each["what"] for each in done["changes"]]
    assert whats == ["default", "installed", "boot entry", "started next"]
    held("set-default", "6.2")
    held("bless", "--efivars", system.path / EFIVARS)
    held("install", system.kernel("6.3"), "--tries", "3")
    held("install", system.kernel("6.3"), "--tries", "2")
    held("remove", "6.2")
    held("cleanup", "--keep", "1", "--dry-run")
    held("cleanup", "--keep", "1")


def test_what_is_there(system: System, tmp_path: Path) -> None:
    where = ("--root", system.path, "--esp-path", system.esp)
    assert held("list", *where)["kernels"] == []
    system.install(system.kernel("6.1"), tries=3)
    system.write("efi/EFI/Linux/junk.efi", b"MZ")
    system.write("efi/loader/entries/odd.conf", b"title nothing\n")
    document = held("list", *where)
    assert isinstance(document["kernels"], list)
    assert len(document["kernels"]) == 3
    assert document["notes"]
    held("plugin", "--output", tmp_path / "tree", "--keep", "3", "--boot-entry")
