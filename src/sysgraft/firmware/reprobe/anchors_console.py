"""The consoles, and the screens that somebody looks at.

``/proc/consoles`` (Linux fs/proc/consoles.c) names the terminals that get the kernel's messages.
One on a screen, ``tty0``, is drawn on the frame buffers; a screen that is on (a ``drm`` connector)
is guarded whoever draws on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.firmware.reprobe.guards import Anchor
from sysgraft.firmware.reprobe.reading import read_lines
from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.firmware.reprobe.snapshot import Snapshot
    from sysgraft.host.sysfs import Sysfs

_SCREEN: Final = re.compile(r"tty\d+")
_HYPERVISOR: Final = re.compile(r"hvc\d+")
_FRAME_BUFFER: Final = re.compile(r"graphics/fb\d+")
_CONNECTOR: Final = re.compile(r"drm/card\d+-.+")


def console_anchors(files: Sysfs, snapshot: Snapshot) -> tuple[Anchor, ...]:
    """What the machine is looked at and spoken to through."""
    return tuple(dict.fromkeys(_anchors(files, snapshot)))


def _anchors(files: Sysfs, snapshot: Snapshot) -> Iterator[Anchor]:
    for line in read_lines(files, "proc/consoles"):
        name = line.split(" ", 1)[0]
        if _SCREEN.fullmatch(name):
            yield from _screens(snapshot, name)
        elif _HYPERVISOR.fullmatch(name):
            yield from _hypervisor(snapshot, name)
        path = snapshot.things.get(f"tty/{name}")
        if path is not None:
            yield Anchor("console", path, f"the console {name} is there")
    for name, path in snapshot.things.items():
        on = read_text(files, f"{path}/enabled") == "enabled"
        if _CONNECTOR.fullmatch(name) and on and read_text(files, f"{path}/status") == "connected":
            yield Anchor("console", path, f"the screen {name.partition('/')[2]} is on")


def _screens(snapshot: Snapshot, name: str) -> Iterator[Anchor]:
    for thing, path in snapshot.things.items():
        if _FRAME_BUFFER.fullmatch(thing):
            yield Anchor("console", path, f"the console {name} is drawn on {thing[9:]}")


def _hypervisor(snapshot: Snapshot, name: str) -> Iterator[Anchor]:
    """Such terminals do not say what brings them."""
    for device in snapshot.devices.values():
        if device.driver in ("virtio_console", "xenconsole"):
            yield Anchor("console", device.path, f"the console {name} comes from {device.key}")
