"""The guests the lab brings along: where they are kept, what there is, and how they are made once.

    guests = find_guests() or make_guests()
    guests.path("small.efi")

They are kept by what the recipe was: a newer sysgraft with another recipe makes its own. The folder
appears whole, and everybody may read it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.errors import InputError, OutputError, UsageError
from sysgraft.host.small import read_small
from sysgraft.lab import cooking, recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.progress import Progress

FILES: Final[Mapping[str, str]] = {
    "vmlinuz": "Debian's kernel",
    "small.cpio.zst": "the small guest's initrd",
    "debian.cpio.zst": "the large guest's initrd: a whole root file system",
    "os-release": "Debian's",
    "linuxx64.efi.stub": "systemd-stub",
    "addonx64.efi.stub": "the stub of addons",
    "systemd-bootx64.efi": "systemd-boot",
    "small.efi": "a UKI of the small guest, not signed",
    "debian.efi": "a UKI of the large guest, not signed",
}
"""The files of the guests."""
MANIFEST: Final = "manifest.json"
_MAX_MANIFEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Guests:
    """Guests that are there.

    Attributes:
        folder: where their files are.
        kernel: the kernel's release.
        suite: of Debian.
        packages: versions of Debian's packages in the large guest, and of the kernel's.
        cmdline: of their UKIs.
        made: whether they were made just now.
    """

    folder: str
    kernel: str
    suite: str
    packages: Mapping[str, str]
    cmdline: str
    made: bool = field(default=False, compare=False)

    def path(self, name: str) -> str:
        """The path of one of `FILES`.

        Raises:
            UsageError: there is no such file.
        """
        if name not in FILES:
            raise UsageError(f"the guests have no {name}", hint=f"they have {', '.join(FILES)}")
        return os.path.join(self.folder, name)


def default_cache() -> str:
    """Where the guests of this user are kept: below ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "sysgraft", "lab")


def find_guests(cache: str = "") -> Guests | None:
    """The guests of this release's recipe; None if they have not been made.

    Raises:
        InputError: they are there and cannot be read.
    """
    folder = _folder(cache)
    if not os.path.isdir(folder):
        return None
    path = os.path.join(folder, MANIFEST)
    try:
        fields = json.loads(read_small(path, _MAX_MANIFEST, "manifest"))
        return Guests(
            folder=folder,
            kernel=str(fields["kernel"]),
            suite=str(fields["suite"]),
            packages={str(name): str(version) for name, version in fields["packages"].items()},
            cmdline=str(fields["cmdline"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("not a manifest of guests; remove its folder", file=path) from error


def make_guests(
    cache: str = "", *, mirror: str = recipe.MIRROR, progress: Progress | None = None
) -> Guests:
    """The guests, made if they are not there. Takes minutes then, and needs root.

    Args:
        cache: the folder they are kept in; empty for the user's.
        mirror: where Debian's packages come from.
        progress: told of each step.

    Raises:
        UsageError: this user, or this system, cannot make them.
        ToolError: debootstrap is missing or failed.
        OutputError: they cannot be kept there.
    """
    found = find_guests(cache)
    if found is not None:
        return found
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise UsageError(
            "the guests can only be made by root on Linux",
            hint="run `sysgraft lab guest` once as root with --cache, then use that folder",
        )
    folder = _folder(cache)
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        draft = tempfile.mkdtemp(prefix=".new-", dir=os.path.dirname(folder))
    except OSError as error:
        raise OutputError(error.strerror or str(error), file=folder) from error
    try:
        _fill(draft, mirror, progress or NoProgress())
        _publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _made(cache)


def _folder(cache: str) -> str:
    return os.path.join(os.path.abspath(cache or default_cache()), recipe.fingerprint())


def _fill(draft: str, mirror: str, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix="root-", dir=draft) as work:
        fields = cooking.cook(work, draft, mirror=mirror, progress=progress)
    with open(os.path.join(draft, MANIFEST), "w", encoding="ascii") as file:
        json.dump(fields, file, indent=1, sort_keys=True)
    for name in os.listdir(draft):
        os.chmod(os.path.join(draft, name), 0o644)
    os.chmod(draft, 0o755)  # noqa: S103  the files are for everybody


def _publish(draft: str, folder: str) -> None:
    try:
        os.rename(draft, folder)
    except OSError as error:
        # Somebody else was faster: theirs are as good.
        if not os.path.isfile(os.path.join(folder, MANIFEST)):
            raise OutputError(error.strerror or str(error), file=folder) from error


def _made(cache: str) -> Guests:
    guests = find_guests(cache)
    if guests is None:
        raise OutputError("the guests went away as soon as they were made", file=_folder(cache))
    return Guests(
        guests.folder, guests.kernel, guests.suite, guests.packages, guests.cmdline, made=True
    )
