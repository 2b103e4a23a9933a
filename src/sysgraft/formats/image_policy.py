"""The image policy language: what a disk image may consist of, and how protected it must be.

Follows systemd.image-policy(7) and ``src/shared/image-policy.c``. A policy is ``DESIGNATOR=FLAGS``
rules joined by ``:``, flags joined by ``+``; a rule without designator is the default. ``*`` allows
everything, ``~`` nothing, ``-`` ignores everything. Policies exist since systemd 254, and 260 added
flags, so that a policy belongs to a version. Judging an image by a policy is in
`sysgraft.image.policy`. Backslashes, which systemd drops from the text, are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Final

from sysgraft.base.version import LATEST_SYSTEMD
from sysgraft.errors import FormatError, LimitError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

# The longest sensible policy, every flag for every designator, is below 3,000 characters.
MAX_TEXT: Final = 4096

# systemd that began to …
POLICIES_SINCE: Final = 254  # … have image policies
GRACEFUL_SINCE: Final = 259  # … pass over unknown words in configuration files
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

SYMBOLS: Final = ("*", "-", "~")
"""The policies that allow, ignore and refuse everything."""

_WORDS: Final = {flag: str(flag.name).lower().replace("_", "-") for flag in Flag}
_BLANKS: Final = " \t\n\r"


def open_flags(systemd_version: int) -> Flag:
    """What the word ``open`` means to a version: every use it knows."""
    return USE if systemd_version >= FSTYPES_SINCE else USE & ~Flag.ENCRYPTEDWITHINTEGRITY


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """One policy, as one systemd version understands it.

    Attributes:
        rules: flags as written, by designator, in the order of `DESIGNATORS`.
        default: flags as written for every other designator.
        systemd_version: whose language it is, 254 or newer.
    """

    rules: tuple[tuple[str, Flag], ...] = ()
    default: Flag = IGNORE
    systemd_version: int = LATEST_SYSTEMD

    def __str__(self) -> str:
        """The shortest text for it, as systemd prints it."""
        for text in SYMBOLS:
            if equivalent(self, parse(text, systemd_version=self.systemd_version)):
                return text
        rules = [(d, f) for d, f in self.rules if f != self._normalized(d, self.default)]
        parts = [f"{d}={self.text_of(flags)}" for d, flags in rules]
        if self.allowed_by_default != self._extended(IGNORE):
            parts.append(f"={self.text_of(self.default)}")
        return ":".join(parts) or "-"

    @property
    def long_form(self) -> str:
        """The text with every rule and flag spelled out."""
        rules = [*self.rules, ("", self.default)]
        return ":".join(f"{d}={self.text_of(flags, short=False)}" for d, flags in rules)

    @property
    def open(self) -> Flag:
        """Every way of using a partition this version knows."""
        return open_flags(self.systemd_version)

    @property
    def allowed_by_default(self) -> Flag:
        """What the default rule allows, nothing unsaid."""
        return self._extended(self.default)

    def allowed(self, designator: str) -> Flag:
        """What the policy in effect allows for a designator: nothing unsaid, nothing void.

        A hash or signature partition without a rule gets one from its data partition's rule.
        """
        flags = self._explicit(designator)
        if flags is None:
            flags = self._derived(designator)
        return self._normalized(designator, self.default if flags is None else flags)

    def text_of(self, flags: Flag, *, short: bool = True) -> str:
        """Flags as words joined by ``+``; ``-`` for none. Short leaves out what says nothing."""
        head, rest = "", flags
        if short:
            names = {self.open: "open", IGNORE: "ignore"}
            head = names.get(flags & USE, "")
            rest = flags & ~USE if head else flags
            rest = _reduced(rest, READ_ONLY, GROWFS)
        words = [head] * bool(head) + [_WORDS[flag] for flag in Flag if flag in rest]
        return "+".join(words) or "-"

    def at(self, systemd_version: int) -> ImagePolicy:
        """The same policy for another version.

        Raises:
            UnsupportedError: that version cannot express it.
        """
        if systemd_version < POLICIES_SINCE:
            raise UnsupportedError(f"systemd {systemd_version} has no image policies")
        rules = tuple((d, self._translated(f, systemd_version)) for d, f in self.rules)
        default = self._translated(self.default, systemd_version)
        return replace(self, rules=rules, default=default, systemd_version=systemd_version)

    def _translated(self, flags: Flag, systemd_version: int) -> Flag:
        if flags & USE == self.open:
            return flags & ~USE | open_flags(systemd_version)
        if systemd_version >= FSTYPES_SINCE:
            return flags
        # Before 260 "encrypted" covers both kinds of encryption; integrity alone cannot be said.
        new = FSTYPES if Flag.ENCRYPTED in flags else FSTYPES | Flag.ENCRYPTEDWITHINTEGRITY
        if flags & new:
            words = self.text_of(flags & new)
            raise UnsupportedError(f"systemd {systemd_version} does not know the flag {words}")
        return flags & ~Flag.ENCRYPTEDWITHINTEGRITY

    def _explicit(self, designator: str) -> Flag | None:
        return dict(self.rules).get(designator)

    def _derived(self, designator: str) -> Flag | None:
        """The rule of a hash or signature partition that follows from its data partition's."""
        data = DATA_OF.get(designator, "")
        if self._explicit(data) is None:
            return None
        flags = self.allowed(data)
        needed = PROTECTED if designator in VERITY_OF.values() else Flag.SIGNED
        if not flags & needed:
            return None
        return Flag.UNPROTECTED | flags & (IGNORE | READ_ONLY | GROWFS)

    def _extended(self, flags: Flag) -> Flag:
        """Fill in everything for what the rule leaves unsaid."""
        for group, everything in ((USE, self.open), (READ_ONLY, READ_ONLY), (GROWFS, GROWFS)):
            flags |= NOTHING if flags & group else everything
        return flags

    def _normalized(self, designator: str, flags: Flag) -> Flag:
        flags = self._extended(flags)
        if designator not in VERITY_OF:
            flags &= ~PROTECTED
        if designator in DATA_OF:
            flags &= ~LUKS
        if flags & USE == Flag.ABSENT:
            flags &= ~(READ_ONLY | GROWFS)
        return flags


