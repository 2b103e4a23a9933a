"""Does a signature file open what is sealed, once certain files are booted?

systemd-cryptsetup takes the first signed entry of the bank that is for exactly the enrolled PCRs,
by the enrolled key, since v262 with the enrolled reference, and for the policy that the TPM's
values make (``src/shared/tpm2-util.c``, find_signature); the TPM then verifies the signature. The
same is done here with predicted values. What else a volume is bound to (PCRs with fixed values, a
PIN, pcrlock) is told; it is not part of the signature file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.errors import InputError, KeyMaterialError, UsageError, in_file
from sysgraft.formats import luks2
from sysgraft.formats.luks2_tokens import Tpm2Token
from sysgraft.host.files import OpenFile
from sysgraft.measure import policy
from sysgraft.measure.tpm_name import pem_name
from sysgraft.sign import pcr as sign_pcr
from sysgraft.sign.pcr_public import from_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sysgraft.formats import pcrsig
    from sysgraft.seal.prediction import Prediction
    from sysgraft.sign.pcr_public import PublicKey

REFERENCES_SINCE: Final = 262
"""The first release of systemd that looks at an entry's reference; to older ones a signature with
one is a bad signature of the bare policy."""
DEFAULT_PHASES: Final = ("enter-initrd",)
"""Where an initrd unlocks its disks."""

Status = Literal["ok", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Binding:
    """What a volume, or whoever asks, wants of a signature.

    Attributes:
        name: for the report.
        bank: of which values.
        pcrs: exactly these.
        key: who has to have signed; None if it is not known.
        reference: what the signature is bound to beside.
        problems: why the volume will not open whatever the signature says.
        skipped: what else it is bound to that cannot be told from files.
    """

    name: str
    bank: str
    pcrs: tuple[int, ...]
    key: PublicKey | None
    reference: str = ""
    problems: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether one set opens one binding at one phase.

    Attributes:
        binding: its name.
        set: its name.
        phase: the phase path.
        status: whether it does; ``skipped`` if that cannot be told.
        reason: why not, or by which signature.
        policy: the digest that would have to be signed.
    """

    binding: str
    set: str
    phase: str
    status: Status
    reason: str
    policy: bytes = b""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What came of it.

    Attributes:
        answers: one for each binding, set and phase.
        one_is_enough: whether one binding is, as of the tokens of a volume.
        notes: what a person should know.
    """

    answers: tuple[Answer, ...]
    one_is_enough: bool
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every set opens what it has to, at every phase."""
        if not self.one_is_enough:
            return bool(self.answers) and all(each.status == "ok" for each in self.answers)
        asked = {(each.set, each.phase) for each in self.answers}
        opened = {(each.set, each.phase) for each in self.answers if each.status == "ok"}
        return bool(asked) and asked == opened


def check(
    document: Mapping[str, Iterable[pcrsig.Entry]],
    prediction: Prediction,
    bindings: Sequence[Binding],
    *,
    one_is_enough: bool = False,
) -> CheckReport:
    """Hold signatures against predicted values.

    Args:
        document: the signatures.
        prediction: the values.
        bindings: what is wanted.
        one_is_enough: whether one of the bindings is, as of the tokens of a volume.
    """
    answers = [
        _answer(document, prediction, binding, number, path)
        for binding in bindings
        for number in range(len(prediction.sets))
        for path in prediction.phases
    ]
    notes = list(prediction.notes)
    if any(binding.key is None for binding in bindings):
        notes.append("no public key is known: that the signatures are good was not checked")
    return CheckReport(tuple(answers), one_is_enough, tuple(notes))


def _answer(
    document: Mapping[str, Iterable[pcrsig.Entry]],
    prediction: Prediction,
    binding: Binding,
    number: int,
    path: str,
) -> Answer:
    each = prediction.sets[number]
    values = each.values(path, binding.bank)
    wanted = policy.policy_pcr(binding.bank, {pcr: values[pcr] for pcr in binding.pcrs})
    problem = find_problem(
        tuple(document.get(binding.bank, ())), binding, wanted, release=prediction.systemd
    )
    if problem or binding.problems:
        reason = "; ".join(filter(None, (*binding.problems, problem)))
        return Answer(binding.name, each.name, path, "fail", reason, wanted)
    if binding.key is None or binding.skipped:
        reason = "; ".join(binding.skipped) or "the key is not known"
        return Answer(binding.name, each.name, path, "skipped", reason, wanted)
    return Answer(binding.name, each.name, path, "ok", "there is a good signature", wanted)


def find_problem(
    entries: Sequence[pcrsig.Entry],
    binding: Binding,
    wanted: bytes,
    *,
    release: int = REFERENCES_SINCE,
) -> str:
    """Why none of the entries opens a binding; empty if one does.

    Args:
        entries: of the binding's bank.
        binding: what is wanted.
        wanted: the policy's digest.
        release: of the systemd that looks for a signature.
    """
    if binding.reference and release < REFERENCES_SINCE:
        return f"systemd {release} knows no policyref"
    if not entries:
        return f"the signature file has nothing for the bank {binding.bank}"
    found = list(entries)
    for fits, problem in _conditions(entries, binding, wanted, release):
        found = [entry for entry in found if fits(entry)]
        if not found:
            return problem
    return _bad_signature(found[0], binding)


