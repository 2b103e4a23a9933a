"""The signature at the end of a Linux kernel module: who signed it.

``include/linux/module_signature.h`` and ``kernel/module_signature.c``: the signature, a record of
12 bytes, and a line of text, behind the module. Since Linux 4.3 the signature is a PKCS#7 by issuer
and serial number, without certificates. It is read, not verified: the kernel's own keys are not
here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, TruncatedError, UnsupportedError
from sysgraft.formats import cms

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

MARK: Final = b"~Module signature appended~\n"
"""The last bytes of a signed module (``MODULE_SIG_STRING``)."""

# struct module_signature: algorithm, hash, kind, sizes of the signer's name and key identifier,
# padding, size of the signature. Of PKCS#7 all but kind and size are zero.
_RECORD: Final = struct.Struct(">5B3xI")
_PKCS7: Final = 2  # PKEY_ID_PKCS7


@dataclass(frozen=True, slots=True)
class ModuleSignature:
    """Who signed a module.

    Attributes:
        issuer: of the signer's certificate.
        serial: of the signer's certificate.
        digest: name of the digest, as hashlib has it.
    """

    issuer: str
    serial: int
    digest: str

    @property
    def key_id(self) -> tuple[str, int]:
        """What tells one signer from another."""
        return self.issuer, self.serial


def is_signed(blob: Blob) -> bool:
    """Whether a module, not compressed, ends in a signature of some kind."""
    return blob.size >= len(MARK) and blob.read_at(blob.size - len(MARK), len(MARK)) == MARK


def parse(blob: Blob) -> ModuleSignature | None:
    """The signature of a module that is not compressed; None where it has none.

    Raises:
        UnsupportedError: a signature of another kind, or of a form `cms` does not read.
        FormatError: it is damaged.
    """
    if not is_signed(blob):
        return None
    end = blob.size - len(MARK) - _RECORD.size
    if end < 0:
        raise TruncatedError("a module's signature without its record")
    _, _, kind, signer, key, size = _RECORD.unpack(blob.read_at(end, _RECORD.size))
    if kind != _PKCS7:
        raise UnsupportedError(f"a module's signature of kind {kind}, not PKCS#7")
    if signer or key or size > end:
        raise FormatError("a module's signature with sizes that cannot be")
    if size > cms.MAX_SIGNED_DATA:
        raise FormatError(f"a module's signature of {size} bytes")
    by = cms.parse(blob.read_at(end - size, size)).signers[0]
    return ModuleSignature(by.issuer, by.serial, by.digest)
