"""``sysgraft uki inspect``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import SubBlob, chunks
from sysgraft.cli.initrd_report import initrd_as_json, show_initrd
from sysgraft.cli.output import human_size
from sysgraft.cli.signer import signer_fields
from sysgraft.errors import UsageError, in_file
from sysgraft.formats import uki
from sysgraft.formats.x509 import serial_text
from sysgraft.host.files import OpenFile
from sysgraft.host.output import atomic_output
from sysgraft.image.initrd_sizes import uki_initrd_sizes
from sysgraft.image.uki_inspect import inspect_uki

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from sysgraft.cli.output import Output
    from sysgraft.image.initrd_sizes import InitrdSizes
    from sysgraft.image.uki_inspect import SectionInfo, SignatureInfo, UkiInfo

_WANTED: Final = re.compile(r"([\x21-\x39\x3b-\x3f\x41-\x7e]{1,8})(?::(text|binary))?(?:@(.+))?")
_INDENT: Final = "      "
_MAX_LINES: Final = 40


class _Wanted(NamedTuple):
    """One ``--section``: its name, how it is shown, and the file it goes to."""

    name: str
    mode: str
    file: str


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Look into executables."""
    wanted = {each.name: each for each in map(_parse, arguments.section)}
    if any(each.file for each in wanted.values()) and len(arguments.files) > 1:
        raise UsageError("sections of several files cannot go to one file")
    texts = [each.name for each in wanted.values() if each.mode == "text"]
    found = [inspect_uki(file, texts=texts) for file in arguments.files]
    sizes = {info.file: uki_initrd_sizes(info.file) for info in found if arguments.initrd_sizes}
    for info in found:
        sections = _chosen(info, wanted, arguments)
        for each in wanted.values():
            _write_or_miss(info, each, sections, out, replace=arguments.force)
        if not out.json_wanted:
            _show(info, sections, wanted, out)
            for one in sizes.get(info.file, ()):
                out.text()
                show_initrd(one, out)
    if out.json_wanted:
        images = [
            _as_json(info, _chosen(info, wanted, arguments), sizes.get(info.file)) for info in found
        ]
        out.json("uki.inspect", 1, {"images": images})
    return 0


def _parse(text: str) -> _Wanted:
    found = _WANTED.fullmatch(text)
    if found is None:
        raise UsageError(f"--section wants NAME, NAME:text or NAME:binary@FILE, not {text!r}")
    return _Wanted(found[1], found[2] or "", found[3] or "")


def _chosen(
    info: UkiInfo, wanted: Mapping[str, _Wanted], arguments: argparse.Namespace
) -> list[SectionInfo]:
    """The sections to tell of."""
    number: int | None = arguments.profile
    if number is not None and not 0 <= number < info.profiles:
        raise UsageError(f"{info.file} has no profile {number}, it has {info.profiles}")
    sections = info.sections if number is None else info.seen_by(number)
    if wanted:
        return [one for one in sections if one.name in wanted]
    return [one for one in sections if arguments.all or one.name in uki.KNOWN]


def _write_or_miss(
    info: UkiInfo, wanted: _Wanted, sections: Sequence[SectionInfo], out: Output, *, replace: bool
) -> None:
    """Write a section that is to go to a file; say so if there is none."""
    found = [one for one in sections if one.name == wanted.name]
    if not found and not wanted.file:
        out.note(f"note: {info.file} has no section {wanted.name}")
    if not wanted.file:
        return
    if len(found) != 1:
        raise UsageError(
            f"{info.file} has {len(found) or 'no'} sections {wanted.name}, one is to be written",
            hint="choose a profile with --profile" if info.profiles > 1 and found else "",
        )
    _write(info.file, found[0], wanted.file, replace=replace)


