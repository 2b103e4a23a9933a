"""Which approved set a log is held to, and in which bank.

The closest one: but a document about fewer PCRs than others has less that could differ, and must
not be taken for that.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sysgraft.errors import UsageError
from sysgraft.measure.pcr import BANKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.seal.approved import Approved, ApprovedSet


def common_bank(
    wanted: str, log: Sequence[str], documents: Sequence[Approved], tpm: Iterable[str]
) -> str:
    """The bank to compare in: one that the log and all documents have, and the TPM if possible.

    Args:
        wanted: the one that was asked for; empty for none.
        log: the banks of the log.
        documents: what is approved.
        tpm: the banks of the TPM's values; none if they are not known.

    Raises:
        UsageError: there is none, or the wanted one is none.
    """
    known = set(tpm)
    common = [
        bank
        for bank in sorted(BANKS, key=lambda b: (b == "sha1", b not in known, BANKS[b]))
        if bank in log and all(bank in each.banks for each in documents)
    ]
    if wanted in common or (common and not wanted):
        return wanted or common[0]
    told = "; ".join(f"{each.origin}: {', '.join(each.banks)}" for each in documents)
    which = f"the bank {wanted} is not" if wanted else "no bank is"
    raise UsageError(
        f"{which} in the log and in all that is approved",
        hint=f"the log has {', '.join(log)}" + (f"; {told}" if told else ""),
    )


def covering(approved: Sequence[Approved], wanted: Sequence[int]) -> tuple[Approved, ...]:
    """Those about all PCRs that any is about: the fewer PCRs, the less there is to differ.

    Raises:
        UsageError: there is none.
    """
    about = [set(each.pcrs).intersection(wanted) for each in approved]
    most = set().union(*about)
    found = tuple(each for each, pcrs in zip(approved, about, strict=True) if pcrs == most)
    if not found:
        told = "; ".join(f"{each.origin}: {_listed(each.pcrs)}" for each in approved)
        raise UsageError(
            f"no document is about all of PCR {_listed(sorted(most))}, which some are about",
            hint=f"name the PCRs that all are about (--pcr): {told}",
        )
    return found


def passed_over(approved: Sequence[Approved], chosen: Sequence[Approved]) -> Iterable[str]:
    """Says which documents are not among those chosen, and why."""
    for each in approved:
        if all(each is not one for one in chosen):
            yield (
                f"{each.origin} is about PCR {_listed(each.pcrs)} only, and was not compared with: "
                "it says nothing of PCRs that other documents are about"
            )


def _listed(pcrs: Iterable[int]) -> str:
    return ", ".join(map(str, pcrs)) or "none"


def closest(
    approved: Sequence[Approved],
    log: Mapping[int, Sequence[LogEvent]],
    wanted: Sequence[int],
    bank: str,
) -> tuple[Approved, ApprovedSet]:
    """The set that is closest to the log, and where it is from."""
    seen = {
        pcr: Counter(each.digests[bank] for each in log.get(pcr, ()) if bank in each.digests)
        for pcr in wanted
    }
    totals = {pcr: found.total() for pcr, found in seen.items()}
    rated = (
        (_distance(each, one.pcrs, (seen, totals), bank), number, each, one)
        for number, (one, each) in enumerate((one, each) for one in approved for each in one.sets)
    )
    _, _, best, one = min(rated, key=lambda each: each[:2])
    return one, best


def _distance(
    candidate: ApprovedSet,
    pcrs: Sequence[int],
    log: tuple[Mapping[int, Counter[bytes]], Mapping[int, int]],
    bank: str,
) -> tuple[int, int]:
    """How many events are on one side only; then those in common, more before fewer."""
    off = common = 0
    for pcr, found in log[0].items():
        if pcr not in pcrs:
            continue
        expected = Counter(e.digests[bank] for e in candidate.events if e.pcr == pcr)
        both = sum(min(count, found[digest]) for digest, count in expected.items())
        common += both
        off += expected.total() + log[1][pcr] - 2 * both
    return off, -common
