"""The signature partition beside a dm-verity pair: a JSON object, then NULs.

Discoverable Partitions Specification (UAPI.2), "Verity signature partitions", and what
systemd writes (``src/repart/repart.c``) and reads (``src/shared/dissect-image.c``): ``rootHash``,
``certificateFingerprint`` (SHA-256 of the DER certificate) and ``signature`` (base64 of a DER
PKCS#7). The signature itself is neither made nor checked here.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob

PARTITION_SIZE: Final = 16384
"""Bytes systemd-repart gives the partition (``VERITY_SIG_SIZE``)."""

PARTITION_MAX: Final = 4 << 20
"""Largest partition systemd reads."""

JSON_MAX: Final = 1 << 20
"""Ours: JSON can take thirty times its size in memory, and a long certificate chain has 100 KB."""

_ROOT_HASH: Final = re.compile(r"[0-9a-f]{64}([0-9a-f]{64})?")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = ("rootHash", "certificateFingerprint", "signature")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature partition says.

    Attributes:
        root_hash: the root hash that is signed, 32 or 64 bytes.
        pkcs7: the detached signature, DER.
        fingerprint: SHA-256 of the signer's DER certificate; a hint that proves nothing.
        unknown_fields: names of further fields, which readers pass over.
        canonical: whether the bytes are the ones `render` would write; other spacing, order
            of fields or escapes mean the same to readers.
    """

    root_hash: bytes
    pkcs7: bytes
    fingerprint: bytes | None = None
    unknown_fields: tuple[str, ...] = ()
    canonical: bool = True


def parse(blob: Blob) -> Signature:
    """Read a signature partition, the whole of which is `blob`.

    Raises:
        FormatError: it breaks a rule; also by its subclasses.
    """
    text = _text(blob)
    fields = _load(text)
    fingerprint = None
    if "certificateFingerprint" in fields:
        fingerprint = _hex(fields, "certificateFingerprint", _FINGERPRINT)
    signature = Signature(
        root_hash=_hex(fields, "rootHash", _ROOT_HASH),
        pkcs7=_base64(_string(fields, "signature")),
        fingerprint=fingerprint,
        unknown_fields=tuple(_shown(name) for name in fields if name not in _FIELDS),
    )
    return replace(signature, canonical=_json(signature) == text)


def render(signature: Signature, size: int = PARTITION_SIZE) -> bytes:
    """The `size` bytes of a partition, as systemd-repart would write them.

    Raises:
        LimitError: JSON and one NUL do not fit.
    """
    text = _json(signature).encode()
    if len(text) >= size:
        raise LimitError(f"the signature takes {len(text) + 1} bytes, the partition has {size}")
    return text.ljust(size, b"\0")


def _json(signature: Signature) -> str:
    fingerprint = signature.fingerprint
    values = (
        signature.root_hash.hex(),
        None if fingerprint is None else fingerprint.hex(),
        base64.b64encode(signature.pkcs7).decode(),
    )
    # Every value is plain ASCII without quotes, so there is nothing to escape.
    pairs = [f'"{name}":"{value}"' for name, value in zip(_FIELDS, values, strict=True) if value]
    return f"{{{','.join(pairs)}}}"


def _text(blob: Blob) -> str:
    """What stands before the first NUL; after it there may be nothing else."""
    if blob.size > PARTITION_MAX:
        raise LimitError(f"a signature partition of {blob.size} bytes, the limit is 4 MiB")
    data = blob.read_at(0, blob.size)
    raw = data.rstrip(b"\0")
    if b"\0" in raw:
        raise FormatError("bytes follow the NUL that ends the signature")
    if len(raw) > JSON_MAX:
        raise LimitError(f"the signature has {len(raw)} bytes, the limit is 1 MiB")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise FormatError("the signature is not UTF-8") from None


def _load(text: str) -> dict[str, object]:
    import json  # noqa: PLC0415 - only images with a signature need it

    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise LimitError("the signature's JSON is nested too deeply") from None
    except ValueError:
        raise FormatError("the signature is not JSON") from None
    if not isinstance(value, dict):
        raise FormatError("the signature is not a JSON object")
    return value


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise FormatError("the signature's JSON has a field twice")
    return fields


def _no_constant(name: str) -> object:
    raise FormatError(f"the signature's JSON has the number {name}")


def _string(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise FormatError(f"the signature has no text field {name}")
    return value


def _hex(fields: dict[str, object], name: str, form: re.Pattern[str]) -> bytes:
    text = _string(fields, name)
    if not form.fullmatch(text):
        raise FormatError(f"the signature's {name} is not a SHA-2 digest in lower-case hex")
    return bytes.fromhex(text)


def _base64(text: str) -> bytes:
    """Strict: one text per signature, or bits of it could change unnoticed."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise FormatError("the signature field is not base64") from None
    if not data or base64.b64encode(data).decode() != text:
        raise FormatError("the signature field is not canonical base64")
    return data


def _shown(name: str) -> str:
    return printable(name.encode("utf-8", "backslashreplace"))