def _write(file: str, section: SectionInfo, target: str, *, replace: bool) -> None:
    with (
        OpenFile(file) as blob,
        in_file(file),
        atomic_output(target, replace=replace) as output,
    ):
        for chunk in chunks(SubBlob(blob, section.offset, section.size)):
            output.write(chunk)


def _show(
    info: UkiInfo, sections: Sequence[SectionInfo], wanted: Mapping[str, _Wanted], out: Output
) -> None:
    out.text(f"{info.file}  ({human_size(info.size)})")
    out.table(list(_facts(info)), indent=2)
    for problem in info.problems:
        out.text(f"  problem: {problem}")
    for one in sections:
        profile = "" if one.profile is None or info.profiles == 1 else f"  profile {one.profile}"
        out.text()
        out.text(f"  {one.name}  {human_size(one.size)}  sha256 {one.sha256.hex()}{profile}")
        if one.text is not None and _is_read(one.name, wanted):
            _show_text(one.text, out)


def _is_read(name: str, wanted: Mapping[str, _Wanted]) -> bool:
    """Whether a person reads a section's text: signatures are long, and nobody does unasked."""
    return wanted[name].mode != "binary" if name in wanted else name != uki.SIGNATURES


def _show_text(text: str, out: Output) -> None:
    lines = text.splitlines()
    for line in lines[:_MAX_LINES]:
        out.text(_INDENT + line)
    if len(lines) > _MAX_LINES:
        out.text(f"{_INDENT}… {len(lines) - _MAX_LINES} more lines")


def _facts(info: UkiInfo) -> list[tuple[str, str]]:
    stub = f"{info.stub.name} {info.stub.version}" if info.stub else "none that says so"
    rows = [
        ("kind", info.kind),
        ("architecture", info.architecture or "unknown"),
        ("stub", stub),
    ]
    if info.uname:
        rows.append(("kernel", info.uname))
    if info.profiles > 1:
        rows.append(("profiles", str(info.profiles)))
    for bank, (signed, unsigned) in info.policies.items():
        rest = f", {unsigned} without a signature" if unsigned else ""
        rows.append(("PCR policies", f"{bank}: {signed} signed{rest}"))
    rows += [("signed by", _signer_text(one)) for one in info.signatures]
    if not info.signatures:
        rows.append(("signed by", "nobody"))
    return rows


def _signer_text(one: SignatureInfo) -> str:
    name = one.certificate.subject if one.certificate else "unknown"
    until = f" until {one.certificate.not_after:%Y-%m-%d}" if one.certificate else ""
    stamp = f", {one.timestamp} time stamp" if one.timestamp else ""
    serial = serial_text(one.serial).upper()
    return f"{name}{until}, issuer {one.issuer} serial {serial}, {one.digest}{stamp}"


def _as_json(
    info: UkiInfo, sections: Sequence[SectionInfo], sizes: Sequence[InitrdSizes] | None
) -> dict[str, object]:
    """One image's part of ``sysgraft.uki.inspect/1``; initrds only where they were asked for."""
    stub = info.stub
    return {
        "file": info.file,
        "size": info.size,
        "kind": info.kind,
        "architecture": info.architecture,
        "stub": {"name": stub.name, "version": stub.version} if stub else None,
        "uname": info.uname,
        "profiles": info.profiles,
        "sections": [
            {
                "name": one.name,
                "profile": one.profile,
                "size": one.size,
                "offset": one.offset,
                "sha256": one.sha256.hex(),
                "text": one.text,
            }
            for one in sections
        ],
        "pcrPolicies": {
            bank: {"signed": signed, "unsigned": unsigned}
            for bank, (signed, unsigned) in info.policies.items()
        },
        "signatures": [
            {
                **signer_fields(one.issuer, one.serial, one.certificate),
                "digest": one.digest,
                "timestamp": one.timestamp or None,
            }
            for one in info.signatures
        ],
        "problems": list(info.problems),
        **({} if sizes is None else {"initrds": [initrd_as_json(one) for one in sizes]}),
    }
