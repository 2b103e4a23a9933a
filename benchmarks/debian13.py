"""Debian 13 programs as commands to measure, by chroot in the folder of `scripts/setup-oracles`.

Temporary files are in memory, like everything else. It needs root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firmware_tree import DEBIAN_13

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Runs in a mount namespace of its own. Arguments: ROOT [HOST GUEST]… -- PROGRAM ARGUMENT…
ENTER: Final = """
mount --make-rprivate /
root=$1; shift
mount --bind "$root" "$root"
for folder in dev proc sys; do mount --rbind "/$folder" "$root/$folder"; done
for folder in run tmp var/tmp mnt; do mount -t tmpfs -o size=80% tmpfs "$root/$folder"; done
while [ "$1" != -- ]; do mkdir -p "$root$2"; mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"""


def inside(argv: Sequence[str], binds: Mapping[Path, str]) -> list[str]:
    """The arguments that run `argv` inside, with folders bound in, from here to there."""
    pairs = [str(part) for pair in binds.items() for part in pair]
    return ["unshare", "-m", "sh", "-euc", ENTER, "sh", str(DEBIAN_13), *pairs, "--", *argv]
