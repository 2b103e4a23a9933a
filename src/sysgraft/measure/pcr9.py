"""PCR 9: what Linux was given, as its EFI stub measures it: the command line, then the initrd.

Linux ``drivers/firmware/efi/libstub/efi-stub-helper.c`` (efi_convert_cmdline, efi_load_initrd). The
command line is the one that systemd-stub hands over, put together from those of the image or the
boot entry, of addons and of SMBIOS (``src/boot/stub.c``; read at each release's tag). What the
initrd is made of is the matter of `sysgraft.seal.initrd`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UnsupportedError
from sysgraft.measure import cmdline, events
from sysgraft.measure.events import Event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.measure.boot import Boot

PCR: Final = 9
UNKNOWN_SINCE: Final = 261
"""From this release on the stub gives the kernel a secret that only the machine has, and a console
that depends on its hardware."""
KERNEL_SINCE: Final = (6, 2)
"""The first Linux that measures both; older ones measure the initrd alone, or nothing."""
_OWN_LOADER: Final = 258
"""From this release on the kernel gets the very load options of the image unless they are set."""
_BLANK_IS_LOST: Final = (255, 256)
"""Releases that read on behind the end of a command line of nothing but blanks."""

# What the log says, NUL included.
_OPTIONS: Final = b"LOADED_IMAGE::LoadOptions\0"
_INITRD: Final = b"Linux initrd\0"
_RELEASE: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


def predict(
    text: str | None, initrd: Mapping[str, bytes] | None, banks: Sequence[str]
) -> tuple[Event, ...]:
    """Every event of PCR 9 until the kernel has its initrd.

    Args:
        text: the command line, see `final_cmdline`; None for none.
        initrd: digests of the whole initrd by bank; None for none.
        banks: names of the hash algorithms.

    Raises:
        UnsupportedError: the command line tells Linux not to load an initrd.
    """
    found = []
    if text is not None:
        hashed = events.hashed(events.wide(text), banks)
        found.append(_event("cmdline", "kernel command line", hashed, _OPTIONS))
        if "noinitrd" in text.split():
            raise _unknown("the command line has noinitrd")
    if initrd is not None:
        found.append(_event("archive", "initrd", initrd, _INITRD))
    return tuple(found)


def _event(
    component: events.Component, name: str, digests: Mapping[str, bytes], description: bytes
) -> Event:
    is_options = component == "cmdline"
    tag = events.KERNEL_OPTIONS_TAG if is_options else events.KERNEL_INITRD_TAG
    return Event(
        PCR, component, name, digests, events.EV_EVENT_TAG, events.tagged(tag, description)
    )


def check(version: int, kernel: str | None) -> None:
    """Refuse what does other things than these.

    Args:
        version: release of the stub.
        kernel: release of the kernel, None if the image does not say.

    Raises:
        UnsupportedError: PCR 9 cannot be known.
    """
    if version >= UNKNOWN_SINCE:
        raise _unknown(
            f"the stub of systemd {version} puts a secret of the machine into the initrd, and a "
            "console that fits its hardware on the command line"
        )
    found = _RELEASE.match(kernel or "")
    if found and (int(found[1]), int(found[2])) < KERNEL_SINCE:
        raise _unknown(f"Linux {found[0]} does not measure both command line and initrd")


def final_cmdline(boot: Boot, embedded: str | None) -> str | None:
    """The command line that the kernel gets; None if it gets none.

    Args:
        boot: what is started.
        embedded: the command line in the image, None if it has none.

    Raises:
        UnsupportedError: it cannot be known.
    """
    text = _first(boot, embedded)
    added = [each for each in boot.addons if each.cmdline is not None and not each.ignored]
    of_all = [each.cmdline or "" for each in added if each.is_global]
    own = [each.cmdline or "" for each in added if not each.is_global]
    for each in filter(None, cmdline.of_addons(of_all, own, boot.version)):
        text = f"{text} {each}" if text else each
    if boot.smbios is not None:
        text = _with_smbios(text, boot.smbios, boot.version)
    left_as_it_is = boot.version >= _OWN_LOADER and text is None
    if left_as_it_is and (boot.profile or boot.loader_options is not None):
        raise _unknown("the kernel gets no command line but what the image itself was started with")
    return text


def _first(boot: Boot, embedded: str | None) -> str | None:
    """The command line before anything is added to it."""
    if boot.options is None and embedded is None:
        return None
    if boot.options is not None and boot.version < 253:
        raise _unknown(
            f"the stub of systemd {boot.version} does not end the command line it is given"
        )
    text = cmdline.mangle(embedded or "", boot.version) if boot.options is None else boot.options
    if not text and boot.version in _BLANK_IS_LOST:
        raise _unknown(f"the stub of systemd {boot.version} makes nothing certain of blanks")
    return text


def _with_smbios(text: str | None, more: str, version: int) -> str:
    if version >= 257:
        return f"{text} {more}" if text else more
    if text is None:
        raise _unknown(f"the stub of systemd {version} has nothing to add SMBIOS' options to")
    return f"{text} {more}"


def _unknown(reason: str) -> UnsupportedError:
    return UnsupportedError(f"PCR {PCR} cannot be known: {reason}")
