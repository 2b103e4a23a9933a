"""The keys that sign PCR policies, from a command line and ukify's config file.

On the command line the n-th public key, phases and reference belong to the n-th private key; in
the file each ``[PCRSignature:NAME]`` is one key. Those of the command line come first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.build.uki.options import PcrKey
from sysgraft.errors import UsageError
from sysgraft.measure.pcr11 import check_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.build.uki.config import Config

_HALVES: Final = ("pcr_private_key", "pcr_public_key", "pcr_certificate")
_OPTIONS: Final = (*_HALVES, "phases", "policyref")


def pcr_keys(arguments: argparse.Namespace, config: Config) -> tuple[PcrKey, ...]:
    """All keys, in their order.

    Raises:
        UsageError: an option is not given once for each key, or a group has no key.
    """
    groups = [_of_config(name, group, arguments) for name, group in config.signatures.items()]
    return tuple(map(_key, [*_of_command_line(arguments), *groups]))


def _of_command_line(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    given: dict[str, Sequence[str]] = {name: getattr(arguments, name) or () for name in _OPTIONS}
    first = _HALVES[0]
    if arguments.policy_digest:
        # The private halves are elsewhere: the public ones are counted.
        first = next((name for name in _HALVES if given[name]), first)
    count = len(given[first])
    for name, values in given.items():
        if values and len(values) != count:
            raise UsageError(
                f"{flag(name)} is given {len(values)} times, {flag(first)} {count} times",
                hint="give it once for each key, or not at all",
            )
    for number in range(count):
        yield {name: values[number] for name, values in given.items() if values}


def _of_config(
    name: str, group: Mapping[str, str], arguments: argparse.Namespace
) -> Mapping[str, str]:
    if not arguments.policy_digest and "pcr_private_key" not in group:
        raise UsageError(f"[PCRSignature:{name}] in the config file has no PCRPrivateKey=")
    return group


def _key(settings: Mapping[str, str]) -> PcrKey:
    return PcrKey(
        private_key=settings.get("pcr_private_key"),
        public_key=settings.get("pcr_public_key"),
        certificate=settings.get("pcr_certificate"),
        phases=tuple(check_path(path) for path in words(settings.get("phases", ""))),
        reference=settings.get("policyref", ""),
    )


def words(text: str) -> list[str]:
    """Words with commas or blanks between them; a comma at the end is forgiven, as by ukify.

    Raises:
        UsageError: there is nothing between two commas.
    """
    stripped = text.strip().removesuffix(",").rstrip()
    found = re.split(r"\s*,\s*|\s+", stripped) if stripped else []
    if "" in found:
        raise UsageError(f"an empty entry in the list {text!r}")
    return found


def flag(name: str) -> str:
    """The option behind an attribute of the arguments."""
    return "--" + name.replace("_", "-")
