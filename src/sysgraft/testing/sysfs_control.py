"""Devices without a machine: a folder that looks like ``/sys``, whose attributes do something.

A `FakeMachine` lays out devices, disks, interfaces and tables of ``/proc`` in a folder, for whoever
reads them, and implements `sysgraft.host.sysfs_control.SysfsControl`: what is written binds and
unbinds drivers as the kernel would. How a device behaves is told for each: which driver takes it,
on which firmware it insists, after which attribute it comes, or that it never does, or that the
kernel does not come back.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sysgraft.errors import OutputError, StuckError, ToolError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """How a device behaves.

    Attributes:
        driver: that takes it; empty for none, whatever is done.
        firmware: file without which the driver does not take it, below ``usr/lib/firmware``.
        thing: ``CLASS/NAME`` that the driver makes; empty for nothing.
        only_after: attribute that has to be written first, by its last part: ``reset``.
        dies_by: attribute at which it goes for good.
    """

    driver: str = ""
    firmware: str = ""
    thing: str = ""
    only_after: str = ""
    dies_by: str = ""


class FakeClock:
    """Time that passes when somebody waits; implements `sysgraft.firmware.reprobe.access.Clock`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        """Seconds since the start."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@dataclass(slots=True)
class FakePrograms:
    """Programs that say they did it; implements `sysgraft.firmware.reprobe.access.Programs`.

    Attributes:
        failures: what the programs say that fail, by their names.
        runs: the command lines, in their order.
    """

    failures: dict[str, str] = field(default_factory=dict)
    runs: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, words: tuple[str, ...], *, seconds: float) -> None:
        """Run nothing.

        Raises:
            ToolError: it is one that fails.
        """
        del seconds
        self.runs.append(words)
        if words[0] in self.failures:
            raise ToolError(self.failures[words[0]])


class FakeMachine:
    """A machine in a folder.

    Args:
        root: the folder that stands for ``/``; it is empty.
        clock: gets ahead where the kernel does not answer.
    """

    def __init__(self, root: Path, clock: FakeClock | None = None) -> None:
        self.root = root
        self.clock = clock or FakeClock()
        self.behaviours: dict[str, Behaviour] = {}
        self.writes: list[tuple[str, str]] = []
        self.refused: dict[str, int] = {}
        self.stuck: set[str] = set()
        self._written: set[tuple[str, str]] = set()
        self._removed: dict[str, str] = {}
        for name in ("bus", "class", "dev/block", "dev/char", "devices", "module"):
            (root / "sys" / name).mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)

    # --- Laying out ------------------------------------------------------------------------------

    def text(self, path: str, text: str) -> None:
        """A file with some text."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def link(self, path: str, target: str) -> None:
        """A link, relative as in sysfs; both paths are relative to the root."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(self.root / target, place.parent))

    def device(
        self,
        key: str,
        path: str,
        behaviour: Behaviour | None = None,
        *,
        bound: str = "",
        **attributes: str,
    ) -> str:
        """A device, ``BUS:NAME``, below ``sys/devices``; gives its path."""
        bus, _, name = key.partition(":")
        full = f"sys/devices/{path}"
        (self.root / full).mkdir(parents=True, exist_ok=True)
        for attribute, value in {"uevent": "", **attributes}.items():
            self.text(f"{full}/{attribute}", f"{value}\n")
        self.link(f"sys/bus/{bus}/devices/{name}", full)
        self.text(f"sys/bus/{bus}/drivers_probe", "")
        self.text(f"sys/bus/{bus}/rescan", "")
        self.behaviours[key] = behaviour or Behaviour(driver=bound)
        if behaviour and behaviour.driver:
            self.driver(bus, behaviour.driver)
        if bound:
            self._bind(key, bound)
        return full

    def driver(self, bus: str, name: str, module: str = "") -> None:
        """A driver, and the module it came with."""
        folder = f"sys/bus/{bus}/drivers/{name}"
        for attribute in ("bind", "unbind"):
            self.text(f"{folder}/{attribute}", "")
        module = (module or name).replace("-", "_")
        (self.root / "sys/module" / module).mkdir(parents=True, exist_ok=True)
        if not (self.root / folder / "module").is_symlink():
            self.link(f"{folder}/module", f"sys/module/{module}")

    def thing(self, name: str, path: str, **attributes: str) -> str:
        """What a driver made, ``CLASS/NAME``, at a path below ``sys/devices``; gives the path."""
        full = f"sys/devices/{path}"
        (self.root / full).mkdir(parents=True, exist_ok=True)
        for attribute, value in attributes.items():
            self.text(f"{full}/{attribute}", f"{value}\n")
        self.link(f"sys/class/{name}", full)
        return full

    def disk(self, name: str, path: str, number: str) -> str:
        """A disk or partition at a path below ``sys/devices``; gives the path."""
        full = self.thing(f"block/{name}", path)
        self.link(f"sys/dev/block/{number}", full)
        return full

    # --- What the kernel does --------------------------------------------------------------------

    def write(self, path: str, value: str, *, seconds: float) -> None:
        """See `SysfsControl.write`."""
        self.writes.append((path, value))
        real = os.path.relpath(os.path.realpath(self.root / path), os.path.realpath(self.root))
        if real in self.stuck:
            self.clock.sleep(seconds)
            raise StuckError("the kernel did not answer", file=f"/{path}")
        if real in self.refused:
            raise OutputError(os.strerror(self.refused[real]), file=f"/{path}")
        if not (self.root / real).is_file():
            raise OutputError("there is no such attribute", file=f"/{path}")
        self._obey(real, value.strip())

    def _obey(self, path: str, value: str) -> None:
        folder, _, attribute = path.rpartition("/")
        parts = path.split("/")
        if parts[1] == "bus":
            self._obey_bus(parts, value)
            return
        key = self._key_at(folder)
        self._written.add((key, attribute))
        if self.behaviours[key].dies_by == attribute:
            self._remove(key)
        elif attribute == "authorized":
            self._authorize(key, folder, value)
        elif attribute == "remove":
            self._removed[key] = folder
            self._unbind(key)
            (self.root / "sys/bus" / key.partition(":")[0] / "devices" / key[4:]).unlink()
        elif attribute == "rescan":
            self._rescan(key.partition(":")[0])
        elif attribute == "uevent":
            self._probe(key)

    def _obey_bus(self, parts: list[str], value: str) -> None:
        bus, action = parts[2], parts[-1]
        key = f"{bus}:{value}"
        if action == "drivers_probe":
            self._probe(key)
        elif action == "unbind":
            self._unbind(key)
        elif action == "bind":
            self._probe(key)
            if not self.bound(key):
                raise OutputError(os.strerror(errno.ENODEV), file="/".join(parts))
        elif action == "rescan":
            self._rescan(bus)

    def _rescan(self, bus: str) -> None:
        for each, path in self._removed.items():
            self.link(f"sys/bus/{bus}/devices/{each.partition(':')[2]}", path)
            self._probe(each)
        self._removed.clear()

    def _authorize(self, key: str, folder: str, value: str) -> None:
        inside = [each for each in self.behaviours if self._path(each).startswith(f"{folder}/")]
        for each in (key, *inside):
            self._written.add((each, "authorized"))
            if value == "0":
                self._unbind(each)
            elif ":" not in key.partition(":")[2]:
                # Drivers of the interfaces of a device are looked for, those of one are not.
                self._probe(each)

    def _probe(self, key: str) -> None:
        behaviour = self.behaviours.get(key)
        if behaviour is None or not self._path(key):
            raise OutputError(os.strerror(errno.ENODEV), file=key)
        wanted = behaviour.only_after
        ready = not wanted or (key, wanted) in self._written
        if behaviour.driver and ready and not self.bound(key) and self._has(behaviour.firmware):
            self._bind(key, behaviour.driver)

    def _has(self, firmware: str) -> bool:
        return not firmware or (self.root / "usr/lib/firmware" / firmware).exists()

    def _bind(self, key: str, driver: str) -> None:
        bus = key.partition(":")[0]
        self.driver(bus, driver)
        self.link(f"{self._path(key)}/driver", f"sys/bus/{bus}/drivers/{driver}")
        thing = self.behaviours[key].thing
        if thing:
            self.thing(thing, f"{self._path(key).removeprefix('sys/devices/')}/{thing}")

    def _unbind(self, key: str) -> None:
        (self.root / self._path(key) / "driver").unlink(missing_ok=True)
        thing = self.behaviours[key].thing
        if thing and (self.root / "sys/class" / thing).is_symlink():
            (self.root / "sys/class" / thing).unlink()

    def _remove(self, key: str) -> None:
        shutil.rmtree(self.root / self._path(key))

    def bound(self, key: str) -> str:
        """The driver of a device; empty for none."""
        link = self.root / self._path(key) / "driver"
        return os.path.basename(os.readlink(link)) if link.is_symlink() else ""

    def bindings(self) -> dict[str, tuple[str, int]]:
        """The driver of each device that has one, and a number that only this binding has."""
        bound = ((each, self.root / self._path(each) / "driver") for each in self.behaviours)
        return {
            key: (os.path.basename(os.readlink(link)), os.lstat(link).st_ctime_ns)
            for key, link in bound
            if link.is_symlink()
        }

    def _path(self, key: str) -> str:
        bus, _, name = key.partition(":")
        link = self.root / "sys/bus" / bus / "devices" / name
        if not link.exists():
            return self._removed.get(key, "")
        return os.path.relpath(os.path.realpath(link), os.path.realpath(self.root))

    def _key_at(self, path: str) -> str:
        return next(each for each in self.behaviours if self._path(each) == path)
