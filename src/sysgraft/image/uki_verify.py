"""Prove an EFI executable: would firmware start it, and is it the UKI or addon it should be?

Every check is made and gives its reason. The file is read once, hashed by a thread of its own while
signatures and content are looked at. It changes nothing and needs neither root nor EFI.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

from sysgraft.base.progress import NoProgress
from sysgraft.errors import FormatError, in_file
from sysgraft.formats.authenticode_digest import compute, likely_algorithms
from sysgraft.host.files import OpenFile
from sysgraft.image.checks import Check, check_names, fail, skipped
from sysgraft.image.uki_structure import CHECKS, ON_REQUEST, read_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.authenticode_digest import Coverage
    from sysgraft.formats.uki import ImageKind
    from sysgraft.image.uki_structure import Structure
    from sysgraft.sign.verify.authenticode import ImageVerdict
    from sysgraft.sign.verify.authenticode_signature import SignatureVerdict
    from sysgraft.sign.verify.trust import TrustStore


@dataclass(frozen=True, slots=True)
class UkiVerifyOptions:
    """What to hold an executable against.

    Attributes:
        trust: certificates, digests and revocations, of a store for executables, or what loads
            one, called while the file is hashed; None trusts nobody, and `trust` fails.
        allow_skip: checks that may be left out without failing the executable.
        now: the time certificates are held against, for notes only; None for the clock's.
    """

    trust: TrustStore | Callable[[], TrustStore] | None = None
    allow_skip: frozenset[str] = frozenset()
    now: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse names of checks that do not exist."""
        check_names(self.allow_skip, CHECKS)


