"""What this boot really has: what was handed to systemd, and what it made of it.

An image counts as merged only if systemd says so now. The rest is told with the reason: skipped at
activation, shadowed by another of its name, changed since, or failed although nothing spoke against
it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sysgraft.base.systemd import LATEST
from sysgraft.errors import InputError, ToolError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.places import real_path
from sysgraft.host.systemd import RunningSystemd
from sysgraft.image import names
from sysgraft.node.document import read_activation
from sysgraft.node.environment import read_environment
from sysgraft.node.masking import found_by_systemd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.host.systemd import Systemd
    from sysgraft.node.node import Node
    from sysgraft.node.store import Store


class Effect(StrEnum):
    """What became of an image."""

    MERGED = "merged"
    SKIPPED = "skipped"
    DENIED = "denied"  # by the configuration
    SHADOWED = "shadowed"  # by another one of its name that this boot has
    FAILED = "failed"
    PENDING = "pending"  # enabled since; counts from the next boot, or activation, on
    FOREIGN = "not ours"  # merged, and not through this node's store
    UNKNOWN = "unknown"  # systemd could not be asked


@dataclass(frozen=True, slots=True)
class Effective:
    """One image.

    Attributes:
        kind: system or configuration extension.
        name: of the extension.
        file: its name; empty where nobody knows.
        profile: why this boot has it; empty where nobody knows.
        effect: what became of it.
        reason: a sentence; may be empty.
    """

    kind: Kind
    name: str
    file: str
    profile: str
    effect: Effect
    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """All of it.

    Attributes:
        activation: the document of this boot's activation; empty if there was none.
        images: each of them.
        notes: what a person should know.
    """

    activation: Mapping[str, Any]
    images: tuple[Effective, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there was an activation, and everything that was enabled is merged."""
        return bool(self.activation) and all(each.effect in _GOOD for each in self.images)


_GOOD: Final = (Effect.MERGED, Effect.DENIED, Effect.SHADOWED, Effect.FOREIGN, Effect.PENDING)


def node_status(node: Node, *, systemd: Systemd | None = None) -> Status:
    """What this boot has.

    Raises:
        UsageError: the system does not run.
        InputError: the store cannot be read.
    """
    node.require_live("node status")
    activation = read_activation(node.root)
    notes = [] if activation else ["nothing was activated in this boot"]
    notes += activation.get("notes", [])
    images: list[Effective] = []
    for kind in Kind:
        asked = systemd or RunningSystemd(read_environment(node.root))
        merged = _merged(kind, asked, notes)
        images += _images(node, kind, activation, merged, notes)
    return Status(activation, tuple(images), tuple(dict.fromkeys(notes)))


def _merged(kind: Kind, systemd: Systemd, notes: list[str]) -> frozenset[str] | None:
    try:
        return frozenset(name for each in systemd.merged(kind) for name in each.extensions)
    except ToolError as error:
        notes.append(str(error))
        return None


def _images(
    node: Node,
    kind: Kind,
    activation: Mapping[str, Any],
    merged: frozenset[str] | None,
    notes: list[str],
) -> Iterator[Effective]:
    told = [each for each in activation.get("images", []) if each["kind"] == kind]
    told_release = activation.get("systemd")
    release = told_release if isinstance(told_release, int) else LATEST
    places = found_by_systemd(node, kind, release)
    reals = {name: real_path(node.root, path) for name, path in places.items()}
    for each in told:
        called = names.image_name(each["file"], systemd_version=release)
        effect, reason = _effect(each, called, merged, reals)
        yield Effective(kind, each["name"], each["file"], each["profile"], effect, reason)
    known = {names.image_name(each["file"], systemd_version=release) for each in told}
    for name in sorted((merged or frozenset()) - known):
        path = places.get(name, "")
        reason = f"it came by {path}" if path else "nobody knows where it came from"
        yield Effective(kind, name, os.path.basename(path), "", Effect.FOREIGN, reason)
    yield from _pending(node, kind, {each["file"] for each in told}, notes)


def _effect(
    image: Mapping[str, Any],
    name: str,
    merged: frozenset[str] | None,
    places: Mapping[str, str],
) -> tuple[Effect, str]:
    if image["shadowedBy"]:
        return Effect.SHADOWED, image["reason"]
    if not image["linked"]:
        return _left_out(image, is_merged=name in (merged or ()))
    place = places.get(name)
    if place is not None and place != os.path.realpath(image["path"]):
        return Effect.FAILED, f"systemd takes {place}"
    if merged is None:
        return Effect.UNKNOWN, ""
    if name in merged:
        return Effect.MERGED, image["reason"] if image["state"] != "good" else ""
    return Effect.FAILED, _why_not_merged(image)


def _left_out(image: Mapping[str, Any], *, is_merged: bool) -> tuple[Effect, str]:
    if is_merged:
        return Effect.FAILED, f"merged all the same, and should not be: {image['reason']}"
    return Effect.SKIPPED if image["state"] else Effect.DENIED, image["reason"]


def _why_not_merged(image: Mapping[str, Any]) -> str:
    if not os.path.exists(image["path"]):
        return "the image is gone"
    unit = f"systemd-{image['kind']}.service"
    return f"systemd did not merge it; `journalctl -b -u {unit}` tells why"


def _pending(node: Node, kind: Kind, known: set[str], notes: list[str]) -> Iterator[Effective]:
    """What was enabled for this boot's entry after the activation."""
    store = node.store(kind)
    for profile in node.boot.profiles:
        for file in _enabled(store, profile, notes):
            if file not in known:
                known.add(file)
                name = names.image_name(file)
                reason = "enabled after this boot's activation"
                yield Effective(kind, name, file, profile, Effect.PENDING, reason)


def _enabled(store: Store, profile: str, notes: list[str]) -> tuple[str, ...]:
    try:
        return store.enabled(profile)
    except InputError as error:
        notes.append(f"nothing that is enabled for {profile} counts: {error}")
        return ()
