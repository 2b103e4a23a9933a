"""The file tree of a bundle: sysgraft with an interpreter, its libraries and its loader.

    usr/bin/sysgraft                            starts it, a script for sh
    usr/lib/sysgraft/agent/ld-linux-….so.2      the loader
    usr/lib/sysgraft/agent/bin/                 the interpreter, and a script that starts it
    usr/lib/sysgraft/agent/lib/                 shared libraries
    usr/lib/sysgraft/agent/lib/python3.…/       all Python modules, as byte code
    usr/share/doc/sysgraft-agent/               manifest and licences

Python modules come as byte code without sources (``NAME.pyc``): it is read fastest, takes half the
place, and cannot be older than a source. The same files give the same tree.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.agent.contents import (
    AGENT,
    LIBRARIES,
    OPTIONAL,
    PACKAGES,
    files_of,
)
from sysgraft.build.agent.libraries import BESIDE, Libraries
from sysgraft.build.agent.papers import Library, owners, papers
from sysgraft.build.agent.python import ask, compile_sources
from sysgraft.build.firmware_set.early import with_folders
from sysgraft.errors import UnsupportedError
from sysgraft.host.digests import digests
from sysgraft.host.files import OpenFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Tree
    from sysgraft.build.agent.contents import File, Part
    from sysgraft.build.agent.python import Python

PROGRAM: Final = "usr/bin/sysgraft"
INTERPRETER: Final = f"{AGENT}/bin/python3"

_EXECUTABLE: Final = stat.S_IFREG | 0o755
_PLAIN: Final = stat.S_IFREG | 0o644
_OWN: Final = "sysgraft"


@dataclass(frozen=True, slots=True)
class AgentTree:
    """A bundle before it is written anywhere.

    Attributes:
        tree: its files; the contents are read from this machine when they are asked for.
        architecture: systemd's name of it.
        python: the interpreter.
        libraries: what was taken from the system: the interpreter, its libraries, the loader.
        sizes: bytes of each part.
    """

    tree: Tree
    architecture: str
    python: Python
    libraries: tuple[Library, ...]
    sizes: Mapping[Part, int]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())


def agent_tree(program: str, *, epoch: int = 0) -> AgentTree:
    """Collect and compile everything.

    Args:
        program: the interpreter to bundle.
        epoch: time stamp of all files, in seconds.

    Raises:
        InputError: it cannot be bundled, or lacks a module or library that sysgraft needs.
        ToolError: it cannot be run, or compiles something not.
    """
    modules = [each for names in (*PACKAGES.values(), *OPTIONAL.values()) for each in names]
    python = ask(program, modules=modules, distributions=(*PACKAGES, *OPTIONAL, _OWN))
    files = files_of(python)
    libraries = Libraries(python.program)
    if not libraries.architecture:
        raise UnsupportedError("an unknown architecture", file=python.program)
    libraries.add_needed(each.source for each in files if each.kind == "object")
    libraries.add_named(BESIDE)
    collected = _Collected()
    for place, part, blob, mode in _contents(program, python, files, libraries):
        collected.add(place, part, blob, mode)
    taken = tuple(_taken(python, libraries))
    for place, blob in papers(python, libraries.architecture, taken).items():
        collected.add(place, "papers", blob, _PLAIN)
    return AgentTree(
        collected.tree(epoch), libraries.architecture, python, taken, dict(collected.sizes)
    )


class _Collected:
    """Files by place, and the sizes of the parts."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[Blob, int]] = {}
        self.sizes: Counter[Part] = Counter()

    def add(self, place: str, part: Part, blob: Blob, mode: int) -> None:
        self._files[place] = blob, mode
        self.sizes[part] += blob.size

    def tree(self, epoch: int) -> Tree:
        files = {
            place.encode("utf-8", "surrogateescape"): Inode(mode=mode, mtime=epoch, content=blob)
            for place, (blob, mode) in self._files.items()
        }
        return dict(sorted(with_folders(files, epoch).items()))


def _contents(
    program: str, python: Python, files: Sequence[File], libraries: Libraries
) -> Iterator[tuple[str, Part, Blob, int]]:
    """Place, part, content and mode of everything but the papers."""
    codes = [each for each in files if each.kind == "code"]
    compiled = compile_sources(program, [(each.source, f"/{each.place}") for each in codes])
    for each, data in zip(codes, compiled, strict=True):
        yield f"{each.place}c", each.part, BytesBlob(data), _PLAIN
    for each in files:
        if each.kind != "code":
            mode = _EXECUTABLE if each.part == "python" else _PLAIN
            yield each.place, each.part, OpenFile(each.source), mode
    for name, path in sorted(libraries.found.items()):
        yield f"{LIBRARIES}/{name}", "libraries", OpenFile(path), _PLAIN
    yield _loader(libraries), "libraries", OpenFile(libraries.loader), _EXECUTABLE
    for place, asset in ((PROGRAM, "sysgraft.sh"), (INTERPRETER, "python3.sh")):
        text = _asset(asset).replace("@LOADER@", libraries.loader_name)
        script = text.replace("@PYTHON@", python.folder)
        yield place, "sysgraft", BytesBlob(script.encode()), _EXECUTABLE


def _taken(python: Python, libraries: Libraries) -> Iterator[Library]:
    places = {
        f"{AGENT}/bin/{python.folder}": python.program,
        _loader(libraries): libraries.loader,
        **{f"{LIBRARIES}/{name}": path for name, path in libraries.found.items()},
    }
    packages = owners([*places.values()])
    for place, path in sorted(places.items()):
        blob = OpenFile(path)
        digest = digests(blob, ["sha256"])["sha256"].hex()
        yield Library(place, blob.size, digest, packages.get(path, ""))


def _loader(libraries: Libraries) -> str:
    return f"{AGENT}/{libraries.loader_name}"


def _asset(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()
