"""Are the keys of a medium signed by one another, as firmware wants them?

UEFI 2.10 §8.2.2 and §32.3.1: PK has one certificate and is signed with its key, KEK with that of
PK, db and dbx with that of a KEK or of PK. In setup mode some firmware takes more than that; what
all of them take is asked for here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, SysgraftError
from sysgraft.formats import authvar, esl
from sysgraft.formats.x509 import parse_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.formats.authvar import SignedUpdate
    from sysgraft.formats.x509 import Certificate

_SIGNERS: Final[Mapping[str, Sequence[str]]] = {
    "PK": ("PK",),
    "KEK": ("PK",),
    "db": ("KEK", "PK"),
    "dbx": ("KEK", "PK"),
}


class KeyProof(NamedTuple):
    """Whether firmware would take a database: its file, and why not, else by whom it is signed."""

    source: str
    ok: bool
    reason: str


def prove_keys(updates: Mapping[str, SignedUpdate], folder: str) -> Iterator[KeyProof]:
    """Each database of a medium.

    Args:
        updates: by database.
        folder: where they come from.
    """
    for name, update in updates.items():
        source = os.path.join(folder, f"{name}.auth")
        try:
            yield KeyProof(source, True, _proven(name, update, updates))
        except SysgraftError as error:
            yield KeyProof(source, False, error.message)


def _proven(name: str, update: SignedUpdate, updates: Mapping[str, SignedUpdate]) -> str:
    """Whose certificate has signed an update; raises what says that none has."""
    if name == "PK" and (count := len(_entries(update))) != 1:
        raise FormatError(f"there are {count} entries in it; firmware takes one certificate")
    if not authvar.read_signature(update).signers:
        raise FormatError("nobody has signed it")
    files = " or ".join(f"{signer}.auth" for signer in _SIGNERS[name])
    for signer in _SIGNERS[name]:
        for certificate in _certificates(updates[signer]):
            if authvar.verify(update, authvar.database(name), certificate):
                return f"signed by {certificate.subject} of {signer}.auth"
            # systemd-boot sets the whole variable.
            if authvar.verify(update, authvar.database(name, append=True), certificate):
                raise FormatError("signed as an addition to what is there (--append)")
    raise FormatError(f"not signed by a certificate of {files}")


def _entries(update: SignedUpdate) -> list[tuple[bool, bytes]]:
    """Whether each is a certificate, and its bytes."""
    return [
        (one.type == esl.CERT_X509, entry.data)
        for one in esl.parse(update.value)
        for entry in one.signatures
    ]


def _certificates(update: SignedUpdate) -> Iterator[Certificate]:
    for is_certificate, data in _entries(update):
        if is_certificate:
            yield parse_certificate(data)
