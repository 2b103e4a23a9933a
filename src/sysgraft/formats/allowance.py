"""How much decompressed data is accepted: limits, and what is left of them.

The numbers are our own. Nothing is decompressed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sysgraft.errors import LimitError


@dataclass(frozen=True, slots=True)
class Limits:
    """How much output is accepted.

    Attributes:
        output: most bytes in all; 64 GiB is more than any extension can sensibly hold.
        free: bytes that no ratio applies to, so that small files of zeros pass.
        ratio: bytes of output for each byte of input beyond `free`. Real trees stay below 30,
            logs below 100; gzip can reach 1,030, zstd and bzip2 far more.
    """

    output: int = 64 << 30
    free: int = 256 << 20
    ratio: int = 200


DEFAULT_LIMITS: Final = Limits()


class Allowance:
    """What is left of `Limits`, for one decompressor or for all that serve one purpose.

    Shared, it keeps many small bombs from doing what one large one may not.

    Args:
        limits: what is accepted in all.

    Attributes:
        taken: bytes of input so far that output may be made from.
        made: bytes of output so far.
    """

    __slots__ = ("_limits", "made", "taken")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.taken = 0
        self.made = 0

    def spend(self, count: int, kind: str) -> None:
        """`count` more bytes of output, of data in the format `kind`.

        Raises:
            LimitError: that is too much.
        """
        self.made += count
        most = min(self._limits.output, self._limits.free + self._limits.ratio * self.taken)
        if self.made > most:
            raise LimitError(
                f"{self.taken} bytes of {kind} data grow to more than {most} bytes",
                hint="decompress it yourself if it is what it should be",
            )
