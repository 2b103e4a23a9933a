"""What speaks against binding a volume to this machine's boots, a check at a time.

systemd-cryptenroll notices none of it: logs that do not lead to the TPM's values, values of this
boot that nobody signed, extensions that nobody measures, signatures on the volume itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.formats import eventlog
from sysgraft.formats.eventlog_events import secure_boot
from sysgraft.formats.luks2_tokens import Tpm2Token
from sysgraft.host.block import device_number, devices_below
from sysgraft.image.checks import Check, fail, ok, skipped
from sysgraft.measure import pcr11
from sysgraft.measure.boot import OS_SEPARATOR
from sysgraft.measure.events import SYSEXT_PCR, hashed
from sysgraft.measure.pcr import extend_all, start
from sysgraft.measure.policy import policy_pcr
from sysgraft.seal.binding import GOES_ON_SINCE, Binding, binding_of
from sysgraft.seal.check import find_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats import luks2, pcrsig
    from sysgraft.seal.machine import Machine
    from sysgraft.sign.pcr_public import PublicKey

CHECKS: Final = ("volume", "event-log", "key", "boots-again", "placement", "location")
"""In the order they are reported."""
DEFAULT_PCRS: Final = (11, 13)

_ANONYMOUS: Final = "0:"
"""How the numbers of file systems begin that are on no block device, or on several."""

Recovery = Literal["auto", "add", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What is to be enrolled.

    Attributes:
        device: the volume.
        public_key: path of the key, PEM; systemd-cryptenroll reads it itself.
        key: the same key.
        pcrs: whose signed values unlock it.
        bank: of which bank.
        phase: the phase path at which it is unlocked.
        signatures: where the signatures were read from; empty for what this boot collected.
        recovery: whether a recovery key is added: ``auto`` if nothing else opens the volume.
        reference: what the signatures have to be bound to beside (systemd 262).
        unlock_key_file: opens the volume now; empty to be asked.
        tpm_device: which TPM.
        with_pin: whether a PIN is needed too.
        wipe: whether what a TPM opened until now is removed.
        allow_unmeasured: whether extensions may be in use that nobody measures.
    """

    device: str
    public_key: str
    key: PublicKey
    pcrs: tuple[int, ...] = DEFAULT_PCRS
    bank: str = "sha256"
    phase: str = "enter-initrd"
    signatures: tuple[str, ...] = ()
    recovery: Recovery = "auto"
    reference: str = ""
    unlock_key_file: str = ""
    tpm_device: str = "auto"
    with_pin: bool = False
    wipe: bool = False
    allow_unmeasured: bool = False


def made_checks(
    wanted: Enrolment, machine: Machine, document: pcrsig.Signatures, header: luks2.Header
) -> Iterator[Check]:
    """All of `CHECKS`, in that order."""
    yield ok("volume", f"LUKS2 {header.uuid}, {len(header.keyslots)} key slots")
    yield _check_log(wanted, machine)
    yield ok("key", f"RSA, fingerprint {wanted.key.fingerprint.hex()}")
    yield _check_again(wanted, machine, document, header)
    yield _check_placement(wanted, machine)
    yield _check_location(wanted, machine)


def _check_log(wanted: Enrolment, machine: Machine) -> Check:
    found = {each.pcr: each for each in machine.replay.checks}
    bad = [str(pcr) for pcr in wanted.pcrs if pcr in found and found[pcr].status == "differs"]
    if wanted.bank not in machine.log.banks:
        return fail("event-log", f"the event log has no digests of the bank {wanted.bank}")
    known = (machine.replay.tpm or {}).get(wanted.bank, {})
    missing = [str(pcr) for pcr in wanted.pcrs if pcr not in known]
    if missing:
        return fail(
            "event-log",
            f"what the TPM has in PCR {', '.join(missing)} of the bank {wanted.bank} is not known",
        )
    if bad:
        return fail(
            "event-log", f"the logs do not lead to what the TPM has in PCR {', '.join(bad)}"
        )
    return ok("event-log", "the logs lead to the TPM's values")


def values_at(machine: Machine, wanted: Enrolment) -> dict[int, bytes]:
    """What the enrolled PCRs were when this boot was at the phase path.

    The firmware's log ends before the kernel runs. Words of the phase path go on from there, and
    the separator that an initrd measures before it unlocks anything, if this boot's did.
    """
    replayed = eventlog.replay(machine.log, wanted.bank)
    found = {}
    for pcr in wanted.pcrs:
        value = replayed.get(pcr, start(wanted.bank))
        if OS_SEPARATOR in _later(machine, pcr) and wanted.phase:
            digest = hashed(OS_SEPARATOR.encode(), (wanted.bank,))[wanted.bank]
            value = extend_all(wanted.bank, value, [digest])
        if pcr == pcr11.INDEX:
            value = pcr11.at_phase(wanted.bank, value, wanted.phase)
        found[pcr] = value
    return found


