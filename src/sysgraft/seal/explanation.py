"""Why a PCR is what it is: which event of a log is not as approved, and which file made it so.

The log's events are held to those of the approved set of files that fits best
(`sysgraft.measure.comparison`). Of an archive there is one digest for many files; which of them
differs is searched for (`sysgraft.seal.archive_search`). Whether the log itself is to be believed
only the TPM's values tell (`sysgraft.seal.replay`); a log that does not lead to them explains
nothing, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.errors import UsageError
from sysgraft.measure.comparison import compare
from sysgraft.measure.hints import hints
from sysgraft.seal.approved import of_prediction, read_documents
from sysgraft.seal.closest_set import closest, common_bank, covering, passed_over
from sysgraft.seal.findings import Judge
from sysgraft.seal.known import check_paths, gather
from sysgraft.seal.log_files import read_log, read_userspace_log, read_values
from sysgraft.seal.prediction import BootRequest, locate, predict
from sysgraft.seal.replay import replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.eventlog import Event as LogEvent
    from sysgraft.measure.comparison import Comparison
    from sysgraft.measure.events import Event
    from sysgraft.measure.hints import Hint
    from sysgraft.seal.approved import Approved, ApprovedSet
    from sysgraft.seal.finding import Finding
    from sysgraft.seal.replay import Replay

Status = Literal["ok", "differs", "unconfirmed", "not-predicted"]

TOLD: Final = (4, 7, 9, 11, 12, 13)
"""The PCRs that are told of where none was asked for; 7 and 9 follow from no file."""
_SHOWN: Final = 16
"""Events of the firmware that a note tells of."""
_SHOWN_TEXT: Final = 256
"""Characters of each."""


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
        status: all its events are as approved; some are not; all are by a log that the TPM does not
            confirm there, although its values are known; or nobody said what they should be.
        required: whether it counts for the whole.
        confirmed: whether the TPM holds what the logs lead to there, in the bank that was compared;
            None if its values are not known.
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
    confirmed: bool | None = None
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
        """Whether all is as approved, and the TPM confirms it where its values are known."""
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
    documents = read_documents(request.approved)
    bank = common_bank(request.bank, log.banks, documents, tpm or ())
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
    chosen = covering(approved, wanted)
    origin, best = closest(chosen, by_pcr, wanted, bank)
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
    compared = {
        pcr: compare(by_pcr.get(pcr, ()), [each for each in best.events if each.pcr == pcr], bank)
        for pcr in wanted
        if pcr in origin.pcrs
    }
    for pcr, found in compared.items():
        judge.expect(pcr, found.differences)
    verdicts = tuple(
        _verdict(pcr, by_pcr.get(pcr, ()), judge, replayed, result=compared.get(pcr))
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
        notes=(
            *passed_over(approved, chosen),
            *judge.notes(each for verdict in verdicts for each in verdict.findings),
        ),
    )


def _with_version(boot: BootRequest | None, documents: Sequence[Approved]) -> BootRequest | None:
    """Without the image, its stub's release is that of the approved one."""
    if boot is None or boot.uki or boot.esp or boot.settings.version is not None or not documents:
        return boot
    return replace(boot, settings=replace(boot.settings, version=documents[0].version))


def _by_pcr(log: Iterable[LogEvent]) -> dict[int, tuple[LogEvent, ...]]:
    found: dict[int, list[LogEvent]] = {}
    for event in log:
        if event.is_measured:
            found.setdefault(event.pcr, []).append(event)
    return {pcr: tuple(events) for pcr, events in found.items()}


def _verdict(
    pcr: int,
    found: Sequence[LogEvent],
    judge: Judge,
    replayed: Replay,
    *,
    result: Comparison | None,
) -> PcrVerdict:
    value = replayed.firmware[judge.bank].get(pcr)
    later = _later(pcr, replayed)
    confirmed = replayed.is_confirmed(pcr, judge.bank)
    if result is None:
        return PcrVerdict(
            pcr=pcr,
            status="not-predicted",
            required=False,
            value=value,
            confirmed=confirmed,
            later=later,
        )
    expected = [each for each in judge.best.events if each.pcr == pcr]
    findings, left_out = judge.findings(pcr, result.differences)
    same = [e.digests[judge.bank] for e in found] == [e.digests[judge.bank] for e in expected]
    return PcrVerdict(
        pcr=pcr,
        status="differs" if findings else "unconfirmed" if confirmed is False else "ok",
        required=True,
        value=value,
        confirmed=confirmed,
        as_predicted=same,
        findings=findings,
        later=later,
        notes=(
            *_notes(pcr, judge.bank, replayed, left_out),
            *_firmware_notes(result.firmware, result.missing_firmware, findings, same=same),
        ),
    )


def _notes(pcr: int, bank: str, replayed: Replay, left_out: int) -> Iterable[str]:
    if left_out:
        yield f"{left_out} more differences, which are not told one by one"
    if replayed.is_confirmed(pcr, bank) is not False:
        return
    check = next((each for each in replayed.checks if each.pcr == pcr), None)
    if check is None or bank not in check.compared:
        yield f"the log is not confirmed by the TPM here: its values have no {bank} of this PCR"
    else:
        yield "the log is not confirmed by the TPM here: it does not lead to its value"


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
        told = _some([text.strip(chr(0)) for text in texts], "; ")
        yield f"the firmware measured more than files tell: {told}"
    if missing:
        told = _some([each.name for each in missing], ", ")
        yield f"the firmware did not measure: {told}"
    if not findings and not same:
        yield "so its value is another than the predicted one, with all files as approved"


def _some(texts: Sequence[str], between: str) -> str:
    """The first of many, and how many more there are."""
    told = between.join(text[:_SHOWN_TEXT] for text in texts[:_SHOWN])
    return told if len(texts) <= _SHOWN else f"{told} and {len(texts) - _SHOWN} more"
