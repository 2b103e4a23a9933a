"""At boot: each image this boot is to get is judged by itself, and what is good goes to systemd.

    report = activate(node)

Runs before systemd-sysext.service. Images that the boot loader's stub has brought (`/.extra`) and
images of the store that are enabled for this boot entry are verified one by one; what counts is
linked into ``/run/extensions`` and ``/run/confexts``, and everything else is left out, so that one
bad image does not end the merge of all. Certificates go to ``/run/verity.d``, policy and
hierarchies into a file that the drop-ins of systemd's units read. All of that is there before data
are read, for which there is an end; and nothing that goes wrong with one thing keeps the others
from being done. Nothing persistent is changed but the list of what was found whole.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.errors import SysgraftError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.places import real_path
from sysgraft.node import trust
from sysgraft.node.activation import Activated, Activation
from sysgraft.node.candidates import candidates
from sysgraft.node.clock import NEVER, Clock, OutOfTimeError
from sysgraft.node.environment import Environment, write_environment
from sysgraft.node.hierarchies import hierarchies, mounts_below, not_merged
from sysgraft.node.host import this_host
from sysgraft.node.judge import Judge
from sysgraft.node.mapping import is_denied
from sysgraft.node.masking import mask_others, others_in, unmask
from sysgraft.node.modes import Fate, State, fate
from sysgraft.node.policies import node_policy
from sysgraft.node.run_links import link, ours
from sysgraft.node.settings import Check, Mode
from sysgraft.node.store import extension_name
from sysgraft.sign.verify.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.base.progress import Progress
    from sysgraft.node.candidates import Candidate
    from sysgraft.node.judge import Host, Judgement
    from sysgraft.node.masking import Other
    from sysgraft.node.node import Node
    from sysgraft.node.trust import Trusted

DENIED: Final = "the configuration denies it"
READ_SECONDS: Final = 120
"""For reading data that nobody has read yet; the unit gives the whole more than twice as long."""
MAX_LOST: Final = 20
"""Files named of an image that are not merged."""


def activate(node: Node, *, progress: Progress | None = None) -> Activation:
    """Hand the images of this boot to systemd.

    Raises:
        InputError: there is no systemd, or nothing can be told of the boot.
        OutputError: nothing can be written below ``/run``.
    """
    return _Work(node, progress or NoProgress()).run()


@dataclass(eq=False)
class _Work:
    """One activation."""

    node: Node
    progress: Progress
    notes: list[str] = field(default_factory=list)
    complete: bool = True
    host: Host = field(init=False)
    judge: Judge = field(init=False)
    clock: Clock = field(init=False)
    others: tuple[Other, ...] = ()
    policies: dict[Kind, str] = field(init=False)
    certificates: tuple[Trusted, ...] = field(init=False)

    def run(self) -> Activation:
        node = self.node
        self.host = this_host(node.root, self.notes)
        store = trust.node_trust(node)
        self.notes += [*map(str, node.configuration.notes), *node.boot.notes, *store.notes]
        self.policies = self._policies()
        self.clock = Clock(self.progress)
        self.judge = Judge(store, self.host, progress=self.clock)
        mounts = mounts_below(node.files)
        merged = hierarchies(mounts, node.root) if mounts else ()
        self.certificates = self._certificates(store)
        images = self._images()
        # Whatever ends the rest: what counts is handed over before any data are read.
        self._guard(lambda: write_environment(node.root, Environment(self.policies, merged)))
        self._guard(lambda: trust.export(self.certificates, node.root))
        self._guard(lambda: unmask(node))
        self._guard(partial(link, node, images))
        self.others = tuple(self._others())
        if node.settings.check == Check.WHOLE:
            images = self._read_data(images)
        images = tuple(_with_lost(each, merged) for each in images) if merged else images
        return Activation(
            entry=node.boot.entry,
            profiles=node.boot.profiles,
            mode=node.settings.mode,
            systemd=self.host.systemd,
            policies=self.policies,
            certificates=self.certificates,
            images=images,
            others=self.others,
            hierarchies=merged,
            mounts=mounts,
            notes=tuple(dict.fromkeys(self.notes)),
            complete=self.complete and not node.configuration.broken,
        )

    def _guard(self, action: Callable[[], object]) -> None:
        """One thing that fails must not keep the others from being done."""
        try:
            action()
        except (SysgraftError, OSError) as error:
            self.notes.append(f"failed: {error}")
            self.complete = False

    def _policies(self) -> dict[Kind, str]:
        found: dict[Kind, str] = {}
        for kind in Kind:
            try:
                found[kind] = node_policy(self.node, kind)
            except SysgraftError as error:
                found[kind] = f"@{kind}-strict"
                self.notes.append(f"the strict policy is used for {kind}: {error.message}")
        return found

    def _certificates(self, store: TrustStore) -> tuple[Trusted, ...]:
        """Whom systemd is to trust; in loose modes also whoever was revoked, as it would merge."""
        if self.node.settings.mode is Mode.ENFORCED:
            return trust.trusted(store)
        return trust.trusted(TrustStore(store.certificates))

    def _images(self) -> tuple[Activated, ...]:
        """What becomes of each: only what counts takes the place of others of its name."""
        counting: dict[tuple[Kind, str], str] = {}
        found: list[Activated] = []
        for each in self._candidates():
            owner = counting.get(each.family, "")
            if owner:
                reason = f"{owner} counts in its place"
                found.append(Activated(each, None, Fate.SKIPPED, reason, shadowed_by=owner))
                continue
            found.append(self._activated(each))
            if found[-1].linked:
                counting[each.family] = each.path
        return tuple(found)

    def _candidates(self) -> tuple[Candidate, ...]:
        try:
            return candidates(self.node, self.notes)
        except (SysgraftError, OSError) as error:
            self.complete = False
            self.notes.append(f"no image counts: {error}")
            return ()

    def _activated(self, candidate: Candidate) -> Activated:
        if self._is_denied(candidate.name):
            return Activated(candidate, None, Fate.SKIPPED, DENIED)
        settings = self.node.settings
        if settings.mode is Mode.DISABLED:
            return Activated(candidate, None, Fate.MERGED_WITH_WARNING, "nobody looked at it")
        judged = self.judge.look(
            candidate.path,
            policy=self.policies[candidate.kind],
            kind=candidate.kind,
            known_in=candidate.remembered_in,
        )
        outcome, reason = self._outcome(judged, candidate.kind)
        return Activated(candidate, judged, outcome, reason)

    def _outcome(self, judged: Judgement, kind: Kind) -> tuple[Fate, str]:
        """What becomes of an image, and why; also where only the administrator's policy minds."""
        settings = self.node.settings
        outcome = fate(
            settings.mode,
            judged.state,
            self.host.at_least,
            unsigned=settings.unsigned,
            image_policy=self.policies[kind],
        )
        if judged.refused and outcome is not Fate.SKIPPED:
            return Fate.SKIPPED, judged.refused
        return outcome, judged.reason

    def _is_denied(self, name: str) -> bool:
        return is_denied(name, self.node.settings.deny)

    def _read_data(self, images: tuple[Activated, ...]) -> tuple[Activated, ...]:
        """Read what nobody has read yet, as long as there is time; what is damaged goes again.

        What is not reached stays: dm-verity compares each block when it is used.
        """
        self.clock.end = time.monotonic() + READ_SECONDS
        tried: set[str] = set()
        while (each := _unread(images, tried)) is not None:
            tried.add(each.candidate.path)
            try:
                self.clock.check()
                judged = self.judge.read(
                    each.candidate.path,
                    policy=self.policies[each.candidate.kind],
                    kind=each.candidate.kind,
                    known_in=each.candidate.remembered_in,
                )
            except OutOfTimeError:
                self.notes.append(f"not all data were read in {READ_SECONDS} seconds")
                break
            if judged.state is State.GOOD:
                images = tuple(e._replace(judgement=judged) if e is each else e for e in images)
            else:
                images = self._images()
                # What comes in its place may have a mask; what it has hidden may need one.
                self._guard(lambda: unmask(self.node))
                self._guard(partial(link, self.node, images))
                self.others = tuple(self._others())
        self.clock.end = NEVER
        return images

    def _others(self) -> Iterator[Other]:
        """See to it that what others have put there does no harm."""
        mask = self.node.settings.mode is not Mode.DISABLED
        for kind in Kind:
            there = others_in(self.node, kind, self.host.systemd, ours(self.node))
            if there:
                problem_of = self._problems(kind)
                yield from mask_others(
                    self.node, there, problem_of, kind=kind, release=self.host.systemd, mask=mask
                )

    def _problems(self, kind: Kind) -> Callable[[str], str]:
        """What tells why something of others must not be merged."""
        settings = self.node.settings
        if settings.mode is Mode.ENFORCED and settings.judge_others:
            return partial(self._problem_of_other, kind=kind)
        from sysgraft.node.foretelling import merge_target, refusal  # noqa: PLC0415  rare

        try:
            target = merge_target(self.node, self.policies[kind], self.certificates)
        except (SysgraftError, OSError) as error:
            self.notes.append(f"failed: {error}")
            self.complete = False
            return lambda _: "nobody can tell whether systemd would merge it"
        return partial(refusal, target=target, kind=kind, root=self.node.root)

    def _problem_of_other(self, path: str, kind: Kind) -> str:
        """Why the node itself would not activate it."""
        if self._is_denied(extension_name(os.path.basename(path))):
            return DENIED
        if os.path.isdir(path):
            return "a folder, which nobody can sign"
        # A link gives it another name, and the release file has to be of that.
        judged = self.judge.look(
            real_path(self.node.root, path),
            policy=self.policies[kind],
            kind=kind,
            name=os.path.basename(path),
        )
        outcome, reason = self._outcome(judged, kind)
        return "" if outcome is Fate.MERGED else reason


def _unread(images: tuple[Activated, ...], tried: set[str]) -> Activated | None:
    """An image that counts and whose data nobody has read."""
    for each in images:
        judged = each.judgement
        is_unread = judged is not None and not judged.read
        if each.fate is Fate.MERGED and is_unread and each.candidate.path not in tried:
            return each
    return None


def _with_lost(image: Activated, merged: tuple[str, ...]) -> Activated:
    """With the files that will not be seen, because something is mounted where they lie."""
    if not image.linked or image.candidate.kind is not Kind.SYSEXT:
        return image
    from sysgraft.image.inspect import inspect_image  # noqa: PLC0415  few systems have such mounts

    try:
        tree = inspect_image(image.candidate.path, files=True).tree or {}
    except SysgraftError:
        return image
    return image._replace(not_merged=not_merged(tree, merged)[:MAX_LOST])
