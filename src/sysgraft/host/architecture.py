"""Which architecture this machine has."""

from __future__ import annotations

import os

from sysgraft.base import arch


def this_architecture() -> str:
    """What the kernel says (uname(2)), in systemd's spelling.

    Raises:
        UsageError: it has one that no image is for.
    """
    return arch.normalize(os.uname().machine)
