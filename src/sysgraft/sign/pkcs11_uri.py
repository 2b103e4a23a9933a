"""PKCS#11 URIs (RFC 7512): which object in which token, through which module.

    pkcs11:token=HSM;object=db?module-name=softhsm2&pin-source=file:/run/pin

The path chooses (``token manufacturer model serial object id type slot-id slot-manufacturer
slot-description library-manufacturer library-description library-version``), the query says how to
get there (``module-path module-name pin-source``). A PIN in the URI itself (``pin-value``) is
refused, since arguments are visible to everybody on a machine; so are attributes that are not
known, which would otherwise choose less strictly than they say. ``pin-source`` with a program to
run (``|PROGRAM``) is not supported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError, UsageError
from sysgraft.sign.source import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_URI: Final = 4096
"""Characters of a URI; real ones have about 200."""

# RFC 7512 §2.3: attributes of the path, and the types an object can have.
_PATH: Final = frozenset(
    (
        "token", "manufacturer", "model", "serial", "object", "id", "type",
        "slot-id", "slot-manufacturer", "slot-description",
        "library-manufacturer", "library-description", "library-version",
    )
)  # fmt: skip
_QUERY: Final = frozenset(("module-path", "module-name", "pin-source", "pin-value"))
_TYPES: Final = frozenset(("private", "public", "cert", "secret-key", "data"))


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """A PKCS#11 URI, taken apart.

    Attributes:
        text: the URI as it was given; it holds no secret.
        token: what the token, its slot and the module have to say of themselves, by attribute.
        label: the object's label, None if any will do.
        id: the object's identifier (CKA_ID), None if any will do.
        type: what the object is, empty if the URI does not say.
        slot_id: the slot's number, None if any will do.
        module_path: the module's file, or the folder it is in; empty if not given.
        module_name: the module's name without folder, prefix and suffix; empty if not given.
        pin_source: the file with the PIN, empty if not given.
    """

    text: str
    token: Mapping[str, str]
    label: str | None = None
    id: bytes | None = None
    type: str = ""
    slot_id: int | None = None
    module_path: str = ""
    module_name: str = ""
    pin_source: str = ""


def parse(text: str) -> Pkcs11Uri:
    """Read a URI.

    Raises:
        KeyMaterialError: it holds a PIN.
        UsageError: it is not a PKCS#11 URI, or says something that is not known here.
    """
    if len(text) > MAX_URI:
        raise UsageError(f"a PKCS#11 URI of {len(text)} characters; the limit is {MAX_URI}")
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() != "pkcs11":
        raise UsageError("not a PKCS#11 URI")
    path, _, query = rest.partition("?")
    chosen = _attributes(path, ";", _PATH)
    how = _attributes(query, "&", _QUERY)
    if "pin-value" in how:
        raise KeyMaterialError(
            "a PIN in a PKCS#11 URI (pin-value) is not accepted: others on the machine can see it",
            hint="use pin-source=file:…, --passphrase-file or the environment variable it names",
        )
    return _described(text, chosen, how)


def _attributes(part: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    """Names and values, which may hold any bytes."""
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415  only URIs need it

    found: dict[str, bytes] = {}
    for word in part.split(separator) if part else []:
        name, equals, value = word.partition("=")
        if not equals or name not in known:
            raise UsageError(f"a PKCS#11 URI has the attribute {name!r}, which is not known here")
        if name in found:
            raise UsageError(f"a PKCS#11 URI has the attribute {name!r} twice")
        try:
            found[name] = unquote_to_bytes(value)
        except UnicodeEncodeError:  # a byte of the command line that is not UTF-8
            raise UsageError(f"the attribute {name!r} of a PKCS#11 URI is not UTF-8") from None
    return found


def _described(text: str, chosen: dict[str, bytes], how: dict[str, bytes]) -> Pkcs11Uri:
    words = {name: _text(name, value) for name, value in (chosen | how).items() if name != "id"}
    kind = words.pop("type", "")
    if kind and kind not in _TYPES:
        raise UsageError(f"a PKCS#11 URI asks for an object of the type {kind!r}, which is none")
    if "slot-id" in words and not _is_number(words["slot-id"]):
        raise UsageError(f"a PKCS#11 URI has the slot {words['slot-id']!r}, which is no number")
    slot = words.pop("slot-id", None)
    return Pkcs11Uri(
        text=text,
        label=words.pop("object", None),
        id=chosen.get("id"),
        type=kind,
        slot_id=None if slot is None else int(slot),
        module_path=_file(words.pop("module-path", "")),
        module_name=words.pop("module-name", ""),
        pin_source=_file(words.pop("pin-source", "")),
        token=words,
    )


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"the attribute {name!r} of a PKCS#11 URI is not UTF-8") from None
    if "\0" in text:
        raise UsageError(f"the attribute {name!r} of a PKCS#11 URI holds a NUL")
    return text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def _file(text: str) -> str:
    """A path, or a ``file:`` URI of one."""
    if text.startswith("|"):
        raise UsageError(
            "a pin-source that is a program to run is not supported",
            hint="give a file, or a pipe with --passphrase-file <(PROGRAM)",
        )
    return resolve(text).path if text else ""
