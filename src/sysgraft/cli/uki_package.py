"""``sysgraft uki package``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.uki_package.options import FILE_NAME, Addon, PackageOptions
from sysgraft.build.uki_package.package import package_uki
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.cli.initrd_report import initrd_as_json, show_initrd
from sysgraft.cli.output import human_size
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sysgraft.build.uki_package.options import PackageReport
    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Make packages of a UKI."""
    report = package_uki(
        arguments.uki, arguments.output, _options(arguments), progress=out.progress
    )
    for note in report.notes:
        out.note(f"note: {note}")
    if out.json_wanted:
        out.json("uki.package", 1, _as_json(report))
    else:
        _show(report, out)
    return 0


def _options(arguments: argparse.Namespace) -> PackageOptions:
    return PackageOptions(
        format=arguments.format,
        name=arguments.name or "",
        version=arguments.version or "",
        release=arguments.release or "",
        kernel_version=arguments.kernel_version or "",
        file_name=arguments.file_name or FILE_NAME,
        extras=tuple(arguments.extra),
        addons=tuple(map(_addon, arguments.addon)),
        kernel_files=tuple(arguments.kernel_file),
        standalone=arguments.standalone,
        requires=tuple(arguments.depends),
        recommends=tuple(arguments.recommends),
        provides=tuple(arguments.provides),
        conflicts=tuple(arguments.conflicts),
        maintainer=arguments.maintainer,
        vendor=arguments.vendor,
        license=arguments.license,
        url=arguments.url,
        summary=arguments.summary,
        description=arguments.description,
        copyright=arguments.copyright,
        source_date_epoch=source_date_epoch(arguments.source_date_epoch),
        replace=arguments.force,
    )


def _addon(text: str) -> Addon:
    name, sign, path = text.partition("=")
    if not name or not sign or not path:
        raise UsageError(f"--addon wants NAME=FILE, not {text!r}")
    return Addon(name, path)


def _show(report: PackageReport, out: Output) -> None:
    for package in report.packages:
        out.text(f"{package.path}  ({human_size(package.size)})")
        out.table([("sha256", package.sha256.hex())], indent=2)
        for path in package.files:
            out.text(f"  {path}")
    out.text()
    signed = "signed" if report.signed else "unsigned"
    out.text(
        f"{signed} UKI of Linux {report.kernel_version} for {report.architecture}"
        f"  ({human_size(report.uki_size)})"
    )
    rows = [
        (
            one.name if one.profile is None else f"{one.name} (profile {one.profile})",
            human_size(one.size),
            f"{one.size / max(1, report.uki_size):.1%}",
        )
        for one in report.sections
    ]
    out.table(rows, indent=2)
    for sizes in report.initrds:
        show_initrd(sizes, out)


def _as_json(report: PackageReport) -> dict[str, object]:
    """The report as ``sysgraft.uki.package/1``."""
    return {
        "format": report.format,
        "kernelVersion": report.kernel_version,
        "version": report.version,
        "release": report.release,
        "architecture": report.architecture,
        "tool": report.tool,
        "signed": report.signed,
        "packages": [
            {
                "file": package.path,
                "name": package.name,
                "addon": package.addon or None,
                "size": package.size,
                "sha256": package.sha256.hex(),
                "files": list(package.files),
            }
            for package in report.packages
        ],
        "uki": {
            "size": report.uki_size,
            "sections": [
                {"name": one.name, "profile": one.profile, "size": one.size}
                for one in report.sections
            ],
            "initrds": [initrd_as_json(sizes) for sizes in report.initrds],
        },
        "notes": list(report.notes),
    }
