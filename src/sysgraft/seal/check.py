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

from sysgraft.measure import policy
from sysgraft.seal.binding import tried
from sysgraft.sign import pcr as sign_pcr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sysgraft.formats import pcrsig
    from sysgraft.seal.binding import Binding
    from sysgraft.seal.prediction import Prediction

REFERENCES_SINCE: Final = 262
"""The first release of systemd that looks at an entry's reference; to older ones a signature with
one is a bad signature of the bare policy."""
NOT_VERIFIED: Final = "no public key is known: that the signatures are good was not checked"
NO_KEY: Final = "the key is not known"
DEFAULT_PHASES: Final = ("enter-initrd",)
"""Where an initrd unlocks its disks."""

Status = Literal["ok", "fail", "skipped"]


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
        enough: names of the bindings of which one is enough, as of the tokens of a volume; where
            there are none, all of them are needed.
        notes: what a person should know.
    """

    answers: tuple[Answer, ...]
    enough: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every set opens what it has to, at every phase."""
        if not self.enough:
            return bool(self.answers) and all(each.status == "ok" for each in self.answers)
        good = [
            each for each in self.answers if each.status == "ok" and each.binding in self.enough
        ]
        opened = {(each.set, each.phase) for each in good}
        return bool(opened) and opened == {(each.set, each.phase) for each in self.answers}


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
        notes.append(NOT_VERIFIED)
    enough = tried(bindings, prediction.systemd) if one_is_enough else bindings
    if len(enough) < len(bindings):
        notes.append(
            f"systemd {prediction.systemd} looks no further than the first token for which there "
            "is no signature"
        )
    names = frozenset(each.name for each in enough) if one_is_enough else frozenset()
    return CheckReport(tuple(answers), names, tuple(notes))


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
        reason = "; ".join(binding.skipped) or NO_KEY
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
