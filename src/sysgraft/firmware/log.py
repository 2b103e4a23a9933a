"""A kernel's log, folded: which files came, which did not, in the end.

Later messages count more: a file that came at the second try has come. A driver that says its
firmware runs without saying which file it is has its missed files marked as cured. Of a log of
several starts the last one counts. What tells one machine from another of its kind is taken out on
the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.firmware.inventory import Failure, Loaded
from sysgraft.firmware.message_rules import Meaning
from sysgraft.firmware.messages import understand
from sysgraft.firmware.privacy import redact
from sysgraft.formats import firmware_file
from sysgraft.formats.kmsg import KERNEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.firmware.device_names import DeviceNames
    from sysgraft.firmware.messages import Said
    from sysgraft.formats.kmsg import Record

MAX_FACTS: Final = 20_000
"""Files and messages that are kept of a log: a machine loads some dozens."""

# A kernel says its version in its first moments; people paste it anywhere.
_FIRST_MOMENTS: Final = 1_000_000
_VERSION: Final = re.compile(r"Linux version (\S{1,64}) ")
_COMMAND_LINE: Final = re.compile(
    r"(?:Kernel command|Command) line: .*\bfirmware_class\.path=(\S+)"
)
_FOLDERS: Final = ("/lib/firmware/", "/usr/lib/firmware/")
_RELEASE: Final = re.compile(r"\d+\.\d+[^/]*/")


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
    """What is known so far of a file that a device asked for, or of a device's fate.

    Attributes:
        said: the message that counts.
        device: ``BUS:NAME``; empty where nobody knows.
        name: of the file; empty for what a driver said without naming one.
        at: number of the message that said so last.
    """

    said: Said
    device: str
    name: str
    at: int
    has_come: bool = False
    path: str = ""
    sha256: str = ""
    error: int = 0

    @property
    def owner(self) -> str:
        """Whose it is: the device's, or that driver's of which no device is known."""
        return self.device or self.said.driver


@dataclass(slots=True)
class _Folding:
    names: DeviceNames
    firmware_path: str
    kernel: str = ""
    count: int = 0
    declared: dict[str, None] = field(default_factory=dict)
    files: dict[tuple[str, str], _File] = field(default_factory=dict)
    cured: dict[str, int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.count += 1
        if record.origin == KERNEL:
            self._about_kernel(record)
        for said in understand(record):
            device = self.names.find(record.device, said.device)
            if len(self.files) < MAX_FACTS:
                self._take(said, device)

    def _about_kernel(self, record: Record) -> None:
        if (found := _VERSION.match(record.text)) is not None:
            starts = record.time is not None and record.time < _FIRST_MOMENTS
            if starts:
                self.files.clear()
                self.cured.clear()
            if starts or not self.kernel:
                self.kernel = found[1]
        elif not self.firmware_path and (found := _COMMAND_LINE.match(record.text)) is not None:
            self.firmware_path = found[1]

    def _take(self, said: Said, device: str) -> None:
        name = said.name or name_of_path(said.path, self.firmware_path)
        if said.meaning is Meaning.DECLARED:
            self.declared[redact(name)] = None
        elif said.meaning is Meaning.CAME_UP:
            self.cured[device or said.driver] = self.count
        elif said.meaning is Meaning.LOADED:
            self._came(said, device, name)
        elif said.meaning is Meaning.FAILED:
            self._missed(said, device, name)
        else:
            # By the rule: a device says it once for every try.
            key = device or said.driver, f"\n{said.rule.pattern}"
            self.files[key] = _File(said, device, "", self.count, error=said.error)

    def _came(self, said: Said, device: str, name: str) -> None:
        known = self.files.get((device or said.driver, name))
        known = known if known is not None and known.has_come else None
        self.files[device or said.driver, name] = _File(
            said,
            device,
            name,
            self.count,
            has_come=True,
            path=said.path or (known.path if known else ""),
            sha256=said.sha256 or (known.sha256 if known else ""),
        )

    def _missed(self, said: Said, device: str, name: str) -> None:
        key = device or said.driver, name
        known = self.files.get(key)
        if known is None or known.has_come:
            self.files[key] = _File(said, device, name, self.count, error=said.error)
            return
        known.error = known.error or said.error
        known.at = self.count
        if known.said.is_core and not said.is_core:
            known.said = said

    def _is_cured(self, file: _File) -> bool:
        return self.cured.get(file.owner, 0) > file.at

    def _counts(self, file: _File, missed: set[str]) -> bool:
        """Whether something did not come: a file, or what a driver says without naming one."""
        if file.has_come or file.name:
            return not file.has_come
        if self._is_cured(file):
            return False
        return file.said.meaning is not Meaning.BROKEN or file.owner in missed

    def result(self) -> LogFacts:
        found = list(self.files.values())
        missed = {file.owner for file in found if file.name}
        loaded = [_loaded(file) for file in found if file.has_come]
        return LogFacts(
            tuple(sorted(loaded, key=lambda each: (each.name, each.device))),
            tuple(
                _failure(file, cured=self._is_cured(file))
                for file in found
                if self._counts(file, missed)
            ),
            tuple(self.declared),
            self.kernel,
            self.firmware_path,
            self.count,
        )


def _loaded(file: _File) -> Loaded:
    return Loaded(redact(file.name), redact(file.path), file.sha256, file.device)


def _failure(file: _File, *, cured: bool) -> Failure:
    return Failure(
        redact(file.name),
        redact(file.said.message),
        file.device,
        file.said.driver,
        file.error,
        cured,
    )


def name_of_path(path: str, firmware_path: str = "") -> str:
    """The name a driver asked for, of the file that the kernel tried.

    A folder that is named like a kernel's release is taken for one; no driver's firmware is in one.
    """
    for suffix in firmware_file.TEXT_SUFFIXES:
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
