"""PCR 7: what firmware says of Secure Boot, and by which of its keys each program was started.

TCG PC Client Platform Firmware Profile 1.06 §3.3.4.8, §10.2.6 (UEFI_VARIABLE_DATA) and §10.4, as
EDK II does it (Tcg2Dxe, MeasureAllSecureVariables; DxeImageVerificationLib, SecureBootHook): the
databases whole, a separator, then each entry of db when the first program is started by it. Which
entry that is, is the matter of `sysgraft.seal.secure_boot`. `ASSUMED` says what files cannot tell.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.formats.efivar import GLOBAL_VARIABLE, IMAGE_SECURITY_DATABASE
from sysgraft.measure import events
from sysgraft.measure.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from sysgraft.formats.esl import Signature

PCR: Final = 7

ASSUMED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "drivers": "no card and no boot option brings a driver that the firmware has to verify",
        "earlier programs": "the firmware verifies no other program before the first one here",
        "debugger": "the firmware says of no debugger that it is there",
        "vendor": "the firmware measures what EDK II does, and no variables of its own",
        "devices": "the firmware authenticates no devices (SPDM), and has no database for them",
        "changes": "nobody changes a database after the firmware has measured it",
    }
)
"""What a prediction takes for granted, each by a name: no file says it, an event log does."""

# offset size  UEFI_VARIABLE_DATA
#      0   16  VariableName: the namespace
#     16    8  UnicodeNameLength, in characters
#     24    8  VariableDataLength
#     32       UnicodeName, without a NUL, then VariableData
_VARIABLE: Final = struct.Struct("<16sQQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """The variables that are measured.

    Attributes:
        secure_boot: whether signatures are enforced.
        pk: data of the variable PK; empty if there is none.
        kek: likewise.
        db: likewise.
        dbx: likewise.
        dbt: likewise; EDK II measures the others even if they are not there, this one only then.
    """

    secure_boot: bool
    pk: bytes = b""
    kek: bytes = b""
    db: bytes = b""
    dbx: bytes = b""
    dbt: bytes = b""


def predict(
    variables: Variables, authorities: Iterable[Signature], banks: Sequence[str]
) -> tuple[Event, ...]:
    """Every event of PCR 7 until the kernel runs, in order.

    Args:
        variables: of the firmware.
        authorities: the entry of db by which each program is started, in their order.
        banks: names of the hash algorithms.
    """
    once = dict.fromkeys(authorities)
    return (
        *configuration(variables, banks),
        events.separator(PCR, banks),
        *(authority(each, banks) for each in once),
    )


def configuration(variables: Variables, banks: Sequence[str]) -> tuple[Event, ...]:
    """What the firmware measures of its settings before it starts anything."""
    values: list[tuple[str, UUID, bytes]] = [
        ("SecureBoot", GLOBAL_VARIABLE, bytes((variables.secure_boot,))),
        ("PK", GLOBAL_VARIABLE, variables.pk),
        ("KEK", GLOBAL_VARIABLE, variables.kek),
        ("db", IMAGE_SECURITY_DATABASE, variables.db),
        ("dbx", IMAGE_SECURITY_DATABASE, variables.dbx),
    ]
    if variables.dbt:
        values.append(("dbt", IMAGE_SECURITY_DATABASE, variables.dbt))
    kind = events.EV_EFI_VARIABLE_DRIVER_CONFIG
    return tuple(
        _event(kind, name, variable_data(name, guid, value), banks) for name, guid, value in values
    )


def authority(entry: Signature, banks: Sequence[str]) -> Event:
    """A program is the first to be started by this entry of db (EFI_SIGNATURE_DATA)."""
    value = entry.owner.bytes_le + entry.data
    data = variable_data("db", IMAGE_SECURITY_DATABASE, value)
    return _event(events.EV_EFI_VARIABLE_AUTHORITY, "entry of db", data, banks)


def variable_data(name: str, guid: UUID, value: bytes) -> bytes:
    """UEFI_VARIABLE_DATA: what the log has of a variable, and what is hashed."""
    return _VARIABLE.pack(guid.bytes_le, len(name), len(value)) + name.encode("utf-16-le") + value


def _event(kind: int, name: str, data: bytes, banks: Sequence[str]) -> Event:
    return Event(PCR, "variable", name, events.hashed(data, banks), kind, data)
