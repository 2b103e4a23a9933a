"""A new version of an extension for the active entries, with the old one kept for the passive.

    upgrade(node, "https://example.org/firmware_2.sysext.raw")

Versions are told by names (`sysgraft.node.versions`). The passive entries get what the active ones
ran, so that the entry to fall back to is a pair of system and extensions that has run together; the
signed policy of each version goes with it. The passive entries come first: at no time does an entry
have a version that none had before. A rollback gives the active entries back what the passive ones
have.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.base import version
from sysgraft.errors import InputError, UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.image import names
from sysgraft.node import links, now
from sysgraft.node.changes import Record
from sysgraft.node.changing import changing
from sysgraft.node.enable import EnableOptions
from sysgraft.node.esp import Esp
from sysgraft.node.install import InstallOptions, install
from sysgraft.node.layout import COMMON, SIDECARS, Role
from sysgraft.node.placing import SetPlan, carry_out, policy_file, swap
from sysgraft.node.store import extension_name
from sysgraft.node.versions import split_name, version_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.host.systemd import Systemd
    from sysgraft.node.changes import Changes
    from sysgraft.node.esp import BootImage
    from sysgraft.node.node import Node
    from sysgraft.node.store import Store

_ORDER: Final = (Role.PASSIVE, Role.ACTIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeOptions:
    """How to upgrade.

    Attributes:
        install: how what is new is fetched.
        replaces: name of what it takes the place of; empty for the version of its family that the
            active entries have.
        downgrade: whether it may be older.
        now: whether the running system is changed as well.
        systemd: who is asked to merge; None for this machine's.
    """

    install: InstallOptions = field(default_factory=InstallOptions)
    replaces: str = ""
    downgrade: bool = False
    now: bool = False
    systemd: Systemd | None = None


def upgrade(
    node: Node,
    uri: str,
    options: UpgradeOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Changes:
    """Install a version and have the active entries get it, the passive ones the one before.

    Args:
        node: the system.
        uri: where it comes from; an installed extension's name will do.
        options: how.
        progress: told of what is fetched and verified.

    Raises:
        UsageError: it is older than what it replaces, or nothing is replaced.
        InputError, OutputError, ToolError: as `sysgraft.node.install.install`.
    """
    options = options or UpgradeOptions()
    if options.now:
        node.require_live("--now")
    record = Record()
    store, file = _newest(node, uri, options, record, progress)
    with changing(node, record):
        _switch(node, store, file, options, record)
        if options.now:
            now.refresh(node, Kind(store.kind), record, systemd=options.systemd, asked=[file])
    return record.done()


def _newest(
    node: Node, uri: str, options: UpgradeOptions, record: Record, progress: Progress | None
) -> tuple[Store, str]:
    """What is new, in the store."""
    for store in node.stores:
        for stored in store.files():
            if uri in (stored.name, stored.file):
                return store, stored.file
    installed = install(node, uri, options.install, progress=progress)
    if installed.store.kind == SIDECARS:
        raise UsageError(
            f"{installed.file} has no versions",
            hint="it is installed; `sysgraft node enable` enables it",
        )
    record.changes += installed.changes.changes
    record.note(*installed.changes.notes)
    return installed.store, installed.file


def _switch(node: Node, store: Store, file: str, options: UpgradeOptions, record: Record) -> None:
    name = extension_name(file)
    old = _old_in_store(store, file, options)
    plans = list(_plans_on_esp(node, store, file, options)) if node.esp else []
    if not old and not plans:
        if file in store.enabled(Role.ACTIVE) or _is_on_esp(node, file):
            record.note(f"the active entries have {file} already")
            return
        raise InputError(
            f"no active entry has another version of {split_name(name)[0]}",
            file=store.path(file),
            hint="it is installed; `sysgraft node enable` enables it",
        )
    if old:
        _check_versions(old, name, downgrade=options.downgrade)
    # The partition first: it may have no room, and then nothing has changed.
    carry_out(plans, record, what="placed", name=name)
    if old:
        _relink(store, old, file, record, options.replaces)


def _check_versions(old: str, name: str, *, downgrade: bool) -> None:
    before = extension_name(old)
    if not downgrade and version_key(name) < version_key(before):
        raise UsageError(
            f"{name} is older than {before}", hint="use --downgrade if that is what you want"
        )


def _old_in_store(store: Store, file: str, options: UpgradeOptions) -> str:
    """The version that active entries have, by their own links or by those for all."""
    for profile in (Role.ACTIVE, COMMON):
        found = [each for each in store.enabled(profile) if _is_older(each, file, options.replaces)]
        if found:
            return max(found, key=lambda each: version_key(extension_name(each)))
    return ""


def _is_older(old: str, new: str, replaces: str = "") -> bool:
    """Whether a file is what the new one takes the place of."""
    name = extension_name(old)
    if old == new or names.kind_of(old) != names.kind_of(new):
        return False
    if replaces:
        return replaces in (name, old)
    return family_of(old) == family_of(new)


def _relink(store: Store, old: str, new: str, record: Record, replaces: str = "") -> None:
    """The old one for passive first, then the new one for active; others' links stay."""
    if old in store.enabled(Role.ACTIVE):
        _link(store, Role.PASSIVE, old, record)
        for each in store.enabled(Role.PASSIVE):
            if each != old and family_of(each) == family_of(old):
                _unlink(store, Role.PASSIVE, each, record)
    _link(store, Role.ACTIVE, new, record)
    for each in store.enabled(Role.ACTIVE):
        if _is_older(each, new, replaces):
            _unlink(store, Role.ACTIVE, each, record)


