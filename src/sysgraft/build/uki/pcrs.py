"""PCR 11 of an image in the making: values for each profile and phase, and their signatures.

Every section is hashed once, for all banks together. Where a profile has sections for certain
hardware (``.dtbauto``, ``.efifw``), there is a value for each of them and one for machines that
none of them fits.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError
from sysgraft.formats import pcrsig, uki
from sysgraft.host.digests import digests
from sysgraft.measure import pcr11
from sysgraft.measure.pcr import BANKS
from sysgraft.measure.policy import policy_pcr
from sysgraft.sign import pcr as sign_pcr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.build.uki.parts import Part
    from sysgraft.sign.keys import Signer

MAX_VALUES: Final = pcrsig.MAX_ENTRIES
"""Values of one profile: 512 devicetrees with four phases in four banks."""
INITRD_ONLY: Final = ("enter-initrd", "initrd")
"""Phase path and policyRef of signatures that hold in the initrd only (ukify, since v262)."""


@dataclass(frozen=True, slots=True)
class Value:
    """What PCR 11 will be.

    Attributes:
        profile: the profile's number.
        hardware: the sections for certain hardware that count, as ``.dtbauto 1``; empty for none.
        phase: the phase path, empty for the moment the stub hands over.
        bank: its name.
        value: the PCR.
    """

    profile: int
    hardware: str
    phase: str
    bank: str
    value: bytes


@dataclass(frozen=True, slots=True)
class SigningGroup:
    """Which phases a key signs for.

    Attributes:
        signer: the key; None leaves the signature to somebody else.
        fingerprint: of its public half.
        phases: the phase paths.
        reference: policyRef.
    """

    signer: Signer | None
    fingerprint: bytes
    phases: tuple[str, ...]
    reference: str = ""


class Measurer:
    """Takes the parts of an image and says what PCR 11 will be.

    Args:
        banks: names, in the order they are reported.
        version: release of the stub, which decides what is measured.
        progress: told of the bytes hashed.
    """

    def __init__(self, banks: Sequence[str], version: int, progress: Progress) -> None:
        self.banks = tuple(banks) or tuple(BANKS)
        self._version = version
        self._progress = progress
        self._known: dict[Part, pcr11.Measured] = {}

    @property
    def known(self) -> dict[Part, Mapping[str, bytes]]:
        """The digests of all parts that were measured."""
        return {part: found.digests for part, found in self._known.items()}

    def work(self, profiles: Iterable[Iterable[Part]]) -> int:
        """Bytes that will be hashed for these profiles."""
        sizes = {part: part.content.size for parts in profiles for part in parts}
        return sum(sizes.values())

    def section(self, part: Part) -> pcr11.Measured:
        """A part's digests; each is hashed once."""
        found = self._known.get(part)
        if found is None:
            found = pcr11.Measured(part.name, digests(part.content, self.banks, self._progress))
            self._known[part] = found
        return found

    def values(self, parts: Sequence[Part], phases: Iterable[str], profile: int) -> list[Value]:
        """PCR 11 for the sections of one profile, at each phase, in each bank.

        Raises:
            LimitError: sections for certain hardware give more than `MAX_VALUES`.
        """
        paths = list(dict.fromkeys(phases))
        variants = list(self._variants(parts))
        if len(variants) * len(paths) * len(self.banks) > MAX_VALUES:
            raise LimitError(f"one profile has more than {MAX_VALUES} different values of PCR 11")
        found = []
        for label, measured in variants:
            after = {bank: pcr11.after_stub(bank, measured) for bank in self.banks}
            found += [
                Value(profile, label, path, bank, pcr11.at_phase(bank, value, path))
                for path in paths
                for bank, value in after.items()
            ]
        return found

    def _variants(self, parts: Sequence[Part]) -> Iterator[tuple[str, tuple[pcr11.Measured, ...]]]:
        """What may be measured: of each kind of section for certain hardware one, or none."""
        measured = [part for part in parts if part.name in uki.MEASURED and part.content.size]
        always = [self.section(part) for part in measured if part.name not in uki.BY_HARDWARE]
        choices = [
            [None, *((part, number) for number, part in enumerate(of_kind, 1))]
            for name in uki.BY_HARDWARE
            for of_kind in ([part for part in measured if part.name == name],)
        ]
        for chosen in itertools.product(*choices):
            picked = [each for each in chosen if each is not None]
            label = " ".join(f"{part.name} {number}" for part, number in picked)
            extra = [self.section(part) for part, _ in picked]
            yield label, pcr11.in_order([*always, *extra], self._version)


def entries(values: Iterable[Value], group: SigningGroup) -> pcrsig.Signatures:
    """Policies for values of a group's phases, signed if the group has a key here."""
    found: dict[str, dict[pcrsig.Entry, None]] = {}
    for value in values:
        if value.phase not in group.phases:
            continue
        policy = policy_pcr(value.bank, {pcr11.INDEX: value.value})
        entry = pcrsig.Entry(
            pcrs=(pcr11.INDEX,),
            fingerprint=group.fingerprint,
            policy=policy,
            reference=group.reference,
            to_sign=b"" if group.signer else sign_pcr.to_sign(policy, group.reference),
        )
        if group.signer is not None:
            entry = sign_pcr.sign_entry(entry, group.signer)
        found.setdefault(value.bank, {})[entry] = None
    return {bank: tuple(each) for bank, each in found.items()}
