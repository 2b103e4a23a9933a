"""One activation, as the unit of a node runs it, of a system in a folder.

    python benchmarks/node_activate.py ROOT

The folder has the files of a system that runs: store, os-release, certificates, ``/run``.
"""

from __future__ import annotations

import sys

from sysgraft.node.activate import activate
from sysgraft.node.node import Node, NodeOptions


def main(root: str) -> int:
    """Activate; 1 if an image is left out."""
    result = activate(Node(NodeOptions(root=root, running=True)))
    return 0 if result.ok and result.images else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
