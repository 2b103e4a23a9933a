"""Prove an extension image: every check, each with its reason.

What systemd's own ``systemd-dissect --validate`` leaves out is done here: the whole hash tree
is recomputed, the signature is verified against certificates the caller trusts, and the
release file is held against the image's name, architecture and host. It changes nothing and
needs neither root nor systemd.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base import systemd
from sysgraft.base.progress import NoProgress
from sysgraft.errors import in_file
from sysgraft.host.files import OpenFile
from sysgraft.image.checks import CHECKS, Check, check_names
from sysgraft.image.examination import Examination

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sysgraft.base.progress import Progress
    from sysgraft.formats.extension_release import Kind
    from sysgraft.image.verity_tree import Damage
    from sysgraft.sign.verify.roothash import SignerInfo
    from sysgraft.sign.verify.trust import TrustStore


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What to hold an image against.

    Attributes:
        trust: certificates and revocations; None trusts nobody, and `trust` fails.
        image_policy: text of a policy or a built-in's name; None for the strict default.
        systemd_version: judge names, matching and policy as this version does.
        os_release: fields of the host's os-release; None leaves `host-match` out, unless
            an architecture is given.
        architecture: the host's, in systemd's spelling.
        allow_skip: checks that may be left out without failing the image.
        now: the time certificates are held against, for notes only; None for the clock's.
        reads_data: whether the data are hashed; without that only the hash tree is, and the
            check `verity-tree` is at best skipped.
        name: what the image's file will be called; empty for what it is called.
    """

    trust: TrustStore | None = None
    image_policy: str | None = None
    systemd_version: int = systemd.LATEST
    os_release: Mapping[str, str] | None = None
    architecture: str | None = None
    allow_skip: frozenset[str] = frozenset()
    now: datetime | None = None
    reads_data: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse names of checks that do not exist."""
        check_names(self.allow_skip, CHECKS)


class Verification(NamedTuple):
    """What became of one image.

    Attributes:
        file: as the caller named it.
        checks: all of `CHECKS`, in that order.
        notes: what a person should know and no check fails for.
        kind: sysext or confext, None where neither name nor content tells.
        architecture: of the data partition.
        root_hash: what the image claims; genuine only if `root-hash-link`, `verity-tree`,
            `signature` and `trust` are ok.
        signer: who signed, as far as that is known.
        damage: the first bad block, None where there is none or nobody looked.
    """

    file: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    kind: Kind | None = None
    architecture: str | None = None
    root_hash: bytes | None = None
    signer: SignerInfo | None = None
    damage: Damage | None = None

    @property
    def ok(self) -> bool:
        """Whether every required check was made and holds."""
        return all(check.passes for check in self.checks)


def verify_image(
    path: str | os.PathLike[str],
    options: VerifyOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Verification:
    """Check the image in a file.

    Raises:
        InputError: the file cannot be read.
        UsageError: the policy or version makes no sense.
    """
    name = os.fspath(path)
    options = options or VerifyOptions()
    called = options.name or os.path.basename(name)
    work = Examination(options, called, progress=progress or NoProgress())
    with OpenFile(name) as blob, in_file(name):
        work.examine(blob)
    return Verification(
        file=name,
        checks=work.checks(),
        notes=work.notes(),
        kind=work.kind,
        architecture=work.architecture,
        root_hash=work.root_hash,
        signer=work.signer,
        damage=work.damage,
    )
