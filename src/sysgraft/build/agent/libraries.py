"""The shared libraries that programs need, found as this machine's loader finds them.

A file's own ``RUNPATH`` or ``RPATH`` first, then what has been found for another file, the loader's
cache (``ldconfig -p``), and the system's folders; see ld.so(8). ``LD_LIBRARY_PATH`` does not count:
it is not part of the machine. What a program opens by name while it runs is not known here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, UnsupportedError, in_file
from sysgraft.formats import elf
from sysgraft.formats.elf_dynamic import read_dynamic
from sysgraft.host.files import OpenFile
from sysgraft.host.run import run, which

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.formats.elf_dynamic import Dynamic

BESIDE: Final = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
"""What glibc opens by name: to end a thread, and to look for users and hosts."""

_FOLDERS: Final = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
# ``libz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1``
_CACHED: Final = re.compile(r"^\s+(\S+) \([^)]*\) => (/.*)$", re.MULTILINE)
_ORIGIN: Final = re.compile(r"\$(?:ORIGIN\b|\{ORIGIN\})")
# glibc's own names of its loader, per architecture.
_LOADER: Final = re.compile(r"ld-linux[a-z0-9_.-]*\.so\.\d|ld64\.so\.\d|ld\.so\.\d")


class Libraries:
    """What has been found.

    Args:
        program: the executable; its loader and its architecture are those of all.

    Attributes:
        architecture: systemd's name of it.
        loader: path of the loader.
        found: the file of each library by the name it is asked for.

    Raises:
        UnsupportedError: the program needs no loader, or another one than glibc's.
        FormatError: it is no ELF file.
    """

    def __init__(self, program: str) -> None:
        with in_file(program):
            blob = OpenFile(program)
            self.architecture = elf.architecture(blob)
            dynamic = read_dynamic(blob)
            if not _LOADER.fullmatch(os.path.basename(dynamic.interpreter)):
                loader = dynamic.interpreter or "no loader"
                raise UnsupportedError(f"a program of glibc can be bundled; it has {loader}")
        self.loader = dynamic.interpreter
        self.found: dict[str, str] = {}
        self._shared = (*_paths(dynamic.rpath, program),) if not dynamic.runpath else ()
        self._cache = _cached()

    @property
    def loader_name(self) -> str:
        """Of the loader's file."""
        return os.path.basename(self.loader)

    def add_needed(self, files: Iterable[str]) -> None:
        """Find what files need, and what that needs in turn.

        Raises:
            InputError: a library is not there, or two files mean different ones by one name.
            FormatError: a file is no ELF file.
        """
        pending = list(files)
        while pending:
            path = pending.pop(0)
            with in_file(path):
                dynamic = read_dynamic(OpenFile(path))
                names = [name for name in dynamic.needed if name != self.loader_name]
                pending += filter(None, [self._find(name, dynamic, path) for name in names])

    def add_named(self, names: Sequence[str]) -> None:
        """Take libraries that nothing needs by their names, where the system has them."""
        there = [(name, self._of_system(name)) for name in names if name not in self.found]
        self.found.update({name: path for name, path in there if path})
        self.add_needed([path for _, path in there if path])

    def _find(self, name: str, dynamic: Dynamic, path: str) -> str:
        """Take one library; its file if that has not been taken before, else nothing."""
        own = self._first(name, _paths(dynamic.runpath or dynamic.rpath, path))
        known = self.found.get(name)
        if known:
            if own and os.path.realpath(own) != os.path.realpath(known):
                raise InputError(f"it needs {own}, and another file {known}, by the same name")
            return ""
        file = own or self._first(name, self._shared) or self._of_system(name)
        if not file:
            raise InputError(f"it needs the library {name}, which is not there")
        self.found[name] = file
        return file

    def _of_system(self, name: str) -> str:
        cached = [path for path in self._cache.get(name, ()) if self._fits(path)]
        return cached[0] if cached else self._first(name, _FOLDERS)

    def _first(self, name: str, folders: Iterable[str]) -> str:
        paths = (os.path.join(folder, name) for folder in folders)
        return next(filter(self._fits, paths), "")

    def _fits(self, path: str) -> bool:
        """Whether there is a library for the architecture."""
        if not os.path.isfile(path):
            return False
        with in_file(path):
            blob = OpenFile(path)
            head = blob.read_at(0, min(blob.size, elf.IDENT_SIZE))
            return elf.is_elf(head) and elf.architecture(blob) == self.architecture


def _paths(folders: Sequence[str], file: str) -> Iterator[str]:
    """A list of folders of a file, with what stands for the file's own folder replaced."""
    origin = os.path.dirname(os.path.realpath(file))
    return (_ORIGIN.sub(lambda _: origin, folder) for folder in folders)


def _cached() -> dict[str, list[str]]:
    """The loader's cache; empty where there is none."""
    program = which("ldconfig")
    listing = run([program, "-p"], check=False).stdout if program else b""
    found: dict[str, list[str]] = {}
    for name, path in _CACHED.findall(listing.decode("utf-8", "surrogateescape")):
        found.setdefault(name, []).append(path)
    return found
