"""How long to wait before asking again, and when to give up.

Spec: RFC 9110, section 10.2.3 (Retry-After: seconds, or a date). A server that wants a longer
pause than anybody would sit through is believed, and named.
"""

from __future__ import annotations

import random
import time
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Final

from sysgraft.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPTS: Final = 5
"""How often one thing is asked for."""

FIRST_PAUSE: Final = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""

LONGEST_PAUSE: Final = 120.0
"""Seconds that a server may ask for."""


class Patience:
    """Counts attempts and waits between them.

    Args:
        sleep: waits so many seconds.
        host: whom errors are about.
    """

    def __init__(self, sleep: Callable[[float], object], host: str) -> None:
        self._sleep = sleep
        self._host = host
        self._failures = 0

    def renew(self) -> None:
        """Something came of it: count from the beginning."""
        self._failures = 0

    def after_failure(self, error: TransferError) -> None:
        """Wait after a broken connection; raises `error` when it was one too many."""
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise error
        self._sleep(self._pause())

    def when_busy(self, status: int, retry_after: str) -> None:
        """Wait as a busy server wants.

        Raises:
            TransferError: it was one time too many, or the server wants too long a pause.
        """
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise TransferError(
                f"it is busy (HTTP {status}) after {ATTEMPTS} attempts", file=self._host
            )
        wanted = seconds_of(retry_after, now=time.time())
        if wanted is not None and wanted > LONGEST_PAUSE:
            raise TransferError(
                f"it is busy (HTTP {status}) and wants a pause of {wanted:.0f} seconds",
                file=self._host,
            )
        self._sleep(self._pause() if wanted is None else wanted)

    def _pause(self) -> float:
        # Random, so that many machines that failed together do not come back together.
        spread = 1 + random.random() / 2  # noqa: S311  nothing secret
        return FIRST_PAUSE * 2.0 ** (self._failures - 1) * spread


def seconds_of(retry_after: str, *, now: float) -> float | None:
    """The pause that a ``Retry-After`` header asks for, in seconds; None for none."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    parsed = parsedate_tz(text) if text else None
    if parsed is None:
        return None
    try:
        date = mktime_tz(parsed)
    except (OverflowError, ValueError):
        return None
    return max(date - now, 0.0)
