"""What counts of several configuration files, lowest first: whom each of them may overrule.

What is measured or signed with the system may set anything. What anybody can write who has the disk
may only tighten, unless the command line says that it is trusted: docs/security/threat-model.md,
"Who may add trust, who may change a mode". Nothing is read here.
"""

from __future__ import annotations

from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, UsageError
from sysgraft.formats.image_policy_algebra import intersect
from sysgraft.formats.policy_builtin import parse_or_builtin
from sysgraft.node.settings import Check, Mode, Note, Settings

if TYPE_CHECKING:
    from sysgraft.node.config_document import Document

SYSTEM: Final = "/usr/"
"""A certificate that the system names has to lie in it too."""
_WHY: Final = "writable, and the command line has no sysgraft.config=trusted"
_MODES: Final = (Mode.DISABLED, Mode.PERMISSIVE, Mode.ENFORCED)
_CHECKS: Final = (Check.SIGNATURE, Check.WHOLE)
_DECISIVE: Final = (
    *("mode", "check", "image_policy", "fail_boot", "unsigned", "judge_others", "sources"),
)
_FREE: Final = ("layout", "store", "esp")
"""Where things are is no question of trust: every image is verified wherever it is."""


class Merger:
    """Settings, layer upon layer.

    Args:
        may_loosen: whether writable files may loosen.

    Attributes:
        settings: what counts so far.
        notes: what does not.
    """

    def __init__(self, *, may_loosen: bool) -> None:
        self.settings = Settings()
        self.notes: list[Note] = []
        self._may_loosen = may_loosen
        self._origins: dict[str, str] = {}
        self._measured = False
        self._has_rules = False

    def begin_layer(self, *, measured: bool) -> None:
        """What is added from here on belongs to the next layer.

        Args:
            measured: whether it is a part of the system that cannot be written.
        """
        self._measured = measured
        self._has_rules = False

    def add(self, document: Document) -> None:
        """Lay a file over what there is.

        The rules of a layer belong together, and replace those of the layers below.

        Raises:
            FormatError: its policy has nothing in common with the one below; nothing is taken.
        """
        may_decide = self._measured or self._may_loosen
        if not may_decide:
            document = replace(document, image_policy=self._common_policy(document))
        for name in _FREE:
            self._set_if_given(document, name)
        if document.deny:
            self._set(document, "deny", _joined(self.settings.deny, document.deny))
        if document.entries:
            entries = MappingProxyType({**self.settings.entries, **document.entries})
            self._set(document, "entries", entries)
        if document.rules is not None:
            below = self.settings.rules if self._has_rules else ()
            self._set(document, "rules", below + document.rules)
            self._has_rules = True
        (self._take if may_decide else self._tighten)(document)

    def _take(self, document: Document) -> None:
        """What decides on trust, from a file that may decide."""
        for name in _DECISIVE:
            self._set_if_given(document, name)
        given = document.certificates
        if not self._may_loosen:
            given = tuple(e for e in given if not e.startswith("/") or e.startswith(SYSTEM))
        if given != document.certificates:
            self._note(document, f"certificates outside of {SYSTEM} are not taken: {_WHY}")
        self._set(document, "certificates", _joined(self.settings.certificates, given))

    def _tighten(self, document: Document) -> None:
        """What decides on trust, from a file that may only be stricter than those below."""
        self._rank(document, "mode", _MODES)
        self._rank(document, "check", _CHECKS)
        self._rank(document, "fail_boot", (False, True))
        self._rank(document, "unsigned", (True, False))
        self._rank(document, "judge_others", (False, True))
        if document.sources is not None:
            self._leave_sources_out(document, document.sources)
        if document.certificates:
            self._note(document, f"certificates are not taken: {_WHY}")
        if document.image_policy:
            self._set(document, "image_policy", document.image_policy)

    def _rank(self, document: Document, name: str, order: tuple[object, ...]) -> None:
        """Take a value if it is as strict as the one there is; `order` has the strictest last."""
        wanted, now = getattr(document, name), getattr(self.settings, name)
        if wanted is None:
            return
        if order.index(wanted) >= order.index(now):
            self._set(document, name, wanted)
        else:
            self._note(document, f"{name} stays {_text(now)}, {_text(wanted)} is not taken: {_WHY}")

    def _leave_sources_out(self, document: Document, wanted: tuple[str, ...]) -> None:
        now = self.settings.sources
        self._set(document, "sources", tuple(each for each in wanted if each in now))
        more = [each for each in wanted if each not in now]
        if more:
            self._note(document, f"trust.sources is not widened by {', '.join(more)}: {_WHY}")

    def _common_policy(self, document: Document) -> str | None:
        now, wanted = self.settings.image_policy, document.image_policy
        if not now or not wanted:
            return wanted or None
        try:
            return str(intersect(parse_or_builtin(now), parse_or_builtin(wanted)))
        except UsageError as error:
            raise FormatError(f"image_policy: {error.message}", file=document.file) from error

    def hold_defaults(self, file: str) -> None:
        """Be as strict as by default at least: nobody knows what a broken file would have said.

        Args:
            file: that is broken.
        """
        strict = replace(
            self.settings,
            mode=Mode.ENFORCED,
            check=Check.WHOLE,
            unsigned=False,
            judge_others=True,
        )
        if strict != self.settings:
            self.notes.append(Note(file, "while it is broken, the mode is enforced, images are "
                                         "checked whole and have to be signed"))  # fmt: skip
        self.settings = strict

    def finished(self) -> Settings:
        """The settings, with the files they are from."""
        plain = Settings()
        changed = {f.name for f in fields(plain) if _differs(f.name, self.settings, plain)}
        origins = {name: file for name, file in self._origins.items() if name in changed}
        return replace(self.settings, origins=MappingProxyType(origins))

    def _set_if_given(self, document: Document, name: str) -> None:
        if getattr(document, name) is not None:
            self._set(document, name, getattr(document, name))

    def _set(self, document: Document, name: str, value: object) -> None:
        if getattr(self.settings, name) != value:
            self.settings = replace(self.settings, **{name: value})  # type: ignore[arg-type]
            self._origins[name] = document.file

    def _note(self, document: Document, message: str) -> None:
        self.notes.append(Note(document.file, message))


def _joined(below: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*below, *more)))


def _differs(name: str, one: Settings, other: Settings) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _text(value: object) -> str:
    return str(value).lower()
