"""Kernel commands that are cut short at any step: something boots, and the command finishes later.

What a disk can hold after a real power cut is another test's matter (tests/boot).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from kernel_kit import MACHINE_ID, UKIS, System, make_system, uki
from steps_kit import STEPS, PowerCutError, Steps, half_copied
from sysgraft.errors import SysgraftError
from sysgraft.formats.efivar import GLOBAL_VARIABLE
from sysgraft.host import renaming
from sysgraft.kernel import removal, trial
from sysgraft.kernel.naming import kernel_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OLD: Final = f"{MACHINE_ID}-6.1.efi"
NEW: Final = f"{MACHINE_ID}-6.2"
BODIES: Final = {"6.1": b"old", "6.2": b"new", "6.2 again": b"again"}


@dataclass(frozen=True)
class Command:
    """Something that is cut short.

    Attributes:
        run: does it.
        prepare: what was done before.
    """

    run: Callable[[System], object]
    prepare: Callable[[System], object] = lambda _: None


def install(version: str, body: str = "", **more: Any) -> Callable[[System], object]:
    def run(system: System) -> object:
        extra = system.outside / "fw.sysext.raw"
        extra.write_bytes(b"fw")
        image = system.outside / "new.efi"
        image.write_bytes(uki(version, body=BODIES[body or version]))
        return system.install(image, extras=(str(extra),), **more)

    return run


def classic(system: System) -> object:
    for name in ("vmlinuz", "initrd.img"):
        (system.outside / name).write_bytes(name.encode())
    return system.install(
        system.outside / "vmlinuz",
        version="6.2",
        layout="bls",
        initrds=(str(system.outside / "initrd.img"),),
        cmdline="quiet",
    )


def remove(system: System) -> object:
    return removal.remove(system.partition(), kernel_name(MACHINE_ID, "6.2"))


def bless(system: System) -> object:
    return trial.bless(system.variables)


def on_trial(system: System) -> None:
    install("6.2", boot_entry=True, default="once")(system)
    system.variables.remove("BootNext", GLOBAL_VARIABLE)
    system.boot(f"{NEW}.efi", number=0)


COMMANDS: Final = {
    "install": Command(install("6.2")),
    "install with tries": Command(install("6.2", tries=3)),
    "replace": Command(install("6.2", "6.2 again"), install("6.2")),
    "replace by one with tries": Command(install("6.2", "6.2 again", tries=3), install("6.2")),
    "install for a trial": Command(install("6.2", boot_entry=True, default="once")),
    "install as the default": Command(install("6.2", boot_entry=True, default="now")),
    "install a classic one": Command(classic),
    "remove": Command(remove, install("6.2", boot_entry=True)),
    "remove a classic one": Command(remove, classic),
    "bless": Command(bless, on_trial),
}


def run_cut(system: System, command: Command, steps: Steps) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, steps.wrap(name, getattr(os, name)))
        patch.setattr(shutil, "rmtree", steps.wrap("rmtree", shutil.rmtree))
        for module in ("esp_sets", "esp_files"):
            exchange = steps.wrap("exchange", renaming.exchange)
            patch.setattr(f"sysgraft.node.{module}.exchange", exchange)
            patch.setattr(f"sysgraft.node.{module}.copy_synced", half_copied(steps))
        syncing = steps.wrap("sync", renaming.sync_all)
        patch.setattr("sysgraft.node.leftovers.sync_all", syncing)
        try:
            command.run(system)
        except (PowerCutError, SysgraftError):
            return


def state(system: System) -> tuple[dict[str, object], dict[str, object]]:
    """What the partition holds, and what firmware and loader were told."""
    files: dict[str, object] = {
        path: (system.esp / path).read_bytes()
        for path in system.files()
        if "SYSGRAFT.NEW" not in path
    }
    told: dict[str, object] = {name: system.numbers(name) for name in ("BootOrder", "BootNext")}
    told |= {name: system.said_to_loader(name) for name in ("LoaderEntryDefault",)}
    return files, told


def check(system: System, label: str) -> None:
    """Every UKI is whole, the old one is there, and no list leads to nothing."""
    whole = {uki("6.1", body=b"old"), uki("6.2", body=b"new"), uki("6.2", body=b"again")}
    folder = system.esp / UKIS
    for path in folder.glob("*.efi"):
        assert path.read_bytes() in whole, f"{label}: {path.name}"
    assert (folder / OLD).exists(), label
    for path in (system.esp / "loader/entries").glob("*.conf"):
        names = {"linux", "initrd.img"}
        assert {e.name for e in (system.esp / MACHINE_ID / "6.2").iterdir()} == names, label
        assert path.read_text().endswith("initrd.img\n"), label
    entries = system.variables.names(GLOBAL_VARIABLE)
    for number in (*system.numbers("BootOrder"), *system.numbers("BootNext")):
        assert f"Boot{number:04X}" in entries, label


def systems(tmp_path: Path, command: Command) -> Iterator[System]:
    first = make_system(tmp_path / "first")
    first.install(first.kernel("6.1", body=b"old"))
    first.boot(OLD)
    command.prepare(first)
    number = 0
    while True:
        number += 1
        place = tmp_path / f"system-{number}"
        shutil.copytree(tmp_path / "first", place, symlinks=True)
        yield System(place / "root", place / "outside")
        shutil.rmtree(place)


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "failure"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_step(tmp_path: Path, name: str, *, cut: bool) -> None:
    command = COMMANDS[name]
    made = systems(tmp_path, command)
    system = next(made)
    whole = Steps()
    run_cut(system, command, whole)
    wanted = state(system)
    assert whole.done > 3
    for at in range(1, whole.done + 1):
        system = next(made)
        label = f"{whole.names[at - 1]}, step {at} of {whole.done}"
        run_cut(system, command, Steps(at=at, cut=cut))
        check(system, label)
        if name == "install for a trial" and (system.esp / UKIS / f"{NEW}.efi").exists():
            assert system.said_to_loader("LoaderEntryDefault") == OLD, label
        command.run(system)
        assert state(system) == wanted, f"{label}, and once more"
        stages = list(system.esp.rglob("SYSGRAFT.NEW/*"))
        assert not stages, label
