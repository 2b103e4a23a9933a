"""``sysgraft policy``: what an image policy means, and which images it allows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from sysgraft.base import systemd
from sysgraft.cli.help import HelpFormatter
from sysgraft.errors import FormatError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from sysgraft.cli.output import Output
    from sysgraft.formats.image_policy import ImagePolicy
    from sysgraft.image.policy import Found, Verdict
    from sysgraft.image.policy_assess import Assessment, Facts

SHOW_EXAMPLE: Final = """\
POLICY is written out, or the name of one of systemd's own: @sysext @sysext-strict @confext
@confext-strict @container @host @service.

examples:
  sysgraft policy show @sysext-strict
  sysgraft policy show 'root=verity+signed+absent' --systemd-version 259
"""
CHECK_EXAMPLE: Final = """\
Only the partitions are compared: whether a signature is good is for "ext verify" to say.
Exit 0: every image is allowed. Exit 1: one is not.

example:
  sysgraft policy check root=signed+absent:usr=signed+absent *.raw
"""


def fill(noun: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = noun.add_subparsers(title="verbs", metavar="VERB", required=True)
    show = _verb(verbs, "show", "explain a policy and what each systemd makes of it", SHOW_EXAMPLE)
    show.set_defaults(run=run_show)
    check = _verb(verbs, "check", "compare images with a policy", CHECK_EXAMPLE)
    check.add_argument("files", metavar="FILE", nargs="+", help="images")
    check.set_defaults(run=run_check)


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, epilog: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=text,
        description=text.capitalize() + ".",
        epilog=epilog,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("policy", metavar="POLICY", help="policy, or @NAME of a built-in one")
    parser.add_argument(
        "--systemd-version",
        metavar="N",
        type=int,
        default=systemd.LATEST,
        help=f"read the policy as this systemd does (default: {systemd.LATEST})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def run_show(arguments: argparse.Namespace, out: Output) -> int:
    """Print one policy: its text, its meaning by designator, and who enforces what."""
    version: int = arguments.systemd_version
    policy = _parsed(arguments.policy, version)
    rows = _enforcement(arguments.policy)
    warnings = _warnings(arguments.policy, version)
    if arguments.json:
        out.json("policy.show", 1, _show_payload(policy, rows, warnings))
        return 0
    out.text(f"policy     {policy}")
    out.text(f"long form  {policy.long_form}")
    out.text()
    out.table([("PARTITION", "MAY BE", "READ-ONLY", "GROWFS", "FILE SYSTEM"), *_meaning(policy)])
    out.text()
    out.text("What systemd-sysext makes of an image under this policy:")
    out.table([("SYSTEMD", *SPECIMENS), *_grouped(rows)], indent=2)
    for warning in warnings:
        out.text(f"warning: systemd {version}: {warning}")
    return 0


def run_check(arguments: argparse.Namespace, out: Output) -> int:
    """Compare images with one policy."""
    from sysgraft.image.policy import evaluate  # noqa: PLC0415  not needed for --help

    policy = _parsed(arguments.policy, arguments.systemd_version)
    verdicts = {name: evaluate(policy, _partitions(name)) for name in arguments.files}
    if arguments.json:
        out.json("policy.check", 1, _check_payload(policy, verdicts))
    else:
        for name, verdict in verdicts.items():
            status = "ok" if verdict.ok else "fail"
            detail = f": {verdict.reason}" if verdict.reason else ""
            out.text(f"{out.symbol(status)} {name}{detail}")
    return 0 if all(verdict.ok for verdict in verdicts.values()) else 1


def _parsed(text: str, systemd_version: int) -> ImagePolicy:
    from sysgraft.formats import policy_builtin  # noqa: PLC0415  not needed for --help
    from sysgraft.formats.image_policy_flags import POLICIES_SINCE  # noqa: PLC0415

    systemd.check_release(systemd_version)
    if systemd_version < POLICIES_SINCE:
        raise UsageError(
            f"systemd {systemd_version} has no image policies, they came with {POLICIES_SINCE}",
            hint="it accepts unsigned images under any configuration",
        )
    return policy_builtin.parse_or_builtin(text, systemd_version=systemd_version)


def _meaning(policy: ImagePolicy) -> list[tuple[str, str, str, str, str]]:
    from sysgraft.formats import image_policy_flags  # noqa: PLC0415

    rows = []
    for designator in image_policy_flags.DESIGNATORS:
        flags = policy.allowed(designator)
        use = policy.text_of(flags & image_policy_flags.USE)
        fstypes = policy.text_of(flags & image_policy_flags.FSTYPES)
        read_only, growfs = (_tristate(v) for v in _attributes(policy, designator))
        rows.append((designator, use, read_only, growfs, fstypes))
    return rows


def _tristate(value: bool | None) -> str:  # noqa: FBT001  the only argument
    return "-" if value is None else "yes" if value else "no"


def _attributes(policy: ImagePolicy, designator: str) -> tuple[bool | None, bool | None]:
    """What read-only and growfs have to be; None where both values are allowed."""
    from sysgraft.formats.image_policy_flags import GROWFS, READ_ONLY, Flag  # noqa: PLC0415

    flags = policy.allowed(designator)
    demands = []
    for group, on in ((READ_ONLY, Flag.READ_ONLY_ON), (GROWFS, Flag.GROWFS_ON)):
        said = flags & group
        demands.append(None if said in (group, 0) else said == on)
    return demands[0], demands[1]


# The images that tell policies and versions apart; the columns of the table.
SPECIMENS: Final = {
    "PLAIN": "no dm-verity",
    "UNSIGNED": "dm-verity without a signature",
    "BAD SIGNATURE": "a signature that is damaged or by nobody trusted",
    "SIGNED": "a good signature by a trusted certificate",
}


def _specimen(name: str) -> Facts:
    from sysgraft.image.policy import Found  # noqa: PLC0415
    from sysgraft.image.policy_assess import Facts, Signature  # noqa: PLC0415

    count = {"PLAIN": 1, "UNSIGNED": 2}.get(name, 3)
    parts = ("root", "root-verity", "root-verity-sig")[:count]
    found = {designator: Found(read_only=True) for designator in parts}
    return Facts(found, Signature.OK if name == "SIGNED" else Signature.BAD)


def _assessments(text: str, systemd_version: int) -> dict[str, Assessment]:
    """Each specimen under the policy as that version reads it; empty where it cannot."""
    from sysgraft.formats import image_policy_flags, policy_builtin  # noqa: PLC0415
    from sysgraft.image.policy_assess import assess  # noqa: PLC0415

    readable = max(systemd_version, image_policy_flags.POLICIES_SINCE)
    try:
        policy = policy_builtin.parse_or_builtin(text, systemd_version=readable)
    except FormatError:
        return {}
    return {
        name: assess(policy, _specimen(name), systemd_version=systemd_version) for name in SPECIMENS
    }


def _enforcement(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """For every version, one word for each specimen."""
    rows = []
    for version in range(systemd.OLDEST, systemd.LATEST + 1):
        results = _assessments(text, version)
        cells = tuple(_outcome(results.get(name)) for name in SPECIMENS)
        rows.append((version, cells))
    return rows


def _outcome(assessment: Assessment | None) -> str:
    if assessment is None:
        return "not understood"
    words = {"signed": "signature checked", "verity": "as verity", "none": "unprotected"}
    return words.get(assessment.protection, "") if assessment.accepts else "refused"


def _grouped(rows: Sequence[tuple[int, tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Versions next to each other that do the same, in one row."""
    grouped = []
    for cells, same in groupby(rows, key=lambda row: row[1]):
        versions = [version for version, _ in same]
        first, last = versions[0], versions[-1]
        grouped.append((str(first) if first == last else f"{first} to {last}", *cells))
    return grouped