def _conditions(
    entries: Sequence[pcrsig.Entry], binding: Binding, wanted: bytes, release: int
) -> Iterator[tuple[Callable[[pcrsig.Entry], bool], str]]:
    """What an entry has to be, in the order in which it is looked at, and what is wrong if none."""
    pcrs = "+".join(map(str, binding.pcrs))
    others = sorted({"+".join(map(str, entry.pcrs)) for entry in entries})
    yield (
        lambda entry: entry.pcrs == binding.pcrs,
        f"it has no signature for exactly PCR {pcrs}, but for {', '.join(others)}",
    )
    if binding.key is not None:
        name = binding.key.fingerprint
        yield (
            lambda entry: entry.fingerprint == name,
            f"it has no signature of PCR {pcrs} by the key {name.hex()[:16]}…",
        )
    if release >= REFERENCES_SINCE:
        yield (
            lambda entry: entry.reference == binding.reference,
            f"it has no signature of PCR {pcrs} with the policyref {binding.reference!r}",
        )
    yield (
        lambda entry: entry.policy == wanted,
        f"it has no signature of PCR {pcrs} for these values",
    )
    yield lambda entry: bool(entry.signature), "the policy is there, but is not signed"


def _bad_signature(first: pcrsig.Entry, binding: Binding) -> str:
    """The first signed entry that matches is taken, so a later good one does not help."""
    if first.reference != binding.reference:
        return (
            f"the first signature for these values is bound to the policyref {first.reference!r}, "
            "which systemd before 262 takes for a bad one"
        )
    if binding.key is not None and not sign_pcr.verifies(first, binding.key.der):
        return "the signature is not by the key it names"
    return ""


# --- What a volume wants -------------------------------------------------------------------------


def bindings_of(path: str, key: PublicKey | None = None) -> tuple[Binding, ...]:
    """What the TPM tokens of a LUKS2 volume want.

    Args:
        path: the volume, or an image of it.
        key: the key the header has to have; None to believe the header.

    Raises:
        InputError: it is no LUKS2 volume, or no TPM opens it.
    """
    with OpenFile(path) as blob, in_file(path):
        header = luks2.parse(blob)
        tokens = [token for token in header.tokens if isinstance(token, Tpm2Token)]
        found = tuple(_binding(token, key) for token in tokens)
        signed = tuple(binding for binding in found if binding.pcrs)
        if not signed:
            raise InputError(
                "no token of this LUKS2 header is bound to signed PCR policies",
                hint="sysgraft pcr enroll binds it",
            )
        return signed


def _binding(token: Tpm2Token, expected: PublicKey | None) -> Binding:
    problems = [] if token.keyslots else ["it belongs to no key slot: systemd passes it over"]
    key = None
    try:
        key = from_pem(token.public_key) if token.public_key else None
    except (InputError, KeyMaterialError) as error:
        problems.append(f"its public key cannot be used: {error.message}")
    if expected is not None and (key is None or key.fingerprint != expected.fingerprint):
        problems.append("another public key is enrolled")
    return Binding(
        name=f"token {token.number}",
        bank=token.bank or "sha256",
        pcrs=token.public_key_pcrs if token.public_key else (),
        key=key,
        reference=token.reference,
        problems=(*problems, *_policy_problem(token)),
        skipped=tuple(_further(token)),
    )


def _policy_problem(token: Tpm2Token) -> Iterator[str]:
    """Whether the header says what the secret is really sealed to, as far as that can be told."""
    if token.pcrs or token.has_pcrlock or not token.public_key:
        return
    if len(token.policies) != 1 or token.blobs != 1:
        yield "it has several secrets or policies, and no policy of systemd-pcrlock"
    try:
        name = pem_name(token.public_key)
    except KeyMaterialError:
        return
    expected = policy.sealed_policy(
        key_name=name, reference=token.reference, with_pin=token.has_pin
    )
    if token.policies and token.policies[0] != expected:
        yield "what it is sealed to is not what the header says (tpm2-policy-hash)"


def _further(token: Tpm2Token) -> Iterator[str]:
    if token.pcrs:
        numbers = "+".join(map(str, token.pcrs))
        yield f"it is bound to fixed values of PCR {numbers} too, which were not compared"
    if token.has_pcrlock:
        yield "it is bound to a policy of systemd-pcrlock too"


def bindings_for(
    document: Mapping[str, Iterable[pcrsig.Entry]],
    banks: Sequence[str],
    pcrs: Sequence[int],
    key: PublicKey | None,
    reference: str,
) -> tuple[Binding, ...]:
    """What whoever asks wants, where there is no volume: for each bank the PCRs of the file.

    Raises:
        UsageError: the file is about several combinations of PCRs.
    """
    wanted = tuple(sorted(pcrs))
    if not wanted:
        masks = {entry.pcrs for bank in banks for entry in document.get(bank, ())}
        if len(masks) > 1:
            shown = ", ".join(sorted("+".join(map(str, mask)) for mask in masks))
            raise UsageError(
                f"the signatures are for several combinations of PCRs: {shown}",
                hint="say with --pcr or --luks which of them is enrolled",
            )
        wanted = next(iter(masks), (11, 13))
    return tuple(Binding(f"bank {bank}", bank, wanted, key, reference) for bank in banks)
