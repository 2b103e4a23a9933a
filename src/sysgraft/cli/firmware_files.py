"""Documents that several verbs of ``sysgraft firmware`` read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import in_file
from sysgraft.firmware.plan_document import MAX_SIZE, parse_plan
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from sysgraft.firmware.plan_document import Plan


def read_plan(path: str) -> Plan:
    """The plan in a file.

    Raises:
        InputError: it cannot be read.
        FormatError: it is no plan.
    """
    with in_file(path):
        return parse_plan(read_small(path, MAX_SIZE, "firmware plan"))
