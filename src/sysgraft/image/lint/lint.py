"""Find what will go wrong with a set of extensions on its target.

    report = lint_images(["firmware.sysext.raw", "tools.sysext.raw"])

Every rule is in a module of its own family; this one opens the images, calls them and collects what
they say, with what nobody could look at. Nothing is changed and nothing of the images is run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base import systemd
from sysgraft.base.progress import NoProgress
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint import (
    collisions,
    early,
    files,
    firmware,
    images,
    kernel_modules,
    module_index,
    order,
    places,
    preflight,
    sidecars,
    units,
)
from sysgraft.image.lint.finding import Level, NotChecked, found, grouped
from sysgraft.image.lint.folder import read_base
from sysgraft.image.lint.kernels import kernels_of, read_kernels
from sysgraft.image.lint.scene import Contents, Scene
from sysgraft.image.lint.subjects import Opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import Tree
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.kernels import Kernel
    from sysgraft.image.lint.preflight import Merge
    from sysgraft.sign.verify.trust import TrustStore

MAX_IMAGES: Final = 200
"""Images in one set: their layers are compared with each other."""
MAX_FINDINGS: Final = 1000
"""Findings that are kept; the rest are counted."""

_FAMILIES: Final = (
    images.check,
    order.check,
    collisions.check,
    places.check,
    files.check,
    sidecars.check,
    firmware.check,
    module_index.check,
    kernel_modules.check,
    units.check,
    early.check,
)


@dataclass(frozen=True, slots=True)
class LintOptions:
    """The target, as far as it is known; what is not known is not checked, and said to be.

    Attributes:
        systemd_version: of the target.
        image_policy: in force there; None for systemd's own defaults.
        trust: certificates of the target; None leaves open whose signatures it takes.
        os_release: of the target.
        architecture: of the target, in systemd's spelling.
        hierarchies: what is merged of system extensions there; see `places.hierarchies`.
        host_root: a folder with the base's ``usr``.
        kernel_tree: a folder with the target's kernel modules; None takes the base's.
    """

    systemd_version: int = systemd.LATEST
    image_policy: str | None = None
    trust: TrustStore | None = None
    os_release: Mapping[str, str] | None = None
    architecture: str | None = None
    hierarchies: str = "default"
    host_root: str | None = None
    kernel_tree: str | None = None


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found.

    Attributes:
        images: the files, as the caller named them.
        findings: the worst first.
        omitted: further findings, which are not kept.
        merges: what systemd makes of the images, by kind.
        not_checked: what nobody looked at.
    """

    images: tuple[str, ...]
    findings: tuple[Finding, ...]
    omitted: int
    merges: tuple[Merge, ...]
    not_checked: tuple[NotChecked, ...]

    @property
    def ok(self) -> bool:
        """Whether there are notes at most."""
        return all(each.level is Level.NOTE for each in self.findings)


def lint_images(
    paths: Sequence[str | os.PathLike[str]],
    options: LintOptions | None = None,
    *,
    progress: Progress | None = None,
) -> LintReport:
    """Look for what will go wrong with these images together.

    Args:
        paths: the images; their order does not matter.
        options: the target.
        progress: told about the data that is verified.

    Raises:
        UsageError: an option makes no sense, or there are too many images.
        InputError: a file or folder cannot be read.
        FormatError: an image is neither a disk image nor a known file system.
    """
    options = options or LintOptions()
    systemd.check_release(options.systemd_version)
    names = [os.fspath(path) for path in paths]
    if len(names) > MAX_IMAGES:
        raise UsageError(f"{len(names)} images, at most {MAX_IMAGES} are looked at together")
    opened = Opened(names, options.systemd_version)
    scene = _scene(opened, options)
    merges = preflight.preflight(scene.subjects, _target(options), progress or NoProgress())
    kept = [*opened.findings, *preflight.findings(merges)]
    kept += [each for check in _FAMILIES for each in check(scene)]
    kept += _unread(scene.contents)
    findings = grouped(kept)
    return LintReport(
        tuple(dict.fromkeys(names)),
        findings[:MAX_FINDINGS],
        max(0, len(findings) - MAX_FINDINGS),
        merges,
        tuple(_not_checked(scene, options)),
    )


def _scene(opened: Opened, options: LintOptions) -> Scene:
    contents = Contents()
    host = read_base(options.host_root) if options.host_root is not None else None
    return Scene(
        opened.subjects,
        options.systemd_version,
        places.hierarchies(options.hierarchies),
        host,
        _kernels(options.kernel_tree, host, contents),
        contents,
    )


def _kernels(
    kernel_tree: str | None, host: Tree | None, contents: Contents
) -> dict[str, Kernel] | None:
    """The target's kernels: those that were given, else the base's if it has modules."""
    if kernel_tree is not None:
        return read_kernels(kernel_tree, contents)
    return (kernels_of(host, contents) or None) if host is not None else None


def _target(options: LintOptions) -> preflight.Target:
    return preflight.Target(
        options.systemd_version,
        options.image_policy,
        options.trust,
        options.os_release,
        options.architecture,
    )


def _unread(contents: Contents) -> Iterator[Finding]:
    for (file, path), reason in contents.unread.items():
        yield found("unreadable", f"cannot be read: {reason}", file, path=path)


def _not_checked(scene: Scene, options: LintOptions) -> Iterator[NotChecked]:
    """What was left out for want of an option, where it could have told something."""
    if options.os_release is None:
        yield NotChecked("whether they match the host", "no --os-release")
    if options.trust is None and any(each.dissection.signature for each in scene.subjects):
        reason = "no certificate of the target was given"
        yield NotChecked("whether their signers are trusted", reason)
    if scene.host is None:
        what = "collisions with the base's files, and links into it"
        yield NotChecked(what, "no --host-root")
    modules = (kernel_modules.modules_of(each) for each in scene.of(Kind.SYSEXT))
    if scene.kernels is None and any(next(each, None) for each in modules):
        yield NotChecked("kernel modules against the target's kernel", "no --kernel-tree")
