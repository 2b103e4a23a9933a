"""Several downloads at a time, in the order they are needed."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.transport.download import Download

AT_A_TIME: Final = 3
"""Downloads that run together, as many as Docker runs."""

_JOIN_SECONDS: Final = 2.0


class Fetching:
    """Runs downloads as long as the context lasts; what is not through at its end is given up.

    Attributes:
        given_up: set at the end.
    """

    def __init__(self) -> None:
        self.given_up = threading.Event()
        self._waiting: deque[Download] = deque()
        self._all: list[Download] = []
        self._threads: list[threading.Thread] = []

    def start(self, downloads: Iterable[Download]) -> None:
        """Fetch these too, behind those that wait already."""
        for download in downloads:
            self._all.append(download)
            self._waiting.append(download)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for _ in range(min(AT_A_TIME - len(self._threads), len(self._waiting))):
            # A daemon: a server that says nothing must not keep the process alive.
            thread = threading.Thread(target=self._work, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while self._waiting:
            try:
                download = self._waiting.popleft()
            except IndexError:
                return
            download.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.given_up.set()
        self._waiting.clear()
        for download in self._all:
            download.stop()
        # A thread that waits for a server's first word ends by itself, later, and writes nothing.
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
