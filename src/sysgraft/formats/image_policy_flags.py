"""The words of the image policy language: designators, flags, and which version knows which.

Follows systemd.image-policy(7) and ``src/shared/image-policy.h``. Flags come in groups: how a
partition may be used, what its two GPT attributes may be, which file system it may hold. The rules
made of these words are in `sysgraft.formats.image_policy`.
"""

from __future__ import annotations

from enum import IntFlag
from functools import reduce
from operator import or_
from typing import Final

from sysgraft.base import systemd
from sysgraft.errors import FormatError

# systemd that began to …
POLICIES_SINCE: Final = 254  # … have image policies
FSTYPES_SINCE: Final = 260  # … know file system flags and encryptedwithintegrity

# In the order systemd prints them (enum PartitionDesignator).
DESIGNATORS: Final[tuple[str, ...]] = (
    *("root", "usr", "home", "srv", "esp", "xbootldr", "swap"),
    *("root-verity", "usr-verity", "root-verity-sig", "usr-verity-sig", "tmp", "var"),
)
VERITY_OF: Final = {"root": "root-verity", "usr": "usr-verity"}
SIGNATURE_OF: Final = {"root": "root-verity-sig", "usr": "usr-verity-sig"}
DATA_OF: Final = {v: data for of in (VERITY_OF, SIGNATURE_OF) for data, v in of.items()}


class Flag(IntFlag):
    """What a rule allows. The order is the one flags are printed in."""

    # How the partition may be used; the name is the word in the language.
    VERITY = 1 << 0
    SIGNED = 1 << 1
    ENCRYPTED = 1 << 2
    ENCRYPTEDWITHINTEGRITY = 1 << 3
    UNPROTECTED = 1 << 4
    UNUSED = 1 << 5
    ABSENT = 1 << 6
    # What its GPT attributes may be.
    READ_ONLY_ON = 1 << 7
    READ_ONLY_OFF = 1 << 8
    GROWFS_OFF = 1 << 9
    GROWFS_ON = 1 << 10
    # Which file system it may hold.
    BTRFS = 1 << 11
    EROFS = 1 << 12
    EXT4 = 1 << 13
    F2FS = 1 << 14
    SQUASHFS = 1 << 15
    VFAT = 1 << 16
    XFS = 1 << 17


NOTHING: Final = Flag(0)
IGNORE: Final = Flag.UNUSED | Flag.ABSENT
READ_ONLY: Final = Flag.READ_ONLY_ON | Flag.READ_ONLY_OFF
GROWFS: Final = Flag.GROWFS_OFF | Flag.GROWFS_ON
PROTECTED: Final = Flag.VERITY | Flag.SIGNED
LUKS: Final = Flag.ENCRYPTED | Flag.ENCRYPTEDWITHINTEGRITY
USE: Final = PROTECTED | LUKS | Flag.UNPROTECTED | IGNORE
FSTYPES: Final = reduce(or_, (flag for flag in Flag if flag >= Flag.BTRFS))

WORDS: Final = {flag: str(flag.name).lower().replace("_", "-") for flag in Flag}
BLANKS: Final = " \t\n\r"
"""What may stand around words (systemd's WHITESPACE)."""


def open_flags(systemd_version: int) -> Flag:
    """What the word ``open`` means to a version: every use it knows."""
    return USE if systemd_version >= FSTYPES_SINCE else USE & ~Flag.ENCRYPTEDWITHINTEGRITY


def parse_flags(text: str, systemd_version: int, *, graceful: bool) -> Flag:
    """Read flags joined by ``+``; none mean everything.

    Raises:
        FormatError: a word the version does not know, unless `graceful`.
    """
    if text in ("", "-"):
        return NOTHING
    known = vocabulary(systemd_version)
    words = [word.strip(BLANKS) for word in text.split("+")]
    unknown = [word for word in words if word not in known]
    if unknown and not graceful:
        new = unknown[0] in vocabulary(systemd.LATEST)
        since = f" to systemd {systemd_version}, {FSTYPES_SINCE} knows it" if new else ""
        raise FormatError(f"unknown flag {unknown[0]!r} in the image policy{since}")
    return reduce(or_, (known.get(word, NOTHING) for word in words), NOTHING)


def vocabulary(systemd_version: int) -> dict[str, Flag]:
    """What each word means to a version, ``open`` and ``ignore`` among them."""
    everything = open_flags(systemd_version)
    known = everything | READ_ONLY | GROWFS
    if systemd_version >= FSTYPES_SINCE:
        known |= FSTYPES
    words = {word: flag for flag, word in WORDS.items() if flag in known}
    return {**words, "open": everything, "ignore": IGNORE}


def reduced(flags: Flag, *groups: Flag) -> Flag:
    """Leave unsaid the groups that are complete: the reverse of extending."""
    for group in groups:
        flags &= ~group if group in flags else flags
    return flags
