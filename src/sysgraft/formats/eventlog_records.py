"""The records of a TPM event log: its events in both forms, and the header that names algorithms.

TCG PC Client Platform Firmware Profile 1.06: §10.2.1 (TCG_PCClientPCREvent), §10.2.2
(TCG_PCR_EVENT2), §10.4.1 (event types), §10.4.5.1 (TCG_EfiSpecIDEvent). Where a log begins and
ends, and what it adds up to, is the matter of `sysgraft.formats.eventlog`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.errors import FormatError, LimitError, TruncatedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LOG: Final = 16 << 20
"""Bytes of a log: firmware reserves 64 KiB to 1 MiB for it."""
MAX_EVENT_DATA: Final = 4 << 20
"""Bytes of one event's data: the largest are signature databases of some ten KiB."""
MAX_ALGORITHMS: Final = 16
"""Hash algorithms of a log: TPMs have up to five banks."""
MAX_DIGEST: Final = 128
"""Bytes of a digest of an algorithm not known here; the longest known one has 64."""
PCR_COUNT: Final = 24
"""PCRs of a PC Client TPM (TCG PC Client Platform TPM Profile 1.05 §4.6)."""

EV_NO_ACTION: Final = 0x03
"""The type of events that are in the log and not in any PCR."""

EVENT_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x00: "EV_PREBOOT_CERT",
        0x01: "EV_POST_CODE",
        0x02: "EV_UNUSED",
        EV_NO_ACTION: "EV_NO_ACTION",
        0x04: "EV_SEPARATOR",
        0x05: "EV_ACTION",
        0x06: "EV_EVENT_TAG",
        0x07: "EV_S_CRTM_CONTENTS",
        0x08: "EV_S_CRTM_VERSION",
        0x09: "EV_CPU_MICROCODE",
        0x0A: "EV_PLATFORM_CONFIG_FLAGS",
        0x0B: "EV_TABLE_OF_DEVICES",
        0x0C: "EV_COMPACT_HASH",
        0x0D: "EV_IPL",
        0x0E: "EV_IPL_PARTITION_DATA",
        0x0F: "EV_NONHOST_CODE",
        0x10: "EV_NONHOST_CONFIG",
        0x11: "EV_NONHOST_INFO",
        0x12: "EV_OMIT_BOOT_DEVICE_EVENTS",
        0x13: "EV_POST_CODE2",
        0x8000_0001: "EV_EFI_VARIABLE_DRIVER_CONFIG",
        0x8000_0002: "EV_EFI_VARIABLE_BOOT",
        0x8000_0003: "EV_EFI_BOOT_SERVICES_APPLICATION",
        0x8000_0004: "EV_EFI_BOOT_SERVICES_DRIVER",
        0x8000_0005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
        0x8000_0006: "EV_EFI_GPT_EVENT",
        0x8000_0007: "EV_EFI_ACTION",
        0x8000_0008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
        0x8000_0009: "EV_EFI_HANDOFF_TABLES",
        0x8000_000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
        0x8000_000B: "EV_EFI_HANDOFF_TABLES2",
        0x8000_000C: "EV_EFI_VARIABLE_BOOT2",
        0x8000_000D: "EV_EFI_GPT_EVENT2",
        0x8000_0010: "EV_EFI_HCRTM_EVENT",
        0x8000_00E0: "EV_EFI_VARIABLE_AUTHORITY",
        0x8000_00E1: "EV_EFI_SPDM_FIRMWARE_BLOB",
        0x8000_00E2: "EV_EFI_SPDM_FIRMWARE_CONFIG",
        0x8000_00E3: "EV_EFI_SPDM_DEVICE_POLICY",
        0x8000_00E4: "EV_EFI_SPDM_DEVICE_AUTHORITY",
    },
)
"""The specification's names of event types, §10.4.1."""

