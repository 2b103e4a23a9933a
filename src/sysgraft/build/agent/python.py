"""An interpreter of this machine: what it is, where its parts are, and what it compiles.

The interpreter is asked itself, as a process of its own: it may be another release than the one
that runs this. Only CPython is bundled.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

import msgspec

from sysgraft.errors import InputError, ToolError, UsageError
from sysgraft.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OLDEST: Final = (3, 11, 0)
"""What sysgraft itself asks for."""

_MAX_CODE: Final = 512 << 20
_COMPILE_SECONDS: Final = 600.0
# No file or setting of the user counts; what is made does not depend on a random number.
_OPTIONS: Final = ("-I", "-B", "-X", "utf8")
_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0"}


class Installed(msgspec.Struct, frozen=True):
    """A distribution of Python packages; nothing is set if it is not installed.

    Attributes:
        version: of it.
        folder: with its metadata.
    """

    version: str = ""
    folder: str = ""


class Python(msgspec.Struct, frozen=True):
    """An interpreter.

    Attributes:
        implementation: its kind.
        version: three numbers.
        program: the executable itself, no link.
        library: folder of the standard library.
        extensions: folder of the library's compiled modules.
        suffixes: how names of compiled modules end.
        modules: folders or files of the modules that were asked for; empty if there is none.
        distributions: what was asked for.
    """

    implementation: str
    version: tuple[int, int, int]
    program: str
    library: str
    extensions: str
    suffixes: tuple[str, ...]
    modules: dict[str, str]
    distributions: dict[str, Installed]

    @property
    def folder(self) -> str:
        """What Python calls the folder of its library: ``python3.13``."""
        return f"python{self.version[0]}.{self.version[1]}"


def ask(program: str, *, modules: Sequence[str], distributions: Sequence[str]) -> Python:
    """What an interpreter is, and which of the modules and distributions it has.

    Raises:
        UsageError: this runs in a bundle.
        InputError: it is no interpreter that can be bundled.
        ToolError: it cannot be run.
    """
    question = json.dumps({"modules": [*modules], "distributions": [*distributions]})
    done = run([program, *_OPTIONS, _script("probe.py")], stdin=question.encode())
    try:
        found = msgspec.json.decode(done.stdout, type=Python)
    except msgspec.DecodeError as error:
        raise InputError(f"not an interpreter of Python: {error}", file=program) from error
    if found.implementation != "cpython" or found.version < OLDEST:
        version = ".".join(map(str, found.version))
        raise InputError(
            f"it is {found.implementation} {version}; CPython 3.11 or newer can be bundled",
            file=program,
        )
    return found


def compile_sources(program: str, sources: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """Byte code of sources, one after the other; it depends on nothing else.

    Args:
        program: the interpreter that will read it, or one of the same release.
        sources: each file, and the path that the code is told it has.

    Raises:
        ToolError: a source cannot be read or compiled.
    """
    done = run(
        [program, *_OPTIONS, _script("compile.py")],
        stdin=json.dumps(sources).encode(),
        env=_ENVIRONMENT,
        output_limit=_MAX_CODE,
        timeout=_COMPILE_SECONDS,
    )
    data, start = memoryview(done.stdout), 0
    for _ in sources:
        size = int.from_bytes(data[start : start + 8], "big")
        start += 8 + size
        if start > len(data):
            raise ToolError("the interpreter broke off while it compiled")
        yield bytes(data[start - size : start])


def _script(name: str) -> str:
    path = os.path.join(os.path.dirname(__file__), name)
    if not os.path.isfile(path):
        raise UsageError(
            "a bundle has no sources to make another one of",
            hint="run this where sysgraft is installed",
        )
    return path
