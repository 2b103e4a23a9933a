"""Whether one image would end the merge of all, by the rules of `sysgraft.image.lint.preflight`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.base.progress import NoProgress
from sysgraft.errors import InputError
from sysgraft.formats.extension_release import FILE_PREFIX, STRICT_XATTR, parse_strict
from sysgraft.host.places import real_path
from sysgraft.image.lint.preflight import Outcome, Target, preflight
from sysgraft.image.lint.subjects import Opened
from sysgraft.image.names import base_name
from sysgraft.node.host import this_host
from sysgraft.node.masking import COLLECTIONS, is_mask, names_of
from sysgraft.node.trust import systemd_trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.extension_release import Kind
    from sysgraft.node.node import Node
    from sysgraft.node.trust import Trusted


def merge_target(node: Node, policy: str, certificates: Sequence[Trusted]) -> Target:
    """The systemd of a node, as it will merge.

    Args:
        node: the system.
        policy: image policy in force.
        certificates: whom systemd was told to trust.
    """
    host = this_host(node.root, [])
    return Target(
        release=host.systemd,
        image_policy=policy,
        trust=systemd_trust(node, certificates),
        os_release=host.os_release,
        architecture=host.architecture,
    )


def refusal(path: str, target: Target, kind: Kind, root: str) -> str:
    """Why systemd would end the merge because of an image or a folder; empty if it would not.

    Args:
        path: where systemd finds it, under the name by which it does.
        target: the systemd.
        kind: of extensions that are merged.
        root: the folder that stands for the system's root.
    """
    real = real_path(root, path)
    if os.path.isdir(real):
        # What is in a folder of versions or layers is not looked at.
        if is_mask(real) or path.endswith(COLLECTIONS):
            return ""
        called = names_of(os.path.basename(path), kind, target.release, is_folder=True)
        return "" if _has_release(real, kind, called) else "it has no release file of its name"
    try:
        opened = Opened([real], target.release, {real: os.path.basename(path)})
        merges = preflight(opened.subjects, target, NoProgress())
    except InputError as error:
        return error.message
    other = next((each.kind for each in opened.subjects if each.kind is not kind), None)
    if other is not None:
        return f"it is a {other} where systemd looks for a {kind}"
    fates = (fate for merge in merges for fate in merge.fates)
    return next((fate.reason for fate in fates if fate.outcome is Outcome.REFUSED), "")


def _has_release(folder: str, kind: Kind, called: Sequence[str]) -> bool:
    """Whether a release file in a folder counts for one of these names."""
    place = os.path.join(os.fsencode(folder), kind.directory)
    try:
        files = os.listdir(place)
    except OSError:
        return False
    accepted = {FILE_PREFIX + os.fsencode(e) for name in called for e in (name, base_name(name))}
    return any(
        file in accepted or (file.startswith(FILE_PREFIX) and _is_loose(os.path.join(place, file)))
        for file in files
    )


def _is_loose(path: bytes) -> bool:
    """Whether a release file counts under any name."""
    try:
        return parse_strict(os.getxattr(path, STRICT_XATTR)) is False
    except (OSError, AttributeError):
        return False