# Names and sizes of the hash algorithms, TCG Algorithm Registry 1.34 table 3.
_ALGORITHMS: Final[Mapping[int, tuple[str, int]]] = MappingProxyType(
    {
        0x0004: ("sha1", 20),
        0x000B: ("sha256", 32),
        0x000C: ("sha384", 48),
        0x000D: ("sha512", 64),
        0x0012: ("sm3_256", 32),
        0x0027: ("sha3_256", 32),
        0x0028: ("sha3_384", 48),
        0x0029: ("sha3_512", 64),
    },
)
SHA1: Final = 0x0004

# TCG_PCClientPCREvent: 0 PCR, 4 event type, 8 SHA-1, 28 size of the data, then the data.
OLD_EVENT: Final = struct.Struct("<II20sI")
# TCG_PCR_EVENT2: 0 PCR, 4 event type, 8 number of digests, then each digest behind the number of
# its algorithm (2 bytes), the size of the data (4 bytes), the data.
_NEW_EVENT: Final = struct.Struct("<III")
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
# TCG_EfiSpecIDEvent, the data of the first event: 0 signature, 16 platform class, 20 minor and
# 21 major version, 22 errata, 23 size of a UINTN in 4 bytes, 24 number of algorithms, then for each
# its number and digest size, then one byte with the size of the vendor's information behind it.
SIGNATURE: Final = b"Spec ID Event03\0"
"""What the first event of a crypto-agile log begins with."""
_SPEC_ID: Final = struct.Struct("<16sI4BI")
_SPEC_ALGORITHM: Final = struct.Struct("<HH")
MAX_SPEC_ID: Final = _SPEC_ID.size + MAX_ALGORITHMS * _SPEC_ALGORITHM.size + 1 + 255


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A hash algorithm of a log: its number in the TCG registry, and its digests' length."""

    identifier: int
    size: int

    @property
    def name(self) -> str:
        """What the bank is called, such as ``sha256``; its number where that is not known."""
        known = _ALGORITHMS.get(self.identifier)
        return known[0] if known else f"{self.identifier:#06x}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        pcr: the register it was measured into.
        type: the number of its type, one of `EVENT_TYPES` mostly.
        digests: what was measured, by the name of the algorithm.
        data: what the log says about it.
    """

    pcr: int
    type: int
    digests: Mapping[str, bytes]
    data: bytes

    @property
    def type_name(self) -> str:
        """The name of its type, such as ``EV_IPL``; its number where that is not known."""
        return EVENT_TYPES.get(self.type, f"{self.type:#010x}")

    @property
    def is_measured(self) -> bool:
        """Whether it changed a PCR."""
        return self.type != EV_NO_ACTION


class Memory(Protocol):
    """Bytes or an ``mmap``: what can be searched and cut."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> bytes: ...
    def find(self, sub: bytes, start: int, /) -> int:
        """Where `sub` is first, from `start` on; -1 if nowhere."""