@dataclass(frozen=True, slots=True)
class UkiVerification:
    """What became of one executable.

    Attributes:
        file: as the caller named it.
        checks: all of `CHECKS`, in that order.
        notes: what a person should know and no check fails for.
        kind: UKI, addon or something else; None if it cannot be read.
        architecture: as systemd calls it, None if unknown.
        digests: of the executable, by algorithm.
        signatures: one by one.
    """

    file: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    kind: ImageKind | None = None
    architecture: str | None = None
    digests: tuple[tuple[str, bytes], ...] = ()
    signatures: tuple[SignatureVerdict, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every required check was made and holds."""
        return all(check.passes for check in self.checks)


def verify_uki(
    path: str | os.PathLike[str],
    options: UkiVerifyOptions | None = None,
    *,
    progress: Progress | None = None,
) -> UkiVerification:
    """Check the executable in a file.

    Raises:
        InputError: the file cannot be read.
    """
    name = os.fspath(path)
    with OpenFile(name) as blob, in_file(name):
        return verify_blob(blob, name, options, progress=progress)


def verify_blob(
    blob: Blob,
    name: str,
    options: UkiVerifyOptions | None = None,
    *,
    progress: Progress | None = None,
) -> UkiVerification:
    """Check an executable wherever its bytes are; `name` is for the report."""
    options = options or UkiVerifyOptions()
    try:
        structure = read_structure(blob)
    except FormatError as error:
        return _unreadable(name, error, options)
    return _examine(name, blob, structure, options, progress or NoProgress())


def _unreadable(name: str, error: FormatError, options: UkiVerifyOptions) -> UkiVerification:
    reason = "the executable cannot be read"
    others = (skipped(each, reason, required=each not in ON_REQUEST) for each in CHECKS[1:])
    return UkiVerification(name, _allowed([fail("pe", error.message), *others], options))


def _examine(
    name: str,
    blob: Blob,
    structure: Structure,
    options: UkiVerifyOptions,
    progress: Progress,
) -> UkiVerification:
    algorithms = likely_algorithms(entry.pkcs7 for entry in structure.entries)
    with _Hashing(blob, structure.covered, algorithms, progress) as hashing:
        # Loading these takes a while, in which the thread hashes.
        from sysgraft.formats import uki  # noqa: PLC0415
        from sysgraft.image.uki_checks import check_content  # noqa: PLC0415
        from sysgraft.sign.verify.authenticode import Judge  # noqa: PLC0415
        from sysgraft.sign.verify.opened_signature import (  # noqa: PLC0415
            needed_digests,
            open_signature,
        )

        store = _store(options)
        opened = [open_signature(entry.pkcs7) for entry in structure.entries]
        judge = Judge(opened, store, options.now or datetime.now(UTC))
        content, notes = check_content(blob, structure)
        digests = hashing.result()
    further = needed_digests(opened, store) - algorithms
    if further:
        digests |= compute(blob, structure.covered, further)
    verdict = judge.verdict(digests)
    checks = [_pe(structure), *_checks_of(verdict), content]
    return UkiVerification(
        file=name,
        checks=_allowed(checks, options),
        notes=tuple(dict.fromkeys((*verdict.notes, *notes))),
        kind=uki.kind_of(structure.image),
        architecture=structure.image.architecture,
        digests=tuple(sorted(digests.items())),
        signatures=verdict.signatures,
    )


def _store(options: UkiVerifyOptions) -> TrustStore:
    from sysgraft.sign.verify.trust import TrustStore  # noqa: PLC0415  while the thread hashes

    return options.trust() if callable(options.trust) else options.trust or TrustStore()


def _pe(structure: Structure) -> Check:
    image = structure.image
    count = len(structure.entries)
    signatures = {0: "no signature", 1: "1 signature"}.get(count, f"{count} signatures")
    architecture = image.architecture or f"machine {image.machine:#06x}"
    sections = len(image.sections)
    return Check(
        "pe", "ok", f"an EFI executable for {architecture}, {sections} sections, {signatures}"
    )


def _checks_of(verdict: ImageVerdict) -> Iterable[Check]:
    for name in ("signature", "trust", "revocation"):
        outcome = getattr(verdict, name)
        required = outcome.status != "skipped" or not (
            name in ON_REQUEST or (name == "signature" and verdict.by_digest)
        )
        yield Check(name, outcome.status, outcome.reason, required)


def _allowed(checks: Iterable[Check], options: UkiVerifyOptions) -> tuple[Check, ...]:
    """The checks; those the caller lets go unmade are no longer required."""
    return tuple(
        check._replace(required=False)
        if check.status == "skipped" and check.name in options.allow_skip
        else check
        for check in checks
    )


class _Cancelled(Exception):  # noqa: N818  no error: nobody wants the digests any more
    """Ends the hashing."""


# A thread that has hashed a piece gets the interpreter's lock back after this time at the latest,
# not after the usual 5 ms, in which it could hash ten more.
_SWITCH_SECONDS: Final = 0.0001
# Below this many bytes, starting a thread takes longer than the hashing.
_WORTH_A_THREAD: Final = 1 << 20


class _Hashing:
    """Digests of a file, of a large one made by a thread: hashing releases the interpreter lock."""

    def __init__(
        self, blob: Blob, covered: Coverage, algorithms: Iterable[str], progress: Progress
    ) -> None:
        self._blob = blob
        self._covered = covered
        self._algorithms = algorithms
        self._progress = progress
        self._cancelled = False
        self._digests: dict[str, bytes] = {}
        self._error: BaseException | None = None
        self._total = sum(length for _, length in covered.ranges)
        self._thread = Thread(target=self._run) if self._total >= _WORTH_A_THREAD else None
        self._interval = sys.getswitchinterval()

    def _run(self) -> None:
        try:
            self._digests = compute(
                self._blob, self._covered, self._algorithms, advance=self._advance
            )
        except BaseException as error:  # noqa: BLE001  raised again where the result is wanted
            self._error = error

    def _advance(self, amount: int) -> None:
        if self._cancelled:
            raise _Cancelled
        self._progress.advance(amount)

    def __enter__(self) -> Self:
        self._progress.start("hashing", self._total)
        if self._thread is not None:
            sys.setswitchinterval(_SWITCH_SECONDS)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._cancelled = True
        if self._thread is not None:
            self._thread.join()
            sys.setswitchinterval(self._interval)
        self._progress.finish()

    def result(self) -> dict[str, bytes]:
        """The digests by algorithm; raises what the thread met with."""
        if self._thread is None:
            self._run()
        else:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._digests
