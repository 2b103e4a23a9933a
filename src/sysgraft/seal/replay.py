"""What a machine's event logs lead to, and whether that is what its TPM holds.

The firmware's log ends when the kernel takes over; systemd's goes on from there. Where the TPM's
values are known, each PCR is held to them: it is as the logs say, or what came later explains it
(`sysgraft.measure.later`), or the logs do not lead there and are not to be believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.errors import FormatError, UsageError
from sysgraft.formats import eventlog
from sysgraft.measure import later
from sysgraft.measure.pcr import BANKS, extend_all
from sysgraft.measure.pcr11 import INDEX as PHASE_PCR
from sysgraft.measure.pcr11 import PHASES
from sysgraft.seal.log_files import read_log, read_userspace_log, read_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.formats.eventlog import Log
    from sysgraft.formats.pcr_values import Values
    from sysgraft.formats.tpm_userspace_log import Record

Status = Literal["same", "later", "differs", "elsewhere"]

ELSEWHERE: Final = (10, *range(15, 24))
"""PCRs that the firmware's log does not have: IMA, the running system, debugging, launches."""
_STANDARD_BANK: Final = "sha256"


@dataclass(frozen=True, slots=True)
class PcrCheck:
    """One PCR held to the TPM.

    Attributes:
        pcr: its number.
        status: ``same`` as in the logs; ``later`` words explain it; it ``differs``; or no log that
            was read tells of it, and none has to (``elsewhere``).
        words: what was measured behind the end of the logs.
        banks: the banks in which the logs do not lead to it.
        compared: the banks in which it was held to the TPM.
    """

    pcr: int
    status: Status
    words: tuple[str, ...] = ()
    banks: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()

    @property
    def confirmed(self) -> tuple[str, ...]:
        """The banks in which the TPM confirms what the logs lead to."""
        return self.compared if self.status in ("same", "later") else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of replaying.

    Attributes:
        log: the firmware's.
        records: systemd's; empty if there is none.
        has_userspace_log: whether there is one.
        firmware: values at the end of the firmware's log, by bank and number.
        values: values at the end of both.
        not_computed: banks that could not be replayed, with the reason.
        tpm: the values to compare with; None if they are not known.
        checks: for each PCR in them; empty if they are not known.
        phases: the phases of the boot that were reached; None if that is not known.
        notes: what a person should know.
    """

    log: Log
    records: tuple[Record, ...]
    has_userspace_log: bool
    firmware: Values
    values: Values
    not_computed: Mapping[str, str]
    tpm: Values | None
    checks: tuple[PcrCheck, ...]
    phases: tuple[str, ...] | None
    notes: tuple[str, ...]

    @property
    def is_believable(self) -> bool | None:
        """Whether the logs lead to the TPM's values; None if those are not known."""
        if self.tpm is None:
            return None
        return all(each.status != "differs" for each in self.checks)

    def is_confirmed(self, pcr: int, bank: str) -> bool | None:
        """Whether the TPM holds what the logs lead to there; None if its values are not known.

        False also where they are known of other PCRs and banks only.
        """
        if self.tpm is None:
            return None
        return any(each.pcr == pcr and bank in each.confirmed for each in self.checks)

    @property
    def not_confirmed(self) -> dict[str, tuple[int, ...]]:
        """PCRs that the logs tell of and the TPM does not confirm, by bank."""
        if self.tpm is None:
            return {}
        found = {
            bank: tuple(pcr for pcr in values if not self.is_confirmed(pcr, bank))
            for bank, values in self.values.items()
        }
        return {bank: pcrs for bank, pcrs in found.items() if pcrs}

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the logs, and each of their PCRs was held to the TPM.

        One bank is enough: a TPM may have fewer of them than the log.
        """
        if self.tpm is None:
            return True
        told = {pcr for values in self.values.values() for pcr in values}
        return self.is_believable is True and told <= {each.pcr for each in self.checks}


def replay_files(
    log: str, *, userspace_log: str = "", values: str = "", banks: Sequence[str] = ()
) -> Replay:
    """Replay the logs in these files, see `replay`.

    Args:
        log: path of the firmware's log.
        userspace_log: path of systemd's; empty for none.
        values: folder or file of the TPM's values; empty for none.
        banks: which banks; none for all that can be computed.

    Raises:
        InputError: a file cannot be read, or is damaged.
        UsageError: a bank that the log does not have, or no bank to compare in.
    """
    return replay(
        read_log(log),
        read_userspace_log(userspace_log) if userspace_log else None,
        read_values(values) if values else None,
        banks=banks,
    )


def replay(
    log: Log,
    userspace: tuple[Record, ...] | None = None,
    tpm: Values | None = None,
    *,
    banks: Sequence[str] = (),
) -> Replay:
    """Replay logs, and hold them to the TPM's values.

    Raises:
        FormatError: the log makes no sense.
        UsageError: a bank that the log does not have, or no bank to compare in.
    """
    firmware, not_computed = _all_banks(log, banks)
    records = userspace or ()
    values = {bank: _with_records(bank, found, records) for bank, found in firmware.items()}
    checks = _checks(firmware, values, tpm, records) if tpm is not None else ()
    return Replay(
        log=log,
        records=records,
        has_userspace_log=userspace is not None,
        firmware=firmware,
        values=values,
        not_computed=not_computed,
        tpm=tpm,
        checks=checks,
        phases=_phases(records, checks) if userspace is not None or checks else None,
        notes=tuple(_notes(log, records, values, tpm)),
    )


def _all_banks(
    log: Log, wanted: Sequence[str]
) -> tuple[dict[str, dict[int, bytes]], dict[str, str]]:
    found: dict[str, dict[int, bytes]] = {}
    failed: dict[str, str] = {}
    for bank in wanted or log.banks:
        try:
            found[bank] = eventlog.replay(log, bank)
        except FormatError as error:
            if wanted or len(failed) == len(log.banks) - 1:
                raise
            failed[bank] = error.message
    return found, failed


def _with_records(
    bank: str, values: Mapping[int, bytes], records: Sequence[Record]
) -> dict[int, bytes]:
    """The values after systemd's log too; a PCR of which it lacks a digest stays as it was."""
    found = dict(values)
    for pcr in sorted({each.pcr for each in records if each.pcr is not None}):
        mine = [each.digests.get(bank) for each in records if each.pcr == pcr]
        known = [digest for digest in mine if digest is not None]
        if bank in BANKS and len(known) == len(mine):
            begin = found.get(pcr, later.start_of(bank, pcr))
            found[pcr] = extend_all(bank, begin, known)
    return dict(sorted(found.items()))


