"""``--source-date-epoch`` and ``$SOURCE_DATE_EPOCH``, the same for every verb that takes times."""

from __future__ import annotations

import os

from sysgraft.errors import UsageError


def source_date_epoch(option: int | None) -> int | None:
    """The latest time in seconds since the epoch, None if nobody said.

    Raises:
        UsageError: it is no number, or not one a file's time could be.
    """
    if option is not None:
        return _possible(option)
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        return _possible(int(text))
    except ValueError:
        raise UsageError(f"SOURCE_DATE_EPOCH is not a number: {text!r}") from None


def _possible(seconds: int) -> int:
    if not 0 <= seconds < 1 << 63:
        raise UsageError(f"a source date epoch of {seconds} is not possible")
    return seconds
