"""A single file over HTTP(S), piece by piece, taken up again where a connection broke.

Spec: RFC 9110, section 14 (Range), 13.1.5 (If-Range) and 8.8 (validators): the rest of a file is
asked for only under a validator that tells a changed file from the one that was begun; without
one, and where the server sends the whole file or another one, it begins again at the front. What
the bytes are is for the caller to find out. Errors name the address without its query, which often
is a secret.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.errors import BrokenTransferError, TransferError, UsageError, in_file
from sysgraft.transport.download import CHUNK, LEAST_PROGRESS
from sysgraft.transport.pools import host_and_port, public_address, split_address
from sysgraft.transport.waiting import Patience

if TYPE_CHECKING:
    from sysgraft.transport.http import Answer, Http

_OK: Final = 200
_PARTIAL: Final = 206
_NOT_SATISFIABLE: Final = 416
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)")
# Of visible ASCII; what begins with W/ is weak, and no If-Range may have it.
_STRONG_TAG: Final = re.compile(r'"[!#-~]*"')


class Sink(Protocol):
    """Where a file goes."""

    def begin(self, total: int | None) -> None:
        """From the front, perhaps once more; what came before counts no longer.

        Args:
            total: bytes that are announced; None where nothing is.
        """

    def add(self, data: bytes) -> None:
        """The next bytes."""


def fetch_file(http: Http, url: str, sink: Sink) -> None:
    """Give all of the file at `url` to `sink`, which may refuse it by raising.

    Raises:
        UsageError: it is no address, or holds a password.
        TransferError: the server does not answer as it should.
    """
    name = public_address(url)
    check_address(url)
    with in_file(name):
        _Fetch(http, url, sink).run()


def check_address(url: str) -> None:
    """Raise `UsageError` unless `url` is an address without a name and a password."""
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        raise UsageError("a name or password in an address is not used", file=public_address(url))
    try:
        host_and_port(split_address(url))
    except TransferError as error:
        raise UsageError(str(error), hint="spaces and the like are written as %20") from error


class _Fetch:
    """One file on its way."""

    def __init__(self, http: Http, url: str, sink: Sink) -> None:
        self._http = http
        self._url = url
        self._sink = sink
        self._done = 0
        self._total: int | None = None
        self._validator = ""

    def run(self) -> None:
        patience = Patience(self._http.pause, public_address(self._url))
        best = 0
        while True:
            asked = self._done if self._validator else 0
            # Outside: whoever cannot be reached was asked again already.
            answer = self._http.get(self._url, self._range(asked))
            try:
                with answer:
                    self._take(answer, asked)
            except BrokenTransferError as error:
                # Beginning again and again gets nowhere: only what never came before counts.
                if self._done - best >= LEAST_PROGRESS:
                    patience.renew()
                best = max(best, self._done)
                patience.after_failure(error)
            else:
                return

    def _range(self, start: int) -> dict[str, str]:
        return {"Range": f"bytes={start}-", "If-Range": self._validator} if start else {}

    def _take(self, answer: Answer, asked: int) -> None:
        """The body of an answer, whichever part it is."""
        self._check(answer, asked)
        if answer.status == _OK:
            self._begin(answer)
        while data := answer.read(CHUNK):
            self._done += len(data)
            if self._total is not None and self._done > self._total:
                raise TransferError(f"the server sends more than the {self._total} bytes stated")
            self._sink.add(data)
        if self._total is not None and self._done < self._total:
            raise BrokenTransferError(f"it ends after {self._done} of {self._total} bytes")
        if not self._done:
            raise TransferError("the file is empty")

    def _begin(self, answer: Answer) -> None:
        self._done = 0
        self._total = answer.length
        self._validator = validator_of(answer)
        self._sink.begin(self._total)

    def _check(self, answer: Answer, asked: int) -> None:
        encoding = answer.header("Content-Encoding").strip().lower()
        if encoding not in ("", "identity"):
            raise TransferError("the server sends it compressed, which nobody asked for")
        if answer.status == _OK:
            return
        if not asked or answer.status not in (_PARTIAL, _NOT_SATISFIABLE):
            raise TransferError(_refusal(answer), file=public_address(self._url))
        if not self._goes_on(answer, asked):
            self._validator = ""
            raise BrokenTransferError("the file changed while it was fetched")

    def _goes_on(self, answer: Answer, asked: int) -> bool:
        """Whether a part is the one that was asked for, of the file that was begun."""
        found = _CONTENT_RANGE.fullmatch(answer.header("Content-Range"))
        if answer.status != _PARTIAL or found is None or int(found[1]) != asked:
            return False
        if self._total is not None and found[2] not in ("*", str(self._total)):
            return False
        tag = answer.header("ETag")
        return not (tag and self._validator.startswith('"') and tag != self._validator)


def _refusal(answer: Answer) -> str:
    return f"HTTP {answer.status}" + (f" from {answer.host}" if answer.is_redirected else "")


def validator_of(answer: Answer) -> str:
    """What ``If-Range`` may hold for a file: a strong validator; empty where there is none.

    A date is one if the answer was sent at least a second after it (RFC 9110, section 8.8.2.2).
    """
    tag = answer.header("ETag")
    if tag:
        return tag if _STRONG_TAG.fullmatch(tag) else ""
    changed = answer.header("Last-Modified")
    try:
        age = parsedate_to_datetime(answer.header("Date")) - parsedate_to_datetime(changed)
    except (TypeError, ValueError):
        return ""
    return changed if age.total_seconds() >= 1 else ""
