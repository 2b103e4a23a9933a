"""A blob that is still arriving: read from the front while the rest is on its way.

A thread fetches, hashes and stores; reading waits for what is not there yet. A connection that
breaks is made anew from where it broke (RFC 9110, section 14.2, Range). The last byte is given out
only when the size and the digest were found right, so whoever reads to the end has the real thing.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.base.blob import check_range, collect
from sysgraft.errors import BrokenTransferError, FormatError, SysgraftError, TransferError
from sysgraft.transport.waiting import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.formats.oci import Digest
    from sysgraft.transport.http import Answer

CHUNK: Final = 1 << 18
"""Bytes taken from the network at a time."""

LEAST_PROGRESS: Final = 1 << 20
"""Bytes a connection has to bring for the next one not to count as one more attempt."""

_PARTIAL: Final = 206
_POLL: Final = 0.5  # seconds; a wait without end would not see Ctrl-C on every system


class Store(Protocol):
    """Where the bytes go."""

    def write(self, offset: int, data: bytes) -> None:
        """Keep `data` at `offset`."""

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """Fill `view` with what was kept at `offset`."""


class Download:
    """A blob on its way; also a `Blob`.

    Args:
        digest: what it must hash to.
        size: bytes it must have.
        store: where they go.
        open_at: asks for the bytes from an offset on.
        sleep: waits so many seconds; without it, as long as nobody gives up.
    """

    def __init__(
        self,
        digest: Digest,
        size: int,
        store: Store,
        *,
        open_at: Callable[[int], Answer],
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.digest = digest
        self.size = size
        self._store = store
        self._open_at = open_at
        self._arrived = 0
        self._is_whole = False
        self._error: SysgraftError | None = None
        self._given_up = threading.Event()
        self._sleep = sleep or self._given_up.wait
        self._answer: Answer | None = None
        self._changed = threading.Condition()

    # The thread that fetches

    def run(self) -> None:
        """Fetch all of it; errors are kept for whoever reads."""
        try:
            self._fetch()
            with self._changed:
                self._is_whole = True
                self._changed.notify_all()
        except SysgraftError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  a reader must not wait for a dead thread
            self._fail(TransferError(f"fetching {self.digest} failed: {error}"))

    def complete(self) -> None:
        """Fetch all of it here and now; raises as `read_at`."""
        self.run()
        self._wait(self.size)

    def _fail(self, error: SysgraftError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def stop(self) -> None:
        """Give up; `run` ends soon, and so does whoever waits."""
        with self._changed:
            self._given_up.set()
            answer = self._answer
            self._changed.notify_all()
        if answer is not None:
            answer.interrupt()

    def _fetch(self) -> None:
        state = hashlib.new(self.digest.algorithm)
        patience = Patience(self._sleep, "")
        done = failed_at = 0
        while done < self.size:
            try:
                for data in self._pieces(done):
                    state.update(data)
                    self._store.write(done, data)
                    done += len(data)
                    self._tell(done)
            except BrokenTransferError as error:
                self._check_wanted()
                if done - failed_at >= LEAST_PROGRESS:
                    patience.renew()
                failed_at = done
                patience.after_failure(error)
        self._check(state.hexdigest())

    def _open(self, done: int) -> Answer:
        answer = self._open_at(done)
        with self._changed:
            self._answer = answer
        try:
            self._check_wanted()
        except TransferError:
            answer.close()
            raise
        return answer

    def _pieces(self, done: int) -> Iterator[bytes]:
        """The bytes from `done` on, whether the server begins there or at the front."""
        with self._open(done) as answer:
            skip = 0 if answer.status == _PARTIAL else done
            self._check_length(answer, done - skip)
            left = self.size - done
            while data := answer.read(CHUNK):
                self._check_wanted()
                rest = data[skip:]
                skip -= len(data) - len(rest)
                left -= len(rest)
                if left < 0:
                    raise FormatError(f"the server sends more than the {self.size} bytes stated")
                yield rest
            if left:
                raise BrokenTransferError(f"it ends after {self.size - left} of {self.size} bytes")

    def _check_wanted(self) -> None:
        if self._given_up.is_set():
            raise TransferError("fetching was given up")

    def _check_length(self, answer: Answer, start: int) -> None:
        """An announced length that is wrong needs no reading."""
        if answer.length is not None and start + answer.length != self.size:
            raise FormatError(
                f"the server has {start + answer.length} bytes, {self.size} are stated",
            )

    def _tell(self, done: int) -> None:
        with self._changed:
            self._arrived = done
            self._changed.notify_all()

    def _check(self, found: str) -> None:
        if found != self.digest.hex:
            raise FormatError(
                f"the digest of what was fetched is {self.digest.algorithm}:{found}, "
                f"{self.digest} is stated",
            )

    # Whoever reads

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`; waits for the bytes.

        Raises:
            TransferError: they do not come.
            FormatError: they are not what was asked for.
        """
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at` and `read_at`."""
        check_range(self, offset, len(view))
        if not self._is_whole:
            self._wait(offset + len(view))
        self._store.readinto_at(offset, view)

    def _wait(self, end: int) -> None:
        with self._changed:
            while not self._is_whole and (end == self.size or self._arrived < end):
                if self._error is not None:
                    raise self._error
                self._check_wanted()
                self._changed.wait(_POLL)