def _checks(
    firmware: Values, values: Values, tpm: Values, records: Sequence[Record]
) -> tuple[PcrCheck, ...]:
    banks = [bank for bank in firmware if bank in tpm and bank in BANKS]
    if not banks:
        raise UsageError(
            f"the log has the banks {', '.join(firmware)}, the values {', '.join(tpm)}: "
            "there is nothing to compare"
        )
    numbers = sorted({pcr for bank in banks for pcr in tpm[bank]})
    return tuple(_check(pcr, banks, (firmware, values, tpm), records) for pcr in numbers)


def _check(
    pcr: int,
    banks: Sequence[str],
    states: tuple[Values, Values, Values],
    records: Sequence[Record],
) -> PcrCheck:
    firmware, values, tpm = states
    banks = [bank for bank in banks if pcr in tpm[bank]]
    end = {bank: tpm[bank] for bank in banks}
    off = tuple(
        bank for bank in banks if values[bank].get(pcr, later.start_of(bank, pcr)) != tpm[bank][pcr]
    )
    compared = tuple(banks)
    if not off:
        return PcrCheck(pcr, "same", compared=compared)
    # The log may have been copied before the values were read, or after.
    for start in (values, firmware):
        words = later.explain(pcr, {bank: start[bank] for bank in banks}, end)
        if words is not None:
            return PcrCheck(pcr, "later" if words else "same", words, compared=compared)
    told = any(each.pcr == pcr for each in records) or any(pcr in values[b] for b in banks)
    status: Status = "elsewhere" if pcr in ELSEWHERE and not told else "differs"
    return PcrCheck(pcr, status, (), off, compared)


def _phases(records: Sequence[Record], checks: Sequence[PcrCheck]) -> tuple[str, ...] | None:
    """The phases of the boot; what the TPM confirms goes before what a log says."""
    logged = tuple(
        each.text or ""
        for each in records
        if each.pcr == PHASE_PCR and each.event_type == "phase" and each.text in PHASES
    )
    check = next((each for each in checks if each.pcr == PHASE_PCR), None)
    if check is None:
        return logged or None
    return None if check.status == "differs" else (*logged, *check.words)


def _notes(
    log: Log, records: Sequence[Record], values: Values, tpm: Values | None
) -> Iterator[str]:
    if not log.is_crypto_agile:
        yield "the log is of the older form: it has SHA-1 only, and tells nothing of sha256"
    elif _STANDARD_BANK not in log.banks:
        yield f"the log has no digests of sha256; its banks are {', '.join(log.banks)}"
    for bank in values:
        if any(bank not in each.digests for each in records if each.pcr is not None):
            yield f"systemd's log lacks digests of {bank}: there its PCRs are those of the firmware"
    if tpm is not None:
        missing = [bank for bank in tpm if bank not in log.banks]
        if missing:
            yield f"not compared, for the log has no such bank: {', '.join(missing)}"
    unsure = [later.words_of(each) for each in records if not later.has_own_words(each)]
    if unsure:
        yield (
            f"{len(unsure)} records of systemd's log have digests of something else than their "
            f"words, as those of encrypted volumes do: {unsure[0]}"
        )
