"""Image policies that the administrator has set for systemd itself: never weakened by the node's.

``sysext.conf`` and ``confext.conf`` (systemd 259 and newer) with their drop-ins. An option on the
command line, as the node's own policy is given, would silently take their place.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.errors import SysgraftError
from sysgraft.formats import unit_file
from sysgraft.formats.extension_release import Kind
from sysgraft.host.places import below
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDERS: Final = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
_SECTIONS: Final = {Kind.SYSEXT: "SysExt", Kind.CONFEXT: "ConfExt"}


def own_policies(root: str, kind: Kind) -> list[str]:
    """The policy that is set for a kind, if there is one.

    Of the main file the first in the folders counts, of drop-ins the last by name. A file that
    cannot be read says nothing.
    """
    found = ""
    for path in _files(root, f"{kind}.conf"):
        try:
            unit = unit_file.parse(read_small(path, unit_file.MAX_SIZE, "configuration"))
        except SysgraftError:
            continue
        for value in unit.values(_SECTIONS[kind], "ImagePolicy"):
            found = value
    return [found] if found else []


def _files(root: str, name: str) -> Iterator[str]:
    """Main file first, drop-ins by name; of equal names the first folder's."""
    places = [below(root, folder) for folder in _FOLDERS]
    main = [os.path.join(place, name) for place in places]
    yield from [path for path in main if os.path.isfile(path)][:1]
    drop_ins: dict[str, str] = {}
    for place in places:
        folder = os.path.join(place, f"{name}.d")
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if file.endswith(".conf"):
                drop_ins.setdefault(file, os.path.join(folder, file))
    yield from (drop_ins[file] for file in sorted(drop_ins))
