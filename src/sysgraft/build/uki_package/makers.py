"""rpmbuild and dpkg-deb: packages of files that are in place.

Both run as the user who calls, in a temporary folder, with no configuration of that user's, and
write root's ownership into the package without being root.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from sysgraft.build.uki_package import scripts
from sysgraft.build.uki_package.control import control
from sysgraft.build.uki_package.names import DEB_ARCHITECTURES, RPM_ARCHITECTURES
from sysgraft.build.uki_package.spec import TREE_VARIABLE, spec
from sysgraft.build.uki_package.staging import fill, set_times, size_of, write_text
from sysgraft.errors import ToolError
from sysgraft.host.files import cannot_write
from sysgraft.host.run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.build.uki_package.contents import Content
    from sysgraft.build.uki_package.facts import Facts
    from sysgraft.build.uki_package.options import Format
    from sysgraft.build.uki_package.scripts import Places

PROGRAMS: Final[dict[Format, str]] = {"rpm": "rpmbuild", "deb": "dpkg-deb"}
"""What makes packages of each format."""
ARCHITECTURES: Final[dict[Format, dict[str, str]]] = {
    "rpm": RPM_ARCHITECTURES,
    "deb": DEB_ARCHITECTURES,
}

_TIMEOUT: Final = 3600.0
_PIECE: Final = 1 << 20


def file_name(content: Content, facts: Facts, form: Format) -> str:
    """The package's usual file name."""
    if form == "deb":
        return f"{content.name}_{facts.version}_{facts.architecture}.deb"
    return f"{content.name}-{facts.version}.{facts.architecture}.rpm"


def make_rpms(
    work: str, facts: Facts, contents: Sequence[Content], places: Places, epoch: int
) -> list[str]:
    """Make the rpm packages in a folder; their paths, in the order of `contents`.

    Raises:
        InputError: a file cannot be read, or changed.
        ToolError: rpmbuild failed.
    """
    text = spec(facts, contents, places)
    tree = os.path.join(work, "tree")
    fill(tree, contents, epoch)
    path = os.path.join(work, "package.spec")
    write_text(path, text, 0o644)
    defines = {
        "_topdir": work,
        "_dbpath": f"{work}/db",
        "_tmppath": f"{work}/scripts",
        "_rpmdir": f"{work}/rpms",
        "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    }
    words = [word for name, value in defines.items() for word in ("--define", f"{name} {value}")]
    run(
        ["rpmbuild", "-bb", "--nodeps", f"--target={facts.architecture}-linux", *words, path],
        timeout=_TIMEOUT,
        env={**_environment(work, epoch), TREE_VARIABLE: tree},
    )
    return [_made(f"{work}/rpms/{file_name(content, facts, 'rpm')}") for content in contents]


def make_debs(
    work: str, facts: Facts, contents: Sequence[Content], places: Places, epoch: int
) -> list[str]:
    """Make the Debian packages in a folder; their paths, in the order of `contents`.

    Raises:
        InputError: a file cannot be read, or changed.
        ToolError: dpkg-deb failed.
    """
    paths = []
    for number, content in enumerate(contents):
        tree = os.path.join(work, f"tree-{number}")
        fill(tree, [content], epoch)
        try:
            _write_control(tree, facts, content, places)
            set_times(tree, epoch)
        except OSError as error:
            raise cannot_write(error, tree) from error
        path = os.path.join(work, file_name(content, facts, "deb"))
        options = ["--root-owner-group", "--threads-max=1", "-Zzstd", "-z3"]
        run(
            ["dpkg-deb", *options, "--build", tree, path],
            timeout=_TIMEOUT,
            env=_environment(work, epoch),
        )
        paths.append(_made(path))
    return paths


def _write_control(tree: str, facts: Facts, content: Content, places: Places) -> None:
    folder = os.path.join(tree, "DEBIAN")
    sums = "".join(
        f"{_md5(tree + item.place)}  {item.place.removeprefix('/')}\n" for item in content.items
    )
    os.mkdir(folder)
    write_text(f"{folder}/control", control(facts, content, size_of([content])), 0o644)
    write_text(f"{folder}/md5sums", sums, 0o644)
    made = scripts.debian_addon_scripts if content.addon else scripts.debian_scripts
    for name, text in made(places).items():
        write_text(f"{folder}/{name}", text, 0o755)


def _md5(path: str) -> str:
    """What ``dpkg --verify`` compares with; it protects from nobody."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _environment(work: str, epoch: int) -> dict[str, str]:
    """Variables for the programs: none of them reads what the user has set up."""
    return {"SOURCE_DATE_EPOCH": str(epoch), "HOME": work, "XDG_CONFIG_HOME": work, "TZ": "UTC"}


def _made(path: str) -> str:
    if not os.path.isfile(path):
        raise ToolError(f"no package was made that is called {os.path.basename(path)}")
    return path
