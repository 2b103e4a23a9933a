"""New FAT volumes as fsck.fat and mtools see them."""

from __future__ import annotations

import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from pieces_kit import blob, joined
from sysgraft.formats.fat_layout import MIB
from sysgraft.formats.fat_writer import NewFile, VolumeOptions, VolumePlan, plan_volume

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.oracle("mcopy"),
    pytest.mark.oracle("mdir"),
    pytest.mark.oracle("minfo"),
    pytest.mark.oracle("fsck.fat"),
]

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "MTOOLSRC": os.devnull}
FORMS = [(None, 512), (None, 4096), (3 * MIB, 512), (32 * MIB, 512), (64 * MIB, 4096),
         (261 * MIB, 512)]  # fmt: skip
WORDS = ["EFI", "linux", "boots", "größe", "a b", "firmware-of-many-letters", "x.y.z", ".d", "€"]


def run(*words: str | Path) -> str:
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def tree(seed: int) -> dict[str, bytes]:
    chance = random.Random(seed)
    found = {}
    for number in range(chance.randrange(1, 150)):
        folders = [chance.choice(WORDS) for _ in range(chance.randrange(3))]
        size = chance.choice([0, 1, 511, 512, 513, 5000, 20_000])
        found["/".join([*folders, f"{chance.choice(WORDS)} {number}.raw"])] = chance.randbytes(size)
    return found


def written(plan: VolumePlan, path: Path) -> Path:
    path.write_bytes(joined(plan.pieces(), plan.size))
    return path


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_volume_is_clean_and_holds_every_file(
    form: tuple[int | None, int], tmp_path: Path
) -> None:
    for seed in range(4):
        files = {**tree(seed), "EFI/BOOT/BOOTX64.EFI": b"MZ" * 9999}
        options = VolumeOptions(
            label="A VOLUME", serial=0x1234_ABCD, time=1_700_000_000, sector_size=form[1]
        )
        plan = plan_volume([NewFile(p, blob(d)) for p, d in files.items()], options, size=form[0])
        image = written(plan, tmp_path / "image")
        told = run("fsck.fat", "-n", "-v", image)
        assert f"{plan.used}/{plan.layout.clusters} clusters" in told
        # It warns where boot sectors, tables or counts differ.
        assert not [line for line in told.splitlines() if "differ" in line or "rong" in line], told
        listed = run("mdir", "-/", "-b", "-a", "-i", image, "::/").splitlines()
        assert {line.removeprefix("::/") for line in listed if not line.endswith("/")} == set(files)
        assert "1234-ABCD" in run("mdir", "-i", image, "::/")
        for path, data in files.items():
            target = tmp_path / "copy"
            run("mcopy", "-n", "-i", image, f"::/{path}", target)
            assert target.read_bytes() == data
            target.unlink()


def test_mtools_writes_into_a_new_volume(tmp_path: Path) -> None:
    plan = plan_volume([NewFile("loader/loader.conf", blob(b"timeout 0\n"))])
    image = written(plan, tmp_path / "image")
    (tmp_path / "more").write_bytes(b"more" * 9999)
    run("mcopy", "-i", image, tmp_path / "more", "::/loader/another file.conf")
    run("fsck.fat", "-n", image)
    assert "loader.conf" in run("mdir", "-b", "-i", image, "::/loader")