def _link(store: Store, role: Role, file: str, record: Record) -> None:
    if links.enable(store, role, file):
        record.add("enabled", extension_name(file), str(role), file)


def _unlink(store: Store, role: Role, file: str, record: Record) -> None:
    if links.disable(store, role, file):
        record.add("disabled", extension_name(file), str(role), file)


def family_of(file: str) -> str:
    """The name of an image's extension without its version."""
    return split_name(extension_name(file))[0]


def _plans_on_esp(
    node: Node, store: Store, file: str, options: UpgradeOptions
) -> Iterator[SetPlan]:
    """What changes on the partition: passive sets get what active ones have, these the new."""
    esp = Esp(node)
    by_role = {role: [i for i in esp.images if node.role_of(i.name) is role] for role in _ORDER}
    running = {
        each: [old for old in _images(esp, each) if _is_older(old, file, options.replaces)]
        for each in by_role[Role.ACTIVE]
    }
    kept = next((old[0] for old in running.values() if old), "")
    if not kept:
        return
    _check_versions(kept, extension_name(file), downgrade=options.downgrade)
    source = next(each for each, old in running.items() if old)
    for each in by_role[Role.PASSIVE]:
        gone = [old for old in _images(esp, each) if _is_older(old, kept)]
        yield swap(esp, each, _sources(esp, source.folder, kept), gone)
    for each, old in running.items():
        if old:
            yield swap(esp, each, _stored(store, file), old)


def _images(esp: Esp, image: BootImage) -> list[str]:
    """The extension images of a set, without addons, credentials and signed policies."""
    return sorted(each for each in esp.files(image.folder) if each.endswith(".raw"))


def _is_on_esp(node: Node, file: str) -> bool:
    """Whether an active entry has a file on the partition."""
    if not node.esp:
        return False
    esp = Esp(node)
    active = [each for each in esp.images if node.role_of(each.name) is Role.ACTIVE]
    return any(file in esp.files(each.folder) for each in active)


def _sources(esp: Esp, folder: str, file: str) -> dict[str, str]:
    """A file of a set and its signed policy, as they lie there."""
    names = [file, policy_file(extension_name(file))]
    there = esp.files(folder)
    return {name: f"{esp.place}/{folder}/{name}" for name in names if name in there}


def _stored(store: Store, file: str) -> dict[str, str]:
    """A file of the store and its signed policy."""
    policy = policy_file(extension_name(file))
    found = {file: store.path(file)}
    if os.path.isfile(store.path(policy)):
        found[policy] = store.path(policy)
    return found


def rollback(node: Node, family: str, options: EnableOptions | None = None) -> Changes:
    """Give the active entries the version that the passive ones have.

    Args:
        node: the system.
        family: name of an extension, with or without its version.
        options: whether the running system is changed as well.

    Raises:
        InputError: the passive entries have no other version of it.
        OutputError, ToolError: as `sysgraft.node.enable.enable`.
    """
    options = options or EnableOptions()
    if options.now:
        node.require_live("--now")
    record = Record()
    wanted = {family, split_name(family)[0]}
    kinds = [kind for kind in Kind if not options.kinds or kind in options.kinds]
    with changing(node, record):
        for store in map(node.store, kinds):
            if store.exists():
                _roll_back(node, store, wanted, record)
                if options.now and record.changes:
                    files = [e for e in store.enabled(Role.ACTIVE) if family_of(e) in wanted]
                    kind = Kind(store.kind)
                    now.refresh(node, kind, record, systemd=options.systemd, asked=files)
    if not record.changes:
        raise InputError(
            f"the passive entries have no other version of {family}",
            hint="`sysgraft node list` tells what is enabled where",
        )
    return record.done()


def _roll_back(node: Node, store: Store, wanted: set[str], record: Record) -> None:
    def of_family(files: Sequence[str]) -> list[str]:
        return [each for each in files if family_of(each) in wanted]

    # The partition first, as for an upgrade.
    if node.esp:
        carry_out(list(_back_on_esp(node, wanted)), record, what="placed", name="")
    passive = of_family(store.enabled(Role.PASSIVE)) or of_family(store.enabled(COMMON))
    active = of_family(store.enabled(Role.ACTIVE))
    gone = [each for each in active if each not in passive]
    if passive and gone:
        for each in passive:
            _link(store, Role.ACTIVE, each, record)
        for each in gone:
            _unlink(store, Role.ACTIVE, each, record)


def _back_on_esp(node: Node, wanted: set[str]) -> Iterator[SetPlan]:
    esp = Esp(node)

    def of(image: BootImage) -> list[str]:
        return [each for each in _images(esp, image) if family_of(each) in wanted]

    passive = [each for each in esp.images if node.role_of(each.name) is Role.PASSIVE]
    source = next((each for each in passive if of(each)), None)
    if source is None:
        return
    (file, *_) = sorted(of(source), key=version.key, reverse=True)
    for each in esp.images:
        gone = [old for old in of(each) if _is_older(old, file, "")]
        if node.role_of(each.name) is Role.ACTIVE and gone:
            yield swap(esp, each, _sources(esp, source.folder, file), gone)
