"""From source arguments to one tree, ready for an image writer.

Sources are opened, their layers merged, old top-level folders moved below ``/usr``, and what an
extension holds is selected. Nothing is unpacked: contents stay in their files, or in one unnamed
spool where a compressed archive forces it. Writing the image is `sysgraft.build.extension`'s.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress, Progress
from sysgraft.build.nodes import USR_MERGED
from sysgraft.build.path_rules import Rules
from sysgraft.build.selection import select
from sysgraft.build.sources.model import LeftOut, Options, Workspace
from sysgraft.build.sources.opening import open_source
from sysgraft.build.sources.since import SinceSource
from sysgraft.build.sources.spec import SourceSpec, resolve
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.build.usr_merge import merge_usr
from sysgraft.errors import UsageError, in_file
from sysgraft.host.files import close_files
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.tree import Tree
    from sysgraft.build.sources.model import Source

__all__ = ["Collected", "LeftOut", "Options", "open_tree"]

_NO_PROGRESS: Final = NoProgress()


@dataclass(frozen=True, slots=True)
class Collected:
    """The tree of an extension and where it comes from.

    Attributes:
        tree: sorted by path; the contents end with the context that gave it.
        architecture: what the sources say they are for, systemd's spelling; None if they say
            nothing or contradict each other.
        sources: each source in a few words.
        left_out: what the sources hold and the tree does not.
        notes: sentences for the report.
        release: fields that extension images among the sources bring.
    """

    tree: Tree
    architecture: str | None
    sources: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    release: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def open_tree(
    arguments: Sequence[str | SourceSpec],
    options: Options,
    progress: Progress = _NO_PROGRESS,
) -> Iterator[Collected]:
    """The tree that `arguments` make, later over earlier; they may be resolved already.

    Raises:
        UsageError: an argument names nothing that can be read, or the options contradict.
        InputError: a source cannot be read, breaks its format's rules, or holds what an
            extension must not.
    """
    if not arguments:
        raise UsageError("no source is given")
    specs = [each if isinstance(each, SourceSpec) else resolve(each) for each in arguments]
    with ExitStack() as stack:
        stack.callback(close_files)
        spool = stack.enter_context(Spool())
        workspace = Workspace(options, spool, _prefixes_before_merge(options), progress)
        sources = [stack.enter_context(open_source(spec, workspace)) for spec in specs]
        if options.since is not None and not any(isinstance(s, SinceSource) for s in sources):
            raise UsageError("--layers since: wants an image, and no source is one")
        tree = _merged(sources, [spec.path for spec in specs], workspace)
        yield Collected(
            tree=tree,
            architecture=_architecture(sources, workspace),
            sources=tuple(source.description for source in sources),
            left_out=tuple(workspace.left_out),
            notes=tuple(workspace.notes),
            release=dict(workspace.release),
        )


def _prefixes_before_merge(options: Options) -> tuple[bytes, ...]:
    """Where files that may be kept stand before the usr-merge moves them."""
    rules = Rules(options)
    return (*rules.prefixes, *USR_MERGED) if rules.covers_usr else rules.prefixes


def _merged(sources: Sequence[Source], paths: Sequence[str], workspace: Workspace) -> Tree:
    merger = TreeMerger(workspace.options)
    for source, path in zip(sources, paths, strict=True):
        with in_file(path):
            for layer in source.layers():
                merger.add(layer)
    if Rules(workspace.options).covers_usr:
        merge_usr(merger.root)
    return select(merger.root, workspace)


def _architecture(sources: Sequence[Source], workspace: Workspace) -> str | None:
    found = {source.architecture for source in sources} - {None}
    if len(found) > 1:
        names = ", ".join(sorted(name for name in found if name is not None))
        workspace.note(f"the sources are for different architectures: {names}")
        return None
    return found.pop() if found else None
