"""Names of extensions and of their files.

An extension NAME is kept in ``NAME.sysext.raw`` or ``NAME.confext.raw``, and its extension-release
carries NAME again: systemd refuses an image where the two differ. Follows systemd's
``raw_strip_suffixes``, ``image_name_is_valid`` and ``path_extract_image_name``
(``src/shared/import-util.c``, ``src/basic/os-util.c``). ``.v/`` folders are not handled here.
"""

from __future__ import annotations

import re
from typing import Final

from sysgraft.base import systemd
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import FILE_PREFIX, Kind

# NAME_MAX of Linux, in bytes; FAT allows 255 UTF-16 units, which is never less.
MAX_FILE_NAME: Final = 255

CLASS_SUFFIX_SINCE: Final = 255
"""The systemd that began to cut ``.sysext`` and ``.confext`` from what it finds."""
# Suffixes that are no part of the name, and the systemd that began to strip each.
_SUFFIXES: Final = (
    (".xz", 0),
    (".gz", 0),
    (".bz2", 0),
    (".zst", 258),
    (".sysext.raw", CLASS_SUFFIX_SINCE),
    (".confext.raw", CLASS_SUFFIX_SINCE),
    (".raw", 0),
    (".qcow2", 0),
    (".img", 0),
    (".bin", 0),
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def file_name(name: str, kind: Kind) -> str:
    """``NAME.sysext.raw`` or ``NAME.confext.raw``."""
    return f"{name}.{kind}.raw"


def kind_of(filename: str) -> Kind | None:
    """What a file's name says it is; None for a plain ``.raw`` or anything else."""
    return next((kind for kind in Kind if filename.endswith(f".{kind}.raw")), None)


def image_name(filename: str, *, systemd_version: int = systemd.LATEST) -> str:
    """The name systemd gives the image in the file `filename`, a name without folders.

    Up to systemd 254 only ``.raw`` goes: ``foo.sysext.raw`` is an image named ``foo.sysext``.
    """
    suffixes = [suffix for suffix, since in _SUFFIXES if systemd_version >= since]
    name, before = filename, ""
    while name != before:
        before = name
        for suffix in suffixes:
            name = name.removesuffix(suffix)
    return name


def without_class(name: str, kind: Kind, *, systemd_version: int) -> str:
    """A name without ``.sysext`` or ``.confext``, cut once, where systemd looks for that kind.

    As ``extract_image_basename`` (``src/shared/discover-image.c``) does behind ``.raw``, and with
    folders.
    """
    return name.removesuffix(f".{kind}") if systemd_version >= CLASS_SUFFIX_SINCE else name


def base_name(name: str) -> str:
    """An image name without the version or counters after its first ``_`` or ``+``.

    systemd 256 and newer accept an extension-release of that name as well.
    """
    for suffix in (".sysext.raw", ".confext.raw", ".raw"):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    return re.split(r"[_+]", name, maxsplit=1)[0]


def is_valid(name: str) -> bool:
    """Whether systemd takes `name` as the name of an image (``image_name_is_valid``)."""
    encoded = _encoded(name)
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and not name.startswith(".#")
        and not _CONTROL.search(name)
        and len(encoded) <= MAX_FILE_NAME
        and _is_utf8(encoded)
    )


def validate_name(name: str) -> None:
    """Check that an extension can be built under `name` and found again by every systemd.

    Raises:
        UsageError: it cannot; the message says why.
    """
    problem = _problem(name)
    if problem:
        raise UsageError(f"{name!r} cannot be an extension's name: {problem}")


def _problem(name: str) -> str:
    """What is wrong with `name`, or an empty string."""
    # "extension-release." before it, or a suffix behind it: the longest thing a name gets.
    affix = max(len(FILE_PREFIX), *(len(file_name("", kind)) for kind in Kind))
    length = len(_encoded(name)) + affix
    checks = (
        (not name, "it is empty"),
        ("/" in name, "it has a slash in it"),
        (name.startswith("."), "a leading dot makes a hidden file"),
        (length > MAX_FILE_NAME, f"it is {length - MAX_FILE_NAME} bytes too long for a file name"),
        (not is_valid(name), "it has control characters or is not UTF-8"),
        (not name.isprintable(), "it has characters that cannot be seen"),
        (image_name(name + ".raw") != name, "systemd takes its end for a suffix"),
    )
    return next((message for wrong, message in checks if wrong), "")


def _encoded(name: str) -> bytes:
    """The bytes of a name; what is not UTF-8 stays that, and stays countable."""
    return name.encode("utf-8", "surrogatepass")


def _is_utf8(encoded: bytes) -> bool:
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
