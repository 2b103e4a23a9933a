"""The verbs of ``sysgraft node`` that change something."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.cli.node_common import show_changes, this_node, wanted_profiles
from sysgraft.errors import UsageError
from sysgraft.node.collect import collect
from sysgraft.node.enable import EnableOptions, disable, enable, remove
from sysgraft.node.fetch import FetchOptions
from sysgraft.node.install import InstallOptions, install
from sysgraft.node.media import install_media
from sysgraft.node.selection import require_profiles
from sysgraft.node.upgrade import UpgradeOptions, rollback, upgrade

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from sysgraft.cli.output import Output
    from sysgraft.node.changes import Changes
    from sysgraft.node.node import Node


def run_install(arguments: argparse.Namespace, out: Output) -> int:
    """``node install``."""
    node = this_node(arguments, out)
    if os.path.isdir(arguments.uri):
        return _install_media(node, arguments, out)
    if arguments.placement != "store":
        raise UsageError("--placement is for a folder, whose extensions are enabled as well")
    done = install(node, arguments.uri, _install_options(arguments), progress=out.progress)
    more = {"name": done.name, "file": done.file, "store": done.store.folder, "digest": done.digest}
    return show_changes("install", done.changes, out, **more)


def _install_media(node: Node, arguments: argparse.Namespace, out: Output) -> int:
    if arguments.digest or arguments.policy_signature:
        raise UsageError("--digest and --policy-signature are about one file, and this is a folder")
    done = install_media(
        node,
        arguments.uri,
        _install_options(arguments),
        placement=arguments.placement,
        progress=out.progress,
    )
    more = {"name": None, "file": None, "store": None, "digest": None}
    return show_changes("install", done, out, **more)


def _install_options(arguments: argparse.Namespace, kind: str = "") -> InstallOptions:
    return InstallOptions(
        fetch=FetchOptions(digest=arguments.digest, insecure=tuple(arguments.insecure_registry)),
        kind=kind or getattr(arguments, "type", "") or "",
        replace=arguments.force,
        policies=arguments.policy_signature,
    )


def _options(arguments: argparse.Namespace) -> EnableOptions:
    return EnableOptions(
        placement=getattr(arguments, "placement", "store"),
        now=arguments.now,
        kinds=(arguments.type,) if arguments.type else (),
    )


def run_enable(arguments: argparse.Namespace, out: Output) -> int:
    """``node enable``."""
    return _run("enable", enable, arguments, out)


def run_disable(arguments: argparse.Namespace, out: Output) -> int:
    """``node disable``."""
    return _run("disable", disable, arguments, out)


def _run(
    verb: str,
    change: Callable[[Node, str, Sequence[str], EnableOptions], Changes],
    arguments: argparse.Namespace,
    out: Output,
) -> int:
    profiles = wanted_profiles(arguments)
    require_profiles(profiles)
    node = this_node(arguments, out)
    return show_changes(verb, change(node, arguments.name, profiles, _options(arguments)), out)


def run_remove(arguments: argparse.Namespace, out: Output) -> int:
    """``node remove``."""
    done = remove(this_node(arguments, out), arguments.name, _options(arguments))
    return show_changes("remove", done, out)


def run_upgrade(arguments: argparse.Namespace, out: Output) -> int:
    """``node upgrade``."""
    options = UpgradeOptions(
        install=_install_options(arguments),
        replaces=arguments.replaces,
        downgrade=arguments.downgrade,
        now=arguments.now,
    )
    done = upgrade(this_node(arguments, out), arguments.uri, options, progress=out.progress)
    return show_changes("upgrade", done, out)


def run_rollback(arguments: argparse.Namespace, out: Output) -> int:
    """``node rollback``."""
    done = rollback(this_node(arguments, out), arguments.name, _options(arguments))
    return show_changes("rollback", done, out)


def run_gc(arguments: argparse.Namespace, out: Output) -> int:
    """``node gc``."""
    node = this_node(arguments, out)
    done = collect(node, keep=arguments.keep, dry_run=arguments.dry_run)
    return show_changes("gc", done, out)
