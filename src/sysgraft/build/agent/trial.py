"""Starts a bundle where it was made: what is missing shows here, not on a node.

The tree is written to a temporary folder; its programs run with nothing but what is in it, and in
an environment that would mislead any other Python. sysgraft and all modules it may need are loaded.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.build.agent.contents import AGENT, OPTIONAL, PACKAGES
from sysgraft.build.agent.tree import INTERPRETER, PROGRAM
from sysgraft.errors import ToolError
from sysgraft.host.filled_folder import fill_new
from sysgraft.host.run import run
from sysgraft.host.tree_output import TreeOutput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.build.agent.tree import AgentTree

_MISLEADING: Final = {
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": "/nonexistent",
    "LD_LIBRARY_PATH": "/nonexistent",
}
# Beside what sysgraft names at the beginning of its modules.
_MORE: Final = ("ssl", "hashlib", "ctypes", "zlib", "bz2", "lzma", "encodings.idna")
_LOAD: Final = "import sys\nfor name in sys.stdin.read().split(): __import__(name)"
_SCRIPTS: Final = ("__main__", "build.agent.probe", "build.agent.compile")


def try_out(agent: AgentTree) -> None:
    """Start the bundle, and load every module of sysgraft.

    Raises:
        ToolError: it does not start, or a module cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="sysgraft-agent-") as folder:
        root = os.path.join(folder, "root")
        output = TreeOutput(agent.tree, NoProgress())
        fill_new(root, output.fill, output.finish)
        names = "\n".join([*_MORE, *_packages(agent), *_own(agent)])
        try:
            run([os.path.join(root, PROGRAM), "--version"], env=_MISLEADING)
            interpreter = os.path.join(root, INTERPRETER)
            run([interpreter, "-c", _LOAD], stdin=names.encode(), env=_MISLEADING)
        except ToolError as error:
            raise ToolError(
                f"the bundle does not work: {error}",
                hint="it was tried in a temporary folder ($TMPDIR), where programs must be allowed",
            ) from error


def _packages(agent: AgentTree) -> Iterator[str]:
    for names in (*PACKAGES.values(), *OPTIONAL.values()):
        yield from (name for name in names if agent.python.modules.get(name))


def _own(agent: AgentTree) -> Iterator[str]:
    """The modules of sysgraft."""
    folder = f"{AGENT}/lib/{agent.python.folder}/"
    for path in agent.tree:
        name = path.decode("utf-8", "surrogateescape").removeprefix(folder)
        if name.startswith("sysgraft/") and name.endswith(".pyc"):
            module = name.removesuffix(".pyc").removesuffix("/__init__").replace("/", ".")
            if module.removeprefix("sysgraft.") not in _SCRIPTS:
                yield module
