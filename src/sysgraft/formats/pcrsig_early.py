"""What the script in the initrd takes of a signature file that lies on the partition.

``seal/early/pcr-signatures.sh`` has no JSON parser: it looks for entries with ``sed``, written as
systemd-measure, ukify and sysgraft write them, and leaves out whatever looks different. The rule is
the same here, byte for byte: a file is cut before every ``{"pcrs"`` and behind every ``}``, and a
piece counts if it is one whole entry, of the bank that was named last. So a file that is no JSON
may still bring entries, and one that is may bring none. Which files are looked for is not decided
here.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from sysgraft.formats.pcrsig import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.pcrsig import Signatures

BANKS: Final = ("sha1", "sha256", "sha384", "sha512")
"""The banks that are written, in this order."""

_BLANKS: Final = bytes.maketrans(b"\n\r\t", b"   ")
_MARK: Final = b"\x01"
_START: Final = b'{"pcrs"'
_OPENING: Final = re.compile(rb'\{ *"pcrs" *')
# The last bank that a piece names counts.
_BANK: Final = re.compile(rb'.*"([^"]*)" *: *\[', re.DOTALL)
_DIGEST: Final = rb'"([0-9A-Fa-f]{64})"'
_NEXT: Final = rb" *, *"
# Numbers that begin with a zero are no JSON; of those above 23 there are no PCRs. The longest comes
# first, as nothing is tried again.
_PCR: Final = rb"(?:2[0-3]|1[0-9]|[0-9])"
# References: any printable character but quotes, braces
# and backslashes.
_ENTRY: Final = re.compile(
    # Possessive: a million numbers are no entry, and nothing is kept to go back to.
    (rb'\{"pcrs" *: *\[ *(' + _PCR + rb"(?: *, *" + _PCR + rb")*+) *\]")
    + (_NEXT + rb'"pkfp" *: *' + _DIGEST)
    + (rb"(?:" + _NEXT + rb'"ref" *: *"([\] !#-\[\^-z|~]*)")?')
    + (_NEXT + rb'"pol" *: *' + _DIGEST)
    + (rb"(?:" + _NEXT + rb'"tbs" *: *"([0-9A-Fa-f]*)")?')
    + (_NEXT + rb'"sig" *: *"([A-Za-z0-9+/=]{4,})" *\}')
)


def taken(text: bytes) -> Signatures:
    """The entries that the script takes, by bank.

    A signature that is no base64 is kept as the bytes that are there: it is bad, but systemd would
    come upon it.
    """
    found: dict[str, list[Entry]] = {}
    for bank, match in _matches(text):
        if match is not None and bank in BANKS:
            found.setdefault(bank, []).append(_entry(match))
    return {bank: tuple(found[bank]) for bank in BANKS if bank in found}


def left_out(text: bytes) -> int:
    """How many entries there are that are not taken; each has the word ``"pcrs"`` in it."""
    said = text.translate(None, _MARK).count(b'"pcrs"')
    return said - sum(map(len, taken(text).values()))


def room(text: bytes) -> int:
    """Bytes that the entries which are taken have in what the script writes."""
    return sum(len(match[0]) + 2 for bank, match in _matches(text) if match and bank in BANKS)


def _matches(text: bytes) -> Iterator[tuple[str, re.Match[bytes] | None]]:
    """Whatever begins as an entry does, with its bank, and whether it is one."""
    bank = ""
    for piece in _pieces(text):
        if piece.startswith(_START):
            yield bank, _ENTRY.fullmatch(piece) if bank else None
        elif named := _BANK.match(piece):
            bank = named[1].decode("latin-1")


def _pieces(text: bytes) -> list[bytes]:
    line = _OPENING.sub(_MARK + _START, text.translate(_BLANKS, _MARK))
    return line.replace(b"}", b"}" + _MARK).split(_MARK)


def _entry(match: re.Match[bytes]) -> Entry:
    pcrs, fingerprint, reference, policy, to_sign, signature = match.groups(b"")
    return Entry(
        pcrs=tuple(sorted(set(map(int, pcrs.split(b","))))),
        fingerprint=_hex(fingerprint),
        policy=_hex(policy),
        signature=_base64(signature),
        reference=reference.decode("ascii"),
        to_sign=_hex(to_sign),
    )


def _hex(digits: bytes) -> bytes:
    """Half a byte at the end is none; only ``tbs`` can have it, which nobody reads."""
    return bytes.fromhex(digits[: len(digits) & ~1].decode("ascii"))


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text
