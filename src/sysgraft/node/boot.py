"""Which boot entry this system was started by, and what may be believed of its command line.

Told by systemd-boot and systemd-stub in EFI variables (the Boot Loader Interface, and
systemd-stub(7)), by immucore in ``/run/cos`` where there is no such boot loader, or by nobody: then
only what is enabled for every entry counts. Variables of the boot loader are volatile; they say
nothing that a signature depends on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.errors import InputError
from sysgraft.formats import bls
from sysgraft.formats.efivar import GLOBAL_VARIABLE, text_of
from sysgraft.host.sysfs import read_text
from sysgraft.node.layout import COMMON, Role, is_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.host.efivars import EfiVariables
    from sysgraft.host.sysfs import Sysfs

LOADER_VARIABLES: Final = UUID("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
"""The vendor of the Boot Loader Interface's variables."""

_SENTINELS: Final = "run/cos"
_MODES: Final = {
    "active_mode": "active",
    "passive_mode": "passive",
    "recovery_mode": "recovery",
    "autoreset_mode": "autoreset",
}
"""Files that immucore makes in `_SENTINELS`, and the entry each stands for."""
_STUB_VARIABLES: Final = (
    "StubInfo",
    "StubFeatures",
    "StubImageIdentifier",
    "StubDevicePartUUID",
    "StubPcrKernelImage",
    "StubPcrKernelParameters",
)
"""What systemd-stub sets (systemd-stub(7)), each since a release of its own."""
_FIRMWARE: Final = "sys/firmware/efi"
"""Where Linux shows the firmware, if it was started by UEFI."""
_CMDLINE: Final = "proc/cmdline"
_MAX_CMDLINE: Final = 64 << 10
_SUFFIXES: Final = (".conf", ".efi")


class Boot(NamedTuple):
    """How this system was started.

    Attributes:
        entry: name of the boot entry, without suffix and counter; empty if nobody knows.
        role: what such an entry is there for; None if that is not known.
        source: who told the entry.
        by_stub: whether systemd-stub started the kernel, or Secure Boot is on, so that somebody
            signed or measured what runs; also where that cannot be told.
        cmdline: the kernel's command line.
        notes: what could not be read.
    """

    entry: str = ""
    role: Role | None = None
    source: str = ""
    by_stub: bool = False
    cmdline: str = ""
    notes: tuple[str, ...] = ()

    @property
    def profiles(self) -> tuple[str, ...]:
        """The folders of links that count for this boot, the most particular first."""
        found = [self.entry, str(self.role or ""), COMMON]
        return tuple(dict.fromkeys(filter(None, found)))


def read_boot(
    files: Sysfs,
    variables: EfiVariables | None,
    role_of: Callable[[str], Role | None],
) -> Boot:
    """How the system was started.

    Args:
        files: of the system.
        variables: of its firmware; None where there are none.
        role_of: what an entry is there for.
    """
    notes: list[str] = []
    entry, source = _entry(files, variables, notes)
    return Boot(
        entry=entry,
        role=role_of(entry) if entry else None,
        source=source,
        by_stub=_is_by_stub(files, variables, notes),
        cmdline=read_text(files, _CMDLINE, _MAX_CMDLINE),
        notes=tuple(dict.fromkeys(notes)),
    )


def _entry(files: Sysfs, variables: EfiVariables | None, notes: list[str]) -> tuple[str, str]:
    for name in ("LoaderEntrySelected", "StubImageIdentifier", "LoaderImageIdentifier"):
        value = _variable(variables, name, notes)
        entry = entry_name(value)
        if entry and not is_entry(entry):
            notes.append(f"the EFI variable {name} names no boot entry")
        elif entry:
            return entry, name
    present = [_MODES[name] for name in files.names(_SENTINELS) if name in _MODES]
    if len(present) == 1:
        return present[0], f"/{_SENTINELS}"
    return "", ""


def _is_by_stub(files: Sysfs, variables: EfiVariables | None, notes: list[str]) -> bool:
    """Whether a stub started the kernel; where that cannot be told, what is stricter is taken."""
    if variables is None:
        if not files.names(_FIRMWARE):
            return False
        notes.append("there is UEFI, and its variables cannot be read: taken as started by a stub")
        return True
    try:
        found = [variables.read(name, LOADER_VARIABLES) for name in _STUB_VARIABLES]
    except InputError as error:
        notes.append(f"variables of the stub cannot be read, it is taken to be there: {error}")
        return True
    # Whatever is in them: one that somebody stored keeps the stub from setting its own.
    return any(each is not None for each in found) or _is_enforcing(variables)


def _is_enforcing(variables: EfiVariables) -> bool:
    """Whether Secure Boot is on: then somebody signed what was started, stub or not."""
    try:
        state = variables.read("SecureBoot", GLOBAL_VARIABLE)
    except InputError:
        return True
    return state is not None and state.data == b"\1"


def _variable(variables: EfiVariables | None, name: str, notes: list[str]) -> str:
    """A variable's text; empty where there is none, or it cannot be read."""
    if variables is None:
        return ""
    try:
        found = variables.read(name, LOADER_VARIABLES)
    except InputError as error:
        notes.append(f"the EFI variable {name} cannot be read: {error.message}")
        return ""
    if found is None:
        return ""
    return text_of(found.data)


def entry_name(identifier: str) -> str:
    r"""The name of an entry from the file or path a boot loader tells.

    ``active+2-1.conf``, ``\EFI\kairos\active.efi`` and ``active`` are all ``active``.
    """
    file = identifier.replace("\\", "/").rpartition("/")[2]
    # A profile of an image is an entry by itself; linux.efi@1 is one of the image linux.efi.
    start = file.lower().find(".efi@")
    file = file[: start + len(".efi")] if start >= 0 else file
    name = bls.split_counter(file).name
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
