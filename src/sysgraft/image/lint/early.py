"""Files of extensions that something has read before the merge, and will not read again.

systemd-sysext.service runs after local-fs.target and before sysinit.target. By then systemd-udevd
has handled the devices that are there, and does so again only if it is asked to; it looks for
changed rules every three seconds at most, unless it is told (``src/udev/udev-manager.c``).
systemd-sysusers, -sysctl, -binfmt and -modules-load are not ordered after the merge, only
systemd-tmpfiles-setup is (``units/systemd-sysext.service``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.firmware import FIRMWARE
from sysgraft.image.lint.kernel_modules import modules_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene, Subject


class _Reader(NamedTuple):
    """Something that reads files before the merge.

    Attributes:
        folder: the last part of the folder it reads, below ``lib`` or ``etc``.
        suffix: of what it reads there.
        code: of the finding.
        again: what makes it use them after all, as patterns over commands; all are needed.
        problem: what is wrong without.
    """

    folder: bytes
    suffix: bytes
    code: str
    again: tuple[re.Pattern[bytes], ...]
    problem: str


def _note(folder: bytes, program: str) -> _Reader:
    problem = f"{program} may have read its files before they were there"
    pattern = re.compile(rb"\b" + program.encode().removeprefix(b"systemd-") + rb"\b")
    return _Reader(folder, b".conf", "read-before-merge", (pattern,), problem)


_TRIGGER: Final = re.compile(rb"udevadm\s+trigger")
_READERS: Final = (
    _Reader(
        b"udev/rules.d",
        b".rules",
        "udev-rules",
        (re.compile(rb"udevadm\s+control\s[^\n]*(--reload|-R\b)"), _TRIGGER),
        "systemd-udevd has handled the devices that are there without these rules",
    ),
    _Reader(
        b"udev/hwdb.d",
        b".hwdb",
        "hwdb-update",
        (
            re.compile(rb"(systemd-hwdb\s[^\n]*update|udevadm\s+hwdb\s[^\n]*--update)"),
            _TRIGGER,
        ),
        "the hardware database is not made anew from its files and used for devices that are there",
    ),
    _note(b"sysusers.d", "systemd-sysusers"),
    _note(b"sysctl.d", "systemd-sysctl"),
    _note(b"binfmt.d", "systemd-binfmt"),
    _note(b"modules-load.d", "systemd-modules-load"),
    _note(b"ld.so.conf.d", "ldconfig"),
)
_FOLDERS: Final = {Kind.SYSEXT: b"usr/lib/", Kind.CONFEXT: b"etc/"}
_PROBES: Final = re.compile(rb"(udevadm\s+trigger|drivers_probe|reprobe|\bmodprobe\b)")


def check(scene: Scene) -> Iterator[Finding]:
    """What is read too early, unless a unit of the set has it read again."""
    for reader in _READERS:
        if not all(each.search(scene.commands) for each in reader.again):
            yield from _unread(scene, reader)
    if not _PROBES.search(scene.commands):
        yield from _late_devices(scene)


def _unread(scene: Scene, reader: _Reader) -> Iterator[Finding]:
    for subject in scene.subjects:
        for path, inode in subject.below(_FOLDERS[subject.kind] + reader.folder):
            if path.endswith(reader.suffix) and not inode.is_dir:
                yield found(reader.code, reader.problem, subject.file, path=path)


def _late_devices(scene: Scene) -> Iterator[Finding]:
    subjects = scene.of(Kind.SYSEXT)
    for what, files in (
        ("firmware", [each.file for each in subjects if _has_firmware(each)]),
        ("modules", [each.file for each in subjects if next(modules_of(each), None)]),
    ):
        if files:
            problem = f"devices that were found before the merge go without the {what}"
            yield found("late-devices", problem, *files)


def _has_firmware(subject: Subject) -> bool:
    return any(not inode.is_dir for _, inode in subject.below(FIRMWARE))
