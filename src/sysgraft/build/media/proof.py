"""Would a machine with the medium's own keys take them, and start what is on it?

systemd-boot enrols the keys and starts the machine anew; from then on the firmware judges the boot
loader, the UKIs and their addons by db and dbx. A wrong key is found out here and not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.build.media.key_proof import prove_keys
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_blob
from sysgraft.sign.verify import trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.base.progress import Progress
    from sysgraft.build.media.content import MediaContent
    from sysgraft.formats.authvar import SignedUpdate
    from sysgraft.sign.verify.trust import TrustStore


class Judgement(NamedTuple):
    """What firmware makes of a key's file, or with the keys of a program.

    Attributes:
        source: the file.
        ok: whether it would take or start it.
        reason: why not, else who has signed it.
    """

    source: str
    ok: bool
    reason: str


def judge(content: MediaContent, progress: Progress) -> Iterator[Judgement]:
    """The keys themselves and each program on the medium; none if it brings no keys."""
    if not content.updates:
        return
    for proof in prove_keys(content.updates, content.keys):
        yield Judgement(*proof)
    options = UkiVerifyOptions(trust=_store(content.updates))
    for each in content.executables:
        result = verify_blob(each.content, each.source, options, progress=progress)
        failed = [check for check in result.checks if not check.passes]
        trusted = next(check.reason for check in result.checks if check.name == "trust")
        reason = "; ".join(f"{check.name}: {check.reason}" for check in failed)
        yield Judgement(each.source, result.ok, reason or trusted)


def _store(updates: Mapping[str, SignedUpdate]) -> TrustStore:
    store = trust.from_signature_lists(updates["db"].value, "db.auth", for_executables=True)
    if "dbx" in updates:
        store |= trust.from_dbx(updates["dbx"].value, "dbx.auth")
    return store
