"""A kernel's log, folded: which files came, which did not, in the end.

Later messages count more: a file that came at the second try has come. A driver that says its
firmware runs without saying which file it is has its missed files marked as cured. What tells one
machine from another of its kind is taken out on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.firmware.inventory import Failure, Loaded
from sysgraft.firmware.message_rules import Meaning
from sysgraft.firmware.messages import understand
from sysgraft.firmware.privacy import redact
from sysgraft.formats.kmsg import KERNEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.firmware.device_names import DeviceNames
    from sysgraft.firmware.messages import Said
    from sysgraft.formats.kmsg import Record

MAX_FACTS: Final = 20_000
"""Files and messages that are kept of a log: a machine loads some dozens."""

_VERSION: Final = re.compile(r"Linux version (\S{1,64}) ")
_COMMAND_LINE: Final = re.compile(
    r"(?:Kernel command|Command) line: .*\bfirmware_class\.path=(\S+)"
)
_FOLDERS: Final = ("/lib/firmware/", "/usr/lib/firmware/")
_RELEASE: Final = re.compile(r"\d+\.\d+[^/]*/")
_SUFFIXES: Final = (".zst", ".xz")


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log tells.

    Attributes:
        loaded: files that came, sorted by name.
        failures: files that did not, in the log's order; without a name, what drivers said of it.
        declared: files an initrd was made without, because a module names them.
        kernel: release of the kernel that wrote the log; empty where it does not say.
        firmware_path: ``firmware_class.path`` on its command line; likewise.
        messages: how many there were.
    """

    loaded: tuple[Loaded, ...] = ()
    failures: tuple[Failure, ...] = ()
    declared: tuple[str, ...] = ()
    kernel: str = ""
    firmware_path: str = ""
    messages: int = 0


def read_log(records: Iterable[Record], names: DeviceNames, *, firmware_path: str = "") -> LogFacts:
    """Fold a log.

    Args:
        records: its messages, in order.
        names: of devices.
        firmware_path: ``firmware_class.path``, where it is known from elsewhere.
    """
    folding = _Folding(names, firmware_path)
    for record in records:
        folding.add(record)
    return folding.result()


@dataclass(slots=True)
class _File:
    """What is known so far of a file that a device asked for, or of a device's fate."""

    said: Said
    device: str
    name: str
    has_come: bool
    path: str = ""
    sha256: str = ""
    error: int = 0
    cured: bool = False


@dataclass(slots=True)
class _Folding:
    names: DeviceNames
    firmware_path: str
    kernel: str = ""
    count: int = 0
    declared: dict[str, None] = field(default_factory=dict)
    files: dict[tuple[str, str], _File] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.count += 1
        if record.origin == KERNEL:
            self._about_kernel(record.text)
        for said in understand(record):
            device = self.names.find(record.device, said.device)
            if len(self.files) < MAX_FACTS:
                self._take(said, device)

    def _about_kernel(self, text: str) -> None:
        if not self.kernel and (found := _VERSION.match(text)) is not None:
            self.kernel = found[1]
        elif not self.firmware_path and (found := _COMMAND_LINE.match(text)) is not None:
            self.firmware_path = found[1]

    def _take(self, said: Said, device: str) -> None:
        name = said.name or name_of_path(said.path, self.firmware_path)
        if said.meaning is Meaning.DECLARED:
            self.declared[redact(name)] = None
        elif said.meaning is Meaning.CAME_UP:
            self._cure(device, said)
        elif said.meaning is Meaning.LOADED:
            self._came(said, device, name)
        elif said.meaning is Meaning.FAILED:
            self._missed(said, device, name)
        else:
            # By the rule: a device says it once for every try.
            self.files[device or said.driver, f"\n{said.rule.pattern}"] = _File(
                said, device, "", has_come=False, error=said.error
            )

    def _came(self, said: Said, device: str, name: str) -> None:
        known = self.files.get((device or said.driver, name))
        known = known if known is not None and known.has_come else None
        self.files[device or said.driver, name] = _File(
            said,
            device,
            name,
            has_come=True,
            path=said.path or (known.path if known else ""),
            sha256=said.sha256 or (known.sha256 if known else ""),
        )

    def _missed(self, said: Said, device: str, name: str) -> None:
        key = device or said.driver, name
        known = self.files.get(key)
        if known is None or known.has_come:
            self.files[key] = _File(said, device, name, has_come=False, error=said.error)
            return
        known.error = known.error or said.error
        known.cured = False
        if known.said.is_core and not said.is_core:
            known.said = said

    def _cure(self, device: str, said: Said) -> None:
        for (owner, name), file in list(self.files.items()):
            if owner != (device or said.driver) or file.has_come:
                continue
            if name.startswith("\n"):
                del self.files[owner, name]
            else:
                file.cured = True

    def result(self) -> LogFacts:
        found = list(self.files.values())
        missed = {file.device or file.said.driver for file in found if file.name}
        loaded = [_loaded(file) for file in found if file.has_come]
        return LogFacts(
            tuple(sorted(loaded, key=lambda each: (each.name, each.device))),
            tuple(
                _failure(file)
                for file in found
                if not file.has_come
                and (
                    file.said.meaning is not Meaning.BROKEN
                    or (file.device or file.said.driver) in missed
                )
            ),
            tuple(self.declared),
            self.kernel,
            self.firmware_path,
            self.count,
        )


def _loaded(file: _File) -> Loaded:
    return Loaded(redact(file.name), redact(file.path), file.sha256, file.device)


def _failure(file: _File) -> Failure:
    return Failure(
        redact(file.name),
        redact(file.said.message),
        file.device,
        file.said.driver,
        file.error,
        file.cured,
    )


def name_of_path(path: str, firmware_path: str = "") -> str:
    """The name a driver asked for, of the file that the kernel tried.

    A folder that is named like a kernel's release is taken for one; no driver's firmware is in one.
    """
    for suffix in _SUFFIXES:
        path = path.removesuffix(suffix)
    custom = firmware_path.rstrip("/") + "/" if firmware_path else ""
    if custom and path.startswith(custom):
        return path[len(custom) :]
    for folder in _FOLDERS:
        if path.startswith(folder):
            rest = path[len(folder) :].removeprefix("updates/")
            found = _RELEASE.match(rest)
            return rest[found.end() :] if found else rest
    return path.lstrip("/")
