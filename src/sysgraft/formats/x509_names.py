"""Names as OpenSSL, and so firmware, compares them (X509_NAME_cmp; RFC 5280 §7.1).

Two names that differ in case, in spaces or in the type of their strings are one name. The form here
takes for equal whatever OpenSSL does, and a little more (letters beyond ASCII differ in case too).
It is for questions where finding a name leads to a refusal: where it would create trust, names are
compared as bytes.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats.der import OBJECT_IDENTIFIER, SEQUENCE, SET, DerReader, encode, open_der

if TYPE_CHECKING:
    from sysgraft.formats.der import Element

_WHAT: Final = "a name in the certificate"
_UTF8: Final = 0x0C
# Those that asn1_string_canon of OpenSSL makes one type: UTF8, Printable, Teletex, IA5, Visible,
# Universal and BMPString. All others are compared as they are.
_CODECS: Final = {
    _UTF8: "utf-8",
    0x13: "latin-1",
    0x14: "latin-1",
    0x16: "latin-1",
    0x1A: "latin-1",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_CACHED: Final = 1 << 12
"""Names kept: those of a few thousand certificates, of which each meets each."""


@functools.lru_cache(maxsize=_CACHED)
def canonical_name(name_der: bytes) -> bytes:
    """The name with each of its strings in small letters, without needless spaces, as UTF8String.

    A name that cannot be read is its own form.
    """
    try:
        return b"".join(
            encode(SET, *sorted(map(_attribute, DerReader(rdn.content, _WHAT).rest(SEQUENCE))))
            for rdn in open_der(name_der, _WHAT).rest(SET)
        )
    except FormatError:
        return name_der


def same_name(one: bytes, other: bytes) -> bool:
    """Whether OpenSSL would take these for one name."""
    return one == other or canonical_name(one) == canonical_name(other)


def _attribute(element: Element) -> bytes:
    fields = DerReader(element.content, _WHAT)
    kind = fields.take(OBJECT_IDENTIFIER).raw
    value = fields.take_any()
    fields.finish()
    codec = _CODECS.get(value.tag)
    if codec is None:
        return encode(SEQUENCE, kind, value.raw)
    words = value.content.decode(codec, "replace").casefold().split()
    return encode(SEQUENCE, kind, encode(_UTF8, " ".join(words).encode("utf-8", "replace")))
