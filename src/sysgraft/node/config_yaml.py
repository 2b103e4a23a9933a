"""YAML of which only a part is wanted, read in bounded time and memory.

PyYAML (the extra ``sysgraft[node]``) takes the text apart into events; values are made of these
here, without recursion and without constructors, so that no tag runs anything. An alias counts as
often as it stands for something. A value that is neither text, yes or no, nothing, list nor map, or
that has a tag of its own, becomes an `Other`: it does no harm in what nobody asks for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, LimitError, ToolError
from sysgraft.node.config_values import Other

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH: Final = 64
"""Lists and maps inside each other."""
MAX_NODES: Final = 100_000
"""Values, each alias counted as all that it stands for."""

_CORE: Final = "tag:yaml.org,2002:"
_TRUE: Final = frozenset({"y", "yes", "true", "on"})
_KINDS: Final = {"int": "a number", "float": "a number", "timestamp": "a date or time"}
_MAX_ERROR: Final = 120


class _Made(NamedTuple):
    """A value and how many values are in it, itself among them."""

    value: object
    size: int


def load_yaml(data: bytes) -> object:
    """The value of the one document in a YAML text.

    Raises:
        ToolError: PyYAML is not installed.
        LimitError: it is nested deeper than `MAX_DEPTH`, or has more values than `MAX_NODES`.
        FormatError: it is not UTF-8, not YAML, not one document, or has a key twice in one map.
    """
    try:
        yaml = importlib.import_module("yaml")
    except ImportError as error:
        raise ToolError(
            "YAML cannot be read without PyYAML", hint="install sysgraft[node], or PyYAML"
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"line {line}: not UTF-8") from None
    try:
        # The one of C is a hundred times as fast; it is not everywhere.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        return _Builder(yaml, loader).build()
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise _not_yaml(error) from error


def _not_yaml(error: Any) -> FormatError:  # noqa: ANN401  PyYAML has no types
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark else ""
    reason = getattr(error, "problem", None) or str(error)
    return FormatError(f"{place}not YAML: {one_line(str(reason)[:_MAX_ERROR])}")


class _Open(NamedTuple):
    """A list or map that is being read; of a map, keys and values in turn."""

    event: Any
    items: list[_Made]


class _Builder:
    """Makes values of events."""

    def __init__(self, yaml: Any, loader: Any) -> None:  # noqa: ANN401
        self._yaml = yaml
        self._loader = loader
        self._open: list[_Open] = []
        self._anchors: dict[str, _Made] = {}
        self._count = 0

    def build(self) -> object:
        """The value of the document; None for an empty text."""
        yaml = self._yaml
        root: _Made | None = None
        for event in self._events():
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise self._problem("a second document", event)
            made = self._value(event)
            if made is None:
                continue
            self._count += made.size if isinstance(event, yaml.AliasEvent) else 1
            if self._count > MAX_NODES:
                raise LimitError(f"more than {MAX_NODES} values in a YAML file")
            if self._open:
                self._open[-1].items.append(made)
            else:
                root = made
        return root.value if root else None

    def _events(self) -> Iterator[Any]:
        while self._loader.check_event():
            yield self._loader.get_event()

    def _value(self, event: Any) -> _Made | None:  # noqa: ANN401
        """The value that is complete with this event."""
        yaml = self._yaml
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._problem("an alias of nothing, or inside of what it stands for", event)
            return self._anchors[event.anchor]
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self._open) >= MAX_DEPTH:
                raise LimitError(f"a YAML file is nested deeper than {MAX_DEPTH} levels")
            self._open.append(_Open(event, []))
            return None
        if isinstance(event, yaml.ScalarEvent):
            return self._anchored(event, _Made(self._scalar(event), 1))
        if isinstance(event, yaml.CollectionEndEvent):
            start, items = self._open.pop()
            size = 1 + sum(item.size for item in items)
            return self._anchored(start, _Made(self._collection(start, items), size))
        return None

    def _anchored(self, event: Any, made: _Made) -> _Made:  # noqa: ANN401
        if event.anchor is not None:
            self._anchors[event.anchor] = made
        return made

    def _scalar(self, event: Any) -> object:  # noqa: ANN401
        """Text, yes or no, nothing, or something else."""
        own = event.tag not in (None, "!", f"{_CORE}str")
        if own:
            return Other("a value with a tag")
        if event.tag or not event.implicit[0]:
            return event.value
        tag = self._loader.resolve(self._yaml.ScalarNode, event.value, event.implicit)
        kind = str(tag).removeprefix(_CORE)
        if kind == "bool":
            return event.value.lower() in _TRUE
        if kind == "null":
            return None
        return Other(f"{_KINDS[kind]} (quotes make it a text)") if kind in _KINDS else event.value

    def _collection(self, start: Any, items: list[_Made]) -> object:  # noqa: ANN401
        is_map = isinstance(start, self._yaml.MappingStartEvent)
        if start.tag not in (None, "!", f"{_CORE}{'map' if is_map else 'seq'}"):
            return Other("a value with a tag")
        if not is_map:
            return [item.value for item in items]
        found: dict[object, object] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            is_known = isinstance(key.value, str | Other)
            name = key.value if is_known else Other("a key that is no text")
            if isinstance(name, str) and name in found:
                raise self._problem(f"the key {one_line(name[:60])!r} twice in one map", start)
            found[name] = value.value
        return found

    def _problem(self, what: str, event: Any) -> FormatError:  # noqa: ANN401
        return FormatError(f"line {event.start_mark.line + 1}: {what}")