def _later(machine: Machine, pcr: int) -> tuple[str, ...]:
    """What was measured into a PCR after the firmware's log, by systemd's log or by the values."""
    logged = (each.text or "without words" for each in machine.records if each.pcr == pcr)
    guessed = (word for each in machine.replay.checks if each.pcr == pcr for word in each.words)
    return (*logged, *guessed)


def _check_again(
    wanted: Enrolment, machine: Machine, document: pcrsig.Signatures, header: luks2.Header
) -> Check:
    if wanted.bank not in machine.log.banks:
        return skipped("boots-again", "the event log does not have this bank")
    for pcr in wanted.pcrs:
        unknown = [word for word in _later(machine, pcr) if word != OS_SEPARATOR]
        if unknown and pcr != pcr11.INDEX:
            reason = f"PCR {pcr} was extended with {unknown[0]!r} later, when is not known"
            return fail("boots-again", reason)
    binding = Binding("enrolment", wanted.bank, wanted.pcrs, wanted.key, wanted.reference)
    policy = policy_pcr(wanted.bank, values_at(machine, wanted))
    problem = find_problem(document.get(wanted.bank, ()), binding, policy)
    where = wanted.phase or "the start of the kernel"
    if problem:
        return fail("boots-again", f"this boot could not unlock it again at {where}: {problem}")
    for number in () if wanted.wipe else _in_the_way(wanted, machine, document, header):
        return fail(
            "boots-again",
            f"there is no signature for token {number}, and systemd before {GOES_ON_SINCE} looks "
            "no further than that: --wipe removes it",
        )
    return ok("boots-again", f"this boot's values at {where} are signed")


def _in_the_way(
    wanted: Enrolment, machine: Machine, document: pcrsig.Signatures, header: luks2.Header
) -> Iterator[int]:
    """Tokens that are there already and that this boot has no signature for."""
    for token in header.tokens:
        if not isinstance(token, Tpm2Token) or not (token.public_key and token.keyslots):
            continue
        binding = binding_of(token)
        if binding.problems or binding.bank not in machine.log.banks:
            continue
        asked = replace(wanted, pcrs=binding.pcrs, bank=binding.bank)
        policy = policy_pcr(binding.bank, values_at(machine, asked))
        if find_problem(document.get(binding.bank, ()), binding, policy):
            yield token.number


def _check_placement(wanted: Enrolment, machine: Machine) -> Check:
    if SYSEXT_PCR not in wanted.pcrs:
        return ok("placement", "system extensions do not count: PCR 13 is not enrolled")
    loose = [e.path for e in machine.extensions if not e.is_measured and e.kind == "sysext"]
    if loose and not wanted.allow_unmeasured:
        more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
        return fail(
            "placement",
            f"{loose[0]}{more} is not loaded by the stub, so PCR 13 says nothing of it: put it "
            "beside the image (NAME.efi.extra.d), or allow it with --allow-unmeasured",
        )
    archives = machine.measured_archives(SYSEXT_PCR)
    if not archives:
        return ok("placement", "no system extension is measured: that there is none is enrolled")
    return ok("placement", f"measured into PCR 13: {', '.join(archives)}")


def _check_location(wanted: Enrolment, machine: Machine) -> Check:
    volume = device_number(wanted.device)
    if not volume:
        return skipped("location", "the volume is no block device here", required=False)
    needed = [*wanted.signatures, wanted.public_key]
    needed += [each.path for each in machine.extensions if each.is_measured]
    unknown = []
    for path in needed:
        below = devices_below(path)
        if volume in below:
            return fail("location", f"{path} is needed to unlock the volume, and lies on it")
        in_memory = path.startswith(machine.path("run/"))
        if not in_memory and all(number.startswith(_ANONYMOUS) for number in below):
            unknown.append(path)
    if unknown:
        reason = f"on which device {unknown[0]} lies is not known"
        return skipped("location", reason, required=False)
    return ok("location", "nothing that unlocking needs lies on the volume")


def notes(wanted: Enrolment, machine: Machine) -> Iterator[str]:
    """What a person should know, and no check fails for."""
    if not {4, 7} & set(wanted.pcrs):
        enforced = secure_boot(machine.log.events)
        state = {True: "", False: "Secure Boot is off: ", None: "whether it is on is not known: "}
        yield (
            f"{state[enforced]}PCR 11 and 13 say something only as long as firmware starts nothing "
            "but what you signed: another program could extend them to the same values"
        )
    confexts = [each for each in machine.extensions if each.kind == "confext"]
    if confexts and 12 not in wanted.pcrs:
        yield "configuration extensions are in use; they go to PCR 12, which is not enrolled"
    if 12 in wanted.pcrs or 4 in wanted.pcrs:
        yield (
            "PCR 4 and 12 change with addons: signatures for them cannot be carried by one "
            "(an .initrd addon is measured there itself)"
        )
