"""The two TPM commands that read PCRs, as bytes, and what the TPM answers.

TPM 2.0 Library, part 3: TPM2_GetCapability (§30.2) to learn which banks there are, TPM2_PCR_Read
(§22.4); part 2 for their structures. Sessions are not handled: these commands need none. Talking
to a TPM is done elsewhere.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats.eventlog_records import MAX_ALGORITHMS, PCR_COUNT, Algorithm

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_RESPONSE: Final = 4096
"""Bytes of a response: TPMs take and give up to 4096 (TPM_PT_MAX_RESPONSE_SIZE)."""
PCRS_AT_ONCE: Final = 8
"""Digests in one answer to TPM2_PCR_Read: the size of TPML_DIGEST, part 2 §10.9.4."""

# Part 2 §6.5.2, §6.9, §6.12.
_NO_SESSIONS: Final = 0x8001
_GET_CAPABILITY: Final = 0x017A
_PCR_READ: Final = 0x017E
_CAPABILITY_PCRS: Final = 5

# 0 tag, 2 size of the whole, 6 command code or response code.
_HEAD: Final = struct.Struct(">HII")
_U32: Final = struct.Struct(">I")
# TPMS_PCR_SELECTION: 0 algorithm, 2 bytes of the bit field, then that, PCR 0 as the lowest bit.
_SELECTION: Final = struct.Struct(">HB")
_MASK_BYTES: Final = PCR_COUNT // 8
# TPM2_GetCapability: capability, property (0), how many (1); its answer: more to come, capability.
_CAPABILITY: Final = struct.Struct(">III")
_CAPABILITY_ANSWER: Final = struct.Struct(">BI")
_MAX_MASK: Final = 8

Banks = dict[int, tuple[int, ...]]
"""The PCRs of each bank, by the number of its algorithm."""


def ask_banks() -> bytes:
    """The command whose answer `read_banks` reads."""
    return _command(_GET_CAPABILITY, _CAPABILITY.pack(_CAPABILITY_PCRS, 0, 1))


def read_banks(response: bytes) -> Banks:
    """The banks that are in use, each with its PCRs.

    Raises:
        FormatError: the TPM refuses, or its answer is damaged.
    """
    cursor = _Cursor(_body(response))
    _, capability = cursor.take(_CAPABILITY_ANSWER)
    if capability != _CAPABILITY_PCRS:
        raise FormatError(f"the TPM tells of capability {capability}, not of its PCRs")
    return {algorithm: pcrs for algorithm, pcrs in _selections(cursor) if pcrs}


def ask_pcrs(algorithm: int, pcrs: Collection[int]) -> bytes:
    """The command that reads up to `PCRS_AT_ONCE` PCRs of one bank."""
    mask = sum(1 << pcr for pcr in pcrs).to_bytes(_MASK_BYTES, "little")
    return _command(_PCR_READ, _U32.pack(1) + _SELECTION.pack(algorithm, len(mask)) + mask)


def read_pcrs(response: bytes, algorithm: int) -> Mapping[int, bytes]:
    """The values of PCRs of one bank, as far as the TPM gave them in this answer.

    Raises:
        FormatError: the TPM refuses, or its answer is damaged.
    """
    cursor = _Cursor(_body(response))
    cursor.number()  # counts changes of PCRs
    pcrs = [pcr for bank, given in _selections(cursor) if bank == algorithm for pcr in given]
    digests = [cursor.sized() for _ in range(cursor.number(most=PCRS_AT_ONCE))]
    if len(digests) != len(pcrs):
        raise FormatError(f"the TPM gives {len(digests)} values for {len(pcrs)} PCRs")
    return dict(zip(pcrs, digests, strict=True))


def bank_name(algorithm: int) -> str:
    """What a bank is called, such as ``sha256``."""
    return Algorithm(algorithm, 0).name


def _command(code: int, parameters: bytes) -> bytes:
    return _HEAD.pack(_NO_SESSIONS, _HEAD.size + len(parameters), code) + parameters


def response_size(head: bytes) -> int:
    """How long the response is that begins with `head`.

    Raises:
        FormatError: longer than can be, or than what `head` would be alone.
    """
    if len(head) < _HEAD.size:
        raise TruncatedError("the TPM's answer is cut off")
    size = int(_HEAD.unpack_from(head)[1])
    if not _HEAD.size <= size <= MAX_RESPONSE:
        raise FormatError(f"the TPM's answer says it has {size} bytes")
    return size


def _body(response: bytes) -> bytes:
    if response_size(response) != len(response):
        raise TruncatedError("the TPM's answer is not as long as it says")
    code = _HEAD.unpack_from(response)[2]
    if code:
        raise FormatError(f"the TPM answers with error {code:#x}")
    return response[_HEAD.size :]


class _Cursor:
    """Reads on in an answer."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def cut(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise TruncatedError("the TPM's answer ends early")
        self._position, start = end, self._position
        return self._data[start:end]

    def take(self, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack(self.cut(form.size))

    def number(self, *, most: int = 0xFFFF_FFFF) -> int:
        (number,) = self.take(_U32)
        if number > most:
            raise LimitError(f"{number} items in the TPM's answer; the limit is {most}")
        return number

    def sized(self) -> bytes:
        return self.cut(int.from_bytes(self.cut(2), "big"))


def _selections(cursor: _Cursor) -> list[tuple[int, tuple[int, ...]]]:
    found = []
    for _ in range(cursor.number(most=MAX_ALGORITHMS)):
        algorithm, length = cursor.take(_SELECTION)
        if length > _MAX_MASK:
            raise LimitError(f"a selection of PCRs in {length} bytes")
        mask = int.from_bytes(cursor.cut(length), "little")
        found.append((algorithm, tuple(n for n in range(8 * length) if mask >> n & 1)))
    return found
