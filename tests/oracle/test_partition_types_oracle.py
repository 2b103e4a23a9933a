"""The table of partition types against the one compiled into systemd."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.formats.partition_types import ALL, type_uuid

if TYPE_CHECKING:
    from conftest import Debian13


def _names(listing: str) -> dict[str, UUID]:
    rows = [line.split() for line in listing.splitlines()]
    return {row[0]: UUID(row[1]) for row in rows if len(row) == 2 and row[0] != "NAME"}


def _check(listing: str) -> None:
    """Both ways: every type of ours is theirs, and every name of theirs is one of ours."""
    theirs = _names(listing)
    assert {known.name: theirs.get(known.name) for known in ALL} == {
        known.name: known.uuid for known in ALL
    }
    for name, uuid in theirs.items():
        designator, arch = _split(name)
        if designator.startswith(("root", "usr")) and arch not in _OWN_MACHINE:
            assert uuid == type_uuid(designator, arch), name


# "root", "root-verity" and "root-secondary" are the types of the machine that is asked.
_OWN_MACHINE = ("", "secondary")


def _split(name: str) -> tuple[str, str]:
    """Designator and architecture of a canonical name."""
    for suffix in ("-verity-sig", "-verity", ""):
        if name.endswith(suffix):
            break
    family, _, arch = name.removesuffix(suffix).partition("-")
    return family + suffix, arch


@pytest.mark.oracle("systemd-id128")
def test_types_are_those_of_the_installed_systemd() -> None:
    listing = subprocess.run(
        ["systemd-id128", "show"], capture_output=True, check=True, text=True
    ).stdout
    _check(listing)


@pytest.mark.oracle("debian-13")
def test_types_are_those_of_systemd_257(debian13: Debian13) -> None:
    _check(debian13.run(["systemd-id128", "show"]).stdout)
