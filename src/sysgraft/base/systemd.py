"""The systemd releases whose rules are known."""

from __future__ import annotations

from typing import Final

from sysgraft.errors import UsageError

OLDEST: Final = 252
LATEST: Final = 262


def check_release(number: int) -> None:
    """Refuse a release whose rules nobody has written down.

    Raises:
        UsageError: it is older than `OLDEST` or newer than `LATEST`.
    """
    if not OLDEST <= number <= LATEST:
        raise UsageError(
            f"systemd {number} is not known",
            hint=f"--systemd-version takes {OLDEST} to {LATEST}",
        )
