"""``sysgraft node``: its verbs; the work is in the ``node_*`` modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli import node_bundle_options as bundling
from sysgraft.cli import node_options as options
from sysgraft.cli import verbs
from sysgraft.cli.verbs import Verb

if TYPE_CHECKING:
    import argparse

_CHANGE: Final = "sysgraft.cli.node_change"

VERBS: Final = [
    Verb(
        "list",
        "list what is installed, and for which boot entries",
        options.LIST,
        options.LIST_EXAMPLE,
        "sysgraft.cli.node_list",
    ),
    Verb(
        "status",
        "tell what of this boot's extensions is merged, and why the rest is not",
        options.STATUS,
        options.STATUS_EXAMPLE,
        "sysgraft.cli.node_status",
    ),
    Verb(
        "install",
        "bring an extension into the store",
        options.INSTALL,
        options.INSTALL_EXAMPLE,
        _CHANGE,
        "run_install",
    ),
    Verb(
        "enable",
        "enable an extension for boot entries",
        options.ENABLE,
        options.ENABLE_EXAMPLE,
        _CHANGE,
        "run_enable",
    ),
    Verb(
        "disable",
        "disable an extension for boot entries",
        options.DISABLE,
        options.DISABLE_EXAMPLE,
        _CHANGE,
        "run_disable",
    ),
    Verb(
        "remove",
        "remove an extension",
        options.REMOVE,
        options.REMOVE_EXAMPLE,
        _CHANGE,
        "run_remove",
    ),
    Verb(
        "upgrade",
        "give the active entries a new version, the passive ones the one before",
        options.UPGRADE,
        options.UPGRADE_EXAMPLE,
        _CHANGE,
        "run_upgrade",
    ),
    Verb(
        "rollback",
        "give the active entries the version before",
        options.ROLLBACK,
        options.ROLLBACK_EXAMPLE,
        _CHANGE,
        "run_rollback",
    ),
    Verb(
        "gc",
        "remove what no boot entry has",
        options.GC,
        options.GC_EXAMPLE,
        _CHANGE,
        "run_gc",
    ),
    Verb(
        "activate",
        "hand this boot's extensions to systemd, each verified",
        options.ACTIVATE,
        options.ACTIVATE_EXAMPLE,
        "sysgraft.cli.node_activate",
    ),
    Verb(
        "units",
        "write the units that activate extensions at boot",
        options.UNITS,
        options.UNITS_EXAMPLE,
        "sysgraft.cli.node_units",
    ),
    Verb(
        "bundle",
        "make sysgraft for nodes without Python, as a folder or an extension",
        bundling.BUNDLE,
        bundling.BUNDLE_EXAMPLE,
        "sysgraft.cli.node_bundle",
    ),
]

_KINDS: Final = ("sysext", "confext")
_WITHOUT_TYPE: Final = ("status", "gc", "activate", "units", "bundle")


def as_of_kairos(words: list[str]) -> list[str]:
    """``node sysext enable …``, as kairos-agent has it, in the words of this noun."""
    if len(words) < 3 or words[0] != "node" or words[1] not in _KINDS:
        return words
    kind, verb = words[1], words[2]
    typed = [] if verb in _WITHOUT_TYPE else ["--type", kind]
    return ["node", verb, *typed, *words[3:]]


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs.fill(noun, VERBS)
