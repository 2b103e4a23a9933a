"""Command lines as the stub takes, changes and measures them, release by release.

systemd-stub(7); ``src/boot/stub.c`` and ``util.c`` (mangle_stub_cmdline), read at each release's
tag. A command line can come from the image, which is measured as a section, or from whoever starts
the image, from addons and from the firmware's SMBIOS strings: those go to PCR 12. Contents are
text; what is measured is UTF-16 with a NUL (`sysgraft.measure.events`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TEXT: Final = 64 << 10
"""Characters of a command line: Linux takes 2 KiB on x86, 64 KiB at most elsewhere."""

_BLANK: Final = re.compile(r"[\x00-\x20\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_SELECTOR: Final = re.compile(r"@([0-9]{1,3})(?: |$)(.*)", re.DOTALL)
_WHOLE_CHECK: Final = 259


def mangle(text: str, version: int) -> str:
    """What a stub makes of a command line from outside before it measures it."""
    if version < 253:
        return text
    if version < 255:
        return _CONTROL.sub(" ", text).rstrip(" ")
    first = next((n for n, letter in enumerate(text) if not _BLANK.fullmatch(letter)), len(text))
    return _BLANK.sub(" ", text[first:]).rstrip(" ")


def split_profile(text: str, version: int) -> tuple[int | None, str]:
    """The profile that a command line begins with (``@N``), and the rest of it."""
    found = _SELECTOR.fullmatch(text) if version >= 257 else None
    return (int(found[1]), found[2]) if found else (None, text)


def is_text(text: str, version: int) -> bool:
    """Whether the stub takes load options for a command line at all; others are binary to it."""
    looked_at = text if version >= _WHOLE_CHECK else text[:1]
    return bool(text) and all(letter > "\x1f" for letter in looked_at)


def custom(text: str | None, version: int, *, secure_boot: bool, embedded: bool) -> str | None:
    """What the stub measures of a command line it is given; None if it passes it over.

    Args:
        text: the command line, without the profile in front of it; None if there is none.
        version: release of the stub.
        secure_boot: whether signatures are enforced.
        embedded: whether the image has a command line of its own.
    """
    if text is None or not is_text(text, version) or (secure_boot and embedded):
        return None
    mangled = mangle(text, version)
    # Since 257 nothing is nothing; before, an empty command line counted as one.
    return mangled if mangled or version < 257 else None


def of_addons(
    global_texts: Sequence[str], own_texts: Sequence[str], version: int
) -> tuple[str, ...]:
    """What the stub measures of the command lines of addons: one text, in v254 one per folder."""
    if version >= 257:
        texts = [mangle(each, version) for each in (*global_texts, *own_texts)]
        joined = mangle(_appended(texts), version)
        return (joined,) if joined else ()
    folders = [_appended(texts) for texts in (global_texts, own_texts)]
    if version >= 255:
        folders = [_appended(folders)]
    return tuple(mangle(each, version) for each in folders if each)


def _appended(texts: Sequence[str]) -> str:
    """Texts with a space before each but the first one that is not empty."""
    joined = ""
    for text in texts:
        joined = f"{joined} {text}" if joined else text
    return joined


def from_smbios(text: str | None, version: int) -> str | None:
    """What the stub measures of ``io.systemd.stub.kernel-cmdline-extra``; None for nothing."""
    if text is None or version < 254:
        return None
    if version < 257:
        return text
    return mangle(text, version) or None
