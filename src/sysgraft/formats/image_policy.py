"""The image policy language: what a disk image may consist of, and how protected it must be.

Follows systemd.image-policy(7) and ``src/shared/image-policy.c``. A policy is ``DESIGNATOR=FLAGS``
rules joined by ``:``, flags joined by ``+``; a rule without designator is the default. ``*`` allows
everything, ``~`` nothing, ``-`` ignores everything. Policies exist since systemd 254, and 260 added
flags, so that a policy belongs to a version. Judging an image by a policy is in
`sysgraft.image.policy`. Backslashes, which systemd drops from the text, are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sysgraft.base import systemd
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.image_policy_flags import (
    BLANKS,
    DATA_OF,
    DESIGNATORS,
    FSTYPES,
    FSTYPES_SINCE,
    GROWFS,
    IGNORE,
    LUKS,
    NOTHING,
    POLICIES_SINCE,
    PROTECTED,
    READ_ONLY,
    USE,
    VERITY_OF,
    WORDS,
    Flag,
    open_flags,
    parse_flags,
    reduced,
)

# The longest sensible policy, every flag for every designator, is below 3,000 characters.
MAX_TEXT: Final = 4096

SYMBOLS: Final = ("*", "-", "~")
"""The policies that allow, ignore and refuse everything."""


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
    systemd_version: int = systemd.LATEST

    def __str__(self) -> str:
        """The shortest text for it, as systemd prints it unless that would mean something else."""
        for text in SYMBOLS:
            if equivalent(self, parse(text, systemd_version=self.systemd_version)):
                return text
        parts = [f"{d}={self.text_of(flags)}" for d, flags in self._needed_rules()]
        if self.allowed_by_default != self._extended(IGNORE):
            parts.append(f"={self.text_of(self.default)}")
        return ":".join(parts) or "-"

    def _needed_rules(self) -> tuple[tuple[str, Flag], ...]:
        """The rules but those that repeat the default.

        systemd leaves out all that do. Some still matter: a rule from which others derive, and
        one that spells out the attributes only, while the default allows no use of that partition.
        """
        kept = self.rules
        for designator, flags in self.rules:
            fewer = tuple(rule for rule in kept if rule[0] != designator)
            repeats = flags == self._normalized(designator, self.default)
            if repeats and equivalent(self, replace(self, rules=fewer)):
                kept = fewer
        return kept

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
            rest = reduced(rest, READ_ONLY, GROWFS)
        words = [head] * bool(head) + [WORDS[flag] for flag in Flag if flag in rest]
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
    systemd_version: int = systemd.LATEST,
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
            rules[designator] = parse_flags(flags, systemd_version, graceful=graceful)
        elif not graceful:
            raise FormatError(f"unknown partition {designator!r} in the image policy")
    default = rules.pop("", IGNORE)
    ordered = sorted(rules.items(), key=lambda item: DESIGNATORS.index(item[0]))
    return ImagePolicy(tuple(ordered), default, systemd_version)


def _split_rule(rule: str) -> tuple[str, str]:
    designator, equals, flags = rule.partition("=")
    if not equals:
        raise FormatError(f"no '=' in the rule {rule!r} of the image policy")
    return designator.strip(BLANKS), flags.strip(BLANKS)


def equivalent(a: ImagePolicy, b: ImagePolicy) -> bool:
    """Whether both always decide alike, however they are written; `b` as `a`'s version has it."""
    b = b.at(a.systemd_version)
    return a.allowed_by_default == b.allowed_by_default and all(
        a.allowed(designator) == b.allowed(designator) for designator in DESIGNATORS
    )
