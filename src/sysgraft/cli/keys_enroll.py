"""``sysgraft keys enroll-vars``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.enrolment import EnrolmentReport, copy_to_esp, enroll_store
from sysgraft.cli.keys_report import database_fields, show_databases, time_text
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Bring the keys of one folder to a store, an ESP or both."""
    if not arguments.output and not arguments.esp:
        raise UsageError("nothing is asked for", hint="give --output, --esp or both")
    if arguments.template and not arguments.output:
        raise UsageError("--template goes with --output")
    store = esp = None
    if arguments.output:
        store = enroll_store(
            arguments.folder,
            arguments.output,
            template=arguments.template,
            replace=arguments.force,
        )
    if arguments.esp:
        esp = copy_to_esp(arguments.folder, arguments.esp, replace=arguments.force)
    if out.json_wanted:
        out.json("keys.enroll-vars", 1, as_json(store, esp))
        return 0
    if store is not None:
        out.text(f"{store.files[0]}  (Secure Boot on, made from {store.template})")
        show_databases(store.databases, out)
    if esp is not None:
        for file in esp.files:
            out.text(file)
    return 0


def as_json(store: EnrolmentReport | None, esp: EnrolmentReport | None) -> dict[str, object]:
    """The reports as ``sysgraft.keys.enroll-vars/1``."""
    return {
        "store": store and {"file": store.files[0], "template": store.template, **_fields(store)},
        "esp": esp and {"files": list(esp.files), **_fields(esp)},
    }


def _fields(report: EnrolmentReport) -> dict[str, object]:
    return {
        "time": report.time and time_text(report.time),
        "databases": [database_fields(name, lists) for name, lists in report.databases.items()],
    }
