"""One configuration file: TOML, or a map with the same keys from elsewhere, checked and typed.

An unknown key is an error, so that a mistyped ``denny`` does not leave an image allowed. What a
file may set is not decided here, and what its certificates are is not looked at.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, LimitError, SysgraftError, in_file
from sysgraft.formats.policy_builtin import parse_or_builtin
from sysgraft.node.config_values import (
    MAX_SIZE,
    Section,
    as_entries,
    as_patterns,
    as_text,
    described,
    is_path,
)
from sysgraft.node.settings import KEYS, LAYOUTS, ROLES, SOURCES, Check, MapRule, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RULES: Final = 1000
"""Rules of the map in one file."""
MAX_CERTIFICATES: Final = 64
"""Certificates in one file."""
MAX_DOTS: Final = 16
"""Points on a line outside of strings: what makes tomllib slow is keys of thousands of parts."""

BEGIN_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_TOP: Final = tuple(dict.fromkeys(key.partition(".")[0] for key in KEYS))
_TRUST: Final = ("sources", "certificates")
_BY_PATTERN: Final = ("extension", "entries")
_BY_ENTRY: Final = ("entry", "extensions")
# Strings and comments of TOML, as they begin from the left; one without an end takes all.
_QUOTED: Final = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"{0,5}'
    r"|'''(?:[^']++|'(?!''))*+'{0,5}"
    r'|"(?:[^"\\\n]++|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)


def _no_entries() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one file says; None, or nothing in it, where it says nothing.

    The attributes are those of `sysgraft.node.settings.Settings`.
    """

    file: str
    layout: str | None = None
    store: str | None = None
    esp: str | None = None
    mode: Mode | None = None
    check: Check | None = None
    image_policy: str | None = None
    fail_boot: bool | None = None
    unsigned: bool | None = None
    judge_others: bool | None = None
    deny: tuple[str, ...] = ()
    sources: tuple[str, ...] | None = None
    certificates: tuple[str, ...] = ()
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=_no_entries)
    rules: tuple[MapRule, ...] | None = None


def parse_toml(data: bytes, file: str) -> Document:
    """Read a configuration file.

    Args:
        data: its bytes.
        file: its name, for messages.

    Raises:
        LimitError: it is larger than `MAX_SIZE`, or has more of something than is allowed.
        FormatError: it is not TOML, or has a key or value that is not known.
    """
    with in_file(file):
        return parse_values(_load(data), file)


def _load(data: bytes) -> dict[str, object]:
    if len(data) > MAX_SIZE:
        raise LimitError(f"a configuration of more than {MAX_SIZE} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"line {line}: not UTF-8") from None
    _check_dots(text)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError; numbers without end
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FormatError(f"not TOML: {one_line(reason[:120])}") from error


def _check_dots(text: str) -> None:
    bare = _QUOTED.sub(lambda found: '""' + "\n" * found[0].count("\n"), text)
    for number, line in enumerate(bare.split("\n"), 1):
        if line.count(".") > MAX_DOTS:
            raise LimitError(f"line {number}: more than {MAX_DOTS} points outside of strings")


def parse_values(values: object, file: str, *, name: str = "") -> Document:
    """Check a map with the keys of a configuration file.

    Args:
        values: the map; None for an empty one.
        file: it is from.
        name: dotted key of the map in that file.

    Raises:
        LimitError: there is more of something than is allowed.
        FormatError: a key or value is not known.
    """
    with in_file(file):
        top = Section(values, name, _TOP)
        trust = Section(top.get("trust"), top.where("trust"), _TRUST)
        mode = top.choice("mode", tuple(Mode))
        check = top.choice("check", tuple(Check))
        return Document(
            file=file,
            layout=top.choice("layout", LAYOUTS),
            store=top.path("store"),
            esp=top.path("esp"),
            mode=None if mode is None else Mode(mode),
            check=None if check is None else Check(check),
            image_policy=_policy(top),
            fail_boot=top.flag("fail_boot"),
            unsigned=top.flag("unsigned"),
            judge_others=top.flag("judge_others"),
            deny=top.patterns("deny") or (),
            sources=trust.choices("sources", SOURCES),
            certificates=checked_certificates(
                trust.texts("certificates") or (), trust.where("certificates")
            ),
            entries=_entries(top),
            rules=_rules(top),
        )


def _policy(top: Section) -> str | None:
    text = top.text("image_policy")
    try:
        return None if text is None else str(parse_or_builtin(text)) if text else ""
    except SysgraftError as error:
        raise FormatError(f"{top.where('image_policy')}: {error.message}") from error


def checked_certificates(values: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Certificates as they are given: PEM texts, or absolute paths.

    Raises:
        LimitError: there are more than `MAX_CERTIFICATES`.
        FormatError: a text is neither, or has a private key in it.
    """
    count = 0
    for text in values:
        found = text.count(BEGIN_CERTIFICATE)
        if "PRIVATE KEY-----" in text:
            raise FormatError(
                f"{where} has a private key in it", hint="take it out, and replace it"
            )
        if not (is_path(text) if text.startswith("/") else found):
            raise FormatError(f"{where} has what is neither PEM text nor a plain absolute path")
        count += found or 1
    if count > MAX_CERTIFICATES:
        raise LimitError(f"{where} has {count} certificates, at most {MAX_CERTIFICATES}")
    return values


def _entries(top: Section) -> Mapping[str, tuple[str, ...]]:
    section = Section(top.get("entries"), top.where("entries"), ROLES)
    found = {role: section.patterns(role) for role in ROLES}
    return MappingProxyType({role: each for role, each in found.items() if each is not None})


def _rules(top: Section) -> tuple[MapRule, ...] | None:
    values, where = top.get("map"), top.where("map")
    if values is None:
        return None
    if not isinstance(values, list):
        raise FormatError(f"{where} has to be a list of tables, not {described(values)}")
    check_count(len(values), where)
    return tuple(_rule(each, f"{where} {number}") for number, each in enumerate(values, 1))


def check_count(count: int, where: str) -> None:
    """Refuse a map of too many rules.

    Raises:
        LimitError: there are more than `MAX_RULES`.
    """
    if count > MAX_RULES:
        raise LimitError(f"{where} has {count} rules, at most {MAX_RULES}")


def _rule(value: object, where: str) -> MapRule:
    """A rule of the map, in one of its two spellings."""
    keys = Section(value, where, (*_BY_PATTERN, *_BY_ENTRY))
    one, many = spelling = _BY_PATTERN if "extension" in keys else _BY_ENTRY
    Section(value, where, spelling)
    for each in spelling:
        if keys.get(each) is None:
            raise FormatError(
                f"{where} has no {each}", hint="extension and entries, or entry and extensions"
            )
    single = (as_text(keys.get(one), keys.where(one)),)
    listed = keys.texts(many) or ()
    if spelling is _BY_PATTERN:
        return make_rule(single, listed, where)
    return make_rule(listed, single, where)


def make_rule(patterns: tuple[str, ...], entries: tuple[str, ...], where: str) -> MapRule:
    """A rule of the map.

    Raises:
        FormatError: a pattern is none, an entry's name is none, or there is no entry.
    """
    if not entries:
        raise FormatError(f"{where} names no entry", hint="deny keeps an extension out everywhere")
    return MapRule(as_patterns(patterns, where), as_entries(entries, where))
