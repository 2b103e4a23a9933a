"""sysgraft for nodes without Python: as a folder to copy into an image, or as an extension.

    report = bundle_folder("agent")
    report = bundle_extension("out", signing=load_pair("db.key", "db.pem"))

It is tried out before it is written. A node needs a kernel of its architecture and ``/bin/sh``;
neither Python nor any library of the node is used. The build machine is taken for trustworthy: the
interpreter and the libraries are those it has.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import printable
from sysgraft.build.agent.tree import agent_tree
from sysgraft.build.agent.trial import try_out
from sysgraft.build.collect import Collected
from sysgraft.build.extension import BuildOptions, prepare
from sysgraft.host.filled_folder import check_new, fill_new
from sysgraft.host.output import atomic_outputs
from sysgraft.host.tree_output import TreeOutput

if TYPE_CHECKING:
    from sysgraft.base.progress import Progress
    from sysgraft.build.agent.tree import AgentTree
    from sysgraft.build.extension import BuildReport
    from sysgraft.host.inode_output import NotKept
    from sysgraft.sign.pair import SigningPair

NAME: Final = "sysgraft-agent"
"""Of the extension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """How to make a bundle.

    Attributes:
        python: the interpreter that is bundled; empty for the one that runs this.
        extension: of the image: compression, time stamps, whether it replaces another.
    """

    python: str = ""
    extension: BuildOptions = field(default_factory=BuildOptions)


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What was made.

    Attributes:
        path: of the folder or the image.
        agent: what is in it.
        extension: of the image; None for a folder.
        notes: what a person should know.
    """

    path: str
    agent: AgentTree
    extension: BuildReport | None
    notes: tuple[str, ...] = ()


def bundle_folder(
    output: str, options: AgentOptions | None = None, *, progress: Progress | None = None
) -> AgentReport:
    """Write the bundle into a new folder, which stands for the root of a file system.

    Raises:
        InputError: the interpreter cannot be bundled, or something it needs is not there.
        ToolError: it cannot be run, or the bundle does not work.
        OutputError: the folder is not empty, or cannot be written.
    """
    check_new(output)
    agent = _agent(options or AgentOptions())
    filled = TreeOutput(agent.tree, progress or NoProgress())
    fill_new(output, filled.fill, filled.finish)
    notes = tuple(_note(each) for each in filled.keeper.not_kept)
    return AgentReport(output, agent, None, notes)


def bundle_extension(
    output: str,
    options: AgentOptions | None = None,
    *,
    signing: SigningPair | None = None,
    progress: Progress | None = None,
) -> AgentReport:
    """Write the bundle as ``sysgraft-agent.sysext.raw``; systemd reloads its units after its merge.

    Args:
        output: the folder for the image; it is made if it is not there.
        options: see `AgentOptions`.
        signing: who signs; None builds an image with dm-verity and no signature.
        progress: told how far it is.

    Raises:
        InputError: the interpreter cannot be bundled, or something it needs is not there.
        ToolError: it cannot be run, or the bundle does not work.
        OutputError: the image exists, or cannot be written.
    """
    options = options or AgentOptions()
    building = replace(options.extension, service_reload=True)
    job = prepare(NAME, output=output, signing=signing, options=building, progress=progress)
    with atomic_outputs(job.paths, replace=building.replace, make_folders=True) as files:
        agent = _agent(options)
        version = ".".join(map(str, agent.python.version))
        collected = Collected(
            tree=agent.tree,
            architecture=agent.architecture,
            sources=(f"sysgraft with Python {version}",),
            left_out=(),
            notes=(),
        )
        report = job.run(files, collected)
    return AgentReport(report.path, agent, report, report.notes)


def _agent(options: AgentOptions) -> AgentTree:
    epoch = options.extension.sources.source_date_epoch or 0
    agent = agent_tree(os.path.abspath(options.python or sys.executable), epoch=epoch)
    try_out(agent)
    return agent


def _note(missed: NotKept) -> str:
    return f"{missed.what} of {missed.number} files are not kept, such as {printable(missed.first)}"
