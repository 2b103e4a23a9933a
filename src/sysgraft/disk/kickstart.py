"""What is to be mended, as lines of a script that an installer runs when it is done."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sysgraft.base.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.disk.report import DiskReport, Mend


def script(report: DiskReport) -> str:
    """Lines for ``%post --nochroot`` of a kickstart file, or for any shell.

    The first that fails is the last: none of them is to act on what another one should have made.
    """
    return "\n".join(_lines(report))


def shell_line(command: tuple[str, ...]) -> str:
    """A command as a shell takes it; a comment where a name in it is no text to be printed."""
    line = shlex.join(command)
    try:
        line.encode()
    except UnicodeEncodeError:
        return comment(f"no command, a name in it is not UTF-8: {line}")
    return line


def _lines(report: DiskReport) -> Iterator[str]:
    where = f", root at {report.root}" if report.root else ""
    yield comment(f"Discoverable partitions of {report.disk} ({report.arch}{where}).")
    yield comment("For %post --nochroot, or a shell once the installation is done.")
    yield "set -eu"
    gpt = next((rule for rule in report.rules if rule.name == "gpt"), None)
    if gpt and gpt.status == "fail":
        yield comment("Nothing is set while the partition tables are not in order.")
    elif not report.mends:
        yield comment(
            "Nothing is to be set." if report.ok else "Nothing here can be set by a command."
        )
    for rule in report.rules:
        if rule.status == "fail" and not rule.mends:
            yield comment(f"Not by a command: {rule.reason}.")
    for mend in report.mends:
        yield from _mend(mend)


def _mend(mend: Mend) -> Iterator[str]:
    yield ""
    yield comment(f"{mend.why[0].upper()}{mend.why[1:]}.")
    if mend.lines:
        yield from mend.lines
    elif mend.command:
        yield shell_line(mend.command)


def comment(text: str) -> str:
    """A line that a shell passes over, whatever stands in it."""
    return f"# {one_line(text)}"
