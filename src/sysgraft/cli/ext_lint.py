"""``sysgraft ext lint``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.cli.ext_verify import trust_store
from sysgraft.cli.host_release import host_release
from sysgraft.cli.output import counted
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.finding import Level
from sysgraft.image.lint.lint import LintOptions, lint_images
from sysgraft.image.lint.preflight import Outcome

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.lint import LintReport
    from sysgraft.image.lint.preflight import Merge

SHOWN: Final = 5
"""Paths of one finding on a terminal; ``--json`` has more."""

_TITLES: Final = {Kind.SYSEXT: "system extensions", Kind.CONFEXT: "configuration extensions"}
_WORDS: Final = {Outcome.IF_TRUSTED: "merges if trusted"}


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Lint a set; 0 if there are notes at most."""
    report = lint_images(arguments.files, _options(arguments), progress=out.progress)
    if out.json_wanted:
        out.json("ext.lint", 1, _as_json(report, arguments.systemd_version))
    else:
        _show(report, arguments.systemd_version, out)
    return 0 if report.ok else 1


def _options(arguments: argparse.Namespace) -> LintOptions:
    from sysgraft.base import arch  # noqa: PLC0415  only with --arch

    given = (arguments.certificate, arguments.cert_dir, arguments.esl, arguments.efivars)
    return LintOptions(
        systemd_version=arguments.systemd_version,
        image_policy=arguments.image_policy,
        trust=trust_store(arguments) if any(given) else None,
        os_release=host_release(arguments.os_release),
        architecture=arch.normalize(arguments.arch) if arguments.arch else None,
        hierarchies=arguments.hierarchies,
        host_root=arguments.host_root,
        kernel_tree=arguments.kernel_tree,
    )


def _show(report: LintReport, version: int, out: Output) -> None:
    for merge in report.merges:
        _show_merge(merge, version, out)
    for finding in report.findings:
        _show_finding(finding, out)
    if report.omitted:
        out.text(f"and {counted(report.omitted, 'further finding')}")
    for what, reason in report.not_checked:
        out.text(f"not checked: {what} ({reason})")
    out.text(_summary(report))


def _show_merge(merge: Merge, version: int, out: Output) -> None:
    out.text(f"{_TITLES[merge.kind]}, as systemd {version} with {merge.policy}, the lowest first")
    rows = [
        (str(number), each.file, _WORDS.get(each.outcome, str(each.outcome)), each.reason)
        for number, each in enumerate(merge.fates, start=1)
    ]
    out.table(rows, indent=2)
    if merge.refused:
        out.text(f"  nothing is merged, because of {', '.join(merge.refused)}")
    out.text()


def _show_finding(finding: Finding, out: Output) -> None:
    images = ", ".join(finding.images)
    out.text(f"{finding.level}: {finding.code}: {images}: {finding.problem}")
    for path in finding.paths[:SHOWN]:
        out.text(f"  {_path(path)}")
    more = finding.count - SHOWN
    if more > 0:
        out.text(f"  and {more} more")
    out.text(f"  to do: {finding.advice}")


def _path(path: bytes) -> str:
    return f"/{printable(path)}"


def _summary(report: LintReport) -> str:
    numbers = Counter(each.level for each in report.findings)
    counts = [counted(numbers[level], str(level)) for level in Level if numbers[level]]
    left = f"; {counted(len(report.not_checked), 'thing')} not checked"
    return (", ".join(counts) or "nothing found") + (left if report.not_checked else "")


def _as_json(report: LintReport, version: int) -> dict[str, object]:
    return {
        "ok": report.ok,
        "systemdVersion": version,
        "images": list(report.images),
        "merges": [_merge_json(each) for each in report.merges],
        "findings": [_finding_json(each) for each in report.findings],
        "omitted": report.omitted,
        "notChecked": [each._asdict() for each in report.not_checked],
    }


def _merge_json(merge: Merge) -> dict[str, object]:
    return {
        "type": str(merge.kind),
        "policy": merge.policy,
        "images": [
            {
                "file": each.file,
                "outcome": str(each.outcome),
                "protection": str(each.protection),
                "reason": each.reason,
            }
            for each in merge.fates
        ],
        "merged": list(merge.merged),
        "refused": list(merge.refused),
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "level": str(finding.level),
        "problem": finding.problem,
        "advice": finding.advice,
        "images": list(finding.images),
        "paths": [_path(path) for path in finding.paths],
        "count": finding.count,
    }
