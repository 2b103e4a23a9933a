"""Prove an extension image: every check, each with its reason.

What systemd's own ``systemd-dissect --validate`` leaves out is done here: the whole hash tree
is recomputed, the signature is verified against certificates the caller trusts, and the
release file is held against the image's name, architecture and host. It changes nothing and
needs neither root nor systemd.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.base.version import LATEST_SYSTEMD
from sysgraft.errors import FormatError, UsageError, in_file
from sysgraft.formats import gpt_check, verity_signature
from sysgraft.host.files import OpenFile
from sysgraft.image import checks, dissect, names
from sysgraft.image.checks import CHECKS, Check, fail, ok, skipped
from sysgraft.image.content_checks import ContentChecks
from sysgraft.image.policy import Signature as SignatureState
from sysgraft.image.policy_check import check_policy
from sysgraft.image.unprotected import filled_gaps
from sysgraft.image.verity_tree import Damage, TreeCheck, read_superblock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.extension_release import Kind
    from sysgraft.formats.verity_signature import Signature
    from sysgraft.image.dissect import Dissection
    from sysgraft.sign.verify.roothash import RoothashVerdict, SignerInfo
    from sysgraft.sign.verify.trust import TrustStore

_BROKEN: Final = "the partition table cannot be read"


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
    """

    trust: TrustStore | None = None
    image_policy: str | None = None
    systemd_version: int = LATEST_SYSTEMD
    os_release: Mapping[str, str] | None = None
    architecture: str | None = None
    allow_skip: frozenset[str] = frozenset()
    now: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse names of checks that do not exist."""
        unknown = sorted(self.allow_skip - set(CHECKS))
        if unknown:
            raise UsageError(f"no check {unknown[0]!r}", hint=f"there are: {', '.join(CHECKS)}")


@dataclass(frozen=True, slots=True)
class Verification:
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
    """

    file: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    kind: Kind | None = None
    architecture: str | None = None
    root_hash: bytes | None = None
    signer: SignerInfo | None = None

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
    run = _Run(options or VerifyOptions(), progress or NoProgress(), os.path.basename(name))
    with OpenFile(name) as blob, in_file(name):
        run.all(blob)
    return run.result(name)


