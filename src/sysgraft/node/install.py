"""A new extension into the store: fetched, proven, named by what is in it, and put there whole.

    install(node, "https://example.org/firmware-1.2.sysext.raw", InstallOptions())

Nothing gets its name in the store before its bytes were held to a digest that the caller named, or
to a signature by somebody the node trusts. An image that could never be merged here (another
processor, another distribution, no release file) is refused, and so is one whose data are not what
its root hash says. What runs is not changed; `sysgraft.node.enable` does that.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.errors import InputError, OutputError, UsageError, in_file
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.pcrsig import parse as parse_policies
from sysgraft.host.new_folders import sync_folder
from sysgraft.host.output import atomic_output
from sysgraft.host.places import make_plain_folder, remove_link, unlink_if_there
from sysgraft.host.small import read_small
from sysgraft.node import trust
from sysgraft.node.changes import Record
from sysgraft.node.changing import changing
from sysgraft.node.fetch import FetchOptions, fetch
from sysgraft.node.host import this_host
from sysgraft.node.identity import Identity, identify
from sysgraft.node.judge import Judge, Known
from sysgraft.node.layout import SIDECARS
from sysgraft.node.modes import Fate, State, fate
from sysgraft.node.placing import policy_file
from sysgraft.node.policies import node_policy
from sysgraft.node.store import extension_name

if TYPE_CHECKING:
    from sysgraft.base.progress import Progress
    from sysgraft.node.changes import Changes
    from sysgraft.node.fetch import Fetched
    from sysgraft.node.judge import Judgement
    from sysgraft.node.node import Node
    from sysgraft.node.store import Store
    from sysgraft.sign.verify.trust import TrustStore

_MAX_POLICIES: Final = 4 << 20
"""Bytes of a file with signed policies, as systemd reads it."""
_REFUSED: Final = {
    State.DAMAGED: "its content is damaged",
    State.MISNAMED: "no systemd would merge it",
    State.FOREIGN: "it is not for this system",
    State.UNREADABLE: "it is no extension image",
}
"""States in which an image is of no use here, whoever vouches for it."""


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """How to install.

    Attributes:
        fetch: digest, limits and hosts.
        kind: the kind that it has to be; empty for any.
        replace: whether another image of its name may be replaced.
        policies: a file with signed policies that goes with it to the ESP; empty for none.
    """

    fetch: FetchOptions = field(default_factory=FetchOptions)
    kind: str = ""
    replace: bool = False
    policies: str = ""


@dataclass(frozen=True, slots=True)
class Installed:
    """What was installed.

    Attributes:
        store: where.
        file: its name there.
        digest: of its bytes.
        changes: what was done.
    """

    store: Store
    file: str
    digest: str
    changes: Changes

    @property
    def name(self) -> str:
        """The extension's."""
        return extension_name(self.file)


def install(
    node: Node, uri: str, options: InstallOptions | None = None, *, progress: Progress | None = None
) -> Installed:
    """Fetch an extension, addon or credential and put it into the store.

    Args:
        node: the system.
        uri: where it comes from, see `sysgraft.node.fetch`.
        options: how.
        progress: told of what is fetched and verified.

    Raises:
        UsageError: the address or digest is none, or nothing proves what comes.
        InputError: it cannot be fetched, or is not what it has to be.
        OutputError: the store cannot be written, or has no room, or has another image of its name.
        ToolError: another process changes the store.
    """
    options = options or InstallOptions()
    policies = _policies(options.policies)
    landing = node.store(Kind.SYSEXT)
    record = Record()
    with changing(node, record), ExitStack() as stack:
        fetched = stack.enter_context(
            fetch(uri, landing.folder, options.fetch, progress=progress or NoProgress())
        )
        identity = identify(fetched, uri, kind=options.kind)
        store = node.store(identity.kind)
        _prove(node, fetched, identity, record, progress or NoProgress())
        _put(store, fetched, identity, record, replace=options.replace)
        if policies:
            _write_policies(store, identity, policies)
    return Installed(store, identity.file, fetched.digest, record.done())


def _policies(path: str) -> bytes:
    if not path:
        return b""
    data = read_small(path, _MAX_POLICIES, "file of signed policies")
    with in_file(path):
        parse_policies(data)
    return data


