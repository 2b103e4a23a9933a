"""The rooms of the house import what ``[tool.sysgraft.imports]`` allows, and in no circle.

Imports under ``TYPE_CHECKING`` count: they are dependencies too.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sysgraft"
ALLOWED: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "sysgraft"
]["imports"]
# Everything may import these; they import nothing of the project but each other.
FOR_ALL = {"errors", "base"}
# Modules beside the rooms: the signpost names all, the entry point calls the command line.
SIGNPOSTS = {"__init__", "__main__", "errors"}


def module_name(path: Path) -> str:
    """``src/sysgraft/a/b.py`` as ``a.b``; a package by its folder."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every module of sysgraft that `tree` imports, without the leading package name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("sysgraft.") for name in names if name.startswith("sysgraft"))


def room(name: str) -> str:
    """The room a dotted name is in."""
    return name.partition(".")[0]


def is_allowed(importer: str, imported: str) -> bool:
    """Whether the table lets the room `importer` use the dotted name `imported`."""
    if room(imported) in {importer, *FOR_ALL}:
        return True
    entries = ALLOWED[importer]
    return "*" in entries or any(f"{imported}.".startswith(f"{entry}.") for entry in entries)


def test_every_room_is_in_the_table_and_nothing_else_lies_beside_them() -> None:
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    files = {path.stem for path in SOURCE.glob("*.py")}
    assert folders <= ALLOWED.keys()
    assert files <= SIGNPOSTS


@pytest.mark.parametrize("name", [n for n in MODULES if n not in SIGNPOSTS])
def test_module_imports_only_what_its_room_may(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    refused = [target for target in imports_of(tree) if not is_allowed(room(name), target)]
    assert not refused, f"{room(name)} may not import {refused}"


def test_errors_and_base_import_nothing_above_them() -> None:
    for name, path in MODULES.items():
        if room(name) in FOR_ALL:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert {room(target) for target in imports_of(tree)} <= FOR_ALL, name


def test_nothing_imports_the_command_line() -> None:
    for name, path in MODULES.items():
        if room(name) not in {"cli", "__main__"}:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert "cli" not in {room(target) for target in imports_of(tree)}, name


def test_rooms_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        if name not in SIGNPOSTS:
            targets = imports_of(ast.parse(path.read_text(encoding="utf-8")))
            graph.setdefault(room(name), set()).update(map(room, targets))
    assert not circles({name: targets - {name} for name, targets in graph.items()})


def test_modules_load_each_other_in_no_circle() -> None:
    graph = {name: loaded_with(path) - {name} for name, path in MODULES.items()}
    assert not circles(graph)


def circles(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left of `graph` once everything that lies on no circle is taken away."""
    while True:
        used = set().union(*graph.values())
        kept = {
            name: targets & graph.keys()
            for name, targets in graph.items()
            if targets & graph.keys() and name in used
        }
        if kept == graph:
            return kept
        graph = kept


def loaded_with(path: Path) -> set[str]:
    """The modules that importing `path` loads: not those for type checkers or inside functions."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    top: list[ast.stmt] = [n for n in body if isinstance(n, (ast.Import, ast.ImportFrom))]
    targets = set(imports_of(ast.Module(top, type_ignores=[])))
    return {target if target in MODULES else target.rpartition(".")[0] for target in targets}


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set(), "e": {"a"}}
    assert circles(graph) == {"b": {"c"}, "c": {"b"}}


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("image", "sign.verify.roothash", True),
        ("image", "sign.verify_roothash", False),
        ("image", "sign.keys.load", False),
        ("formats", "host.run.run", False),
        ("formats", "errors.FormatError", True),
        ("formats", "base.blob.Blob", True),
        ("build", "formats.gpt.parse", True),
        ("cli", "build.extension", True),
    ],
)
def test_the_table_is_read_as_meant(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) is allowed
