"""Names and tokens as systemd 257's kernel-install and bootctl have them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from kernel_kit import MACHINE_ID, make_system

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13
    from kernel_kit import System

pytestmark = [pytest.mark.root, pytest.mark.oracle("debian-13")]

# A folder that is mounted passes for a partition.
_INSPECT: Final = """
mount --bind /mnt/efi /mnt/efi
SYSTEMD_RELAX_ESP_CHECKS=1 kernel-install --root=/mnt --esp-path=/efi --json=short \\
    inspect 6.1 /vmlinuz
"""


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"etc/machine-id": "uninitialized\n"},
        {"etc/machine-id": "0" * 32 + "\n"},
        {"etc/kernel/entry-token": "written\n"},
        {"etc/kernel/entry-token": "first\nsecond\n"},
        {"etc/kernel/entry-token": "a/b\n"},
        {"etc/kernel/entry-token": "\n"},
        {"etc/machine-id": "", "etc/os-release": "ID=kit\nIMAGE_ID=image\n"},
    ],
)
def test_the_token_is_the_same(debian13: Debian13, tmp_path: Path, files: dict[str, str]) -> None:
    system: System = make_system(tmp_path)
    system.write("vmlinuz", b"kernel")
    (system.path / "boot").mkdir()
    (system.path / "usr/lib/kernel/install.d").mkdir(parents=True)
    for path, text in files.items():
        system.write(path, text)
    done = debian13.run(["sh", "-c", _INSPECT], binds={system.path: "/mnt"})
    said = json.loads(done.stdout)
    assert system.partition().token == said["EntryToken"]
    if not files:
        assert said["EntryToken"] == MACHINE_ID
