"""``sysgraft ext build``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.build.extension import BuildOptions, BuildReport, build_extension
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.cli.host_release import host_release
from sysgraft.cli.output import counted, human_size
from sysgraft.cli.signing import signing_pair
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind, fields_for_host

if TYPE_CHECKING:
    import argparse

    from sysgraft.build.extension import UnsignedCopy
    from sysgraft.build.sources.model import LayerChoice, LeftOut
    from sysgraft.cli.output import Output
    from sysgraft.formats.erofs.writer import Summary

_LEFT_OUT: Final = {
    "layers": "in lower layers",
    "outside": "outside the merged hierarchy",
    "excluded": "excluded",
    "whiteouts": "deletions dropped",
}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Build one extension."""
    if arguments.unsigned and (arguments.private_key or arguments.certificate):
        raise UsageError("--unsigned and a key exclude each other")
    if arguments.unsigned and arguments.also_unsigned:
        raise UsageError("--unsigned and --also-unsigned exclude each other")
    options = build_options(arguments)
    report = build_extension(
        arguments.name,
        arguments.sources,
        output=arguments.output,
        signing=None if arguments.unsigned else signing_pair(arguments),
        options=options,
        progress=out.progress,
    )
    if out.json_wanted:
        out.json("ext.build", 1, as_json(report))
    else:
        show(report, out)
    return 0


def build_options(arguments: argparse.Namespace) -> BuildOptions:
    """The library's options for a command line."""
    with_opt = ("/opt",) if arguments.with_opt else ()
    return BuildOptions(
        sources=SourceOptions(
            kind=arguments.type,
            layers=_layers(arguments.layers),
            since=_since(arguments.layers),
            whiteouts=arguments.whiteouts,
            owner=arguments.owner,
            include_paths=(*arguments.include_path, *with_opt),
            excludes=tuple(arguments.exclude),
            source_date_epoch=source_date_epoch(arguments.source_date_epoch),
            architecture=arguments.arch,
            insecure_registries=tuple(arguments.insecure_registry),
            catalogs=tuple(arguments.catalog),
        ),
        release={**_host_fields(arguments), **dict(map(_field, arguments.release))},
        service_reload=arguments.service_reload,
        compress=arguments.compress,
        seed=_seed(arguments.seed),
        replace=arguments.force,
        also_unsigned=arguments.also_unsigned,
    )


_SINCE: Final = "since:"


def _layers(text: str) -> LayerChoice:
    if text == "last":
        return "last"
    if text == "all" or (text.startswith(_SINCE) and text != _SINCE):
        return "all"
    raise UsageError(f"--layers wants last, all or since:IMAGE, not {text!r}")


def _since(text: str) -> str | None:
    return text.removeprefix(_SINCE) if text.startswith(_SINCE) else None


def _host_fields(arguments: argparse.Namespace) -> dict[str, str]:
    """What makes the extension match the host whose os-release is named."""
    host = host_release(arguments.match_os)
    return {} if host is None else fields_for_host(host, Kind(arguments.type))


def _field(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--release wants KEY=VALUE, not {text!r}")
    return key, value


def _seed(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise UsageError(f"--seed wants a UUID, not {text!r}") from None


def as_json(report: BuildReport) -> dict[str, object]:
    """The report as ``sysgraft.ext.build/1``."""
    return {
        "file": report.path,
        "name": report.name,
        "type": str(report.kind),
        "architecture": report.architecture,
        "signed": report.signed,
        "unsigned": _unsigned_json(report.unsigned),
        "rootHash": report.root_hash.hex(),
        "diskUuid": str(report.disk_uuid),
        "seed": str(report.seed),
        "size": report.geometry.disk_size,
        "dataSize": report.geometry.data_size,
        "hashSize": report.geometry.hash_size,
        "extensionRelease": dict(report.release),
        "content": _content_json(report.content),
        "compression": _compression_json(report),
        "sources": list(report.sources),
        "leftOut": [_left_out_json(item) for item in report.left_out],
        "notes": list(report.notes),
    }


def _unsigned_json(copy: UnsignedCopy | None) -> dict[str, object] | None:
    return None if copy is None else {"file": copy.path, "size": copy.size}


def _content_json(content: Summary) -> dict[str, object]:
    return {
        "files": content.files,
        "directories": content.directories,
        "symlinks": content.symlinks,
        "others": content.others,
        "hardLinks": content.hard_links,
        "bytes": content.content_bytes,
        "sharedBytes": content.shared_bytes,
    }


def _compression_json(report: BuildReport) -> dict[str, object] | None:
    if report.codec is None:
        return None
    return {
        "codec": report.codec.name,
        "level": report.codec.level or None,
        "library": report.codec.library,
        "files": report.content.packed_files,
        "bytes": report.content.unpacked_bytes,
        "storedBytes": report.content.packed_bytes,
    }


def _left_out_json(item: LeftOut) -> dict[str, object]:
    return {
        "reason": item.reason,
        "files": item.files,
        "directories": item.directories,
        "bytes": item.size,
        "examples": list(item.examples),
    }


def show(report: BuildReport, out: Output) -> None:
    """Tell a person what was built."""
    content = report.content
    for source in report.sources:
        out.note(f"source: {source}")
    for item in report.left_out:
        out.note(f"left out: {_left_out(item)}")
    for note in report.notes:
        out.note(f"note: {note}")
    shared = f", {human_size(content.shared_bytes)} shared" if content.shared_bytes else ""
    contents = f"{human_size(content.content_bytes)}{shared}"
    signed = "signed" if report.signed else "unsigned"
    out.text(f"{report.path}  ({signed} {report.kind} for {report.architecture})")
    rows = [
        ("root hash", report.root_hash.hex()),
        ("size", f"{human_size(report.geometry.disk_size)}: {_parts(report)}"),
        (
            "content",
            f"{counted(content.files, 'file')}, {counted(content.symlinks, 'link')}, {contents}",
        ),
        *_compression(report),
        ("release", " ".join(f"{key}={value}" for key, value in report.release.items())),
    ]
    out.table(rows, indent=2)
    if report.unsigned is not None:
        out.text(f"{report.unsigned.path}  (the same without its signature)")


def _compression(report: BuildReport) -> list[tuple[str, str]]:
    codec, content = report.codec, report.content
    if codec is None:
        return []
    how = f"{codec.name}:{codec.level}" if codec.level else codec.name
    sizes = f"{human_size(content.unpacked_bytes)} in {human_size(content.packed_bytes)}"
    files = counted(content.packed_files, "file")
    return [("compressed", f"{files}, {sizes}, by {how} of {codec.library}")]


def _parts(report: BuildReport) -> str:
    geometry = report.geometry
    sizes = [("data", geometry.data_size), ("hash tree", geometry.hash_size)]
    if geometry.signature_size:
        sizes.append(("signature", geometry.signature_size))
    return ", ".join(f"{name} {human_size(size)}" for name, size in sizes)


def _left_out(item: LeftOut) -> str:
    what = f"{counted(item.files, 'file')} ({human_size(item.size)})"
    if not item.files:
        what = counted(item.directories, "folder")
    counts = f"{what} {_LEFT_OUT[item.reason]}"
    more = ", …" if item.files > len(item.examples) else ""
    return f"{counts}: {', '.join(item.examples)}{more}" if item.examples else counts
