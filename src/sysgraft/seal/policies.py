"""Policies for predicted PCRs, and their signatures: what ``tpm2-pcr-signature.json`` is made of.

A policy says which values some PCRs of one bank have to have (`sysgraft.measure.policy`). Of sets
and phases that lead to the same values there is one policy. systemd-measure signs PCR 11 only;
those who unlock take any PCRs, as long as a signature is for exactly the PCRs that were enrolled.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, KeyMaterialError, LimitError, UsageError, in_file
from sysgraft.formats import pcrsig
from sysgraft.host.small import read_small
from sysgraft.measure.policy import policy_pcr
from sysgraft.sign import pcr as sign_pcr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.seal.prediction import Prediction
    from sysgraft.sign.keys import Signer

MAX_SIGNATURE: Final = 2048
"""Bytes of a raw signature; one by an RSA key of 16384 bits has as many."""


def policies(
    prediction: Prediction, pcrs: Sequence[int] = (), *, reference: str = ""
) -> pcrsig.Signatures:
    """The policies of all sets, phases and banks of a prediction, not signed yet.

    Args:
        prediction: what was predicted.
        pcrs: which of its PCRs count; none for all of them.
        reference: policyRef, part of what is signed.

    Raises:
        UsageError: a PCR was not predicted.
        LimitError: they are more than one document can have.
    """
    check_reference(reference)
    wanted = tuple(sorted(pcrs or prediction.pcrs))
    if not set(wanted) <= set(prediction.pcrs):
        raise UsageError("a policy is about PCRs that are predicted")
    found: dict[str, dict[pcrsig.Entry, None]] = {bank: {} for bank in prediction.banks}
    for bank, entries in found.items():
        for each in prediction.sets:
            for path in prediction.phases:
                values = each.values(path, bank)
                policy = policy_pcr(bank, {pcr: values[pcr] for pcr in wanted})
                entries[pcrsig.Entry(wanted, b"", policy, reference=reference)] = None
    if sum(map(len, found.values())) > pcrsig.MAX_ENTRIES:
        raise LimitError(
            f"more than {pcrsig.MAX_ENTRIES} policies: fewer sets, phases or banks are needed"
        )
    return {bank: tuple(entries) for bank, entries in found.items()}


def check_reference(text: str) -> None:
    """Refuse a policyref that would not arrive: the script in the initrd takes some letters only.

    Raises:
        UsageError: it has others.
    """
    if not text.isascii() or not text.isprintable() or set(text) & set('"\\{}'):
        raise UsageError(
            f"the policyref {text!r} has letters that do not reach the initrd",
            hint='printable ASCII does, without ", \\, { and }',
        )


def joined(before: pcrsig.Signatures, new: pcrsig.Signatures) -> pcrsig.Signatures:
    """A document with new signatures behind older ones.

    A new one takes the place of an older one for the same policy by the same key, which may be a
    bad one: the first is taken. Those with a reference come last, since systemd before 262 takes
    them for bad ones without one.

    Raises:
        LimitError: it is larger than what is read.
    """
    replaced = {
        (bank, *_about(entry)) for bank, found in new.items() for entry in found if entry.signature
    }
    kept = {
        bank: tuple(entry for entry in found if (bank, *_about(entry)) not in replaced)
        for bank, found in before.items()
    }
    merged = {
        bank: tuple(sorted(found, key=lambda entry: bool(entry.reference)))
        for bank, found in pcrsig.merge(kept, new).items()
        if found
    }
    size = len(pcrsig.render(merged))
    if size > pcrsig.MAX_SIZE:
        raise LimitError(
            f"a signature file of {size} bytes; the limit is {pcrsig.MAX_SIZE}",
            hint="sign fewer sets, phases or banks, or drop old ones",
        )
    return merged


def _about(entry: pcrsig.Entry) -> tuple[tuple[int, ...], bytes, bytes, str]:
    return entry.pcrs, entry.fingerprint, entry.policy, entry.reference


def to_be_signed(document: pcrsig.Signatures, fingerprint: bytes) -> pcrsig.Signatures:
    """The policies with the bytes that somebody else is to sign."""
    return {
        bank: tuple(
            pcrsig.Entry(
                entry.pcrs,
                fingerprint,
                entry.policy,
                reference=entry.reference,
                to_sign=sign_pcr.to_sign(entry.policy, entry.reference),
            )
            for entry in entries
        )
        for bank, entries in document.items()
    }


def signed(
    document: pcrsig.Signatures, signer: Signer, progress: Progress | None = None
) -> pcrsig.Signatures:
    """The policies with signatures, made on all cores.

    Raises:
        KeyMaterialError: the key is no RSA key, or cannot sign.
    """
    everything = [entry for entries in document.values() for entry in entries]
    answers = iter(sign_pcr.sign_entries(everything, signer, progress))
    return {bank: tuple(next(answers) for _ in entries) for bank, entries in document.items()}


def attached(
    document: pcrsig.Signatures, signatures: pcrsig.Signatures, key_der: bytes
) -> pcrsig.Signatures:
    """The policies with the signatures that were made elsewhere, each of them verified.

    Args:
        document: what was to be signed.
        signatures: what came back.
        key_der: the public key, SubjectPublicKeyInfo.

    Raises:
        KeyMaterialError: a policy has no signature, or one that is not by this key.
    """
    name = sign_pcr.fingerprint(key_der)
    found = pcrsig.attach(to_be_signed(document, name), signatures)
    for entry in (entry for entries in found.values() for entry in entries):
        if not entry.signature:
            raise KeyMaterialError(f"the policy {entry.policy.hex()} has no signature")
        if not sign_pcr.verifies(entry, key_der):
            raise KeyMaterialError(
                f"the signature of the policy {entry.policy.hex()} is not by this key"
            )
    return {bank: tuple(map(_without_bytes, entries)) for bank, entries in found.items()}


def _without_bytes(entry: pcrsig.Entry) -> pcrsig.Entry:
    return pcrsig.Entry(
        entry.pcrs, entry.fingerprint, entry.policy, entry.signature, entry.reference
    )


def read_document(path: str) -> pcrsig.Signatures:
    """Read a signature file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    with in_file(path):
        return pcrsig.parse(read_small(path, pcrsig.MAX_SIZE, "signature file"))


