"""``sysgraft uki verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.verdict import checks_json, signer_json, verify_each
from sysgraft.errors import SysgraftError
from sysgraft.image.uki_structure import ON_REQUEST
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_uki

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.image.uki_verify import UkiVerification
    from sysgraft.sign.verify.authenticode_signature import SignatureVerdict
    from sysgraft.sign.verify.roothash import Outcome
    from sysgraft.sign.verify.trust import TrustStore


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Verify executables; 0 if all of them are good."""
    trust = _Trust(arguments)
    options = UkiVerifyOptions(trust=trust, allow_skip=frozenset(arguments.allow_skip))
    return verify_each(
        arguments.files,
        lambda file: verify_uki(file, options, progress=out.progress),
        as_json,
        out,
        schema="uki.verify",
        on_request=ON_REQUEST,
        concerns_all=lambda error: error is trust.problem,
    )


class _Trust:
    """Whom the options trust; read once, and not before the first file is being hashed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._store: TrustStore | None = None
        self.problem: SysgraftError | None = None

    def __call__(self) -> TrustStore:
        if self._store is None:
            try:
                self._store = _read_trust(self._arguments)
            except SysgraftError as error:
                self.problem = error
                raise
        return self._store


def _read_trust(arguments: argparse.Namespace) -> TrustStore:
    from sysgraft.sign.verify import files  # noqa: PLC0415  see above

    store = files.empty()
    for path in arguments.certificate:
        store |= files.certificate(path)
    for path in arguments.esl:
        store |= files.signature_lists(path, for_executables=True)
    if arguments.dbx:
        store |= files.dbx(arguments.dbx)
    if arguments.efivars:
        store |= files.efivars(arguments.efivars, for_executables=True)
    return store


def as_json(result: UkiVerification) -> dict[str, object]:
    """One executable's part of ``sysgraft.uki.verify/1``."""
    return {
        "file": result.file,
        "ok": result.ok,
        "kind": result.kind,
        "architecture": result.architecture,
        "digests": {name: value.hex() for name, value in result.digests},
        "signatures": [_signature_json(each) for each in result.signatures],
        "checks": checks_json(result.checks),
        "notes": list(result.notes),
    }


def _signature_json(verdict: SignatureVerdict) -> dict[str, object]:
    digest = verdict.digest
    return {
        "signer": signer_json(verdict.signer),
        "digest": digest and {"algorithm": digest.algorithm, "value": digest.value.hex()},
        "timestamp": verdict.timestamp or None,
        "signature": _outcome_json(verdict.signature),
        "trust": _outcome_json(verdict.trust),
        "revocation": _outcome_json(verdict.revocation),
        "notes": list(verdict.notes),
    }


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    return {"status": outcome.status, "reason": outcome.reason}
