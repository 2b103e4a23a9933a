"""The verbs of ``sysgraft kernel`` that change something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.kernel_common import boot_partition, kernel_json
from sysgraft.cli.node_common import changes_json
from sysgraft.host.efivars import EFIVARFS
from sysgraft.host.efivars_changing import ChangingEfivarsFolder
from sysgraft.kernel import default as starting
from sysgraft.kernel import removal, trial
from sysgraft.kernel.install import install
from sysgraft.kernel.naming import kernel_name
from sysgraft.kernel.options import InstallOptions

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.kernel.options import When
    from sysgraft.node.changes import Changes


def run_install(arguments: argparse.Namespace, out: Output) -> int:
    """``kernel install``."""
    options = InstallOptions(
        version=arguments.kernel_version,
        layout=arguments.layout,
        extras=tuple(arguments.extra),
        initrds=tuple(arguments.initrd),
        cmdline=arguments.cmdline,
        tries=arguments.tries,
        boot_entry=arguments.boot_entry,
        shim=arguments.shim,
        title=arguments.title,
        default=arguments.default,
        keep=arguments.keep,
        verify=not arguments.no_verify,
    )
    partition = boot_partition(arguments)
    done = install(partition, arguments.image, options, progress=out.progress)
    return _show("install", done.changes, out, kernel=kernel_json(done.kernel))


def run_remove(arguments: argparse.Namespace, out: Output) -> int:
    """``kernel remove``."""
    partition = boot_partition(arguments)
    name = kernel_name(partition.token, arguments.version)
    return _show("remove", removal.remove(partition, name, layout=arguments.layout), out)


def run_set_default(arguments: argparse.Namespace, out: Output) -> int:
    """``kernel set-default``."""
    when: When = "once" if arguments.once else "now"
    changes = starting.set_default(boot_partition(arguments), arguments.name, when=when)
    return _show("set-default", changes, out)


def run_bless(arguments: argparse.Namespace, out: Output) -> int:
    """``kernel bless``."""
    variables = ChangingEfivarsFolder(arguments.efivars or EFIVARFS)
    variables.require_writable()
    return _show("bless", trial.bless(variables), out)


def run_cleanup(arguments: argparse.Namespace, out: Output) -> int:
    """``kernel cleanup``."""
    partition = boot_partition(arguments)
    changes = removal.cleanup(partition, keep=arguments.keep, dry_run=arguments.dry_run)
    return _show("cleanup", changes, out)


def _show(verb: str, changes: Changes, out: Output, **more: object) -> int:
    """What was done, a line each."""
    if out.json_wanted:
        out.json(f"kernel.{verb}", 1, {**changes_json(changes), **more})
        return 0
    for each in changes.changes:
        where = f" ({each.where})" if each.where else ""
        out.text(f"{each.file or each.name}: {each.what}{where}")
    if not changes.changes:
        out.text("nothing to do")
    for note in changes.notes:
        out.note(f"note: {note}")
    return 0
