"""Which files of this machine go into a bundle, and where they stand there.

Of the standard library goes all but what is for developers and what needs a terminal, a screen or
a data base; of other packages, their modules; of sysgraft all but what its tests need.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sysgraft import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.build.agent.python import Python

AGENT: Final = "usr/lib/sysgraft/agent"
"""The bundle's folder, below the root."""
LIBRARIES: Final = f"{AGENT}/lib"

# Each distribution with its modules, as they are installed.
PACKAGES: Final = {
    "cryptography": ("cryptography",),
    "cffi": ("_cffi_backend",),
    "lz4": ("lz4",),
    "msgspec": ("msgspec",),
    "urllib3": ("urllib3",),
}
"""What sysgraft does not work without."""
OPTIONAL: Final = {
    "backports.zstd": ("backports.zstd",),
    "PyYAML": ("yaml", "_yaml"),
    "PySquashfsImage": ("PySquashfsImage",),
}
"""What is taken where it is installed; Python 3.14 has zstd itself."""

Part = Literal["python", "library", "packages", "sysgraft", "libraries", "papers"]

# Names below the standard library, of folders and of modules without their suffix.
_LEFT_OUT: Final = (
    *("__pycache__", "site-packages", "dist-packages", "config-*", "sitecustomize"),
    *("test", "tests", "_test*", "_xxtest*", "xxlimited*", "_ctypes_test*", "__phello__*"),
    *("idlelib", "lib2to3", "distutils", "ensurepip", "venv", "pydoc*", "turtle*", "doctest"),
    *("tkinter", "_tkinter*", "curses", "_curses*", "readline*", "rlcompleter", "ossaudiodev*"),
    *("dbm", "_dbm*", "_gdbm*", "sqlite3", "_sqlite3*", "nis*", "_uuid*", "antigravity", "this"),
)
_PACKAGES_LEFT_OUT: Final = ("__pycache__", "test", "tests")
_OWN_LEFT_OUT: Final = ("__pycache__", "testing")
_SOURCE: Final = ".py"


class File(NamedTuple):
    """A file of the bundle.

    Attributes:
        place: its path below the root.
        source: its path on this machine.
        kind: a source to compile, a program or library, or something else.
        part: what it belongs to.
    """

    place: str
    source: str
    kind: Literal["code", "object", "data"]
    part: Part


def files_of(python: Python) -> tuple[File, ...]:
    """All files but the libraries that the system has, in the order of their places.

    Raises:
        InputError: a module that sysgraft needs is not installed for the interpreter.
    """
    program = File(f"{AGENT}/bin/{python.folder}", python.program, "object", "python")
    found = [program, *_standard(python), *_packages(python), *_own(python)]
    return tuple(sorted({each.place: each for each in found}.values()))


def library_folder(python: Python) -> str:
    """Where all Python modules of the bundle are."""
    return f"{LIBRARIES}/{python.folder}"


def _standard(python: Python) -> Iterator[File]:
    folder = library_folder(python)
    extensions = f"{folder}/lib-dynload"
    for base, place in ((python.library, folder), (python.extensions, extensions)):
        if os.path.isdir(base):
            yield from _modules(base, place, _LEFT_OUT, "library", python)


def _packages(python: Python) -> Iterator[File]:
    for name in (*PACKAGES, *OPTIONAL):
        for module in PACKAGES.get(name) or OPTIONAL[name]:
            place = python.modules.get(module, "")
            if place:
                yield from _package(python, module, place)
            elif name in PACKAGES:
                raise errors.InputError(
                    f"the module {module} is not installed for this interpreter",
                    file=python.program,
                    hint=f"install {name}, or name another interpreter with --python",
                )


def _package(python: Python, module: str, source: str) -> Iterator[File]:
    place = f"{library_folder(python)}/{module.replace('.', '/')}"
    if os.path.isdir(source):
        yield from _modules(source, place, _PACKAGES_LEFT_OUT, "packages", python)
        return
    kind: Literal["code", "object"] = "code" if source.endswith(_SOURCE) else "object"
    above = os.path.dirname(place)
    yield File(f"{above}/{os.path.basename(source)}", source, kind, "packages")


def _own(python: Python) -> Iterator[File]:
    base = os.path.dirname(os.path.abspath(errors.__file__))
    place = f"{library_folder(python)}/sysgraft"
    yield from _modules(base, place, _OWN_LEFT_OUT, "sysgraft", python)
    for path in _below(base, _OWN_LEFT_OUT):
        if not path.endswith(_SOURCE):
            yield File(f"{place}/{path}", os.path.join(base, path), "data", "sysgraft")


def _modules(
    base: str, place: str, left_out: Sequence[str], part: Part, python: Python
) -> Iterator[File]:
    """The sources and compiled modules below a folder."""
    for path in _below(base, left_out):
        source = os.path.join(base, path)
        if path.endswith(_SOURCE):
            yield File(f"{place}/{path}", source, "code", part)
        elif path.endswith(tuple(filter(None, python.suffixes))):
            yield File(f"{place}/{path}", source, "object", part)


def _below(base: str, left_out: Sequence[str]) -> Iterator[str]:
    """Paths of files, relative to the folder; a pattern is held against each name on the way."""
    for folder, folders, names in os.walk(base):
        folders[:] = sorted(name for name in folders if not _matches(name, left_out))
        for name in sorted(names):
            if not _matches(name.partition(".")[0], left_out):
                yield os.path.relpath(os.path.join(folder, name), base)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
