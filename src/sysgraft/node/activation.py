"""What an activation made of the images of a boot, and of what others have put beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.node.modes import Fate

if TYPE_CHECKING:
    from sysgraft.formats.extension_release import Kind
    from sysgraft.node.candidates import Candidate
    from sysgraft.node.judge import Judgement
    from sysgraft.node.masking import Other
    from sysgraft.node.settings import Mode
    from sysgraft.node.trust import Trusted


class Activated(NamedTuple):
    """What became of one image.

    Attributes:
        candidate: the image, and why it was looked at.
        judgement: what it is; None where nobody looked.
        fate: what became of it.
        reason: a sentence.
        not_merged: some of its files that lie where nothing is merged here.
        shadowed_by: the image that counts in its place; empty if there is none.
    """

    candidate: Candidate
    judgement: Judgement | None
    fate: Fate
    reason: str
    not_merged: tuple[str, ...] = ()
    shadowed_by: str = ""

    @property
    def linked(self) -> bool:
        """Whether systemd is handed it."""
        return self.fate is not Fate.SKIPPED

    @property
    def is_problem(self) -> bool:
        """Whether it was looked at and found not to be as it should be."""
        return self.judgement is not None and self.fate is not Fate.MERGED


class Activation(NamedTuple):
    """What became of all images of this boot.

    Attributes:
        entry: the boot entry; empty if nobody knows it.
        profiles: the folders of links that counted.
        mode: of the node.
        systemd: its release.
        policies: image policy by kind.
        certificates: whom systemd was told to trust.
        images: what became of each.
        others: what others have put where systemd looks, and must not be merged.
        hierarchies: what system extensions are merged into; empty for systemd's own.
        mounts: because of which.
        notes: what a person should know.
        complete: whether nothing failed that had to be written or read.
    """

    entry: str
    profiles: tuple[str, ...]
    mode: Mode
    systemd: int
    policies: dict[Kind, str]
    certificates: tuple[Trusted, ...]
    images: tuple[Activated, ...]
    others: tuple[Other, ...]
    hierarchies: tuple[str, ...]
    mounts: tuple[str, ...]
    notes: tuple[str, ...]
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether every image that was looked at is as it should be, and nothing else comes in."""
        is_open = any(not each.masked for each in self.others)
        return self.complete and not is_open and not any(each.is_problem for each in self.images)
