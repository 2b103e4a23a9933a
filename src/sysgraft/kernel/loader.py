"""What is told to the boot loader (the Boot Loader Interface): what to start, always or once.

systemd-boot and others that know it read ``LoaderEntryDefault`` and ``LoaderEntryOneShot``, the
name of an entry's file without its counter, in UTF-16 with a NUL (systemd's BOOT_LOADER_INTERFACE;
``bootctl set-default``, ``set-oneshot``). Without them, and without a ``default`` in
``loader/loader.conf``, the loader has an order of its own, the newest version first.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError
from sysgraft.formats import bls, efivar
from sysgraft.node.boot import LOADER_VARIABLES

if TYPE_CHECKING:
    from sysgraft.host.efivars_changing import ChangingEfiVariables
    from sysgraft.seal.volume import Volume

DEFAULT: Final = "LoaderEntryDefault"
ONCE: Final = "LoaderEntryOneShot"
SELECTED: Final = "LoaderEntrySelected"
_PROFILE: Final = re.compile(r"(?<=\.efi)@[0-9]+$", re.IGNORECASE)
INFO: Final = "LoaderInfo"
"""Set by the loader at each start: there is none if the firmware started the kernel itself."""
FEATURES: Final = "LoaderFeatures"
CONFIG: Final = "loader/loader.conf"
# Bits of LoaderFeatures: the loader heeds DEFAULT, and ONCE (the interface's list). GRUB's module
# ``bli`` sets INFO, and neither.
_HEEDS: Final = 1 << 2 | 1 << 3
_MAX_CONFIG: Final = 1 << 20


def read(variables: ChangingEfiVariables, name: str) -> str:
    """The text of one of the loader's variables; empty if there is none."""
    found = variables.read(name, LOADER_VARIABLES)
    return "" if found is None else efivar.text_of(found.data)


def can_be_told(variables: ChangingEfiVariables) -> bool:
    """Whether the loader that started this system heeds what it is told."""
    found = variables.read(FEATURES, LOADER_VARIABLES)
    return found is not None and int.from_bytes(found.data[:8], "little") & _HEEDS == _HEEDS


def write(variables: ChangingEfiVariables, name: str, text: str) -> None:
    """Set one of them.

    Raises:
        OutputError: it cannot be written.
    """
    variables.write(name, LOADER_VARIABLES, efivar.text_data(text))


def remove(variables: ChangingEfiVariables, name: str) -> None:
    """Take one of them away, if it is there.

    Raises:
        OutputError: it cannot be.
    """
    if variables.read(name, LOADER_VARIABLES) is not None:
        variables.remove(name, LOADER_VARIABLES)


def running(variables: ChangingEfiVariables) -> str:
    """What was started, as the loader calls it: the name of its file without the boot counter.

    Told by the boot loader, else by the stub of what the firmware started itself; empty if nobody
    tells.
    """
    for name in (SELECTED, "StubImageIdentifier"):
        file = read(variables, name).replace("\\", "/").rpartition("/")[2]
        if file:
            # linux.efi@1 is a profile of the image linux.efi.
            return bls.split_counter(_PROFILE.sub("", file)).name
    return ""


def configured(volume: Volume) -> str:
    """The pattern of the default entry in ``loader.conf``; the last one counts, empty if none."""
    try:
        blob = volume.open(CONFIG)
    except InputError:
        return ""
    data = blob.read_at(0, min(blob.size, _MAX_CONFIG))
    words = (line.split(None, 1) for line in data.decode("utf-8", "replace").splitlines())
    found = [each[1].strip() for each in words if len(each) == 2 and each[0] == "default"]
    return found[-1] if found else ""


def is_meant(pattern: str, identifier: str) -> bool:
    """Whether a variable or a pattern of ``loader.conf`` means an entry, whatever the case."""
    if pattern.casefold() == identifier.casefold():
        return True
    return bool(pattern) and fnmatch.fnmatchcase(identifier.lower(), pattern.lower())
