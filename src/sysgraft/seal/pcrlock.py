"""A prediction as components of systemd-pcrlock, in folders beside those that come with systemd.

systemd.pcrlock(5), systemd-pcrlock(8). systemd-pcrlock looks in its event log for the records of
every component, variant after variant, and drops a PCR from its policy if something in the log
belongs to none or a component is missing; it has no components of sidecars. How it looks
(``src/pcrlock/pcrlock.c``, event_log_match_component_variant) decides the layout here:

- Each component is searched for from the start of the log, so the same digest must not come in two
  of them: the second would find the first one's event. The command line of a boot entry is measured
  by systemd-boot and by the stub, so both records are in the component of the image.
- Of the variants that fit, the first one alone explains events, and records may be any distance
  apart: a variant with fewer records may fit beside the right one, one without any always does. So
  the file name begins with a number that is lower the more records there are.
- A component of which no variant fits takes all its PCRs along, and records of different PCRs in
  one variant have to be in the order of the log. So what may change by itself is in components of
  its own: a credential that nobody foresaw costs PCR 12, and no other.
- Where there is nothing to measure an empty variant says so, as in systemd's own components: images
  and sets with and without can be in one folder.

What the firmware itself measures (350, 400, 500) is in the components that come with systemd, and
for PCR 7 and 9 it makes its own (``lock-secureboot-policy``, ``lock-kernel-initrd`` and so on). A
policy has the values of each PCR by itself: where sets differ in two PCRs, it lets mixtures
through.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError, UsageError
from sysgraft.formats import pcrlock
from sysgraft.measure import events
from sysgraft.measure.boot import before_userspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.measure.boot import Boot
    from sysgraft.measure.events import Event
    from sysgraft.seal.prediction import Predicted, Prediction

LOADERS: Final = "630-boot-loader-code"
"""Programs that run before the image."""
IMAGE: Final = "650-uki"
"""The image as the firmware loads it, and its sections."""
ENTRY: Final = "652-entry-config"
"""Of the boot entry: ``extra`` credentials and confexts, command line, profile."""
ENTRY_SYSEXT: Final = "653-entry-sysext"
"""Of the boot entry: ``extra`` sysexts."""
ADDONS: Final = "660-addons"
"""Addons as the firmware loads them."""
CONFIG: Final = "662-sidecar-config"
"""Command lines of addons and of SMBIOS, credentials, confexts, what else addons bring."""
SYSEXT: Final = "663-sidecar-sysext"
"""Sysexts beside the image and for all images."""
KERNEL: Final = "670-uki-kernel"
"""The kernel inside the image, where the firmware loads it."""
PCRS: Final[Mapping[str, tuple[int, ...]]] = {
    LOADERS: (4,),
    IMAGE: (4, 11),
    ENTRY: (12,),
    ENTRY_SYSEXT: (13,),
    ADDONS: (4,),
    CONFIG: (12,),
    SYSEXT: (13,),
    KERNEL: (4,),
}
"""All components, in the order of each PCR's events, and which PCRs they are about."""
OF_SETS: Final = (ADDONS, CONFIG, SYSEXT)
"""Those that differ between sets; the others are about the image and its boot entry."""

MAX_SETS: Final = 8
"""Sets that are written at once: systemd-pcrlock tries all combinations of all variants."""
MAX_VALUES: Final = 8
"""Values of one PCR in a policy of systemd-pcrlock: what one TPM2_PolicyOR takes (TPM 2.0 Library
Part 3; ``src/shared/tpm2-util.c``, tpm2_calculate_policy_super_pcr)."""
MAX_BOOT_VALUES: Final = MAX_VALUES // 2
"""Likewise of PCR 4: systemd's own 500-separator has two variants, for a firmware that met an error
as well."""
ABSENT: Final = "absent"
"""What a variant without records is called, as in systemd's own components."""
MAX_RECORDS: Final = 900
"""Records of a variant: their number decides the three digits its file name begins with."""
MAX_NAME: Final = 96
"""Characters of a variant's name in its file name."""

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._@")
_FOLDER: Final = f"{pcrlock.SUFFIX}.d"
_CUT: Final = "="


class Variant(NamedTuple):
    """One variant of a component.

    Attributes:
        component: which one.
        name: of the variant.
        events: what it measures, in order.
    """

    component: str
    name: str
    events: tuple[Event, ...]

    @property
    def file(self) -> str:
        """Its path below the folder with the components."""
        number = MAX_RECORDS - len(self.events)
        name = safe_name(self.name) if self.events else ABSENT
        return f"{self.component}{_FOLDER}/{number:03d}-{name}{pcrlock.SUFFIX}"

    @property
    def content(self) -> bytes:
        """Its file."""
        records = (pcrlock.Record(each.pcr, None, each.digests) for each in self.events)
        return pcrlock.render(records).encode()


def components(prediction: Prediction) -> tuple[Variant, ...]:
    """The variants of a prediction, in the order in which systemd-pcrlock looks for them.

    Raises:
        LimitError: a set has more than `MAX_RECORDS` measurements.
        UsageError: systemd-pcrlock could not use them.
    """
    _check_values(prediction)
    named: dict[tuple[str, str], Variant] = {}
    for each in prediction.sets:
        parts = tuple(_parts(each, prediction))
        _check_apart(parts)
        for part in parts:
            if named.setdefault((part.component, part.name), part) != part:
                raise UsageError(f"two sets are called {part.name}")
    return tuple(sorted(named.values(), key=lambda each: each.file))


