"""The files that have a machine re-probe devices once its extensions are merged.

A service that runs once in a boot, after ``systemd-sysext.service``; with names of firmware a path
unit that starts it as soon as one of them is there; and, for nodes without Python, the script that
does the work (``firmware-reprobe.sh``). Two ways to have the service started:

* in the image of a system: ``[Install]``, to be enabled there;
* in an extension: a drop-in with ``Upholds=``. What is in an extension comes after systemd has read
  its units; a ``.wants`` link is not followed then, an upheld unit is started whenever systemd
  reloads them, which it does for extensions with ``EXTENSION_RELOAD_MANAGER=1``.

Both would start a service that failed again and again. Where there is a path unit or an extension,
devices that stay without driver are therefore no failure of the unit; its log tells of them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.firmware.reprobe.names import split_device
from sysgraft.formats.firmware_file import TEXT_SUFFIXES
from sysgraft.host.file_tree import TreeFile, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "sysgraft-firmware-reprobe"
SCRIPT: Final = "usr/lib/sysgraft/firmware-reprobe"
DEFAULT_DEADLINE: Final = 30
MAX_DEADLINE: Final = 3600
PROGRAM: Final = "/usr/bin/sysgraft"
"""Where sysgraft is on the node, unless it is said."""

_UNITS: Final = "usr/lib/systemd/system"
_FIRMWARE: Final = ("/usr/lib/firmware/", "/usr/lib/firmware/updates/")
"""What the kernel looks for, drivers/base/firmware_loader/main.c."""
_FIRMWARE_NAME: Final = re.compile(r"(?!/)(?!.*//)(?!(.*/)?\.\.?(/|$))[!-~]{1,200}")
_MODALIAS: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}:[!-~]{1,500}")
# Needs no quotes: neither blanks nor what systemd replaces in command lines.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:,=+@-]+")
_PATIENCE: Final = 30
"""Seconds that the service has on top of its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOptions:
    """What the units are about.

    Attributes:
        firmware: names of files, as the kernel asks for them; without them nothing is done.
        devices: to be re-probed, as ``BUS:NAME``; without any, those that failed.
        modaliases: patterns of further ones.
        deadline: seconds for all of them.
        script: whether the node has no sysgraft, so that the script does it.
        extension: whether the files go into an extension.
        program: sysgraft on the node.
    """

    firmware: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    modaliases: tuple[str, ...] = ()
    deadline: int = DEFAULT_DEADLINE
    script: bool = False
    extension: bool = False
    program: str = PROGRAM


def files(options: UnitOptions) -> tuple[TreeFile, ...]:
    """The files, in the order of their paths.

    Raises:
        UsageError: a name or pattern is none, or the script has nothing to do.
    """
    _check(options)
    return tuple(sorted(_files(options)))


def write_units(output: str, options: UnitOptions, *, replace: bool = False) -> tuple[str, ...]:
    """Write the files below a folder, which is made.

    Returns:
        Their paths.

    Raises:
        UsageError: see `files`.
        OutputError: one is there already, or cannot be written.
    """
    return write_files(output, files(options), replace=replace)


def _check(options: UnitOptions) -> None:
    for name in options.firmware:
        if not _FIRMWARE_NAME.fullmatch(name):
            raise UsageError(
                f"not a name of firmware: {name!r}",
                hint="it is relative to the kernel's folder: rtw88/rtw8821a_fw.bin",
            )
    for pattern in options.modaliases:
        if not _MODALIAS.fullmatch(pattern):
            raise UsageError(f"not a pattern of a modalias: {pattern!r}")
    for device in options.devices:
        split_device(device)
    if not 1 <= options.deadline <= MAX_DEADLINE:
        raise UsageError(f"a deadline of {options.deadline} seconds; 1 to {MAX_DEADLINE} will do")
    if options.script and not (options.devices or options.modaliases):
        raise UsageError(
            "the script does not look for devices that failed",
            hint="name them with --device or --modalias",
        )


def _files(options: UnitOptions) -> Iterator[TreeFile]:
    yield TreeFile(f"{_UNITS}/{NAME}.service", _service(options).encode())
    if options.firmware:
        yield TreeFile(f"{_UNITS}/{NAME}.path", _path_unit(options).encode())
    if options.extension:
        drop_in = f"[Unit]\nUpholds={_started(options)}\n"
        yield TreeFile(f"{_UNITS}/multi-user.target.d/50-{NAME}.conf", drop_in.encode())
    if options.script:
        yield TreeFile(SCRIPT, _asset("firmware-reprobe.sh").encode(), 0o755)


def _started(options: UnitOptions) -> str:
    """The unit that something else has to start."""
    return f"{NAME}.path" if options.firmware else f"{NAME}.service"


def _service(options: UnitOptions) -> str:
    lines = [
        "[Unit]",
        "Description=Drivers for devices whose firmware came with an extension",
        "After=systemd-sysext.service systemd-udev-trigger.service",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={' '.join(map(_quoted, _command(options)))}",
        f"TimeoutStartSec={options.deadline + _PATIENCE}",
        "RuntimeDirectory=sysgraft",
        "RuntimeDirectoryPreserve=yes",
    ]
    if options.firmware or options.extension:
        lines += ["# A device that stays without driver: started again, it would have none either."]
        lines += ["SuccessExitStatus=1"]
    own = "sandbox-script.conf" if options.script else "sandbox-python.conf"
    lines += [_asset("sandbox.conf").rstrip(), _asset(own).rstrip()]
    return _unit(lines, installed=not (options.firmware or options.extension))


def _path_unit(options: UnitOptions) -> str:
    paths = [
        f"PathExists={folder}{_escaped(name)}{suffix}"
        for name in options.firmware
        for folder in _FIRMWARE
        for suffix in TEXT_SUFFIXES
    ]
    lines = ["[Unit]", "Description=Firmware that came with an extension"]
    lines += ["After=systemd-sysext.service", "", "[Path]", *paths]
    return _unit(lines, installed=not options.extension)


def _unit(lines: list[str], *, installed: bool) -> str:
    if installed:
        lines = [*lines, "", "[Install]", "WantedBy=multi-user.target"]
    return "\n".join([*lines, ""])


def _command(options: UnitOptions) -> list[str]:
    named = [("--device", each) for each in options.devices]
    named += [("--modalias", each) for each in options.modaliases]
    shared = [("--deadline", str(options.deadline))]
    shared += [("--file", each) for each in options.firmware]
    words = [word for pair in shared + named for word in pair]
    if options.script:
        return [f"/{SCRIPT}", *words]
    everything = [] if named else ["--all-failed"]
    return [options.program, "firmware", "reprobe", "--after-merge", *everything, *words]


def _quoted(word: str) -> str:
    """A word of a command line, systemd.service(5)."""
    if _PLAIN.fullmatch(word):
        return word
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """Without specifiers, systemd.unit(5)."""
    return text.replace("%", "%%")


def _asset(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()