class Cursor:
    """Reads on from a place in the memory, at most as far as a log may go.

    Attributes:
        position: the next byte.
    """

    __slots__ = ("_end", "_memory", "_start", "position")

    def __init__(self, memory: Memory, offset: int) -> None:
        self._memory = memory
        self._start = offset
        self._end = min(len(memory), offset + MAX_LOG)
        self.position = offset

    @property
    def consumed(self) -> int:
        """The bytes read so far."""
        return self.position - self._start

    @property
    def is_at_end(self) -> bool:
        """Whether there are no more."""
        return self.position == self._end

    def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            TruncatedError: they are not all there.
        """
        if count > self._end - self.position:
            raise TruncatedError(f"the event log ends at byte {self._end - self._start}")
        self.position += count
        return self._memory[self.position - count : self.position]

    def number(self, form: struct.Struct) -> int:
        """The next number; raises like `take`."""
        return int(form.unpack(self.take(form.size))[0])


def read_old(cursor: Cursor) -> Event:
    """Read an event of the older form.

    Raises:
        FormatError: it is none, or damaged; also by its subclasses.
    """
    head = cursor.take(OLD_EVENT.size)
    pcr, kind, digest, size = OLD_EVENT.unpack(head)
    _check_head(head, pcr)
    return Event(pcr, kind, MappingProxyType({"sha1": digest}), _read_data(cursor, size))


def read_new(cursor: Cursor, known: Mapping[int, Algorithm]) -> Event:
    """Read an event of the crypto-agile form.

    Args:
        cursor: where it begins.
        known: the algorithms of the log by their numbers.

    Raises:
        FormatError: it is none, or damaged; also by its subclasses.
    """
    head = cursor.take(_NEW_EVENT.size)
    pcr, kind, count = _NEW_EVENT.unpack(head)
    _check_head(head, pcr)
    if not 1 <= count <= len(known):
        raise FormatError(f"{count} digests, where the log has {len(known)} algorithms")
    digests = {}
    for _ in range(count):
        identifier = cursor.number(_U16)
        algorithm = known.get(identifier)
        if algorithm is None or algorithm.name in digests:
            raise FormatError(f"a digest of algorithm {identifier:#06x}, unknown or the second one")
        digests[algorithm.name] = cursor.take(algorithm.size)
    data = _read_data(cursor, cursor.number(_U32))
    return Event(pcr, kind, MappingProxyType(digests), data)


def _check_head(head: bytes, pcr: int) -> None:
    if not any(head):
        raise FormatError("all zeros")
    if pcr >= PCR_COUNT:
        raise FormatError(f"there is no PCR {pcr}")


def _read_data(cursor: Cursor, size: int) -> bytes:
    if size > MAX_EVENT_DATA:
        raise LimitError(f"{size} bytes of data; the limit is {MAX_EVENT_DATA}")
    return cursor.take(size)


def read_algorithms(data: bytes) -> tuple[Algorithm, ...]:
    """The hash algorithms in the data of a crypto-agile log's first event.

    Raises:
        FormatError: it is damaged.
    """
    if len(data) < _SPEC_ID.size or not data.startswith(SIGNATURE):
        raise FormatError("the log's first event is no whole Spec ID Event03")
    count = _SPEC_ID.unpack_from(data)[-1]
    if not 1 <= count <= MAX_ALGORITHMS:
        raise LimitError(f"{count} hash algorithms; a log has 1 to {MAX_ALGORITHMS}")
    end = _SPEC_ID.size + count * _SPEC_ALGORITHM.size
    if len(data) <= end or len(data) != end + 1 + data[end]:
        raise FormatError("the Spec ID Event03 does not end where it says")
    found = tuple(
        Algorithm(*pair) for pair in _SPEC_ALGORITHM.iter_unpack(data[_SPEC_ID.size : end])
    )
    if len({each.identifier for each in found}) != len(found):
        raise FormatError("the log has a hash algorithm twice")
    for each in found:
        _, size = _ALGORITHMS.get(each.identifier, ("", each.size))
        if each.size != size or not 1 <= size <= MAX_DIGEST:
            raise FormatError(f"{each.name} digests of {each.size} bytes")
    return found


def serialise_old(event: Event) -> bytes:
    """The bytes `read_old` reads.

    Raises:
        UsageError: it has another digest than one of SHA-1.
    """
    if list(event.digests) != ["sha1"]:
        raise UsageError("the older events, and a log's first, have one digest, of SHA-1")
    head = OLD_EVENT.pack(event.pcr, event.type, event.digests["sha1"], len(event.data))
    return head + event.data


def serialise_new(event: Event, numbers: Mapping[str, int]) -> bytes:
    """The bytes `read_new` reads; `numbers` are those of the log's algorithms by name.

    Raises:
        UsageError: it has no digest, or one of another algorithm.
    """
    if not event.digests or not event.digests.keys() <= numbers.keys():
        raise UsageError("an event has digests of other algorithms than its log")
    digests = b"".join(_U16.pack(numbers[name]) + digest for name, digest in event.digests.items())
    head = _NEW_EVENT.pack(event.pcr, event.type, len(event.digests))
    return head + digests + _U32.pack(len(event.data)) + event.data