def read_signatures(path: str, document: pcrsig.Signatures) -> pcrsig.Signatures:
    """Signatures that were made elsewhere: a signature file, or a folder of raw ones.

    Args:
        path: the file; or a folder with a file ``POLICY.sig`` for each policy, whose digest in
            hexadecimal digits is its name.
        document: the policies.

    Raises:
        InputError: they cannot be read.
    """
    if not os.path.isdir(path):
        return read_document(path)
    return {bank: tuple(_raw(path, entries)) for bank, entries in document.items()}


def _raw(folder: str, entries: Iterable[pcrsig.Entry]) -> Iterator[pcrsig.Entry]:
    for entry in entries:
        place = os.path.join(folder, f"{entry.policy.hex()}.sig")
        if os.path.exists(place):
            data = read_small(place, MAX_SIGNATURE, "signature")
            yield pcrsig.Entry(entry.pcrs, b"", entry.policy, data, entry.reference)


def count(document: Mapping[str, Iterable[pcrsig.Entry]]) -> int:
    """How many entries there are."""
    return sum(1 for entries in document.values() for _ in entries)


def read_all(paths: Iterable[str]) -> pcrsig.Signatures:
    """All entries of several signature files.

    Raises:
        InputError: one cannot be read.
        LimitError: they are more than one document can have.
    """
    found = pcrsig.merge(*(read_document(path) for path in paths))
    if count(found) > pcrsig.MAX_ENTRIES:
        raise InputError(f"together more than {pcrsig.MAX_ENTRIES} signatures")
    return found
