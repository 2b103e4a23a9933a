"""One verification in progress: checks are filled in as what they need becomes known.

While workers hash the data, this process looks at the signature, the content and the policy;
their modules are loaded at that time, too. The answer is collected by `image.verify`.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import SubBlob
from sysgraft.errors import FormatError
from sysgraft.formats import gpt_check, verity_signature
from sysgraft.image import checks, dissect, names
from sysgraft.image.checks import CHECKS, Check, fail, ok, skipped
from sysgraft.image.unprotected import filled_gaps
from sysgraft.image.verity_tree import HashesCheck, TreeCheck, read_superblock

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.extension_release import Kind
    from sysgraft.formats.verity import Superblock
    from sysgraft.formats.verity_signature import Signature
    from sysgraft.image.content_checks import ContentChecks
    from sysgraft.image.dissect import Dissection
    from sysgraft.image.verify import VerifyOptions
    from sysgraft.image.verity_tree import Damage
    from sysgraft.sign.verify.roothash import RoothashVerdict, SignerInfo

_BROKEN: Final = "the partition table cannot be read"


class Examination:
    """Makes all checks of one image.

    Args:
        options: what to hold it against.
        filename: without folders.
        progress: told about every byte of data.

    Attributes:
        kind: sysext or confext, None where neither name nor content tells.
        architecture: of the data partition.
        root_hash: what the image claims.
        signer: who signed, as far as that is known.
        damage: the first bad block, None where there is none or nobody looked.
    """

    def __init__(self, options: VerifyOptions, filename: str, *, progress: Progress) -> None:
        self._options = options
        self._filename = filename
        self._progress = progress
        self._done: dict[str, Check] = {}
        self._notes: list[str] = []
        self.kind: Kind | None = names.kind_of(filename)
        self.architecture: str | None = None
        self.root_hash: bytes | None = None
        self.signer: SignerInfo | None = None
        self.damage: Damage | None = None

    def checks(self) -> tuple[Check, ...]:
        """All checks in their order."""
        return tuple(self._allowed(self._done[name]) for name in CHECKS)

    def notes(self) -> tuple[str, ...]:
        """What a person should know, each once."""
        return tuple(dict.fromkeys(self._notes))

    def _allowed(self, check: Check) -> Check:
        """A check the caller lets go unmade is no longer required."""
        if check.status == "skipped" and check.name in self._options.allow_skip:
            return check._replace(required=False)
        return check

    def _add(self, *found: Check) -> None:
        for check in found:
            self._done[check.name] = check

    def examine(self, blob: Blob) -> None:
        """Make every check."""
        try:
            found = dissect.dissect(blob)
        except FormatError as error:
            self._give_up(error)
            return
        self.architecture = found.architecture
        superblock = self._superblock(blob, found)
        self._add(self._gpt(blob, found, superblock))
        signature, problem = self._read_signature(blob, found)
        self._root_hash(found, signature)
        with self._tree(blob, found, superblock) as tree:
            self._signature(found, signature, problem)
            content = self._content(_data(blob, found, superblock), found)
            if tree is not None and self.root_hash is not None:
                self._verity(tree, self.root_hash, content)

    def _give_up(self, error: FormatError) -> None:
        self._add(fail("gpt", str(error.message)))
        for name in CHECKS[1:]:
            required = name not in checks.ON_REQUEST
            self._add(skipped(name, _BROKEN, required=required))

    def _gpt(self, blob: Blob, found: Dissection, superblock: Superblock | None) -> Check:
        if found.table is None:
            return skipped("gpt", f"a bare {found.bare_fstype} file system without a table")
        problems = [*gpt_check.problems(blob, found.table), found.ambiguity]
        problems += filled_gaps(blob, found, superblock)
        if any(problems):
            return fail("gpt", "; ".join(filter(None, problems)))
        self._notes += [
            f"partition {each.index + 1} ({each.name}) is not covered by the signature"
            for each in found.bystanders
        ]
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
            self._notes.append(f"the signature partition has fields nobody signs: {listed}")
        elif not signature.canonical:
            self._notes.append("the signature partition is not written as systemd-repart would")
        return signature, ""

    def _root_hash(self, found: Dissection, signature: Signature | None) -> None:
        if found.data is None or found.verity is None:
            self._add(skipped("root-hash-link", "the image has no dm-verity"))
            return
        halves = (found.data.partition.uuid.bytes, found.verity.partition.uuid.bytes)
        self.root_hash = signature.root_hash if signature else b"".join(halves)
        linked = (self.root_hash[:16], self.root_hash[-16:]) == halves
        if not linked:
            text = "the partition UUIDs are not the halves of the signed root hash"
            self._add(fail("root-hash-link", text))
        elif signature:
            self._add(ok("root-hash-link", "both partition UUIDs are halves of the root hash"))
        else:
            text = "the root hash is taken from the partition UUIDs"
            self._add(ok("root-hash-link", text))

    def _superblock(self, blob: Blob, found: Dissection) -> Superblock | None:
        """The dm-verity superblock, or the check that fails without it."""
        if found.data is None or found.verity is None:
            self._add(skipped("verity-tree", "the image has no dm-verity"))
            return None
        try:
            return read_superblock(dissect.part(blob, found.data), dissect.part(blob, found.verity))
        except FormatError as error:
            self._add(fail("verity-tree", error.message))
            return None

    def _tree(
        self, blob: Blob, found: Dissection, superblock: Superblock | None
    ) -> TreeCheck | nullcontext[HashesCheck] | nullcontext[None]:
        if superblock is None or found.data is None or found.verity is None:
            return nullcontext()
        data, hashes = dissect.part(blob, found.data), dissect.part(blob, found.verity)
        if not self._options.reads_data:
            return nullcontext(HashesCheck(hashes, superblock))
        return TreeCheck(data, hashes, superblock, progress=self._progress)

    def _verity(
        self, tree: TreeCheck | HashesCheck, root_hash: bytes, content: ContentChecks
    ) -> None:
        try:
            damage = self.damage = tree.damage(root_hash)
        except FormatError as error:
            self._add(fail("verity-tree", error.message))
            return
        if damage is None:
            self._add(_no_damage(reads_data=self._options.reads_data))
            return
        where = f"{damage.partition} partition, offset {damage.offset}"
        inside = damage.partition == "data"
        owners = content.owners_of(damage.offset, damage.length) if inside else ""
        place = f"{where}, in {owners}" if owners else where
        self._add(fail("verity-tree", f"{place}: {damage.what}"))

    def _content(self, data: Blob, found: Dissection) -> ContentChecks:
        from sysgraft.image.content_checks import ContentChecks  # noqa: PLC0415  see above
        from sysgraft.image.policy_check import check_policy  # noqa: PLC0415

        content = ContentChecks(data, found, self._filename, options=self._options)
        self._add(*content.run())
        self.kind = self.kind or content.kind
        self._notes += content.notes
        check, notes = check_policy(found, self.kind, self._options, made=self._done)
        self._add(check)
        self._notes += notes
        return content

    def _signature(self, found: Dissection, signature: Signature | None, problem: str) -> None:
        if signature is None:
            self._no_signature(found, problem)
            return
        verdict = self._verdict(signature)
        self.signer = verdict.signer
        self._notes += verdict.notes
        for name in ("signature", "trust", "revocation"):
            outcome = getattr(verdict, name)
            required = name not in checks.ON_REQUEST or outcome.status != "skipped"
            self._add(Check(name, outcome.status, outcome.reason, required))

    def _verdict(self, signature: Signature) -> RoothashVerdict:
        from datetime import UTC, datetime  # noqa: PLC0415  the workers are busy meanwhile

        from sysgraft.sign.verify.roothash import check_roothash_signature  # noqa: PLC0415
        from sysgraft.sign.verify.trust import TrustStore  # noqa: PLC0415

        return check_roothash_signature(
            signature.pkcs7,
            signature.root_hash,
            fingerprint=signature.fingerprint,
            store=self._options.trust or TrustStore(),
            now=self._options.now or datetime.now(UTC),
        )

    def _no_signature(self, found: Dissection, problem: str) -> None:
        if problem:
            self._add(fail("signature", problem))
            reason = "the signature cannot be read"
        else:
            kind = "signature partition" if found.verity else "dm-verity and no signature"
            reason = f"unsigned: the image has no {kind}"
            self._add(skipped("signature", reason))
        self._add(skipped("trust", reason), skipped("revocation", reason, required=False))


def _no_damage(*, reads_data: bool) -> Check:
    if reads_data:
        return ok("verity-tree", "every block matches the root hash")
    return skipped("verity-tree", "the hash tree matches the root hash, the data were not read")


def _data(blob: Blob, found: Dissection, superblock: Superblock | None) -> Blob:
    """The file system as it will be mounted: no further than dm-verity reaches."""
    if found.data is None:
        return blob
    whole = dissect.part(blob, found.data)
    return SubBlob(whole, 0, superblock.data_size) if superblock else whole