def _prove(
    node: Node, fetched: Fetched, identity: Identity, record: Record, progress: Progress
) -> None:
    """Let go on only what is proven and of use."""
    if identity.kind == SIDECARS:
        prove_sidecar(node, fetched, identity)
        return
    store = trust.node_trust(node)
    host = this_host(node.root)
    judge = Judge(store, host, progress=progress)
    chosen = node_policy(node, Kind(identity.kind))
    judged = judge.read(fetched.path, policy=chosen, name=identity.file)
    if judged.state in _REFUSED:
        raise InputError(f"{_REFUSED[judged.state]}: {judged.reason}", file=identity.uri)
    if judged.state is not State.GOOD and not fetched.proven:
        raise _unproven(judged, identity, store)
    outcome = fate(
        node.settings.mode,
        judged.state,
        host.systemd,
        unsigned=node.settings.unsigned,
        image_policy=chosen,
    )
    if outcome is not Fate.MERGED:
        record.note(f"{identity.file} is {judged.state}: a boot would have it {outcome}")


def _unproven(judged: Judgement, identity: Identity, store: TrustStore) -> UsageError:
    """Neither a digest nor a signature says that it is what was meant."""
    notes = "" if store.certificates else "".join(f" ({each})" for each in store.notes[:1])
    notes = "" if notes.strip(" ()") in judged.reason else notes
    return UsageError(
        f"{judged.reason}{notes}",
        file=identity.uri,
        hint="sign it with a key that this node trusts, or name its digest with --digest sha256:…",
    )


def prove_sidecar(node: Node, fetched: Fetched, identity: Identity) -> None:
    """Firmware has to accept an addon; of a credential only a digest tells anything."""
    if identity.file.lower().endswith(".cred"):
        if not fetched.proven:
            raise UsageError(
                "nothing inside a credential says whose it is",
                file=identity.uri,
                hint="name its digest with --digest sha256:…",
            )
        return
    from sysgraft.image.uki_verify import UkiVerifyOptions, verify_uki  # noqa: PLC0415
    from sysgraft.sign.verify.trust import from_efivars  # noqa: PLC0415

    if node.variables is None:
        if fetched.proven:
            return
        raise UsageError("there is no firmware here that could judge it", file=identity.uri)
    store = from_efivars(node.variables, for_executables=True)
    found = verify_uki(fetched.path, UkiVerifyOptions(trust=store))
    bad = [check for check in found.checks if not check.passes]
    if bad and not fetched.proven:
        raise UsageError(
            f"firmware would not take it: {bad[0].name}: {bad[0].reason}",
            file=identity.uri,
            hint="sign it with a key in db, or name its digest with --digest sha256:…",
        )


def _put(
    store: Store, fetched: Fetched, identity: Identity, record: Record, *, replace: bool
) -> None:
    """Give it its name; the same bytes may come again."""
    make_plain_folder(store.root, store.folder)
    target = store.path(identity.file)
    if os.path.lexists(target):
        if _is_same(target, fetched):
            record.note(f"{identity.file} is installed already")
            return
        if not replace:
            raise OutputError(
                "another image of this name is installed",
                file=target,
                hint="give the new one a version in its name, or replace the old one with --force",
            )
    # The old one's policy is none of the new one.
    unlink_if_there(store.path(policy_file(extension_name(identity.file))))
    try:
        os.replace(fetched.path, target)
        sync_folder(store.folder)
    except OSError as error:
        raise OutputError(error.strerror or str(error), file=target) from error
    _remember_whole(store, target, identity)
    record.add("installed", extension_name(identity.file), "", identity.file)


def _remember_whole(store: Store, path: str, identity: Identity) -> None:
    """All of it was read just now: a boot need not read it again."""
    known = Known(store.folder)
    known.add(path, identity.root_hash)
    known.write()


def _is_same(path: str, fetched: Fetched) -> bool:
    import filecmp  # noqa: PLC0415  only where a name is taken

    try:
        return not os.path.islink(path) and filecmp.cmp(path, fetched.path, shallow=False)
    except OSError:
        return False


def _write_policies(store: Store, identity: Identity, data: bytes) -> None:
    path = store.path(policy_file(extension_name(identity.file)))
    remove_link(path)
    with atomic_output(path, replace=True) as file:
        file.write(data)
