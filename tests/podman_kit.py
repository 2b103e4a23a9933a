"""A Podman of its own: images that it builds or loads, and its socket."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.host.run import locate
from sysgraft.host.unix_http import is_socket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def new_podman(folder: Path) -> Iterator[Podman]:
    """A Podman that keeps its images below `folder`."""
    # Its path may have 50 characters at most.
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as run:
        yield Podman(folder, run)


@dataclass(frozen=True)
class Podman:
    """Podman with storage of its own; nothing of the machine's is seen."""

    folder: Path
    run_folder: str

    def command(self, *words: str | Path) -> list[str]:
        storage = ["--root", f"{self.folder}/root", "--runroot", self.run_folder]
        return [locate("podman"), *storage, "--storage-driver", "vfs", *map(str, words)]

    def run(self, *words: str | Path) -> None:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def build(self, dockerfile: str, tag: str, context: Path) -> None:
        """``docker build``, without a container engine's privileges."""
        path = self.folder / f"Dockerfile.{tag.replace(':', '-')}"
        path.write_text(dockerfile)
        self.run("build", "--isolation=chroot", "--pull=never", "-f", path, "-t", tag, context)

    @contextmanager
    def socket(self) -> Iterator[str]:
        """Its API on a socket; gives what belongs into ``DOCKER_HOST``."""
        path = self.folder / "podman.sock"
        service = self.command("system", "service", "--time=0", f"unix://{path}")
        process = subprocess.Popen(service, stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                if is_socket(str(path)):
                    break
                assert process.poll() is None
                time.sleep(0.05)
            yield f"unix://{path}"
        finally:
            process.kill()
            process.wait()
