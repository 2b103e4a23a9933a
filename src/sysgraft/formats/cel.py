"""Event logs as JSON: what ``systemd-pcrlock cel`` prints of the firmware's log and of systemd's.

TCG Canonical Event Log Format 1.0, JSON encoding: a list of records, numbered from 1 on, each with
PCR, digests and content. The content is ``pcclient_std`` for events of the firmware's log and
``systemd`` for those of systemd's (``src/pcrlock/pcrlock.c``, ``event_log_record_to_cel``). Digests
are in the order of the logs, where systemd-pcrlock reverses them, and systemd's own content is told
for every event, where systemd-pcrlock leaves out those it does not know. Nothing is read here.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.formats.eventlog_records import EVENT_TYPES
from sysgraft.formats.tpm_userspace_log import CONTENT_TYPE, digest_fields, place_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sysgraft.formats.eventlog import Event, Log
    from sysgraft.formats.tpm_userspace_log import Record

FIRMWARE: Final = "pcclient_std"
"""``content_type`` of the firmware's events."""

# src/shared/tpm2-event-log.c lacks these, so that their numbers are printed, and has one name for
# two types.
_UNNAMED: Final = frozenset(
    {
        "EV_UNUSED",
        "EV_POST_CODE2",
        "EV_EFI_GPT_EVENT2",
        "EV_EFI_SPDM_DEVICE_POLICY",
        "EV_EFI_SPDM_DEVICE_AUTHORITY",
    }
)
_RENAMED: Final = MappingProxyType({"EV_EFI_HANDOFF_TABLES2": "EV_EFI_HANDOFF_TABLES"})


def records(log: Log | None, userspace: Iterable[Record] = ()) -> tuple[Mapping[str, object], ...]:
    """The records, as JSON objects; events that are in no PCR are left out.

    Args:
        log: the firmware's log; None if there is none.
        userspace: the records of systemd's log.
    """
    firmware = log.events if log else ()
    found = [_firmware(event) for event in firmware if event.is_measured]
    found += [_userspace(record) for record in userspace]
    return tuple(
        {**place, "recnum": number, **rest} for number, (place, rest) in enumerate(found, start=1)
    )


def render(log: Log | None, userspace: Iterable[Record] = ()) -> str:
    """The document, on one line; takes what `records` takes."""
    return json.dumps(records(log, userspace), separators=(",", ":")) + "\n"


def _firmware(event: Event) -> tuple[dict[str, object], dict[str, object]]:
    content = {"event_type": _type_name(event), "event_data": event.data.hex()}
    return {"pcr": event.pcr}, {
        "digests": digest_fields(event.digests),
        "content_type": FIRMWARE,
        "content": content,
    }


def _type_name(event: Event) -> str:
    name = EVENT_TYPES.get(event.type)
    if name is None or name in _UNNAMED:
        return str(event.type)
    return _RENAMED.get(name, name)


def _userspace(record: Record) -> tuple[dict[str, object], dict[str, object]]:
    rest: dict[str, object] = {"digests": digest_fields(record.digests)}
    if record.content_type == CONTENT_TYPE and record.content is not None:
        rest |= {"content_type": CONTENT_TYPE, "content": record.content}
    return place_fields(record), rest
