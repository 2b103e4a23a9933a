"""AppStream metainfo of firmware packages: which devices they are for and which files they have.

The AppStream Specification 1.0, §2.1 and §2.2 (``provides``): ``modalias`` patterns and
``firmware type="runtime"`` names, as Debian's firmware packages have them. XML is read by expat
without external entities; a document that declares entities is refused. Everything else of a
component is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from typing import NoReturn

MAX_SIZE: Final = 16 << 20
"""Bytes of a document; Debian's largest has 100 KB."""
MAX_DEPTH: Final = 64
"""Elements within elements; metainfo has six."""

_COMPONENT: Final = ("component",)
_PROVIDES: Final = ("component", "provides")


@dataclass(frozen=True, slots=True)
class Component:
    """What a package says of itself.

    Attributes:
        identifier: its ``id``.
        name: its ``name`` in no language.
        modaliases: patterns, in the order of the document.
        firmware: names of files relative to the firmware folder.
    """

    identifier: str
    name: str
    modaliases: tuple[str, ...]
    firmware: tuple[str, ...]


def parse(data: bytes) -> Component:
    """Read a metainfo document.

    Raises:
        LimitError: it is larger than `MAX_SIZE` or nested more than `MAX_DEPTH` deep.
        FormatError: it is not well-formed, declares entities, or is no component.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"AppStream metainfo of {len(data)} bytes, the limit is {MAX_SIZE}")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FormatError(f"damaged AppStream metainfo: {error}") from error
    if not reader.is_component:
        raise FormatError("not AppStream metainfo: it is no component")
    found = reader.found
    return Component(
        "".join(found["id"][:1]),
        "".join(found["name"][:1]),
        tuple(found["modalias"]),
        tuple(found["firmware"]),
    )


def _refuse_entity(*_: object) -> NoReturn:
    raise FormatError("AppStream metainfo that declares entities")


class _Reader:
    """What the parser calls."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {"id": [], "name": [], "modalias": [], "firmware": []}
        self.is_component = False
        self._path: list[str] = []
        self._wanted: list[str] | None = None
        self._text: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise LimitError(f"AppStream metainfo nested more than {MAX_DEPTH} deep")
        self._wanted = self._list_for(name, attributes)
        self._path.append(name)
        self._text.clear()
        self.is_component = self.is_component or self._path == ["component"]

    def _list_for(self, name: str, attributes: dict[str, str]) -> list[str] | None:
        above = tuple(self._path)
        if above == _COMPONENT and name in ("id", "name") and "xml:lang" not in attributes:
            return self.found[name]
        if above != _PROVIDES or name not in ("modalias", "firmware"):
            return None
        is_runtime = attributes.get("type", "runtime") == "runtime"
        return self.found[name] if is_runtime else None

    def end(self, _name: str) -> None:
        self._path.pop()
        text = "".join(self._text).strip()
        if self._wanted is not None and text:
            self._wanted.append(text)
        self._wanted = None

    def text(self, text: str) -> None:
        if self._wanted is not None:
            self._text.append(text)
