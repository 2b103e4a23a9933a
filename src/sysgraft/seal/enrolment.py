"""Binds a LUKS2 volume to signed PCR policies, if this very boot could unlock it again.

systemd-cryptenroll does the work; it takes any PCRs and asks nothing. What it would not notice is
checked first: that the event log explains the TPM's values, that the values this boot had when it
unlocked its disks are signed by the key that is enrolled, that what PCR 13 is to protect goes
through the stub at all, and that nothing needed for unlocking lies on the volume itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats import luks2
from sysgraft.formats.luks2_tokens import OtherToken, Tpm2Token
from sysgraft.host.files import OpenFile
from sysgraft.measure import pcr11
from sysgraft.seal.enrolment_checks import made_checks
from sysgraft.seal.enrolment_checks import notes as made_notes
from sysgraft.sign.pcr_public import from_pem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats import pcrsig
    from sysgraft.image.checks import Check
    from sysgraft.seal.enrolment_checks import Enrolment
    from sysgraft.seal.machine import Machine
    from sysgraft.sign.pcr_public import PublicKey


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done.

    Attributes:
        checks: all of `enrolment_checks.CHECKS`, in that order.
        commands: the programs that would be run, with their arguments.
        adds_recovery: whether the last of them makes a recovery key.
        notes: what a person should know.
    """

    checks: tuple[Check, ...]
    commands: tuple[tuple[str, ...], ...]
    adds_recovery: bool
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return all(check.passes for check in self.checks)


def plan(wanted: Enrolment, machine: Machine, document: pcrsig.Signatures) -> Plan:
    """Check everything, and say what would be done.

    Args:
        wanted: what is to be enrolled.
        machine: that it is enrolled on.
        document: signatures for coming boots.

    Raises:
        InputError: the volume cannot be read.
        UsageError: a PCR or phase makes no sense.
    """
    pcr11.check_path(wanted.phase)
    header = _header(wanted.device)
    adds = _adds_recovery(wanted, header)
    return Plan(
        checks=tuple(made_checks(wanted, machine, document, header)),
        commands=_commands(wanted, adds=adds),
        adds_recovery=adds,
        notes=tuple(made_notes(wanted, machine)),
    )


def _header(device: str) -> luks2.Header:
    with OpenFile(device) as blob:
        try:
            return luks2.parse(blob)
        except FormatError as error:
            raise type(error)(
                error.message, file=device, hint=error.hint or "give a volume made by luksFormat"
            ) from error


def _adds_recovery(wanted: Enrolment, header: luks2.Header) -> bool:
    """Whether a recovery key is made; a key slot that no token claims is taken for a passphrase."""
    if wanted.recovery != "auto":
        return wanted.recovery == "add"
    if any(isinstance(each, OtherToken) and each.is_recovery for each in header.tokens):
        return False
    claimed = {slot for token in header.tokens for slot in token.keyslots}
    return not set(header.keyslots) - claimed


def _commands(wanted: Enrolment, *, adds: bool) -> tuple[tuple[str, ...], ...]:
    program = "systemd-cryptenroll"
    key_file = (f"--unlock-key-file={wanted.unlock_key_file}",) if wanted.unlock_key_file else ()
    enroll = (
        program,
        f"--tpm2-device={wanted.tpm_device}",
        f"--tpm2-public-key={wanted.public_key}",
        f"--tpm2-public-key-pcrs={'+'.join(map(str, wanted.pcrs))}",
        # Nothing else: fixed values, of PCR 7 by default before v258, would not outlive an update.
        "--tpm2-pcrs=",
        *((f"--tpm2-public-key-policyref={wanted.reference}",) if wanted.reference else ()),
        *(("--tpm2-with-pin=yes",) if wanted.with_pin else ()),
        *(("--wipe-slot=tpm2",) if wanted.wipe else ()),
        *key_file,
        wanted.device,
    )
    recovery = (program, "--recovery-key", *key_file, wanted.device)
    return (enroll, recovery) if adds else (enroll,)


def check_result(wanted: Enrolment, before: Sequence[int]) -> str:
    """What is wrong with the header after enrolment; empty if it is as it should be.

    Args:
        wanted: what was enrolled.
        before: the numbers of the tokens that were there.
    """
    header = _header(wanted.device)
    new = [
        token
        for token in header.tokens
        if isinstance(token, Tpm2Token) and token.number not in before
    ]
    for token in new:
        if (
            token.public_key_pcrs == wanted.pcrs
            and token.bank in ("", wanted.bank)
            and _is_key(token.public_key, wanted.key)
            and token.reference == wanted.reference
            and not token.pcrs
        ):
            return ""
    if new and new[0].bank != wanted.bank:
        return (
            f"systemd-cryptenroll chose the bank {new[0].bank}, "
            f"the signatures are for {wanted.bank}"
        )
    return "the header has no new token for these PCRs, this key and nothing else"


def _is_key(pem: bytes, key: PublicKey) -> bool:
    try:
        return from_pem(pem).fingerprint == key.fingerprint
    except (FormatError, KeyMaterialError):
        return False


def tokens(device: str) -> tuple[int, ...]:
    """The numbers of a volume's tokens."""
    return tuple(token.number for token in _header(device).tokens)
