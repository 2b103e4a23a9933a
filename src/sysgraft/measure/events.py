"""What firmware, boot loader and stub extend PCRs with, an event at a time.

Each function gives the event as the event log shows it: PCR, type, data, and the digest of what was
measured, which need not be the data. Types and layouts: TCG PC Client Platform Firmware Profile
1.06 §10.4; texts and tags: systemd's docs/TPM2_PCR_MEASUREMENTS.md, corrected by what its stubs
were seen to do (a text counts with its NUL). Which of them happen, and in what order, is the matter
of `sysgraft.measure.boot`.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.measure.pcr import extend_all, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.measure.pcr11 import Measured
    from sysgraft.measure.sidecars import Kind

EV_SEPARATOR: Final = 0x04
EV_EVENT_TAG: Final = 0x06
EV_IPL: Final = 0x0D
EV_EFI_BOOT_SERVICES_APPLICATION: Final = 0x8000_0003
EV_EFI_ACTION: Final = 0x8000_0007
EV_EFI_VARIABLE_DRIVER_CONFIG: Final = 0x8000_0001
EV_EFI_VARIABLE_AUTHORITY: Final = 0x8000_00E0
USERSPACE: Final = 0
"""Stands for the type of what the running system extends: the firmware's log does not have it."""

BOOT_PCR: Final = 4
STUB_PCR: Final = 11
CONFIG_PCR: Final = 12
SYSEXT_PCR: Final = 13

CALLING: Final = "Calling EFI Application from Boot Option"
"""What firmware says before it starts a boot option (Firmware Profile §10.4.4)."""

# systemd's tags, docs/TPM2_PCR_MEASUREMENTS.md.
PROFILE_TAG: Final = 0x13AE_D6DB
DTB_TAG: Final = 0x6C46_F751
INITRD_TAG: Final = 0x49DF_FE0F
UCODE_TAG: Final = 0xDAC0_8E1A
# Linux', drivers/firmware/efi/libstub/efi-stub-helper.c.
KERNEL_INITRD_TAG: Final = 0x8F3B_22EC
KERNEL_OPTIONS_TAG: Final = 0x8F3B_22ED

_TAGGED: Final = struct.Struct("<II")

Component = Literal[
    "firmware",
    "program",
    "section",
    "profile",
    "cmdline",
    "archive",
    "addon",
    "kernel",
    "phase",
    "separator",
    "variable",
]
"""What kind of thing an event is about."""


@dataclass(frozen=True, slots=True)
class Event:
    """One extension of a PCR.

    Attributes:
        pcr: which.
        component: what kind of thing was measured.
        name: of that thing, for a person.
        digests: with what, by bank.
        type: as the log has it; `USERSPACE` for what is not in the firmware's log.
        data: what the log says of it; empty if that cannot be known.
        files: the files it was made of.
    """

    pcr: int
    component: Component
    name: str
    digests: Mapping[str, bytes]
    type: int = EV_IPL
    data: bytes = b""
    files: tuple[str, ...] = ()


def value(events: Iterable[Event], pcr: int, bank: str) -> bytes:
    """The PCR after these events; zeros if none of them is about it."""
    return extend_all(bank, start(bank), (each.digests[bank] for each in events if each.pcr == pcr))


def hashed(data: bytes, banks: Iterable[str]) -> dict[str, bytes]:
    """Digests of `data` by bank."""
    return {bank: hashlib.new(bank, data).digest() for bank in banks}


def wide(text: str) -> bytes:
    """A text as UEFI has it: UTF-16 with a NUL."""
    return (text + "\0").encode("utf-16-le")


# --- Firmware ------------------------------------------------------------------------------------


def calling(banks: Sequence[str]) -> Event:
    """The firmware turns to the boot options."""
    data = CALLING.encode("ascii")
    return Event(BOOT_PCR, "firmware", CALLING, hashed(data, banks), EV_EFI_ACTION, data)


def separator(pcr: int, banks: Sequence[str]) -> Event:
    """The firmware is done with its own part of a PCR."""
    data = bytes(4)
    return Event(pcr, "separator", "separator", hashed(data, banks), EV_SEPARATOR, data)


def program(name: str, digests: Mapping[str, bytes]) -> Event:
    """An executable is loaded; what the log says of it depends on where it is in memory."""
    return Event(
        BOOT_PCR, "program", name, digests, EV_EFI_BOOT_SERVICES_APPLICATION, files=(name,)
    )


# --- Stub ----------------------------------------------------------------------------------------


def sections(measured: Iterable[Measured], banks: Sequence[str]) -> list[Event]:
    """The stub measures the sections of its image: of each the name, then the content."""
    found = []
    for each in measured:
        data = wide(each.name)
        name = hashed(each.name.encode("ascii") + b"\0", banks)
        found.append(Event(STUB_PCR, "section", f"name of {each.name}", name, data=data))
        found.append(Event(STUB_PCR, "section", each.name, each.digests, data=data))
    return found


def text(component: Component, name: str, content: str, banks: Sequence[str]) -> Event:
    """A command line: the log has the very bytes that were measured."""
    data = wide(content)
    return Event(CONFIG_PCR, component, name, hashed(data, banks), data=data)


def profile(number: int, banks: Sequence[str]) -> Event:
    """The stub was told to use another profile than the first."""
    data = wide(str(number))
    return Event(
        CONFIG_PCR,
        "profile",
        f"profile {number}",
        hashed(data, banks),
        EV_EVENT_TAG,
        tagged(PROFILE_TAG, data),
    )


def archive(kind: Kind, event: str, digests: Mapping[str, bytes], files: tuple[str, ...]) -> Event:
    """Sidecar files were packed."""
    return Event(kind.pcr, "archive", event, digests, data=wide(event), files=files)


def addon_part(tag: int, addon: str, section: str, digests: Mapping[str, bytes]) -> Event:
    """A devicetree, an initrd or microcode came from an addon."""
    return Event(
        CONFIG_PCR,
        "addon",
        f"{section} of {addon}",
        digests,
        EV_EVENT_TAG,
        tagged(tag, wide(addon)),
        (addon,),
    )


def tagged(tag: int, payload: bytes) -> bytes:
    """TCG_PCClientTaggedEvent (Firmware Profile §10.4.2.1)."""
    return _TAGGED.pack(tag, len(payload)) + payload


# --- The running system --------------------------------------------------------------------------


def word(pcr: int, component: Component, content: str, banks: Sequence[str]) -> Event:
    """systemd-pcrextend measures a word: without a NUL, and not in the firmware's log."""
    return Event(pcr, component, content, hashed(content.encode(), banks), USERSPACE)
