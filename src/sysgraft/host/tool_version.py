"""Which version of an external program there is, and whether it is new enough."""

from __future__ import annotations

from sysgraft.errors import ToolError
from sysgraft.host.run import run
from sysgraft.host.tools import TOOLS, parse_version


def version_of(program: str) -> str:
    """The version of a program of the table, ``4.18.0``; empty if it does not tell.

    Raises:
        ToolError: it is not installed, or older than what is needed of it.
    """
    tool = TOOLS[program]
    done = run([tool.name, tool.version_option], check=False)
    found = parse_version(done.stdout.decode(errors="replace") + done.stderr)
    if found and found < tool.minimum:
        raise ToolError(
            f"{program} {_text(found)} is too old, {_text(tool.minimum)} is needed",
            hint=f"on Debian it is in the package {tool.package}",
        )
    return _text(found)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
