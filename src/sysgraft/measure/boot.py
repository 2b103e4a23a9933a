"""What one boot does to PCR 4, 11, 12 and 13: every extension, in the order it happens.

Firmware (TCG PC Client Platform Firmware Profile 1.06 §3.3.4), systemd-boot, systemd-stub and the
running system, from the digests of what they measure. The rules are those of the stub's own
release; they were read in systemd's source at each release's tag and compared with the event logs
of real boots of v252, v257 and v262. Other boot loaders measure things of their own, which are not
known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UnsupportedError
from sysgraft.measure import cmdline, events
from sysgraft.measure.events import Event, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.measure.pcr11 import Measured
    from sysgraft.measure.sidecars import Kind

PCRS: Final = (4, 11, 12, 13)
"""The PCRs that are known from files alone."""
OS_SEPARATOR: Final = "os-separator"
"""What an initrd with systemd 261 or newer extends these PCRs with before it unlocks anything."""
OS_SEPARATOR_PCRS: Final = (*range(8), 9, 12, 13, 14)
OS_SEPARATOR_SINCE: Final = 261
IN_INITRD: Final = "enter-initrd"
"""The phase that an initrd begins with; a system without one measures neither this nor that."""
_NVPCR_PCR: Final = 9
_NVPCRS_SINCE: Final = 259
KERNEL_LOADED_UNTIL: Final = 257
"""Up to this release the stub lets the firmware load the kernel inside it, which measures it. With
Secure Boot on it bypasses the firmware's check, and with that the measurement."""
_ONE_EVENT_SINCE: Final = 255
"""From this release on the command lines of all addons are measured together."""
_DTBS_LAST: Final = (255, 256)
"""Releases that install the devicetrees of addons behind the archives, not before them."""


@dataclass(frozen=True, slots=True)
class Program:
    """An executable that the firmware loads.

    Attributes:
        name: of its file.
        digests: its Authenticode digests by bank.
    """

    name: str
    digests: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addon:
    """An addon as the stub sees it.

    Attributes:
        program: as the firmware loads it.
        is_global: whether it serves all images.
        cmdline: its command line, None if it has none.
        parts: digests of its sections .dtb, .initrd and .ucode by name and bank.
        ignored: why the stub takes nothing from it, having loaded it; empty if it does.
    """

    program: Program
    is_global: bool
    cmdline: str | None = None
    parts: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive of sidecar files.

    Attributes:
        kind: which one.
        event: what the log says of it.
        digests: by bank.
        files: their names, in order.
    """

    kind: Kind
    event: str
    digests: Mapping[str, bytes]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What is started, and with what.

    Attributes:
        version: release of the stub.
        loaders: programs that run before the image.
        image: the UKI; None where only its sidecars are known.
        kernel: the kernel in it, if the firmware loads that.
        sections: what the stub measures of the image, in its order.
        profile: the profile that is chosen.
        loader_options: the command line that systemd-boot measures, None for none.
        options: the command line that the stub measures, None for none.
        smbios: likewise, from the firmware.
        addons: all addons, those for all images first, each group as the stub sorts it.
        archives: in their order.
        entry_archives: what systemd-boot packed, in its order.
        systemd: release of the systemd in the initrd.
    """

    version: int
    loaders: tuple[Program, ...] = ()
    image: Program | None = None
    kernel: Program | None = None
    sections: tuple[Measured, ...] = ()
    profile: int = 0
    loader_options: str | None = None
    options: str | None = None
    smbios: str | None = None
    addons: tuple[Addon, ...] = ()
    archives: tuple[Packed, ...] = ()
    entry_archives: tuple[Packed, ...] = ()
    systemd: int


def before_userspace(boot: Boot, banks: Sequence[str]) -> tuple[Event, ...]:
    """Every event until the kernel runs, in order."""
    return tuple(_before_userspace(boot, banks))


def _before_userspace(boot: Boot, banks: Sequence[str]) -> Iterator[Event]:
    if boot.image is not None:
        yield events.calling(banks)
        yield events.separator(events.BOOT_PCR, banks)
        for each in (*boot.loaders, boot.image):
            yield events.program(each.name, each.digests)
    yield from map(_packed, boot.entry_archives)
    if boot.loader_options is not None:
        yield events.text("cmdline", "command line of the boot entry", boot.loader_options, banks)
    if boot.profile:
        yield events.profile(boot.profile, banks)
    yield from events.sections(boot.sections, banks)
    if boot.options is not None:
        yield events.text("cmdline", "command line given to the stub", boot.options, banks)
    yield from _addon_programs(boot, banks)
    if boot.smbios is not None:
        yield events.text("cmdline", "command line in SMBIOS", boot.smbios, banks)
    yield from _archives_and_dtbs(boot)
    yield from _addon_initrds(boot)
    if boot.kernel is not None:
        yield events.program(boot.kernel.name, boot.kernel.digests)


