"""Values of PCR 11 and signatures of them, for each profile of an image in the making."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.uki import pcrs
from sysgraft.build.uki.profiles import profile_id
from sysgraft.errors import UsageError
from sysgraft.formats import pcrsig, uki
from sysgraft.measure import pcr11

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.progress import Progress
    from sysgraft.build.uki.assembly import Assembly
    from sysgraft.build.uki.options import UkiOptions
    from sysgraft.build.uki.pcrs import SigningGroup, Value


def measure(
    assembly: Assembly, groups: tuple[SigningGroup, ...], options: UkiOptions, progress: Progress
) -> tuple[Value, ...]:
    """The values of all profiles, at the phases that are signed for, else at the usual ones.

    Puts into `assembly` what the groups sign, and the digests of what was measured.

    Raises:
        UsageError: no profile has an ID that is to be signed for.
    """
    phases = dict.fromkeys(phase for group in groups for phase in group.phases)
    measurer = pcrs.Measurer(options.pcr_banks, assembly.stub.version.major, progress)
    profiles = assembly.profiles()
    signed = set(_signed_for(assembly, options.sign_profiles))
    values: list[Value] = []
    progress.start("measuring", measurer.work(profiles))
    for number, parts in enumerate(profiles):
        found = measurer.values(parts, phases or pcr11.DEFAULT_PATHS, number)
        values += found
        if number in signed:
            documents = [pcrs.entries(found, group) for group in groups]
            assembly.signatures[number] = pcrsig.merge(*documents)
    progress.finish()
    assembly.measured = measurer.known
    return tuple(values)


def _signed_for(assembly: Assembly, wanted: tuple[str, ...]) -> Iterator[int]:
    """The numbers of the profiles that signatures are made for: all, or those named by ID."""
    ids = [
        profile_id(next((part for part in parts if part.name == uki.PROFILE), None))
        for parts in (assembly.base, *assembly.joined)
    ]
    missing = [name for name in wanted if name not in ids]
    if missing:
        raise UsageError(
            f"no profile has the ID {missing[0]} (--sign-profile)",
            hint=f"profiles of this image: {', '.join(name or '(no ID)' for name in ids)}",
        )
    for number, name in enumerate(ids):
        if not wanted or name in wanted:
            yield number