def safe_name(name: str) -> str:
    """A name as part of a file name: never the same for two, and never long.

    Letters, digits and ``+-._@`` stay, any other byte becomes ``%`` and two digits. What is too
    long then is cut, and gets an equals sign and the start of its SHA-256, which no other name has.
    """
    data = os.fsencode(name)
    quoted = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)
    if len(quoted) <= MAX_NAME:
        return quoted
    tail = _CUT + hashlib.sha256(data).hexdigest()[:32]
    return quoted[: MAX_NAME - len(tail)] + tail


# --- What goes where -----------------------------------------------------------------------------


def _parts(predicted: Predicted, prediction: Prediction) -> Iterator[Variant]:
    image = _image_name(prediction)
    divided = _divided(predicted.boot, prediction.banks)
    for component, pcrs in PCRS.items():
        if set(pcrs).isdisjoint(prediction.pcrs):
            continue
        if prediction.uki is None and component not in OF_SETS and not divided[component]:
            continue
        found = tuple(
            dataclasses.replace(each, digests=_in_order(each, prediction.banks))
            for each in divided[component]
            if each.pcr in prediction.pcrs
        )
        if len(found) > MAX_RECORDS:
            raise LimitError(f"{len(found)} measurements; {MAX_RECORDS} fit a component")
        yield Variant(component, _name(component, predicted, image), found)


def _name(component: str, predicted: Predicted, image: str) -> str:
    if component == LOADERS and predicted.boot.loaders:
        return "+".join(each.name for each in predicted.boot.loaders)
    return predicted.name or image if component in OF_SETS else image


def _image_name(prediction: Prediction) -> str:
    if prediction.uki is None:
        return "any"
    name = prediction.uki.executable.name
    return f"{name}@{prediction.profile}" if prediction.profile else name


def _divided(boot: Boot, banks: Sequence[str]) -> dict[str, list[Event]]:
    """The events of a boot by component, in the order of the log."""
    bare = dataclasses.replace(boot, addons=(), archives=(), smbios=None, kernel=None)
    shared = _not_firmwares(before_userspace(bare, banks))
    own = _not_firmwares(before_userspace(dataclasses.replace(boot, kernel=None), banks))
    for each in shared:
        own.remove(each)
    count = len(boot.loaders) if boot.image else 0
    kernel = boot.kernel
    return {
        LOADERS: shared[:count],
        **_by_pcr(shared[count:], (IMAGE, ENTRY, ENTRY_SYSEXT)),
        **_by_pcr(own, OF_SETS),
        KERNEL: [events.program(kernel.name, kernel.digests)] if kernel else [],
    }


def _by_pcr(found: Iterable[Event], names: Iterable[str]) -> dict[str, list[Event]]:
    everything = list(found)
    return {name: [each for each in everything if each.pcr in PCRS[name]] for name in names}


def _in_order(event: Event, banks: Iterable[str]) -> dict[str, bytes]:
    """Digests in the order of the banks, so that the same boot gives the same files."""
    return {bank: event.digests[bank] for bank in banks}


def _not_firmwares(found: Iterable[Event]) -> list[Event]:
    return [each for each in found if each.component not in ("firmware", "separator")]


# --- What systemd-pcrlock can use ----------------------------------------------------------------


def _check_values(prediction: Prediction) -> None:
    if not any(pcr in pcrs for pcrs in PCRS.values() for pcr in prediction.pcrs):
        raise UsageError("there are components for PCR 4, 11, 12 and 13 only")
    hint = (
        "write fewer sets, such as the current and the next one, or sign the values: "
        "sysgraft pcr sign"
    )
    if len(prediction.sets) > MAX_SETS:
        message = f"{len(prediction.sets)} sets; systemd-pcrlock can do with {MAX_SETS}"
        raise UsageError(message, hint=hint)
    bank = prediction.banks[0]
    values = {
        tuple(each.digests[bank] for each in one.events if each.pcr == events.BOOT_PCR)
        for one in prediction.sets
    }
    if events.BOOT_PCR in prediction.pcrs and len(values) > MAX_BOOT_VALUES:
        raise UsageError(
            f"these sets give PCR {events.BOOT_PCR} {len(values)} values; "
            f"a policy of systemd-pcrlock has room for {MAX_BOOT_VALUES}",
            hint=hint,
        )


def _check_apart(parts: Iterable[Variant]) -> None:
    """Refuse what systemd-pcrlock would look for in the wrong place."""
    owners: dict[tuple[int, frozenset[bytes]], str] = {}
    for part in parts:
        for each in part.events:
            key = each.pcr, frozenset(each.digests.values())
            owner = owners.setdefault(key, part.component)
            if owner != part.component:
                raise UsageError(
                    f"PCR {each.pcr} gets the same measurement as part of {owner} and of "
                    f"{part.component} ({each.name}): systemd-pcrlock cannot tell them apart",
                    hint=f"leave PCR {each.pcr} out: --pcr names the ones that are wanted",
                )
