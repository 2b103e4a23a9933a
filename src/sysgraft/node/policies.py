"""The image policy of a node: that of its mode, with all that the administrator has set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.node.administrator import own_policies
from sysgraft.node.modes import policy

if TYPE_CHECKING:
    from sysgraft.formats.extension_release import Kind
    from sysgraft.node.node import Node


def node_policy(node: Node, kind: Kind) -> str:
    """The image policy of a node for a kind of extensions.

    Raises:
        UsageError: the policies that are set have nothing in common.
    """
    settings = node.settings
    own = [settings.image_policy] if settings.image_policy else []
    own += own_policies(node.root, kind)
    return policy(settings.mode, kind, unsigned=settings.unsigned, own=own)
