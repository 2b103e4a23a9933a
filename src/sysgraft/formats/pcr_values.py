"""Values of PCRs in JSON: by bank and number, as ``sysgraft lab run --json`` has them too.

``{"sha256": {"11": "…64 digits…"}}``, or a document with such an object under ``pcrs``. Nothing is
computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.eventlog_records import PCR_COUNT
from sysgraft.formats.strict_json import as_hex, as_object, load

MAX_SIZE: Final = 64 << 20
"""Bytes of a document: that of ``lab run`` has the guest's journal and results in it."""
MAX_ITEMS: Final = 200_000
"""Objects, lists and commas of a document: that of ``lab run`` has some thousand."""
MAX_BANKS: Final = 16

SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "sha1": 20,
        "sha256": 32,
        "sha384": 48,
        "sha512": 64,
        "sm3_256": 32,
        "sha3_256": 32,
        "sha3_384": 48,
        "sha3_512": 64,
    }
)
"""The banks of TPMs, and their values' length (TCG Algorithm Registry 1.34)."""

Values = Mapping[str, Mapping[int, bytes]]
"""By bank and number."""

_WHAT: Final = "the PCR values"


def parse(data: bytes) -> Values:
    """The values in a JSON document.

    Raises:
        LimitError: it is larger than `MAX_SIZE`, or has more than `MAX_ITEMS` items, or more than
            `MAX_BANKS` banks.
        FormatError: it is no such document.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"{_WHAT} have more than {MAX_SIZE} bytes")
    document = as_object(load(data, _WHAT, most=MAX_ITEMS), _WHAT)
    banks = as_object(document["pcrs"], _WHAT) if "pcrs" in document else document
    if not banks or len(banks) > MAX_BANKS:
        raise LimitError(f"{_WHAT} have {len(banks)} banks; a TPM has 1 to {MAX_BANKS}")
    return MappingProxyType({bank: _bank(bank, values) for bank, values in banks.items()})


def _bank(bank: str, values: object) -> Mapping[int, bytes]:
    if bank not in SIZES:
        raise FormatError(f"{_WHAT} name an unknown bank {bank[:40]!r}")
    found = {}
    for number, value in as_object(values, f"the bank {bank}").items():
        if not number.isdecimal() or not number.isascii() or str(int(number[:4])) != number:
            raise FormatError(f"{_WHAT} have a number that is none: {number[:40]!r}")
        if int(number) >= PCR_COUNT:
            raise FormatError(f"there is no PCR {number}")
        found[int(number)] = check_value(bank, as_hex(value, f"PCR {number}"), number)
    return MappingProxyType(dict(sorted(found.items())))


def check_value(bank: str, value: bytes, number: int | str) -> bytes:
    """`value`, if it is as long as one of that bank.

    Raises:
        FormatError: it is not.
    """
    if len(value) != SIZES[bank]:
        raise FormatError(f"PCR {number} of {bank} has {len(value)} bytes, not {SIZES[bank]}")
    return value