def _packed(packed: Packed) -> Event:
    return events.archive(packed.kind, packed.event, packed.digests, packed.files)


def _addon_programs(boot: Boot, banks: Sequence[str]) -> Iterator[Event]:
    """Addons are loaded, and their command lines measured: in v254 folder by folder."""
    of_all = [each for each in boot.addons if each.is_global]
    own = [each for each in boot.addons if not each.is_global]
    for group in (of_all, own) if boot.version < _ONE_EVENT_SINCE else (boot.addons,):
        if boot.image is not None:
            yield from (events.program(e.program.name, e.program.digests) for e in group)
        texts = cmdline.of_addons(
            _texts(each for each in group if each.is_global),
            _texts(each for each in group if not each.is_global),
            boot.version,
        )
        for text in texts:
            yield events.text("addon", "command line of addons", text, banks)


def _texts(addons: Iterable[Addon]) -> list[str]:
    used = (each.cmdline for each in addons if not each.ignored)
    return [text for text in used if text is not None]


def _archives_and_dtbs(boot: Boot) -> Iterator[Event]:
    """Archives in their order, and devicetrees of addons where that release installs them."""
    dtbs = [
        events.addon_part(events.DTB_TAG, each.program.name, ".dtb", each.parts[".dtb"])
        for each in boot.addons
        if ".dtb" in each.parts and not each.ignored
    ]
    archives = map(_packed, boot.archives)
    yield from (*archives, *dtbs) if boot.version in _DTBS_LAST else (*dtbs, *archives)


def _addon_initrds(boot: Boot) -> Iterator[Event]:
    """Microcode in reverse order, since the kernel takes the first; initrds as they come."""
    for tag, section, addons in (
        (events.UCODE_TAG, ".ucode", reversed(boot.addons)),
        (events.INITRD_TAG, ".initrd", boot.addons),
    ):
        for each in addons:
            if section in each.parts and not each.ignored:
                yield events.addon_part(tag, each.program.name, section, each.parts[section])


def in_userspace(
    boot: Boot, path: str, banks: Sequence[str], pcrs: Sequence[int] = PCRS
) -> tuple[Event, ...]:
    """What the running system adds on its way through a phase path (see `measure.pcr11`).

    Args:
        boot: what is started.
        path: the phase path.
        banks: names of the hash algorithms.
        pcrs: which PCRs are of interest.

    Raises:
        UnsupportedError: what is measured into PCR 9 on this way cannot be known.
    """
    words = path.split(":") if path else []
    found = []
    if _NVPCR_PCR in pcrs:
        _check_nvpcrs(boot.systemd, words)
    if words[:1] == [IN_INITRD] and boot.systemd >= OS_SEPARATOR_SINCE:
        separated = [pcr for pcr in pcrs if pcr in OS_SEPARATOR_PCRS]
        found += [events.word(pcr, "separator", OS_SEPARATOR, banks) for pcr in separated]
    found += [events.word(events.STUB_PCR, "phase", word, banks) for word in words]
    return tuple(found)


def _check_nvpcrs(systemd: int, words: Sequence[str]) -> None:
    """systemd-pcrnvdone and the setting up of NvPCRs extend PCR 9, in the initrd since v261."""
    in_initrd = systemd >= OS_SEPARATOR_SINCE and words[:1] == [IN_INITRD]
    on_host = systemd >= _NVPCRS_SINCE and bool(set(words) - {IN_INITRD, "leave-initrd"})
    if in_initrd or on_host:
        raise UnsupportedError(
            f"PCR 9 cannot be known: systemd {systemd} measures NvPCRs into it before this phase",
            hint="leave PCR 9 out, or take --phase : (the start of the kernel)",
        )


def values(
    before: Iterable[Event], boot: Boot, path: str, bank: str, *, pcrs: Sequence[int] = PCRS
) -> dict[int, bytes]:
    """The PCRs at the end of a phase path.

    Args:
        before: every event until the kernel runs.
        boot: what is started.
        path: the phase path, empty for the moment the kernel takes over.
        bank: which values.
        pcrs: which PCRs.
    """
    everything = (*before, *in_userspace(boot, path, (bank,), pcrs))
    return {pcr: value(everything, pcr, bank) for pcr in pcrs}
