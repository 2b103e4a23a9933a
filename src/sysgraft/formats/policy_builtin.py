"""systemd's built-in image policies, under the names ``systemd-analyze image-policy`` gives them.

Transcribed from what ``systemd-analyze`` 257 and 262 print for each name. ``@sysext`` and
``@confext`` are what ``systemd-sysext`` and ``systemd-confext`` apply when nothing else is said;
the ``-strict`` ones apply in the initrd to what came from the ESP. ``@host`` is not about
extensions at all. The files that may override them are not looked at here.
"""

from __future__ import annotations

from typing import Final

from sysgraft.base import systemd
from sysgraft.errors import UsageError
from sysgraft.formats.image_policy import ImagePolicy, parse

_ANYTHING: Final = "verity+signed+encrypted+encryptedwithintegrity+unprotected+absent"
_STATE: Final = "encrypted+encryptedwithintegrity+unprotected+absent"
_BOOT: Final = "unprotected+absent"

_SYSTEM: Final = f"root={_ANYTHING}:usr={_ANYTHING}"
_SERVICE: Final = f"{_SYSTEM}:home={_STATE}:srv={_STATE}:tmp={_STATE}:var={_STATE}"
_CONTAINER: Final = f"{_SERVICE}:esp={_BOOT}:xbootldr={_BOOT}"

# As 260 and newer have them; older ones lack encryptedwithintegrity.
_TEXTS: Final = {
    "@sysext": _SYSTEM,
    "@sysext-strict": "root=signed+absent:usr=signed+absent",
    "@confext": f"root={_ANYTHING}",
    "@confext-strict": "root=signed+absent",
    "@container": _CONTAINER,
    "@host": f"{_CONTAINER}:swap={_STATE}",
    "@service": _SERVICE,
}

NAMES: Final = tuple(_TEXTS)
"""The names, ``@sysext`` first."""


def builtin(name: str, *, systemd_version: int = systemd.LATEST) -> ImagePolicy:
    """The built-in policy `name` of a version.

    Raises:
        UsageError: there is none of that name.
        UnsupportedError: the version has no image policies.
    """
    if name not in _TEXTS:
        known = ", ".join(NAMES)
        raise UsageError(f"no built-in policy {name[:60]!r}", hint=f"there are: {known}")
    return parse(_TEXTS[name]).at(systemd_version)


def parse_or_builtin(text: str, *, systemd_version: int = systemd.LATEST) -> ImagePolicy:
    """A policy that is either a built-in's name (``@sysext``) or written out.

    Raises:
        UsageError: an unknown name.
        FormatError: text that is no policy to that version.
    """
    if text.startswith("@"):
        return builtin(text, systemd_version=systemd_version)
    return parse(text, systemd_version=systemd_version)
