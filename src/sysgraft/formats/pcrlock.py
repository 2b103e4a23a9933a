"""Components of systemd-pcrlock: what one part of a boot extends PCRs with (``*.pcrlock``).

systemd.pcrlock(5): an object with ``records``, each a PCR and its digests, in the order of the
measurements. Whether a boot has the component, and where among others, is told by the names of
files and folders, which are not known here; nor is the policy that systemd-pcrlock makes of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError
from sysgraft.formats.strict_json import as_list, as_object, load
from sysgraft.formats.tpm_userspace_log import Record, digest_fields, place_fields, read_record

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_RECORDS", "MAX_SIZE", "SUFFIX", "Record", "parse", "render"]

SUFFIX: Final = ".pcrlock"
"""How the names of the files end."""
MAX_SIZE: Final = 4 << 20
"""Bytes of one file: room for some 5,000 records in four banks."""
MAX_RECORDS: Final = 8192

_WHAT: Final = "the pcrlock component"


def parse(data: bytes) -> tuple[Record, ...]:
    """The records of a component; none where the file has no such field.

    Raises:
        LimitError: more than `MAX_SIZE` bytes or `MAX_RECORDS` records.
        FormatError: it is no component.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a pcrlock component of {len(data)} bytes; the limit is {MAX_SIZE}")
    fields = as_object(load(data, _WHAT), _WHAT)
    records = as_list(fields.get("records", []), f"records of {_WHAT}")
    if len(records) > MAX_RECORDS:
        raise LimitError(f"a pcrlock component of more than {MAX_RECORDS} records")
    return tuple(map(read_record, records))


def render(records: Iterable[Record]) -> str:
    """The file, as systemd-pcrlock writes it: on one line, and without the records' words."""
    found = [{**place_fields(each), "digests": digest_fields(each.digests)} for each in records]
    return json.dumps({"records": found}, separators=(",", ":")) + "\n"
