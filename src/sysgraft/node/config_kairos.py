"""A Kairos cloud-config: its keys ``sysgraft``, ``sysext_cert`` and ``extensions``.

``extensions`` is a list of rules, each a map with one key, in the two spellings of Kairos' first
design of it (kairos-io/kairos#2117):

    - "k3sv1.29.*": [active, customEntry]
    - active: ["k3sv1.29.*", "rke2v1.28.*"]

A rule whose key is a role, ``common``, or a boot entry that is known by that name gives an entry
its patterns; any other gives a pattern its entries. As a map, ``extensions`` is that of Kairos 4:
``ignore_signatures`` counts, the rest is Kairos' own. All other keys of these files belong to
others, and a file that has none of the three words in it is not even read as YAML.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, in_file
from sysgraft.node.config_document import (
    Document,
    check_count,
    checked_certificates,
    make_rule,
    parse_values,
)
from sysgraft.node.config_values import MAX_SIZE, as_text, as_texts, described
from sysgraft.node.config_yaml import load_yaml
from sysgraft.node.settings import COMMON, ROLES, Mode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sysgraft.node.settings import MapRule

OWN: Final = "sysgraft"
CERTIFICATE: Final = "sysext_cert"
EXTENSIONS: Final = "extensions"
KEYS: Final = (OWN, CERTIFICATE, EXTENSIONS)
"""The keys of a cloud-config that count."""
IGNORE: Final = "ignore_signatures"
_GLOB: Final = frozenset("*?[")


def parse_kairos(data: bytes, file: str, *, known_entries: Collection[str] = ()) -> Document:
    """Read what counts of a cloud-config; whether its first line says that it is one does not.

    Args:
        data: its bytes.
        file: its name, for messages.
        known_entries: names of boot entries that there are.

    Raises:
        ToolError: PyYAML is not installed.
        LimitError: it is larger than `MAX_SIZE`, or has more of something than is allowed.
        FormatError: it is not YAML, or what counts of it is not known.
    """
    with in_file(file):
        if len(data) > MAX_SIZE:
            raise LimitError(f"a cloud-config of more than {MAX_SIZE} bytes")
        if not any(word.encode() in data for word in KEYS):
            return Document(file=file)
        found = load_yaml(data)
        return (
            _document(found, file, known_entries)
            if isinstance(found, dict)
            else Document(file=file)
        )


def _document(found: Mapping[str, object], file: str, known: Collection[str]) -> Document:
    own = parse_values(found.get(OWN), file, name=OWN)
    listed = frozenset(name for names in own.entries.values() for name in names)
    names = {*ROLES, COMMON, *(each for each in (*listed, *known) if not set(each) & _GLOB)}
    given = found.get(EXTENSIONS)
    rules = tuple(_rules(given, names))
    mode = Mode.DISABLED if own.mode is None and _are_ignored(given) else own.mode
    certificates = (*own.certificates, *_certificates(found.get(CERTIFICATE)))
    check_count(len(rules) + len(own.rules or ()), EXTENSIONS)
    return replace(
        own,
        mode=mode,
        certificates=checked_certificates(certificates, CERTIFICATE),
        rules=(*(own.rules or ()), *rules) if rules else own.rules,
    )


def _certificates(value: object) -> tuple[str, ...]:
    """One text, or a list of them; an empty text is none."""
    if value is None:
        return ()
    texts = as_texts(value if isinstance(value, list) else [value], CERTIFICATE)
    return tuple(text for text in texts if text.strip())


def _are_ignored(value: object) -> bool:
    if not isinstance(value, dict) or value.get(IGNORE) is None:
        return False
    if not isinstance(value[IGNORE], bool):
        what = described(value[IGNORE])
        raise FormatError(f"{EXTENSIONS}.{IGNORE} has to be true or false, not {what}")
    return value[IGNORE]


def _rules(value: object, entries: Collection[str]) -> Iterator[MapRule]:
    if value is None or isinstance(value, dict):
        return
    if not isinstance(value, list):
        raise FormatError(f"{EXTENSIONS} has to be a list or a map, not {described(value)}")
    check_count(len(value), EXTENSIONS)
    for number, each in enumerate(value, 1):
        yield _rule(each, entries, f"{EXTENSIONS} {number}")


def _rule(value: object, entries: Collection[str], where: str) -> MapRule:
    if not isinstance(value, dict) or len(value) != 1:
        raise FormatError(
            f"{where} has to be a map with one key", hint="a pattern or an entry, and a list"
        )
    key, given = next(iter(value.items()))
    name = as_text(key, f"the key of {where}")
    listed = as_texts(given if isinstance(given, list) else [given], where)
    if name in entries:
        return make_rule(listed, (name,), where)
    return make_rule((name,), listed, where)
