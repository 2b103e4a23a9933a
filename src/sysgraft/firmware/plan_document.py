"""Which firmware a machine or a fleet needs, and why: the document that sets are built from.

``sysgraft.firmware.plan/1``. It names files as they lie in the firmware tree, with what asked for
each and on what evidence, and the links that have to be there for the kernel to find them. Making
a plan is `sysgraft.firmware.plan`'s; this module only says what one is, and reads and writes it.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from sysgraft.errors import FormatError, LimitError

SCHEMA: Final = "sysgraft.firmware.plan/1"
"""First key of the document."""

MAX_SIZE: Final = 64 << 20
"""Bytes of a document: all of Debian's firmware at driver level takes three megabytes."""

MAX_FILES: Final = 100_000
"""Files or links; linux-firmware has 5,000."""

When = Literal["early", "late"]
"""``early``: needed before extensions are merged. ``late``: the rest."""

Level = Literal["driver", "device"]
"""``driver``: everything the drivers in use may ask for. ``device``: what these devices do."""

Evidence = Literal["declared", "whence", "observed", "rule", "metainfo"]
"""How it is known: the module says so; WHENCE does; a machine loaded it; a rule of ours names it;
the package's AppStream metainfo does."""

Confidence = Literal["certain", "high", "medium", "low"]
"""``certain``: a machine did. ``high``: the kernel's own names and rules read from its source.
``medium``: a superset. ``low``: an association by name only."""


class Reason(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why a file is in the plan.

    Attributes:
        name: what is asked for, as the driver does; a glob where the module declares one.
        evidence: see `Evidence`.
        confidence: see `Confidence`.
        module: that asks; empty where nobody knows.
        device: modalias of the device it is for; empty where the module alone is the reason.
        source: of a rule: the kernel's file and function, or an address.
    """

    name: str
    evidence: Evidence
    confidence: Confidence
    module: str = ""
    device: str = ""
    source: str = ""


class File(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A firmware file.

    Attributes:
        path: relative to ``usr/lib/firmware``, with the suffix of its compression.
        size: bytes, as it is stored.
        when: see `When`.
        reasons: sorted, without duplicates.
        early: why it is needed early; empty for late files.
        sha256: of what is stored, lower-case hex; empty where the index has no digests.
        license: what WHENCE or the package's copyright file says; empty where neither does.
        tree: number of the firmware tree it is in, as the index was given them.
    """

    path: str
    size: int
    when: When
    reasons: tuple[Reason, ...]
    early: str = ""
    sha256: str = ""
    license: str = ""
    tree: int = 0


class Link(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A symbolic link on the way to a file.

    Attributes:
        path: relative to ``usr/lib/firmware``.
        target: as the link has it.
        when: the earlier of what needs it.
        tree: as a file's.
    """

    path: str
    target: str
    when: When = "late"
    tree: int = 0


class Unresolved(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A name that no firmware tree has.

    Attributes:
        name: as it is asked for.
        modules: that may ask for it, sorted.
        evidence: see `Evidence`.
        optional: whether the driver works without it, as far as a rule says.
        note: what is known of it.
    """

    name: str
    modules: tuple[str, ...]
    evidence: Evidence
    optional: bool = False
    note: str = ""


class Terms(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A file with the terms some of the files may be passed on under.

    Attributes:
        path: relative to the root: below ``usr/lib/firmware`` or ``usr/share/doc``.
        tree: as a file's.
    """

    path: str
    tree: int = 0


class Totals(msgspec.Struct, frozen=True, rename="camel"):
    """Sums; sizes in bytes as stored.

    Attributes:
        files: how many files the plan has.
        size: of them.
        early_files: how many of them are early.
        early_size: of those.
        late_files: how many are late.
        late_size: of those.
        all_files: how many the firmware trees have.
        all_size: of those.
    """

    files: int
    size: int
    early_files: int
    early_size: int
    late_files: int
    late_size: int
    all_files: int
    all_size: int


class Plan(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    kw_only=True,
    tag_field="schema",
    tag=SCHEMA,
):
    """A plan.

    Attributes:
        name: of the class of machines; empty for none.
        level: see `Level`.
        architecture: systemd's name of it.
        kernels: releases of the kernels it is for, sorted.
        machines: how many inventories it was made from.
        files: sorted by path.
        links: sorted by path.
        licenses: licence files to carry along, sorted by path.
        unresolved: sorted by name.
        notes: what a person should know, in the order of importance.
        totals: see `Totals`.
    """

    name: str = ""
    level: Level
    architecture: str = ""
    kernels: tuple[str, ...]
    machines: int
    files: tuple[File, ...]
    links: tuple[Link, ...] = ()
    licenses: tuple[Terms, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    notes: tuple[str, ...] = ()
    totals: Totals


def parse_plan(data: bytes) -> Plan:
    """Read a plan; unknown keys are passed over.

    Paths are held to what a plan may name: nothing outside of ``usr/lib/firmware``.

    Raises:
        LimitError: it is larger than `MAX_SIZE`, or has more than `MAX_FILES`.
        FormatError: it is none, or a path in it leads out of the firmware folder.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a firmware plan of more than {MAX_SIZE} bytes")
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not a firmware plan: {str(error)[:120]}") from error
    if len(plan.files) > MAX_FILES or len(plan.links) > MAX_FILES:
        raise LimitError(f"a firmware plan of more than {MAX_FILES} files or links")
    files, links = (each.path for each in plan.files), (each.path for each in plan.links)
    for path in (*files, *links, *(each.path for each in plan.licenses)):
        if not is_inside(path):
            raise FormatError(f"not a firmware plan: {path[:120]!r} leads out of its folder")
    return plan


def is_inside(path: str) -> bool:
    """Whether a path relative to the firmware folder stays in it and is spelled one way only."""
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def render_plan(plan: Plan) -> bytes:
    """The document, the same for the same plan, with a line for each value."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"
