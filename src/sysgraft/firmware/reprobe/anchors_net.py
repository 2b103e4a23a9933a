"""The network interfaces that the default routes lead over, and what those are made of.

``/proc/net/route`` and ``/proc/net/ipv6_route`` (Linux net/ipv4/fib_trie.c, net/ipv6/route.c) give
the interface; a bond, bridge or VLAN has links ``lower_NAME`` to those below it. Where a route ends
at an interface that stands on nothing, as that of a VPN, every interface with a route is guarded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.firmware.reprobe.guards import Anchor
from sysgraft.firmware.reprobe.reading import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.firmware.reprobe.snapshot import Snapshot
    from sysgraft.host.sysfs import Sysfs

_VIRTUAL: Final = "sys/devices/virtual/"
_ANYWHERE_4: Final = "00000000"
_ANYWHERE_6: Final = "0" * 32
_MAX_DEPTH: Final = 16
"""Interfaces on top of each other."""


def net_anchors(files: Sysfs, snapshot: Snapshot) -> tuple[Anchor, ...]:
    """The interfaces without which the machine is cut off."""
    default, routed = _routes(files)
    found = [path for name in default for path in _physical(files, name)]
    if len(found) < len(default) or any(path.startswith(_VIRTUAL) for path in found):
        found += [path for name in sorted(routed) for path in _physical(files, name)]
    names = {path: name.partition("/")[2] for name, path in snapshot.things.items()}
    return tuple(
        Anchor("default-route", path, f"the default route is over {names.get(path, path)}")
        for path in dict.fromkeys(found)
    )


def _routes(files: Sysfs) -> tuple[list[str], set[str]]:
    """The interfaces with a default route, and those with any route."""
    default: list[str] = []
    routed: set[str] = set()
    for line in read_lines(files, "proc/net/route")[1:]:
        words = line.split()
        if len(words) >= 8:
            routed.add(words[0])
            if words[1] == words[7] == _ANYWHERE_4:
                default.append(words[0])
    for line in read_lines(files, "proc/net/ipv6_route"):
        words = line.split()
        if len(words) >= 10 and words[9] != "lo":
            routed.add(words[9])
            if words[0] == _ANYWHERE_6 and words[1] == "00":
                default.append(words[9])
    return list(dict.fromkeys(default)), routed - {"lo"}


def _physical(files: Sysfs, name: str, depth: int = 0) -> Iterator[str]:
    """Where the interfaces are that one stands on; itself if it stands on none."""
    path = files.resolve(f"sys/class/net/{name}")
    if path is None or depth > _MAX_DEPTH:
        return
    lower = [each[6:] for each in files.names(path) if each.startswith("lower_")]
    if not lower:
        yield path
    for each in lower:
        yield from _physical(files, each, depth + 1)
