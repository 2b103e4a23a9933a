"""A signed update of a Secure Boot database, from files that name what goes in.

This is how keys are rotated and revoked after a machine has them: the new value of db or dbx,
signed with KEK, or that of KEK or PK, signed with PK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.base.ids import default_seed
from sysgraft.errors import UsageError
from sysgraft.formats import authvar, esl
from sysgraft.host.output import atomic_output
from sysgraft.host.signature_files import read_lists
from sysgraft.sign.authvar import sign_update

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sysgraft.sign.pair import SigningPair


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What was written.

    Attributes:
        file: the ``.auth`` file.
        target: the variable it is for.
        time: of the update.
        lists: the new value, or what is added.
    """

    file: str
    target: authvar.Target
    time: datetime
    lists: tuple[esl.SignatureList, ...]


def write_update(
    target: authvar.Target,
    files: Sequence[str],
    output: str,
    *,
    signing: SigningPair,
    time: datetime,
    owner: UUID | None = None,
    replace: bool = False,
) -> UpdateReport:
    """Sign a database's new value, or what is added to it.

    Args:
        target: the database.
        files: what goes in: certificates, signature lists, hashes, programs. None of them empties
            the database; an empty PK turns Secure Boot off and lets anybody enrol keys.
        output: the ``.auth`` file.
        signing: the key that the firmware will check with: of PK or KEK.
        time: of the update; firmware wants it later than that of the last one.
        owner: owner of the entries whose files name none; None derives one from the signer's name.
        replace: whether an existing output may be replaced.

    Raises:
        UsageError: PK would get more than one entry, or nothing would be added.
        InputError: a file cannot be read.
        KeyMaterialError: the key cannot sign.
        OutputError: the file cannot be written.
    """
    lists = read_lists(files, owner or default_seed(signing.certificate.subject))
    _check(target, lists)
    update = sign_update(
        target,
        esl.serialise(lists),
        key=signing.key,
        certificate=signing.certificate,
        time=time,
    )
    with atomic_output(output, replace=replace) as file:
        file.write(authvar.serialise(update))
    return UpdateReport(output, target, time, lists)


def _check(target: authvar.Target, lists: tuple[esl.SignatureList, ...]) -> None:
    if target.append and not lists:
        raise UsageError("nothing is given to add", hint="without --append the database is emptied")
    if target.name not in ("PK", "KEK"):
        return
    if any(each.type != esl.CERT_X509 for each in lists):
        raise UsageError(f"{target.name} holds certificates: nothing else signs updates")
    if target.name == "PK" and (target.append or sum(len(each.signatures) for each in lists) > 1):
        raise UsageError("PK holds one certificate")
