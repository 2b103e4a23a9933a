"""Which library is meant: what a file says itself, what is known, what the system has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from elf_kit import program
from sysgraft.build.agent import libraries as module
from sysgraft.build.agent.libraries import Libraries
from sysgraft.errors import FormatError, InputError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

LOADER: Final = "/lib64/ld-linux-x86-64.so.2"
OTHER_MACHINE: Final = 183


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine: folders ``bin``, ``lib`` and ``system``; the last is what its loader knows."""
    for name in ("bin", "lib", "system"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(module, "_FOLDERS", (str(tmp_path / "system"),))
    monkeypatch.setattr(module, "which", lambda _: None)
    return tmp_path


def put(path: Path, **says: object) -> str:
    path.write_bytes(program(**says))  # type: ignore[arg-type]
    return str(path)


def found(root: Path, *needed: str, **says: object) -> dict[str, str]:
    """What a program needs, relative to the machine."""
    path = put(root / "bin/program", interpreter=LOADER, needed=needed, **says)
    libraries = Libraries(path)
    libraries.add_needed([path])
    assert libraries.architecture == "x86-64"
    assert libraries.loader == LOADER
    return {name: file.removeprefix(f"{root}/") for name, file in libraries.found.items()}


def test_what_libraries_need_in_turn(root: Path) -> None:
    put(root / "system/liba.so.1", needed=("libb.so.1", "libc.so.6"))
    put(root / "system/libb.so.1", needed=("liba.so.1",))
    put(root / "system/libc.so.6", needed=("ld-linux-x86-64.so.2",))
    assert found(root, "liba.so.1", "libc.so.6") == {
        "liba.so.1": "system/liba.so.1",
        "libb.so.1": "system/libb.so.1",
        "libc.so.6": "system/libc.so.6",
    }


@pytest.mark.parametrize("origin", ["$ORIGIN/../lib", "${ORIGIN}/../lib"])
@pytest.mark.parametrize("key", ["rpath", "runpath"])
def test_its_own_folders_come_first(root: Path, origin: str, key: str) -> None:
    put(root / "system/liba.so.1")
    put(root / "lib/liba.so.1")
    assert found(root, "liba.so.1", **{key: origin}) == {"liba.so.1": "bin/../lib/liba.so.1"}


def test_a_library_for_another_machine_is_passed_over(root: Path) -> None:
    put(root / "lib/liba.so.1", machine=OTHER_MACHINE)
    (root / "lib/libb.so.1").write_text("/* a script of the linker */")
    put(root / "system/liba.so.1")
    put(root / "system/libb.so.1")
    names = found(root, "liba.so.1", "libb.so.1", runpath="$ORIGIN/../lib")
    assert set(names.values()) == {"system/liba.so.1", "system/libb.so.1"}


def test_what_is_known_need_not_be_found_again(root: Path) -> None:
    put(root / "lib/liba.so.1", needed=("libb.so.1",))
    put(root / "lib/libb.so.1")
    assert len(found(root, "libb.so.1", "liba.so.1", runpath="$ORIGIN/../lib")) == 2


def test_two_libraries_of_one_name_are_refused(root: Path) -> None:
    put(root / "lib/liba.so.1")
    put(root / "system/liba.so.1")
    put(root / "system/libb.so.1", needed=("liba.so.1",), runpath=str(root / "lib"))
    with pytest.raises(InputError, match="by the same name"):
        found(root, "liba.so.1", "libb.so.1")


def test_a_library_that_is_missing(root: Path) -> None:
    with pytest.raises(InputError, match=r"bin/program: it needs the library liba\.so\.1"):
        found(root, "liba.so.1")


def test_a_damaged_library(root: Path) -> None:
    (root / "system/liba.so.1").write_bytes(program(name="x")[:100])
    with pytest.raises(FormatError, match=r"system/liba\.so\.1"):
        found(root, "liba.so.1")


def test_the_loaders_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "lib/liba.so.1")
    line = f"\tliba.so.1 (libc6,x86-64) => {root}/lib/liba.so.1\n"
    (root / "ldconfig").write_text(f"#!/bin/sh\necho '1 libs found'\nprintf '%s' '{line}'\n")
    (root / "ldconfig").chmod(0o755)
    monkeypatch.setattr(module, "which", lambda _: str(root / "ldconfig"))
    assert found(root, "liba.so.1") == {"liba.so.1": "lib/liba.so.1"}


def test_libraries_that_are_opened_by_name(root: Path) -> None:
    put(root / "system/liba.so.1", needed=("libb.so.1",))
    put(root / "system/libb.so.1")
    libraries = Libraries(put(root / "bin/program", interpreter=LOADER))
    libraries.add_named(("liba.so.1", "libmissing.so.1"))
    assert sorted(libraries.found) == ["liba.so.1", "libb.so.1"]


@pytest.mark.parametrize("loader", ["", "/lib/ld-musl-x86_64.so.1", "/tmp/evil"])
def test_programs_of_another_libc(root: Path, loader: str) -> None:
    with pytest.raises(UnsupportedError, match="a program of glibc"):
        Libraries(put(root / "bin/program", interpreter=loader))
