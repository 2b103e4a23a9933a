"""What is in a bundle and under which terms: a manifest, and the licences that came along.

Of a Python distribution its metadata and licence files; of a library the system has, the package
it is of (dpkg or rpm tell) and, on Debian, that package's copyright file.
"""

from __future__ import annotations

import json
import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob
from sysgraft.host.files import OpenFile
from sysgraft.host.run import run, which

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.build.agent.python import Python

DOCUMENTS: Final = "usr/share/doc/sysgraft-agent"
MANIFEST: Final = f"{DOCUMENTS}/manifest.json"

_LICENCES: Final = f"{DOCUMENTS}/licenses"
_LICENCE: Final = re.compile(
    r"METADATA|PKG-INFO|(licen[cs]e|copying|copyright|notice|authors).*", re.IGNORECASE
)
# ``libc6:amd64: /lib/x86_64-linux-gnu/libc.so.6``; several packages are joined with commas.
_OWNED: Final = re.compile(r"^([a-z0-9][^\s,]*)(?:, [^:\n]*)?: (/.*)$", re.MULTILINE)


class Library(NamedTuple):
    """A file that was taken from the system.

    Attributes:
        path: in the bundle, below the root.
        size: bytes.
        sha256: of its content.
        package: name and version of the package it is of; empty where nobody knows.
    """

    path: str
    size: int
    sha256: str
    package: str


def owners(paths: Sequence[str]) -> dict[str, str]:
    """Name and version of the package that each file is of, where dpkg or rpm know it."""
    if which("dpkg-query"):
        found = _debian_owners(paths)
        if found:
            return found
    return dict(_rpm_owners(paths)) if which("rpm") else {}


def _debian_owners(paths: Sequence[str]) -> dict[str, str]:
    spellings = {spelling: path for path in paths for spelling in _spellings(path)}
    listing = run(["dpkg-query", "--search", *spellings], check=False).stdout.decode()
    packages = {
        spellings[path]: name for name, path in _OWNED.findall(listing) if path in spellings
    }
    if not packages:
        return {}
    show = ["dpkg-query", "--show", "--showformat=${binary:Package} ${Version}\\n"]
    lines = run([*show, *sorted({*packages.values()})], check=False).stdout.decode().splitlines()
    versions = dict(line.split(" ", 1) for line in lines if " " in line)
    return {
        path: f"{name.partition(':')[0]} {versions.get(name, '')}".rstrip()
        for path, name in packages.items()
    }


def _spellings(path: str) -> tuple[str, ...]:
    """A path as packages may have it: from before or after ``/usr`` was merged."""
    real = os.path.realpath(path)
    return real, real.removeprefix("/usr") if real.startswith("/usr/lib") else f"/usr{real}"


def _rpm_owners(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    for path in paths:
        form = "--queryformat=%{NAME} %{VERSION}-%{RELEASE}\\n"
        done = run(["rpm", "--query", "--file", form, os.path.realpath(path)], check=False)
        if done.returncode == 0:
            yield path, done.stdout.decode().splitlines()[0]


def papers(python: Python, architecture: str, libraries: Sequence[Library]) -> dict[str, Blob]:
    """The manifest and the licences, by their places."""
    found: dict[str, Blob] = {MANIFEST: BytesBlob(_manifest(python, architecture, libraries))}
    terms = os.path.join(python.library, "LICENSE.txt")
    if os.path.isfile(terms):
        found[f"{_LICENCES}/python/LICENSE.txt"] = OpenFile(terms)
    for name, about in sorted(python.distributions.items()):
        if about.folder:
            found.update(_of_distribution(name, about.folder))
    for package in {each.package.partition(" ")[0] for each in libraries} - {""}:
        copyright_file = f"/usr/share/doc/{package}/copyright"
        if os.path.isfile(copyright_file):
            found[f"{_LICENCES}/{package}/copyright"] = OpenFile(copyright_file)
    return found


def _of_distribution(name: str, folder: str) -> Iterator[tuple[str, Blob]]:
    for above, _, names in os.walk(folder):
        for file in names:
            path = os.path.join(above, file)
            below = os.path.relpath(path, folder)
            if any(_LICENCE.fullmatch(part) for part in below.split(os.sep)):
                yield f"{_LICENCES}/{name}/{below}", OpenFile(path)


def _manifest(python: Python, architecture: str, libraries: Sequence[Library]) -> bytes:
    document: Mapping[str, object] = {
        "sysgraft": import_module("sysgraft").__version__,
        "python": ".".join(map(str, python.version)),
        "architecture": architecture,
        "packages": [
            {"name": name, "version": about.version}
            for name, about in sorted(python.distributions.items())
            if about.version
        ],
        "libraries": [
            {"path": f"/{each.path}", "sha256": each.sha256, "package": each.package or None}
            for each in libraries
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=True).encode() + b"\n"
