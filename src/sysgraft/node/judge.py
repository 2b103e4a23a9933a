"""What each image is, told before systemd sees it: every check of ``ext verify``, for this node.

Reading all data of every image at every boot would make the boot wait for the disk. So signature,
trust, revocation, root hash and hash tree are checked each time, and the data once: what was found
whole is remembered by the file's inode, times and root hash, and read again when one of them has
changed. Whoever can change the list of what was found whole gains nothing: dm-verity compares each
block with the signed root hash when it is read.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sysgraft.errors import SysgraftError
from sysgraft.host.output import atomic_output
from sysgraft.host.places import remove_link
from sysgraft.host.small import read_small
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.node.modes import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.progress import Progress
    from sysgraft.formats.extension_release import Kind
    from sysgraft.image.checks import Check
    from sysgraft.image.verify import Verification
    from sysgraft.sign.verify.trust import TrustStore

KNOWN: Final = ".sysgraft-whole.json"
"""The list of what was found whole, in the folder of the images."""
_MAX_KNOWN: Final = 1 << 20
_WHOLE: Final = (State.GOOD, State.UNSIGNED)
"""What an image is all of whose blocks match its root hash, and that may be used."""
_DAMAGE: Final = ("gpt", "root-hash-link", "verity-tree")
_NAME: Final = ("name", "extension-release")


class Host(NamedTuple):
    """What images are held against.

    Attributes:
        systemd: its release; the latest known one where that cannot be told.
        at_least: the release that it surely is.
        os_release: of the system; None if it has none.
        architecture: in systemd's spelling; None if it is not known.
    """

    systemd: int
    at_least: int
    os_release: Mapping[str, str] | None = None
    architecture: str | None = None


class Judgement(NamedTuple):
    """What an image is.

    Attributes:
        state: in one word.
        reason: a sentence.
        read: whether all its data were read, now or earlier.
        root_hash: of a sound image.
        signer: who signed it, as the signature has it.
        trusted_by: where the trust in the signer comes from.
        refused: why the image policy does not let it in, were its signature good; empty if it does.
        kind: system or configuration extension; None where nobody can tell.
    """

    state: State
    reason: str
    read: bool = False
    root_hash: str = ""
    signer: str = ""
    trusted_by: str = ""
    refused: str = ""
    kind: Kind | None = None

    def held_to(self, kind: Kind | None) -> Judgement:
        """The same, if it is of this kind: systemd finds no release file in one of the other."""
        if kind is None or self.kind in (None, kind):
            return self
        reason = f"it is a {self.kind} where systemd looks for a {kind}"
        return self._replace(state=State.MISNAMED, reason=reason)


class Judge:
    """Judges images, each once.

    Args:
        trust: certificates that count, and what is revoked.
        host: the system.
        progress: told of the data.
    """

    def __init__(self, trust: TrustStore, host: Host, *, progress: Progress) -> None:
        self._trust = trust
        self._host = host
        self._progress = progress
        self._lists: dict[str, Known] = {}
        self._told: dict[tuple[str, str], Judgement] = {}

    def look(
        self,
        path: str,
        *,
        policy: str,
        kind: Kind | None = None,
        known_in: str = "",
        name: str = "",
    ) -> Judgement:
        """What the image in a file is, its data left out unless they were read before.

        Args:
            path: the file.
            policy: the image policy in force.
            kind: that it has to be; None for any.
            known_in: the folder whose list of what was found whole counts; empty for none.
            name: what systemd sees it as; empty for what it is called.
        """
        key = (path, name)
        if key not in self._told:
            self._told[key] = self._verify(
                path, policy, reads_data=False, known_in=known_in, name=name
            )
        return self._told[key].held_to(kind)

    def read(
        self,
        path: str,
        *,
        policy: str,
        kind: Kind | None = None,
        known_in: str = "",
        name: str = "",
    ) -> Judgement:
        """What the image in a file is, all its data read; that is remembered.

        Args:
            path: the file.
            policy: the image policy in force.
            kind: that it has to be; None for any.
            known_in: the folder whose list gets it if it is whole; empty for none.
            name: what the file will be called; empty for what it is called.
        """
        found = self._verify(path, policy, reads_data=True, known_in=known_in, name=name)
        self._told[path, name] = found
        if known_in and found.root_hash and found.state in _WHOLE:
            known = self._known(known_in)
            known.add(path, bytes.fromhex(found.root_hash))
            # At once: a boot that ends early goes on with the next image the next time.
            known.write()
        return found.held_to(kind)

    def _verify(
        self, path: str, policy: str, *, reads_data: bool, known_in: str = "", name: str = ""
    ) -> Judgement:
        options = VerifyOptions(
            trust=self._trust,
            image_policy=policy,
            systemd_version=self._host.systemd,
            os_release=self._host.os_release,
            architecture=self._host.architecture,
            allow_skip=frozenset() if reads_data else frozenset({"verity-tree"}),
            reads_data=reads_data,
            name=name,
        )
        try:
            found = verify_image(path, options, progress=self._progress)
        except SysgraftError as error:
            return Judgement(State.UNREADABLE, error.message)
        except OSError as error:
            return Judgement(State.UNREADABLE, error.strerror or str(error))
        is_known = bool(known_in) and self._known(known_in).has(path, found.root_hash)
        return _judgement(found, read=reads_data or is_known)

    def _known(self, folder: str) -> Known:
        if folder not in self._lists:
            self._lists[folder] = Known(folder)
        return self._lists[folder]


def _judgement(found: Verification, *, read: bool) -> Judgement:
    checks = {check.name: check for check in found.checks}
    state, reason = _state(checks)
    if state is State.GOOD and not found.ok:
        bad = next(check for check in found.checks if not check.passes)
        state, reason = State.REFUSED, f"{bad.name}: {bad.reason}"
    return Judgement(
        state=state,
        reason=reason,
        read=read and checks["verity-tree"].status != "fail",
        root_hash=found.root_hash.hex() if found.root_hash and state is not State.DAMAGED else "",
        signer=found.signer.identity if found.signer else "",
        trusted_by=found.signer.source if found.signer else "",
        refused=policy.reason if (policy := checks["image-policy"]).status == "fail" else "",
        kind=found.kind,
    )


def _state(checks: Mapping[str, Check]) -> tuple[State, str]:
    """The worst thing there is to say of it."""
    for name in (*_DAMAGE, "name", "extension-release"):
        if checks[name].status == "fail":
            return State.DAMAGED if name in _DAMAGE else State.MISNAMED, checks[name].reason
    if checks["host-match"].status == "fail":
        return State.FOREIGN, checks["host-match"].reason
    if checks["signature"].status == "skipped" and checks["signature"].reason.startswith(
        "unsigned"
    ):
        return State.UNSIGNED, checks["signature"].reason
    for name, state in _SIGNED:
        if checks[name].status == "fail":
            return state, checks[name].reason
    if checks["image-policy"].status == "fail":
        return State.REFUSED, checks["image-policy"].reason
    return State.GOOD, checks["trust"].reason


_SIGNED: Final = (
    ("signature", State.BAD_SIGNATURE),
    ("trust", State.UNTRUSTED),
    ("revocation", State.REVOKED),
)


@dataclass(eq=False)
class Known:
    """The list of a folder: which files were found whole.

    Attributes:
        folder: where it lies.
    """

    folder: str
    _files: dict[str, list[Any]] = field(default_factory=dict)
    _changed: bool = False

    def __post_init__(self) -> None:
        path = os.path.join(self.folder, KNOWN)
        try:
            found = json.loads(read_small(path, _MAX_KNOWN, "list", follow=False))
            self._files = {str(name): list(entry) for name, entry in found.items()}
        except (SysgraftError, ValueError, TypeError, AttributeError, RecursionError):
            self._files = {}

    def has(self, path: str, root_hash: bytes | None) -> bool:
        """Whether the file was found whole under this root hash, and nothing touched it since."""
        entry = self._files.get(os.path.basename(path))
        return root_hash is not None and entry == [*_stamp(path), root_hash.hex()]

    def add(self, path: str, root_hash: bytes | None) -> None:
        """The file was found whole."""
        if root_hash is not None:
            self._files[os.path.basename(path)] = [*_stamp(path), root_hash.hex()]
            self._changed = True

    def write(self) -> None:
        """Write the list, without files that are gone; if that cannot be, it is left at that."""
        if not self._changed:
            return
        self._changed = False
        kept = {
            name: entry
            for name, entry in self._files.items()
            if os.path.lexists(os.path.join(self.folder, name))
        }
        path = os.path.join(self.folder, KNOWN)
        with suppress(SysgraftError):
            remove_link(path)
            with atomic_output(path, replace=True) as file:
                file.write(json.dumps(kept, sort_keys=True).encode("ascii"))


def _stamp(path: str) -> list[int]:
    """What changes when a file does; devices are numbered anew at each boot."""
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
