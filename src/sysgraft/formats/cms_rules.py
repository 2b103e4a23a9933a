"""What a PKCS#7 signature has to be about, and what it may hold: given to `sysgraft.formats.cms`.

The reader is one, the uses are several: the signature of a root hash is detached and may have no
unsigned attributes, that of an EFI executable holds its content and often a time stamp.
"""

from __future__ import annotations

from typing import Final, NamedTuple

WHAT: Final = "the PKCS#7 signature"
"""What messages call it."""


class Rules(NamedTuple):
    """What a signature has to be about, and what it may hold.

    Attributes:
        name: of the content type, for messages.
        content_type: its object identifier in DER.
        content_tag: the tag of the content, where it is inside.
        must_sign_attributes: whether signed attributes have to be there.
        unsigned_attributes: whether attributes that nobody signs are let through, unread.
        max_size: bytes of the whole signature.
        max_signers: how many may have signed.
    """

    name: str
    content_type: bytes
    content_tag: int
    must_sign_attributes: bool
    unsigned_attributes: bool
    max_size: int
    max_signers: int
