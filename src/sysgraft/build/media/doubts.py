"""Extension images on a medium that a system with the medium's keys would not merge.

These are warnings, no verdicts: a system may trust further certificates, which are in its image.
Only the signature of the root hash is looked at; `sysgraft ext verify` proves the whole image.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError
from sysgraft.formats import verity_signature
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.small import read_small
from sysgraft.image import dissect
from sysgraft.image.names import kind_of
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.roothash import check_roothash_signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.build.media.files import MediaFile
    from sysgraft.formats.authvar import SignedUpdate
    from sysgraft.sign.verify.trust import TrustStore

EXTENSION_CERTIFICATE: Final = "extension.pem"
"""The certificate of a key set's own key for extensions, which is in no database."""


def doubts(
    files: Iterable[MediaFile], keys: str, updates: Mapping[str, SignedUpdate]
) -> Iterator[str]:
    """What is to be said of the extension images among some files, a sentence each.

    Args:
        files: of a medium.
        keys: the folder of its keys; empty for none, and then signatures are not looked at.
        updates: the keys by database.
    """
    store = _store(keys, updates) if keys else None
    images = {each.source: each.content for each in files if kind_of(os.path.basename(each.source))}
    for source, content in images.items():
        doubt = _doubt(content, store)
        if doubt:
            yield f"{one_line(source)}: {doubt}"


def _store(keys: str, updates: Mapping[str, SignedUpdate]) -> TrustStore:
    """PK, KEK and db less dbx, as nodes take them; and the certificate for extensions."""
    store = trust.TrustStore()
    for name, update in updates.items():
        source = f"{name}.auth"
        if name == "dbx":
            store |= trust.from_dbx(update.value, source)
        else:
            store |= trust.from_signature_lists(update.value, source)
    path = os.path.join(keys, EXTENSION_CERTIFICATE)
    if os.path.isfile(path):
        store |= trust.from_certificates(read_small(path, MAX_BUNDLE, "certificate"), path)
    return store


def _doubt(content: Blob, store: TrustStore | None) -> str:
    """Why an image would not be merged; empty if nothing speaks against it."""
    try:
        found = dissect.dissect(content)
        if store is None:
            return ""
        if found.signature is None:
            return "the extension is not signed; the keys on the medium prove nothing of it"
        signature = verity_signature.parse(dissect.part(content, found.signature))
    except FormatError as error:
        return f"not an extension image: {error.message}"
    verdict = check_roothash_signature(
        signature.pkcs7,
        signature.root_hash,
        fingerprint=signature.fingerprint,
        store=store,
        now=datetime.now(UTC),
    )
    for outcome in (verdict.signature, verdict.trust, verdict.revocation):
        if outcome.status == "fail":
            return f"with the keys on the medium alone it is not merged: {outcome.reason}"
    return ""