def _warnings(text: str, systemd_version: int) -> list[str]:
    """What a version lets through that has no good signature."""
    results = _assessments(text, systemd_version)
    return [
        f"{warning} ({SPECIMENS[name]})"
        for name, assessment in results.items()
        if assessment.accepts
        for warning in assessment.warnings
    ]


def _partitions(name: str) -> Mapping[str, Found]:
    from sysgraft.errors import in_file  # noqa: PLC0415  not needed for --help
    from sysgraft.host.files import OpenFile  # noqa: PLC0415
    from sysgraft.image import dissect, policy_check  # noqa: PLC0415

    with OpenFile(name) as blob, in_file(name):
        return policy_check.partitions(dissect.dissect(blob))


def _show_payload(
    policy: ImagePolicy, rows: Sequence[tuple[int, tuple[str, ...]]], warnings: Sequence[str]
) -> dict[str, object]:
    from sysgraft.formats import image_policy_flags  # noqa: PLC0415

    partitions: list[dict[str, object]] = []
    for designator in image_policy_flags.DESIGNATORS:
        flags = policy.allowed(designator)
        read_only, growfs = _attributes(policy, designator)
        words = policy.text_of(flags & image_policy_flags.USE, short=False)
        fstypes = policy.text_of(flags & image_policy_flags.FSTYPES)
        partitions.append(
            {
                "designator": designator,
                "use": _words(words),
                "readOnly": read_only,
                "growfs": growfs,
                "fstypes": _words(fstypes),
            }
        )
    columns = ("plain", "unsigned", "badSignature", "signed")
    return {
        "policy": str(policy),
        "longForm": policy.long_form,
        "systemdVersion": policy.systemd_version,
        "partitions": partitions,
        "enforcement": [
            {"systemdVersion": version, **dict(zip(columns, cells, strict=True))}
            for version, cells in rows
        ],
        "warnings": list(warnings),
    }


def _words(text: str) -> list[str]:
    return [] if text == "-" else text.split("+")


def _check_payload(policy: ImagePolicy, verdicts: Mapping[str, Verdict]) -> dict[str, object]:
    return {
        "policy": str(policy),
        "systemdVersion": policy.systemd_version,
        "ok": all(verdict.ok for verdict in verdicts.values()),
        "images": [
            {
                "file": name,
                "ok": verdict.ok,
                "violations": [
                    {"designator": violation.designator, "reason": violation.reason}
                    for violation in verdict.violations
                ],
            }
            for name, verdict in verdicts.items()
        ],
    }
