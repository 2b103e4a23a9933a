"""Intersection and union of image policies.

What ``image_policy_intersect()`` and ``image_policy_union()`` of ``src/shared/image-policy.c`` do,
except that a rule is left out only where the rest of the result says the same.
"""

from __future__ import annotations

from dataclasses import replace
from operator import and_, or_
from typing import TYPE_CHECKING

from sysgraft.errors import UsageError
from sysgraft.formats.image_policy_flags import (
    DATA_OF,
    DESIGNATORS,
    GROWFS,
    READ_ONLY,
    USE,
    Flag,
    reduced,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.formats.image_policy import ImagePolicy


def intersect(a: ImagePolicy, b: ImagePolicy) -> ImagePolicy:
    """What both allow.

    Raises:
        UsageError: for some partition they have nothing in common.
    """
    return _combined(a, b, and_)


def union(a: ImagePolicy, b: ImagePolicy) -> ImagePolicy:
    """What at least one of them allows; raises like `intersect`."""
    return _combined(a, b, or_)


def _combined(a: ImagePolicy, b: ImagePolicy, join: Callable[[Flag, Flag], Flag]) -> ImagePolicy:
    b = b.at(a.systemd_version)
    default = join(a.allowed_by_default, b.allowed_by_default)
    if not all(default & group for group in (USE, READ_ONLY, GROWFS)):
        raise UsageError("together the two image policies allow nothing by default")
    result = replace(a, rules=(), default=reduced(default, a.open, READ_ONLY, GROWFS))
    named = {*dict(a.rules), *dict(b.rules)}
    # Data partitions come before those derived from them, so that a rule is left out only if
    # what is derived says the same; systemd compares with the default, which can loosen.
    for designator in (d for d in DESIGNATORS if {d, DATA_OF.get(d)} & named):
        flags = join(a.allowed(designator), b.allowed(designator))
        groups = (flags & USE, flags & READ_ONLY, flags & GROWFS)
        if groups[0] != Flag.ABSENT and not all(groups):
            raise UsageError(f"together the two image policies allow nothing for {designator}")
        if flags != result.allowed(designator):
            rule = (designator, reduced(flags, result.open, READ_ONLY, GROWFS))
            result = replace(result, rules=(*result.rules, rule))
    return result
