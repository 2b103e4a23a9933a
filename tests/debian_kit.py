"""A Debian folder to change: what is written goes into a folder beside it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

# Runs in a mount namespace of its own. Arguments: LOWER FOLDER "in"|"beside" PROGRAM ARGUMENT…
_ENTER: Final = """
set -eu
mount --make-rprivate /
lower=$1; folder=$2; where=$3; shift 3
mkdir -p "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" \
    "$folder/root"
for name in dev proc sys; do mount --rbind "/$name" "$folder/root/$name"; done
mount -t tmpfs tmpfs "$folder/root/tmp"
[ "$where" = beside ] || exec chroot "$folder/root" "$@"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class ChangedDebian:
    """A Debian folder with an overlay that keeps what programs write."""

    lower: Path
    folder: Path

    @property
    def root(self) -> Path:
        """Where the root is for programs that run beside it."""
        return self.folder / "root"

    def write(self, path: str, content: str | bytes) -> None:
        """A file of the root."""
        place = self.folder / "upper" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)

    def below(self, path: str) -> dict[str, bytes]:
        """The files that were written below a folder, by path."""
        top = self.folder / "upper" / path.lstrip("/")
        return {
            str(each.relative_to(top)): each.read_bytes()
            for each in sorted(top.rglob("*"))
            if each.is_file()
        }

    def run(
        self,
        *words: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        beside: bool = False,
        code: int = 0,
    ) -> str:
        """What a program says, in the root or beside it; its exit code has to be `code`."""
        where = "beside" if beside else "in"
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **(env or {})}
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", _ENTER, "sh", self.lower, self.folder, where, *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=300,
        )
        assert done.returncode == code, f"{words[0]}: {done.stderr}{done.stdout}"
        return done.stdout + done.stderr
