"""What a volume, or whoever asks, wants of a signature: PCRs, bank, key, reference.

Read from the tokens of a LUKS2 header, which are believed as far as the policy they are sealed to
bears them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, KeyMaterialError, UsageError, in_file
from sysgraft.formats import luks2
from sysgraft.formats.luks2_tokens import Tpm2Token
from sysgraft.host.files import OpenFile
from sysgraft.measure import policy
from sysgraft.measure.tpm_name import pem_name
from sysgraft.sign.pcr_public import from_pem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.formats import pcrsig
    from sysgraft.sign.pcr_public import PublicKey

GOES_ON_SINCE: Final = 262
"""The first release that tries the next token where there is no signature for one (ENXIO ends the
search before, in ``src/cryptsetup/cryptsetup.c`` and in libcryptsetup)."""


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
        is_passed_over: whether systemd tries the next token whatever is signed for this one.
    """

    name: str
    bank: str
    pcrs: tuple[int, ...]
    key: PublicKey | None
    reference: str = ""
    problems: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    is_passed_over: bool = False


def tried(tokens: Sequence[Binding], release: int) -> Sequence[Binding]:
    """The tokens of a volume of which one has to open it, by the release of systemd."""
    if release >= GOES_ON_SINCE:
        return tokens
    return ([each for each in tokens if not each.is_passed_over] or tokens)[:1]


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
        found = tuple(binding_of(token, key) for token in tokens)
        signed = tuple(binding for binding in found if binding.pcrs)
        if not signed:
            raise InputError(
                "no token of this LUKS2 header is bound to signed PCR policies",
                hint="sysgraft pcr enroll binds it",
            )
        return signed


def binding_of(token: Tpm2Token, expected: PublicKey | None = None) -> Binding:
    """What a token wants; with `expected`, by that key or not at all."""
    problems = [] if token.keyslots else ["it belongs to no key slot: systemd passes it over"]
    key = None
    try:
        key = from_pem(token.public_key) if token.public_key else None
    except (InputError, KeyMaterialError) as error:
        problems.append(f"its public key cannot be used: {error.message}")
    problems.extend(_policy_problem(token))
    is_passed_over = bool(problems)
    if expected is not None and (key is None or key.fingerprint != expected.fingerprint):
        problems.append("another public key is enrolled")
    return Binding(
        name=f"token {token.number}",
        bank=token.bank or "sha256",
        pcrs=token.public_key_pcrs if token.public_key else (),
        key=key,
        reference=token.reference,
        problems=tuple(problems),
        skipped=tuple(_further(token)),
        is_passed_over=is_passed_over,
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
