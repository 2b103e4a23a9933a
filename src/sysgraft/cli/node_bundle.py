"""``sysgraft node bundle``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.build.agent.bundle import AgentOptions, bundle_extension, bundle_folder
from sysgraft.build.extension import BuildOptions
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.cli.output import counted, human_size
from sysgraft.cli.signing import signing_pair
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sysgraft.build.agent.bundle import AgentReport
    from sysgraft.build.agent.contents import Part
    from sysgraft.build.extension import BuildReport
    from sysgraft.cli.output import Output

_PARTS: Final[dict[Part, str]] = {
    "python": "interpreter",
    "library": "standard library",
    "libraries": "shared libraries",
    "packages": "other packages",
    "sysgraft": "sysgraft",
    "papers": "licences",
}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make one bundle."""
    options = _options(arguments)
    if arguments.extension:
        signing = None if arguments.unsigned else signing_pair(arguments)
        report = bundle_extension(arguments.output, options, signing=signing, progress=out.progress)
    else:
        report = bundle_folder(arguments.output, options, progress=out.progress)
    if out.json_wanted:
        out.json("node.bundle", 1, as_json(report))
    else:
        _show(report, out)
    return 0


def _options(arguments: argparse.Namespace) -> AgentOptions:
    keys = arguments.private_key or arguments.certificate
    if arguments.unsigned and keys:
        raise UsageError("--unsigned and a key exclude each other")
    of_image = keys or arguments.unsigned or arguments.force or arguments.compress != "none"
    if of_image and not arguments.extension:
        raise UsageError("only an extension is signed, compressed or replaced: add --extension")
    sources = SourceOptions(source_date_epoch=source_date_epoch(arguments.source_date_epoch))
    building = BuildOptions(sources=sources, compress=arguments.compress, replace=arguments.force)
    return AgentOptions(python=arguments.python or "", extension=building)


def as_json(report: AgentReport) -> dict[str, object]:
    """The report as ``sysgraft.node.bundle/1``."""
    agent = report.agent
    return {
        "path": report.path,
        "architecture": agent.architecture,
        "python": ".".join(map(str, agent.python.version)),
        "files": sum(inode.is_file for inode in agent.tree.values()),
        "size": agent.size,
        "parts": {name: agent.sizes.get(name, 0) for name in _PARTS},
        "packages": [
            {"name": name, "version": about.version}
            for name, about in sorted(agent.python.distributions.items())
            if about.version
        ],
        "libraries": [
            {
                "path": f"/{each.path}",
                "size": each.size,
                "sha256": each.sha256,
                "package": each.package or None,
            }
            for each in agent.libraries
        ],
        "extension": _extension_json(report.extension) if report.extension else None,
        "notes": list(report.notes),
    }


def _extension_json(report: BuildReport) -> dict[str, object]:
    return {
        "size": report.geometry.disk_size,
        "rootHash": report.root_hash.hex(),
        "signed": report.signed,
    }


def _show(report: AgentReport, out: Output) -> None:
    agent = report.agent
    for note in report.notes:
        out.note(f"note: {note}")
    files = sum(inode.is_file for inode in agent.tree.values())
    version = ".".join(map(str, agent.python.version))
    out.text(f"{report.path}  (sysgraft with Python {version} for {agent.architecture})")
    rows = [("content", f"{counted(files, 'file')}, {human_size(agent.size)}")]
    rows += [(f"  {name}", human_size(agent.sizes.get(part, 0))) for part, name in _PARTS.items()]
    if report.extension is not None:
        signed = "signed" if report.extension.signed else "unsigned"
        size = human_size(report.extension.geometry.disk_size)
        rows += [("image", f"{size}, {signed}"), ("root hash", report.extension.root_hash.hex())]
    out.table(rows, indent=2)
