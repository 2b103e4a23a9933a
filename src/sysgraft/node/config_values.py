"""Values of a configuration, checked one by one; messages name the key.

A `Section` is a table of TOML or a map of YAML; what its keys mean is
`sysgraft.node.config_document`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, LimitError
from sysgraft.node.mapping import problem_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_SIZE: Final = 1 << 20
"""Bytes of a configuration file."""
MAX_WORDS: Final = 1000
"""Values in one list."""
MAX_ENTRY: Final = 255
"""Bytes of a boot entry's name, which is a file's."""
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Other:
    """A value that no setting takes.

    Attributes:
        what: it is, for the message.
    """

    what: str


class Section:
    """A table whose keys are known.

    Args:
        values: the table; None for none.
        name: its dotted key, empty for the file itself.
        keys: that it may have.

    Raises:
        FormatError: it is no table, or has another key.
    """

    def __init__(self, values: object, name: str, keys: Collection[str]) -> None:
        if not isinstance(values, dict | None):
            raise FormatError(f"{name or 'the file'} has to be a table, not {described(values)}")
        self._values: dict[object, object] = values or {}
        self._name = name
        for key in self._values:
            if key not in keys:
                raise self._unknown(key, keys)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def _unknown(self, key: object, keys: Collection[str]) -> FormatError:
        import difflib  # noqa: PLC0415  only for mistakes

        text = one_line(str(key)[:_SHOWN]) if isinstance(key, str) else described(key)
        near = difflib.get_close_matches(text.lower(), keys, n=1)
        hint = f"did you mean {self.where(near[0])}?" if near else f"known: {', '.join(keys)}"
        return FormatError(f"unknown key {self.where(text)}", hint=hint)

    def where(self, key: str) -> str:
        """The dotted name of a key."""
        return f"{self._name}.{key}" if self._name else key

    def get(self, key: str) -> object:
        """A value as it is; None where there is none."""
        return self._values.get(key)

    def text(self, key: str) -> str | None:
        """A text.

        Raises:
            FormatError: it is none; the methods below likewise.
        """
        value = self._values.get(key)
        return None if value is None else as_text(value, self.where(key))

    def choice(self, key: str, allowed: Sequence[str]) -> str | None:
        """One of some words."""
        value = self.text(key)
        if value is not None and value not in allowed:
            raise self._no_choice(key, value, allowed)
        return value

    def _no_choice(self, key: str, value: str, allowed: Sequence[str]) -> FormatError:
        shown = one_line(value[:_SHOWN])
        return FormatError(
            f"{self.where(key)} is not known: {shown!r}", hint=f"known: {', '.join(allowed)}"
        )

    def choices(self, key: str, allowed: Sequence[str]) -> tuple[str, ...] | None:
        """A list of some words, each once."""
        values = self.texts(key)
        for value in values or ():
            if value not in allowed:
                raise self._no_choice(key, value, allowed)
        return values

    def flag(self, key: str) -> bool | None:
        """Yes or no."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise FormatError(f"{self.where(key)} has to be true or false, not {described(value)}")
        return value

    def path(self, key: str) -> str | None:
        """An absolute path."""
        value = self.text(key)
        if value is not None and not is_path(value):
            raise FormatError(
                f"{self.where(key)} is not a plain absolute path: {one_line(value[:_SHOWN])!r}"
            )
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts, each kept once."""
        value = self._values.get(key)
        return None if value is None else as_texts(value, self.where(key))

    def patterns(self, key: str) -> tuple[str, ...] | None:
        """A list of names or globs."""
        values = self.texts(key)
        return None if values is None else as_patterns(values, self.where(key))


def as_text(value: object, where: str) -> str:
    """`value`, a text without NUL.

    Raises:
        FormatError: it is something else; the functions below likewise.
    """
    if not isinstance(value, str):
        raise FormatError(f"{where} has to be a text, not {described(value)}")
    if "\0" in value:
        raise FormatError(f"{where} has a NUL in it")
    return value


def as_texts(value: object, where: str) -> tuple[str, ...]:
    """`value`, a list of texts."""
    if not isinstance(value, list):
        raise FormatError(f"{where} has to be a list, not {described(value)}")
    if len(value) > MAX_WORDS:
        raise LimitError(f"{where} has {len(value)} values, at most {MAX_WORDS}")
    return tuple(dict.fromkeys(as_text(each, f"a value in {where}") for each in value))


def as_patterns(values: Sequence[str], where: str) -> tuple[str, ...]:
    """`values`, names of extensions or globs."""
    for each in values:
        problem = problem_of(each)
        if problem:
            raise FormatError(f"{where}: {one_line(each[:_SHOWN])!r} is no pattern: {problem}")
    return tuple(values)


def as_entries(values: Sequence[str], where: str) -> tuple[str, ...]:
    """`values`, names of boot entries or roles: what can be the name of a folder."""
    for each in values:
        if not _is_entry(each):
            raise FormatError(
                f"{where}: {one_line(each[:_SHOWN])!r} is no name of a boot entry",
                hint="an entry's name has no slash and none of * ? [ \\; patterns are for names "
                "of extensions",
            )
    return tuple(values)


def _is_entry(name: str) -> bool:
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_ENTRY
        and name.isprintable()
        and not name.startswith(".")
        and not set(name) & set("/\\*?[")
    )


def is_path(value: str) -> bool:
    """Whether it is an absolute path that leads down only."""
    return value.startswith("/") and value.isprintable() and ".." not in value.split("/")


def described(value: object) -> str:
    """What a value is, for messages: never the value itself."""
    if isinstance(value, Other):
        return value.what
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    names |= {list: "a list", dict: "a table", type(None): "nothing"}
    return names.get(type(value), "a date or time")
