"""Why a PCR is what it is: which event of a log is not as approved, and which file made it so.

The log's events are held to those of the approved set of files that fits best
(`sysgraft.measure.comparison`). Of an archive there is one digest for many files; which of them
differs is searched for (`sysgraft.seal.archive_search`). Whether the log itself is to be believed
only the TPM's values tell (`sysgraft.seal.replay`); a log that does not lead to them explains
nothing, whatever it says.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.errors import UsageError
from sysgraft.measure.comparison import compare
from sysgraft.measure.hints import hints
from sysgraft.measure.pcr import BANKS
from sysgraft.seal.approved import Approved, of_prediction, read_approved
from sysgraft.seal.findings import Judge
from sysgraft.seal.known import check_paths, gather
from sysgraft.seal.log_files import read_log, read_userspace_log, read_values
from sysgraft.seal.prediction import BootRequest, locate, predict
from sysgraft.seal.replay import replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.measure.events import Event
    from sysgraft.measure.hints import Hint
    from sysgraft.seal.approved import ApprovedSet
    from sysgraft.seal.finding import Finding
    from sysgraft.seal.replay import Replay

Status = Literal["ok", "differs", "not-predicted"]

TOLD: Final = (4, 7, 9, 11, 12, 13)
"""The PCRs that are told of where none was asked for; 7 and 9 follow from no file."""
MAX_DOCUMENTS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRequest:
    """What is asked.

    Attributes:
        log: path of the firmware's event log.
        userspace_log: path of systemd's; empty for none.
        values: folder or file of the TPM's values; empty if they are not known.
        boot: the files as they are now; None if they are not at hand.
        approved: paths of predictions; none if `boot` is what is approved.
        known: further files and folders whose contents may have been there.
        pcrs: which ones; none for all that are known.
        bank: in which; empty for sha256 if the log has it.
    """

    log: str
    userspace_log: str = ""
    values: str = ""
    boot: BootRequest | None = None
    approved: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    pcrs: tuple[int, ...] = ()
    bank: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrVerdict:
    """One PCR.

    Attributes:
        pcr: its number.
        status: all its events are as approved; some are not; or nobody said what they should be.
        required: whether it counts for the whole.
        value: at the end of the firmware's log, in the bank that was compared.
        as_predicted: whether that is exactly what the approved events lead to; None where there
            are none.
        findings: what is not as approved, in the order of the log.
        later: what was measured after the firmware's log.
        notes: what a person should know.
    """

    pcr: int
    status: Status
    required: bool
    value: bytes | None
    as_predicted: bool | None = None
    findings: tuple[Finding, ...] = ()
    later: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What came of it.

    Attributes:
        replay: the logs, and whether they are to be believed.
        bank: in which everything was compared.
        approved: the set of files that fits best.
        pcrs: one by one.
        hints: what the log tells of stub and boot loader.
        notes: what a person should know.
    """

    replay: Replay
    bank: str
    approved: ApprovedSet
    pcrs: tuple[PcrVerdict, ...]
    hints: tuple[Hint, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all is as approved, by a log that nothing speaks against."""
        return self.replay.is_believable is not False and all(
            each.status == "ok" or not each.required for each in self.pcrs
        )


def explain(request: ExplainRequest, *, progress: Progress | None = None) -> Explanation:
    """Explain PCRs.

    Raises:
        InputError: a log, document or file cannot be used.
        UsageError: nothing is approved, or the bank is not everywhere.
    """
    log = read_log(request.log)
    userspace = read_userspace_log(request.userspace_log) if request.userspace_log else None
    tpm = read_values(request.values) if request.values else None
    check_paths(request.known)
    documents = _documents(request.approved)
    bank = _bank(request.bank, log.banks, documents)
    replayed = replay(log, userspace, tpm)
    if bank not in replayed.firmware:
        replay(log, banks=(bank,))  # says why
    boot = _with_version(request.boot, documents)
    now = of_prediction(predict(boot, banks=(bank,), progress=progress)) if boot else None
    approved = documents or ((now,) if now else ())
    if not approved:
        raise UsageError("what is approved: --approved FILE, or the files (--uki, --extra, --esp)")
    by_pcr = _by_pcr(log.events)
    wanted = request.pcrs or TOLD
    origin, best = _best(approved, by_pcr, wanted, bank)
    judge = Judge(
        bank=bank,
        version=origin.version,
        best=best,
        sets=tuple(each for one in approved for each in one.sets),
        now=now.sets[0] if now and documents else None,
        log=log.events,
        gather=lambda: gather(
            locate(boot) if boot else None, request.known, bank, progress=progress
        ),
        progress=progress,
    )
    verdicts = tuple(
        _verdict(pcr, by_pcr.get(pcr, ()), judge, replayed, predicted=pcr in origin.pcrs)
        for pcr in wanted
    )
    verdicts = tuple(
        replace(each, required=bool(request.pcrs) or each.status != "not-predicted")
        for each in verdicts
    )
    if all(each.status == "not-predicted" for each in verdicts):
        raise UsageError(
            f"nothing is approved for PCR {', '.join(map(str, wanted))}",
            hint=f"the approved state is about PCR {', '.join(map(str, origin.pcrs))}",
        )
    return Explanation(
        replay=replayed,
        bank=bank,
        approved=best,
        pcrs=verdicts,
        hints=hints(log.events),
        notes=tuple(judge.notes(each for verdict in verdicts for each in verdict.findings)),
    )


def _documents(paths: Sequence[str]) -> tuple[Approved, ...]:
    if len(paths) > MAX_DOCUMENTS:
        raise UsageError(f"{len(paths)} documents; the limit is {MAX_DOCUMENTS}")
    return tuple(map(read_approved, paths))


def _with_version(boot: BootRequest | None, documents: Sequence[Approved]) -> BootRequest | None:
    """Without the image, its stub's release is that of the approved one."""
    if boot is None or boot.uki or boot.esp or boot.settings.version is not None or not documents:
        return boot
    return replace(boot, settings=replace(boot.settings, version=documents[0].version))


def _bank(wanted: str, log: Sequence[str], documents: Sequence[Approved]) -> str:
    """The bank to compare in: one that the log and all documents have."""
    common = [
        bank
        for bank in sorted(BANKS, key=lambda each: (each == "sha1", BANKS[each]))
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


def _by_pcr(log: Iterable[LogEvent]) -> dict[int, tuple[LogEvent, ...]]:
    found: dict[int, list[LogEvent]] = {}
    for event in log:
        if event.is_measured:
            found.setdefault(event.pcr, []).append(event)
    return {pcr: tuple(events) for pcr, events in found.items()}


def _best(
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
    rated = (
        (_distance(each, one.pcrs, seen, bank), number, each, one)
        for number, (one, each) in enumerate((one, each) for one in approved for each in one.sets)
    )
    _, _, best, one = min(rated, key=lambda each: each[:2])
    return one, best


def _distance(
    candidate: ApprovedSet, pcrs: Sequence[int], seen: Mapping[int, Counter[bytes]], bank: str
) -> tuple[int, int]:
    """How many events are on one side only; then those in common, more before fewer."""
    off = common = 0
    for pcr, found in seen.items():
        if pcr not in pcrs:
            continue
        expected = Counter(e.digests[bank] for e in candidate.events if e.pcr == pcr)
        both = (expected & found).total()
        common += both
        off += expected.total() + found.total() - 2 * both
    return off, -common


def _verdict(
    pcr: int, found: Sequence[LogEvent], judge: Judge, replayed: Replay, *, predicted: bool
) -> PcrVerdict:
    value = replayed.firmware[judge.bank].get(pcr)
    later = _later(pcr, replayed)
    if not predicted:
        return PcrVerdict(pcr=pcr, status="not-predicted", required=False, value=value, later=later)
    expected = [each for each in judge.best.events if each.pcr == pcr]
    result = compare(found, expected, judge.bank)
    findings = tuple(judge.findings(pcr, result.differences, found))
    same = [e.digests[judge.bank] for e in found] == [e.digests[judge.bank] for e in expected]
    return PcrVerdict(
        pcr=pcr,
        status="differs" if findings else "ok",
        required=True,
        value=value,
        as_predicted=same,
        findings=findings,
        later=later,
        notes=tuple(_firmware_notes(result.firmware, result.missing_firmware, findings, same=same)),
    )


def _later(pcr: int, replayed: Replay) -> tuple[str, ...]:
    logged = tuple(each.text or "without words" for each in replayed.records if each.pcr == pcr)
    check = next((each for each in replayed.checks if each.pcr == pcr), None)
    return (*logged, *(check.words if check else ()))


def _firmware_notes(
    extra: Sequence[LogEvent],
    missing: Sequence[Event],
    findings: Sequence[Finding],
    *,
    same: bool,
) -> Iterable[str]:
    if extra:
        texts = dict.fromkeys(each.data.decode("ascii", errors="replace") for each in extra)
        yield f"the firmware measured more than files tell: {'; '.join(texts).strip(chr(0))}"
    if missing:
        yield f"the firmware did not measure: {', '.join(each.name for each in missing)}"
    if not findings and not same:
        yield "so its value is another than the predicted one, with all files as approved"
