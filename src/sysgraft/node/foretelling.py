"""Whether one image would end the merge of all, by the rules of `sysgraft.image.lint.preflight`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base.progress import NoProgress
from sysgraft.errors import InputError
from sysgraft.image.lint.preflight import Outcome, Target, preflight
from sysgraft.image.lint.subjects import Opened
from sysgraft.node.host import this_host
from sysgraft.node.trust import systemd_trust

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def refusal(path: str, target: Target) -> str:
    """Why systemd would end the merge because of an image; empty if it would not."""
    try:
        opened = Opened([path], target.release)
        merges = preflight(opened.subjects, target, NoProgress())
    except InputError as error:
        return error.message
    fates = (fate for merge in merges for fate in merge.fates)
    return next((fate.reason for fate in fates if fate.outcome is Outcome.REFUSED), "")