def parse(
    text: str,
    *,
    graceful: bool = False,
    systemd_version: int = LATEST_SYSTEMD,
) -> ImagePolicy:
    """Read a policy.

    Args:
        text: the policy; empty means ``-``.
        graceful: pass over unknown designators and flags, as systemd 259 and newer do in
            configuration files.
        systemd_version: whose language it is.

    Raises:
        FormatError: no policy to that version; the message names the word.
        LimitError: longer than `MAX_TEXT`.
    """
    if len(text) > MAX_TEXT:
        raise LimitError(f"a policy of {len(text)} characters, the limit is {MAX_TEXT}")
    if systemd_version < POLICIES_SINCE:
        raise UnsupportedError(f"systemd {systemd_version} has no image policies")
    symbols = {"": IGNORE, "-": IGNORE, "*": open_flags(systemd_version), "~": Flag.ABSENT}
    if text in symbols:
        return ImagePolicy((), symbols[text], systemd_version)
    rules: dict[str, Flag] = {}
    for designator, flags in map(_split_rule, text.split(":")):
        if designator in ("", *DESIGNATORS):
            if designator in rules:
                what = f"a rule for {designator}" if designator else "the default"
                raise FormatError(f"{what} is in the image policy more than once")
            rules[designator] = _parse_flags(flags, systemd_version, graceful=graceful)
        elif not graceful:
            raise FormatError(f"unknown partition {designator!r} in the image policy")
    default = rules.pop("", IGNORE)
    ordered = sorted(rules.items(), key=lambda item: DESIGNATORS.index(item[0]))
    return ImagePolicy(tuple(ordered), default, systemd_version)


def _split_rule(rule: str) -> tuple[str, str]:
    designator, equals, flags = rule.partition("=")
    if not equals:
        raise FormatError(f"no '=' in the rule {rule!r} of the image policy")
    return designator.strip(_BLANKS), flags.strip(_BLANKS)


def _parse_flags(text: str, systemd_version: int, *, graceful: bool) -> Flag:
    if text in ("", "-"):
        return NOTHING
    known = _vocabulary(systemd_version)
    words = [word.strip(_BLANKS) for word in text.split("+")]
    unknown = [word for word in words if word not in known]
    if unknown and not graceful:
        new = unknown[0] in _vocabulary(LATEST_SYSTEMD)
        since = f" to systemd {systemd_version}, {FSTYPES_SINCE} knows it" if new else ""
        raise FormatError(f"unknown flag {unknown[0]!r} in the image policy{since}")
    return reduce(or_, (known.get(word, NOTHING) for word in words), NOTHING)


def _vocabulary(systemd_version: int) -> dict[str, Flag]:
    everything = open_flags(systemd_version)
    known = everything | READ_ONLY | GROWFS
    if systemd_version >= FSTYPES_SINCE:
        known |= FSTYPES
    words = {word: flag for flag, word in _WORDS.items() if flag in known}
    return {**words, "open": everything, "ignore": IGNORE}


def equivalent(a: ImagePolicy, b: ImagePolicy) -> bool:
    """Whether both always decide alike, however they are written; `b` as `a`'s version has it."""
    b = b.at(a.systemd_version)
    return a.allowed_by_default == b.allowed_by_default and all(
        a.allowed(designator) == b.allowed(designator) for designator in DESIGNATORS
    )


def intersect(a: ImagePolicy, b: ImagePolicy) -> ImagePolicy:
    """What both allow.

    Raises:
        UsageError: for some partition they have nothing in common.
    """
    return _combined(a, b, and_)


def union(a: ImagePolicy, b: ImagePolicy) -> ImagePolicy:
    """What at least one of them allows; raises like `intersect`."""
    return _combined(a, b, or_)


def _combined(a: ImagePolicy, b: ImagePolicy, join: Callable[[Flag, Flag], Flag]) -> ImagePolicy:
    b = b.at(a.systemd_version)
    default = join(a.allowed_by_default, b.allowed_by_default)
    if not all(default & group for group in (USE, READ_ONLY, GROWFS)):
        raise UsageError("together the two image policies allow nothing by default")
    result = replace(a, rules=(), default=_reduced(default, a.open, READ_ONLY, GROWFS))
    named = {*dict(a.rules), *dict(b.rules)}
    # Data partitions come before those derived from them, so that a rule is left out only if
    # what is derived says the same; systemd compares with the default, which can loosen.
    for designator in (d for d in DESIGNATORS if {d, DATA_OF.get(d)} & named):
        flags = join(a.allowed(designator), b.allowed(designator))
        groups = (flags & USE, flags & READ_ONLY, flags & GROWFS)
        if groups[0] != Flag.ABSENT and not all(groups):
            raise UsageError(f"together the two image policies allow nothing for {designator}")
        if flags != result.allowed(designator):
            rule = (designator, _reduced(flags, result.open, READ_ONLY, GROWFS))
            result = replace(result, rules=(*result.rules, rule))
    return result


def _reduced(flags: Flag, *groups: Flag) -> Flag:
    """Leave unsaid the groups that are complete: the reverse of extending."""
    for group in groups:
        flags &= ~group if group in flags else flags
    return flags
