"""Addons beside an image: which of them the stub loads, and what it takes from each.

systemd-stub(7), ``src/boot/stub.c`` (load_addons). The firmware loads an addon, and so measures it
into PCR 4, before the stub looks what is in it. An addon that the firmware refuses under Secure
Boot gives nothing; that its signature is good is not checked here (``sysgraft uki verify`` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import in_file
from sysgraft.formats import uki
from sysgraft.measure.sidecars import in_order, problem
from sysgraft.seal.image import Part, check_names, read_executable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.seal.image import Executable
    from sysgraft.seal.material import Folder

SUFFIX: Final = ".addon.efi"
SINCE: Final = 254
"""The first release of the stub that loads addons."""
_CONTENT_SINCE: Final = {
    ".cmdline": 254,
    ".dtb": 255,
    ".dtbauto": 257,
    ".initrd": 257,
    ".ucode": 257,
}
_FIRST_COUNTS: Final = 257
_UNAME_NOT_COMPARED: Final = 255
"""This release reads the image's .uname only after it has loaded the addons."""
_MEASURED: Final = (".dtb", ".initrd", ".ucode")


@dataclass(frozen=True, slots=True)
class AddonFile:
    """An addon.

    Attributes:
        executable: the whole file.
        is_global: whether it serves all images.
        cmdline: its command line, None if it has none.
        parts: its sections that are measured one by one.
        ignored: why the stub takes nothing from it; empty if it does.
        by_hardware: whether it has devicetrees for certain hardware.
    """

    executable: Executable
    is_global: bool
    cmdline: str | None
    parts: tuple[Part, ...]
    ignored: str
    by_hardware: bool


def read_addons(
    folder: Folder, version: int, uname: str | None, *, is_global: bool
) -> Iterator[AddonFile]:
    """The addons in a folder, in the order in which they are loaded.

    Args:
        folder: the image's own or the one for all images.
        version: release of the stub.
        uname: the kernel's release, None if the image does not say.
        is_global: whether the folder is the one for all images.

    Raises:
        InputError: one of them is no executable.
    """
    if version < SINCE:
        return
    names = (e.name for e in folder.entries if e.name.lower().endswith(SUFFIX) and not problem(e))
    for name in in_order(names):
        source = folder.files[name]
        executable = read_executable(source)
        with in_file(source.label):
            yield _read(executable, version, uname, is_global=is_global)


def _read(executable: Executable, version: int, uname: str | None, *, is_global: bool) -> AddonFile:
    check_names(executable.image, version)
    sections = [each for each in executable.image.sections if each.virtual_size]
    # Of several the first counts, up to v256 the last.
    ordered = sections if version < _FIRST_COUNTS else sections[::-1]
    contents: dict[str, Blob] = {
        each.name: uki.checked_content(executable.blob, each) for each in ordered
    }
    usable = {name for name, since in _CONTENT_SINCE.items() if since <= version} & set(contents)
    cmdline = None
    if ".cmdline" in usable:
        cmdline = Part(".cmdline", contents[".cmdline"]).text
    return AddonFile(
        executable=executable,
        is_global=is_global,
        cmdline=cmdline,
        parts=tuple(Part(name, contents[name]) for name in _MEASURED if name in usable),
        ignored=_why_ignored(contents, usable, version, uname),
        by_hardware=".dtbauto" in usable,
    )


def _why_ignored(
    contents: dict[str, Blob], usable: set[str], version: int, uname: str | None
) -> str:
    if ".linux" in contents:
        return "it has a kernel"
    if not usable:
        return f"it has nothing that the stub of systemd {version} takes from an addon"
    if version == _UNAME_NOT_COMPARED or uname is None or ".uname" not in contents:
        return ""
    own = Part(".uname", contents[".uname"]).text
    return "" if own == uname else f"it is for the kernel {own}, the image has {uname}"
