"""What can be wrong with a set of extensions: every finding by its name, how bad, what to do.

An error: something of the set will not be merged, not be seen or not be usable. A warning: it will
be used, and most likely not the way it was meant. A note: good to know, and fine if it was meant.
docs/guide/lint.md says more on each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_PATHS: Final = 1000
"""Paths that one finding lists; it counts them all."""


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Rule(NamedTuple):
    """What is always the same of a finding.

    Attributes:
        level: how bad it is.
        advice: what to do, one sentence.
    """

    level: Level
    advice: str


_E, _W, _N = Level

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        # The image, and what systemd makes of it.
        "unreadable": Rule(_E, "check it with other tools; nothing is known of what is not read"),
        "refused": Rule(_E, "leave it out, sign it, or trust its signer: all others depend on it"),
        "damaged": Rule(_E, "build or fetch it again; ext verify says more"),
        "revoked": Rule(_W, "sign it with a key that is not revoked"),
        "not-an-image-name": Rule(_E, "call the file NAME.sysext.raw or NAME.confext.raw"),
        "duplicate-name": Rule(_E, "give one of them another name, or leave it out"),
        "name-mismatch": Rule(_E, "give the file the name it was built with, or build it anew"),
        "host-mismatch": Rule(_E, "build it for this host (--match-os, --arch), or leave it out"),
        "os-release-inside": Rule(_E, "build it without usr/lib/os-release"),
        "sidecar-name": Rule(_E, "rename it to what systemd looks for"),
        "empty": Rule(_W, "check what it was built from: nothing of it will be seen"),
        "mixed-architectures": Rule(_W, "ship one set for each architecture"),
        "both-kinds": Rule(_N, "build two extensions, one for /usr and one for /etc"),
        # Their order.
        "several-versions": Rule(_W, "ship one of them"),
        "undecided-order": Rule(_W, "let the names differ in more than separators"),
        "orders-differ": Rule(_N, "nothing, as long as no file is in two of them"),
        # Their files.
        "collision": Rule(_W, "leave the file out of all but one of them"),
        "type-collision": Rule(_E, "let the path be a folder in all of them, or in one only"),
        "hidden-by-whiteout": Rule(_W, "build the upper one without deletions (--whiteouts drop)"),
        "same-file": Rule(_N, "nothing; one of them would do"),
        "replaces-base": Rule(_N, "nothing, if the base's file is to be replaced"),
        "outside-hierarchies": Rule(_E, "move it below a folder that is merged"),
        "world-writable": Rule(_W, "take the write permission of others away"),
        "device-node": Rule(_W, "leave it out: extensions are mounted without device nodes"),
        "setuid": Rule(_N, "make sure that it is meant to run with more than its caller's rights"),
        "owner": Rule(_N, "nothing, if these users are the same on every target"),
        "dangling-link": Rule(_N, "ship what it points to, or leave it out"),
        # Firmware.
        "firmware-shadowed": Rule(
            _W, "remove the other one, or ship it under the name found first"
        ),
        "firmware-not-loadable": Rule(_E, "compress it as Linux reads it: zstd FILE, xz -C crc32"),
        "firmware-dangling-link": Rule(_W, "ship the file it points to"),
        # Kernel modules.
        "modules-hidden": Rule(_E, "make one modules.dep over all modules of this kernel (depmod)"),
        "modules-index": Rule(_W, "leave modules.* out, or run depmod over base and extensions"),
        "modules-unindexed": Rule(_W, "run depmod after the merge, from a unit in the extension"),
        "module-kernel": Rule(_E, "build the modules for the target's kernel"),
        "module-vermagic": Rule(_E, "build the module with the target kernel's configuration"),
        "module-unsigned": Rule(_W, "sign it with a key the kernel trusts"),
        "module-signer": Rule(_W, "enrol its signer's key, or sign it with the kernel's own"),
        "module-depends": Rule(_W, "ship the module it needs"),
        # Services, and what is read before the merge.
        "unit-never-starts": Rule(_W, "ship a drop-in of the target with Upholds= for this unit"),
        "no-manager-reload": Rule(_W, "build it with --service-reload"),
        "udev-rules": Rule(_W, "run udevadm control --reload and udevadm trigger from a unit"),
        "hwdb-update": Rule(_W, "run systemd-hwdb update and udevadm trigger from a unit"),
        "read-before-merge": Rule(_N, "run the program that reads it from a unit"),
        "late-devices": Rule(_N, "let a unit probe devices again that started before the merge"),
    }
)
"""All findings, in the order in which those of one level are told."""

_RANKS: Final = {level: rank for rank, level in enumerate(Level)}
_ORDER: Final = {code: rank for rank, code in enumerate(RULES)}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found.

    Attributes:
        code: its name, one of `RULES`.
        problem: what is wrong, a clause that does not name the paths.
        images: the files it concerns, as the caller named them.
        paths: in the mounted images, sorted, without a leading slash; at most `MAX_PATHS`.
        count: of all paths.
    """

    code: str
    problem: str
    images: tuple[str, ...] = ()
    paths: tuple[bytes, ...] = ()
    count: int = 0

    @property
    def level(self) -> Level:
        """How bad it is."""
        return RULES[self.code].level

    @property
    def advice(self) -> str:
        """What to do, one sentence."""
        return RULES[self.code].advice


def found(code: str, problem: str, *images: str, path: bytes | None = None) -> Finding:
    """A finding about one path, or about none."""
    paths = () if path is None else (path,)
    return Finding(code, problem, images, paths, len(paths))


class NotChecked(NamedTuple):
    """What nobody looked at.

    Attributes:
        what: that was not checked.
        reason: why.
    """

    what: str
    reason: str


def grouped(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that say the same of the same images as one, the worst first."""
    paths: dict[Finding, set[bytes]] = {}
    for each in findings:
        paths.setdefault(replace(each, paths=(), count=0), set()).update(each.paths)
    joined = (
        replace(key, paths=tuple(sorted(all_paths)[:MAX_PATHS]), count=len(all_paths))
        for key, all_paths in paths.items()
    )
    return tuple(sorted(joined, key=_rank))


def _rank(finding: Finding) -> tuple[object, ...]:
    return _RANKS[finding.level], _ORDER[finding.code], finding.images, finding.problem
