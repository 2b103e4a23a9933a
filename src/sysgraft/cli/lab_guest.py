"""``sysgraft lab guest``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import InputError
from sysgraft.lab.guests import FILES, find_guests, make_guests
from sysgraft.lab.recipe import MIRROR

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.lab.guests import Guests


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make the guests, or find one of their files."""
    cache = arguments.cache or ""
    if arguments.show:
        guests = find_guests(cache)
        if guests is None:
            raise InputError("the guests have not been made", hint="run `sysgraft lab guest`")
        out.text(guests.path(arguments.show))
        return 0
    if find_guests(cache) is None:
        out.note("making the guests; this takes a few minutes, once")
    guests = make_guests(cache, mirror=arguments.mirror or MIRROR, progress=out.progress)
    if out.json_wanted:
        out.json("lab.guest", 1, as_json(guests))
    else:
        _show(guests, out)
    return 0


def as_json(guests: Guests) -> dict[str, object]:
    """The guests as ``sysgraft.lab.guest/1``."""
    return {
        "folder": guests.folder,
        "made": guests.made,
        "suite": guests.suite,
        "kernel": guests.kernel,
        "cmdline": guests.cmdline,
        "files": {name: guests.path(name) for name in FILES},
        "packages": dict(guests.packages),
    }


def _show(guests: Guests, out: Output) -> None:
    systemd = guests.packages.get("systemd", "unknown")
    out.text(f"{guests.folder}  (Debian {guests.suite}, Linux {guests.kernel}, systemd {systemd})")
    out.table([(name, FILES[name]) for name in FILES], indent=2)
