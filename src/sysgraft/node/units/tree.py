"""The files that have a node activate its extensions at boot, for the image of a system.

A service before systemd-sysext.service; drop-ins that give systemd's own units the policy, the
hierarchies and an end to their patience; a check that keeps boot-complete.target from being reached
if the configuration wants a boot with a bad extension to count as failed; and for an initrd that is
left again a unit that saves what systemd-stub has brought. In an extension (`Place.EXTENSION`) the
agent itself comes with the first merge: its service runs after that, and has systemd merge anew.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sysgraft.base.systemd import check_release
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.image_policy_flags import POLICIES_SINCE
from sysgraft.host.file_tree import LINK, TreeFile, write_files
from sysgraft.host.systemd import PROGRAMS
from sysgraft.node.environment import FILE, POLICY
from sysgraft.node.layout import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTIVATE: Final = "sysgraft-node-activate.service"
CHECK: Final = "sysgraft-node-check.service"
SAVE: Final = "sysgraft-node-save.service"
PROGRAM: Final = "/usr/bin/sysgraft"
DEFAULT_TIMEOUT: Final = 90
"""Seconds for a merge: dm-verity and loop devices of dozens of images take a few."""
ACTIVATE_TIMEOUT: Final = 300
"""Seconds for the activation: it may have to read every byte of every image."""

_UNITS: Final = "usr/lib/systemd/system"
_STRICT: Final = {
    Kind.SYSEXT: "root=signed+absent:usr=signed+absent",
    Kind.CONFEXT: "root=signed+absent",
}
_PLAIN: Final = re.compile(r"/[A-Za-z0-9_./:,=+@-]+")
"""Needs no quotes: neither blanks nor what systemd replaces."""
_BROUGHT: Final = ("sysext", "global_sysext", "confext", "global_confext")
"""Folders of systemd-stub in ``/.extra``."""


class Place(StrEnum):
    """Where the files are to lie."""

    SYSTEM = "system"  # the image of the system
    EXTENSION = "extension"  # an extension, beside the agent
    INITRD = "initrd"  # an initrd that is left again


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOptions:
    """What the units are about.

    Attributes:
        place: where the files are to lie.
        program: sysgraft on the node.
        systemd: release of the node's systemd; before 254 it knows no policies.
        timeout: seconds for a merge.
        stores: folders of stores that are not those of a layout.
    """

    place: Place = Place.SYSTEM
    program: str = PROGRAM
    systemd: int = POLICIES_SINCE
    timeout: int = DEFAULT_TIMEOUT
    stores: tuple[str, ...] = ()


def files(options: UnitOptions) -> tuple[TreeFile, ...]:
    """The files, in the order of their paths.

    Raises:
        UsageError: an option makes no sense.
    """
    check_release(options.systemd)
    for path in (options.program, *options.stores):
        if not _PLAIN.fullmatch(path):
            raise UsageError(f"not a path that can stand in a unit as it is: {path!r}")
    if not 1 <= options.timeout <= 3600:
        raise UsageError(f"{options.timeout} seconds; 1 to 3600 will do")
    return tuple(sorted(_FILES[options.place](options)))


def write_units(output: str, options: UnitOptions, *, replace: bool = False) -> tuple[str, ...]:
    """Write the files below a folder, which is made.

    Returns:
        Their paths.

    Raises:
        UsageError: see `files`.
        OutputError: one is there already, or cannot be written.
    """
    return write_files(output, files(options), replace=replace)


def _system(options: UnitOptions) -> Iterator[TreeFile]:
    yield _unit(ACTIVATE, _activate(options, before=True))
    yield _wanted("sysinit.target.wants", ACTIVATE)
    yield _unit(CHECK, _check(options))
    yield _wanted("boot-complete.target.requires", CHECK)
    for kind in Kind:
        yield _wanted("sysinit.target.wants", f"{PROGRAMS[kind]}.service")
        yield _drop_in(kind, options)


def _extension(options: UnitOptions) -> Iterator[TreeFile]:
    yield _unit(ACTIVATE, _activate(options, before=False))
    yield _unit(CHECK, _check(options))
    upheld = f"[Unit]\nUpholds={ACTIVATE}\n"
    yield TreeFile(f"{_UNITS}/multi-user.target.d/50-sysgraft-node.conf", upheld.encode())
    required = f"[Unit]\nRequires={CHECK}\nAfter={CHECK}\n"
    yield TreeFile(f"{_UNITS}/boot-complete.target.d/50-sysgraft-node.conf", required.encode())
    for kind in Kind:
        # The activation asks for the second merge itself; to come after it is no order to keep.
        yield _drop_in(kind, options, after="")


def _initrd(_options: UnitOptions) -> Iterator[TreeFile]:
    yield _unit(SAVE, _save())
    yield _wanted("initrd.target.wants", SAVE)


_FILES: Final = {Place.SYSTEM: _system, Place.EXTENSION: _extension, Place.INITRD: _initrd}


def _unit(name: str, lines: list[str]) -> TreeFile:
    return TreeFile(f"{_UNITS}/{name}", "\n".join([*lines, ""]).encode())


def _wanted(by: str, name: str) -> TreeFile:
    return TreeFile(f"{_UNITS}/{by}/{name}", f"../{name}".encode(), LINK)


def _activate(options: UnitOptions, *, before: bool) -> list[str]:
    merging = " ".join(f"{PROGRAMS[kind]}.service" for kind in Kind)
    order = f"Before={merging} sysinit.target" if before else f"After={merging}"
    again = [] if before else [f"ExecStartPost=+systemctl reload-or-restart --no-block {merging}"]
    # An upheld unit that failed would be started again and again.
    again += [] if before else ["SuccessExitStatus=1 2"]
    limits = [] if before else ["StartLimitIntervalSec=1h", "StartLimitBurst=3"]
    known = {os.path.dirname(each) for x in LAYOUTS.values() for each in x.stores.values()}
    stores = sorted({*known, *options.stores})
    return [
        "[Unit]",
        "Description=Verify the extensions of this boot",
        "DefaultDependencies=no",
        "Conflicts=shutdown.target",
        "Before=shutdown.target",
        "After=local-fs.target",
        order,
        *limits,
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={options.program} node activate --boot",
        *again,
        f"TimeoutStartSec={ACTIVATE_TIMEOUT}",
        "RuntimeDirectory=sysgraft",
        "RuntimeDirectoryPreserve=yes",
        f"ReadWritePaths={' '.join(f'-{each}' for each in stores)}",
        _asset("sandbox.conf").rstrip(),
    ]


def _check(options: UnitOptions) -> list[str]:
    merging = " ".join(f"{PROGRAMS[kind]}.service" for kind in Kind)
    return [
        "[Unit]",
        "Description=Check that the extensions of this boot are merged",
        f"Wants={ACTIVATE}",
        f"After={ACTIVATE} {merging}",
        "Before=boot-complete.target",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={options.program} node status --boot",
        f"TimeoutStartSec={options.timeout}",
        _asset("sandbox.conf").rstrip(),
    ]


def _drop_in(kind: Kind, options: UnitOptions, *, after: str = ACTIVATE) -> TreeFile:
    """What systemd's own unit is told."""
    program, variable = PROGRAMS[kind], POLICY[kind]
    merge = f"{program} refresh --image-policy=${{{variable}}}"
    lines = ["[Unit]", f"After={after}", ""] if after else []
    lines += ["[Service]"]
    lines += [f"Environment={variable}={_STRICT[kind]}", f"EnvironmentFile=-{FILE}"]
    if options.systemd >= POLICIES_SINCE:
        lines += ["ExecStart=", f"ExecStart={merge}", "ExecReload=", f"ExecReload={merge}"]
    lines += ["# Waiting for a key that nobody has must not be waiting for ever."]
    lines += [f"TimeoutStartSec={options.timeout}", ""]
    return TreeFile(f"{_UNITS}/{program}.service.d/zz-sysgraft.conf", "\n".join(lines).encode())


def _save() -> list[str]:
    return [
        "[Unit]",
        "Description=Save the extensions that systemd-stub has brought",
        "DefaultDependencies=no",
        "ConditionPathExists=/etc/initrd-release",
        *(f"ConditionDirectoryNotEmpty=|/.extra/{each}" for each in _BROUGHT),
        "After=initrd-root-fs.target",
        "Before=initrd.target initrd-cleanup.service",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "ExecStart=mkdir -p /run/sysgraft/extra",
        *(f"ExecStart=-cp -r /.extra/{each} /run/sysgraft/extra/" for each in _BROUGHT),
    ]


def _asset(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()
