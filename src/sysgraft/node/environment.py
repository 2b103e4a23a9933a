"""What the units of systemd-sysext and systemd-confext are told: policies and hierarchies.

They are in a file that the node's drop-ins name as ``EnvironmentFile=``: systemd reads it when it
starts the unit, after the activation, and no unit has to be loaded anew (systemd.exec(5)).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, OutputError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.output import atomic_output
from sysgraft.host.places import below
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "/run/sysgraft/extensions.env"
_SAFE: Final = re.compile(r"[A-Za-z0-9_.+:=/@-]*")
MAX_SIZE: Final = 64 << 10
POLICY: Final = {Kind.SYSEXT: "SYSGRAFT_SYSEXT_POLICY", Kind.CONFEXT: "SYSGRAFT_CONFEXT_POLICY"}
HIERARCHIES: Final = "SYSTEMD_SYSEXT_HIERARCHIES"
"""systemd's own, docs/ENVIRONMENT.md: folders joined with colons."""


class Environment(NamedTuple):
    """What they are told.

    Attributes:
        policies: by kind.
        hierarchies: what system extensions are merged into; empty for systemd's own.
    """

    policies: Mapping[Kind, str]
    hierarchies: tuple[str, ...]

    def text(self) -> str:
        """The file's content.

        Raises:
            OutputError: something in it could be read as more than a value.
        """
        pairs = [(HIERARCHIES, ":".join(self.hierarchies))] if self.hierarchies else []
        # Last, so that nothing can come after them.
        pairs += [(POLICY[kind], text) for kind, text in self.policies.items()]
        for name, text in pairs:
            if not _SAFE.fullmatch(text):
                raise OutputError(f"{name} would hold what has a meaning there", file=FILE)
        return "".join(f'{name}="{text}"\n' for name, text in pairs)


def read_environment(root: str) -> dict[str, str]:
    """What they are told in this boot; nothing where nothing was activated."""
    try:
        text = read_small(below(root, FILE), MAX_SIZE, "environment").decode("utf-8", "replace")
    except InputError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip('"') for name, equals, value in pairs if equals}


def write_environment(root: str, environment: Environment) -> None:
    """Write the file.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_output(below(root, FILE), replace=True, make_folders=True) as file:
        file.write(environment.text().encode())