@dataclass(slots=True)
class _Run:
    """One verification in progress: checks are filled in as their inputs become known."""

    options: VerifyOptions
    progress: Progress
    name: str
    done: dict[str, Check] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kind: Kind | None = None
    architecture: str | None = None
    root_hash: bytes | None = None
    signer: SignerInfo | None = None

    def add(self, *found: Check) -> None:
        for check in found:
            self.done[check.name] = check

    def result(self, file: str) -> Verification:
        final = tuple(self._final(self.done[name]) for name in CHECKS)
        return Verification(
            file=file,
            checks=final,
            notes=tuple(dict.fromkeys(self.notes)),
            kind=self.kind,
            architecture=self.architecture,
            root_hash=self.root_hash,
            signer=self.signer,
        )

    def _final(self, check: Check) -> Check:
        if check.status == "skipped" and check.name in self.options.allow_skip:
            return replace(check, required=False)
        return check

    def all(self, blob: Blob) -> None:
        self.kind = names.kind_of(self.name)
        try:
            found = dissect.dissect(blob)
        except FormatError as error:
            self._give_up(error)
            return
        self.architecture = found.architecture
        self.add(self._gpt(blob, found))
        signature, problem = self._read_signature(blob, found)
        self._root_hash(found, signature)
        damage = self._tree_and_signature(blob, found, signature, problem)
        content = ContentChecks(self._data(blob, found), found, self.name, options=self.options)
        self._name_damage(content, damage)
        self.add(*content.run())
        self.kind = self.kind or content.kind
        self.notes += content.notes
        check, notes = check_policy(found, self._signature_state(), self.kind, self.options)
        self.add(check)
        self.notes += notes

    def _give_up(self, error: FormatError) -> None:
        self.add(fail("gpt", str(error.message)))
        for name in CHECKS[1:]:
            required = name not in checks.ON_REQUEST
            self.add(skipped(name, _BROKEN, required=required))

    def _gpt(self, blob: Blob, found: Dissection) -> Check:
        if found.table is None:
            return skipped("gpt", f"a bare {found.bare_fstype} file system without a table")
        problems = gpt_check.problems(blob, found.table)
        if problems:
            return fail("gpt", "; ".join(problems))
        return ok("gpt", f"{len(found.table.partitions)} partitions, both tables agree")

    def _read_signature(self, blob: Blob, found: Dissection) -> tuple[Signature | None, str]:
        """The signature partition's content, or why there is none."""
        if found.signature is None:
            return None, ""
        try:
            signature = verity_signature.parse(dissect.part(blob, found.signature))
        except FormatError as error:
            return None, error.message
        if signature.unknown_fields:
            listed = ", ".join(signature.unknown_fields)
            self.notes.append(f"the signature partition has fields nobody signs: {listed}")
        elif not signature.canonical:
            self.notes.append("the signature partition is not written as systemd-repart would")
        return signature, ""

    def _root_hash(self, found: Dissection, signature: Signature | None) -> None:
        if found.data is None or found.verity is None:
            self.add(skipped("root-hash-link", "the image has no dm-verity"))
            return
        halves = (found.data.partition.uuid.bytes, found.verity.partition.uuid.bytes)
        self.root_hash = signature.root_hash if signature else b"".join(halves)
        linked = (self.root_hash[:16], self.root_hash[-16:]) == halves
        if not linked:
            text = "the partition UUIDs are not the halves of the signed root hash"
            self.add(fail("root-hash-link", text))
        elif signature:
            self.add(ok("root-hash-link", "both partition UUIDs are halves of the root hash"))
        else:
            text = "the root hash is taken from the partition UUIDs"
            self.add(ok("root-hash-link", text))

    def _tree_and_signature(
        self,
        blob: Blob,
        found: Dissection,
        signature: Signature | None,
        problem: str,
    ) -> Damage | None:
        """Both at once: workers hash the data while the signature is looked at."""
        if found.data is None or found.verity is None or self.root_hash is None:
            self.add(skipped("verity-tree", "the image has no dm-verity"))
            self._signature(found, signature, problem)
            return None
        data, hashes = dissect.part(blob, found.data), dissect.part(blob, found.verity)
        try:
            superblock = read_superblock(data, hashes)
        except FormatError as error:
            self.add(fail("verity-tree", error.message))
            self._signature(found, signature, problem)
            return None
        self.notes += filled_gaps(blob, found, superblock)
        with TreeCheck(data, hashes, superblock, progress=self.progress) as tree:
            self._signature(found, signature, problem)
            damage = tree.damage(self.root_hash)
        if damage is None:
            count = superblock.data_blocks
            text = f"all {count} blocks match the root hash" if count > 1 else "its block matches"
            self.add(ok("verity-tree", text))
        return damage

    def _signature(self, found: Dissection, signature: Signature | None, problem: str) -> None:
        if signature is None:
            self._no_signature(found, problem)
            return
        verdict = self._verdict(signature)
        self.signer = verdict.signer
        self.notes += verdict.notes
        for name in ("signature", "trust", "revocation"):
            outcome = getattr(verdict, name)
            required = name not in checks.ON_REQUEST or outcome.status != "skipped"
            self.add(Check(name, outcome.status, outcome.reason, required))

    def _verdict(self, signature: Signature) -> RoothashVerdict:
        # Costs a tenth of a second to import; the workers are busy meanwhile.
        from sysgraft.sign.verify.roothash import check_roothash_signature  # noqa: PLC0415
        from sysgraft.sign.verify.trust import TrustStore  # noqa: PLC0415

        return check_roothash_signature(
            signature.pkcs7,
            signature.root_hash,
            fingerprint=signature.fingerprint,
            store=self.options.trust or TrustStore(),
            now=self.options.now or datetime.now(UTC),
        )

    def _no_signature(self, found: Dissection, problem: str) -> None:
        if problem:
            self.add(fail("signature", problem))
            reason = "the signature cannot be read"
        else:
            kind = "signature partition" if found.verity else "dm-verity and no signature"
            reason = f"unsigned: the image has no {kind}"
            self.add(skipped("signature", reason))
        self.add(skipped("trust", reason), skipped("revocation", reason, required=False))

    def _data(self, blob: Blob, found: Dissection) -> Blob:
        return dissect.part(blob, found.data) if found.data else blob

    def _name_damage(self, content: ContentChecks, damage: Damage | None) -> None:
        if damage is None:
            return
        where = f"{damage.partition} partition, offset {damage.offset}"
        inside = damage.partition == "data"
        owners = content.owners_of(damage.offset, damage.length) if inside else ""
        place = f"{where}, in {owners}" if owners else where
        self.add(fail("verity-tree", f"{place}: {damage.what}"))

    def _signature_state(self) -> SignatureState:
        """What systemd would find out about the signature."""
        if self.done["signature"].status == "fail":
            return SignatureState.BAD
        trusted = self.done["trust"].status == "ok"
        return SignatureState.OK if trusted else SignatureState.UNKNOWN
