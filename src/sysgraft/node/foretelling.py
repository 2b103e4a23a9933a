"""Whether one image would end the merge of all, by the rules of `sysgraft.image.lint.preflight`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.base.progress import NoProgress
from sysgraft.errors import InputError
from sysgraft.formats.extension_release import FILE_PREFIX
from sysgraft.host.places import real_path
from sysgraft.image.lint.preflight import Outcome, Target, preflight
from sysgraft.image.lint.subjects import Opened
from sysgraft.node.host import this_host
from sysgraft.node.masking import is_mask
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
        return "" if is_mask(real) or _has_release(real, kind) else "it has no release file"
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


def _has_release(folder: str, kind: Kind) -> bool:
    try:
        names = os.listdir(os.path.join(os.fsencode(folder), kind.directory))
    except OSError:
        return False
    return any(name.startswith(FILE_PREFIX) for name in names)
