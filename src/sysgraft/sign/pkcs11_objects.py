"""What is in a PKCS#11 token: find one object, read it, tell a private key's public half.

Tokens differ in what they tell of a private key. Of RSA it mostly holds its modulus; of EC the
point is in the public key or certificate that is stored beside it under the same identifier
(CKA_ID). How a session comes about is in `sysgraft.sign.pkcs11_session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats.der import (
    BIT_STRING,
    OCTET_STRING,
    SEQUENCE,
    DerReader,
    encode,
    encode_oid,
)
from sysgraft.formats.public_key import load_public_key
from sysgraft.sign.keys import load_certificate
from sysgraft.sign.pkcs11_session import load_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkcs11 import Object, Session

    from sysgraft.formats.public_key import KeyKind
    from sysgraft.sign.pkcs11_uri import Pkcs11Uri

Kind = Literal["PRIVATE_KEY", "PUBLIC_KEY", "CERTIFICATE"]

_MAX_LISTED: Final = 8
"""Objects named in a hint."""
_EC_PUBLIC_KEY: Final = encode_oid("1.2.840.10045.2.1")
_NAMES: Final = {
    "PRIVATE_KEY": "private key",
    "PUBLIC_KEY": "public key",
    "CERTIFICATE": "certificate",
}


def find(
    session: Session, kind: Kind, *, label: str | None = None, number: bytes | None = None
) -> list[Object]:
    """What the session can see of this kind, under this label and identifier if given."""
    library = load_module()
    wanted: dict[Any, object] = {library.Attribute.CLASS: library.ObjectClass[kind]}
    if label is not None:
        wanted[library.Attribute.LABEL] = label
    if number is not None:
        wanted[library.Attribute.ID] = number
    return list(session.get_objects(wanted))


def find_one(session: Session, kind: Kind, uri: Pkcs11Uri) -> Object:
    """The one object of this kind that the URI names.

    Raises:
        KeyMaterialError: there is none, or more than one.
    """
    found = find(session, kind, label=uri.label, number=uri.id)
    if len(found) == 1:
        return found[0]
    what = _NAMES[kind]
    if found:
        raise KeyMaterialError(f"more than one {what} fits", hint=f"they are {_listed(found)}")
    others = find(session, kind)
    hint = f"it has {_listed(others)}" if others else f"it shows no {what} at all"
    raise KeyMaterialError(f"there is no such {what} in the token", hint=hint)


def _listed(objects: list[Object]) -> str:
    """Labels and identifiers, as a URI names them."""
    names = sorted(map(_name, objects))
    more = ["…"] if len(names) > _MAX_LISTED else []
    return ", ".join(names[:_MAX_LISTED] + more)


def _name(found: Object) -> str:
    label, number = value(found, "LABEL") or "", value(found, "ID") or b""
    text = label if isinstance(label, str) else bytes(label).decode("utf-8", "replace")
    return f"object={text};id={''.join(f'%{byte:02x}' for byte in number)}"


def value(found: Object, attribute: str) -> Any:  # noqa: ANN401  as many types as attributes
    """An attribute of an object; None if it has none, or the token does not tell."""
    library = load_module()
    try:
        return found[library.Attribute[attribute]]
    except (library.AttributeTypeInvalid, library.AttributeSensitive, library.FunctionFailed):
        return None


def kind_of(key: Object) -> KeyKind:
    """The type of a key.

    Raises:
        KeyMaterialError: it is neither RSA nor EC.
    """
    kinds = load_module().KeyType
    found = value(key, "KEY_TYPE")
    if found == kinds.RSA:
        return "rsa"
    if found == kinds.EC:
        return "ec"
    raise KeyMaterialError("the private key is neither RSA nor EC")


def public_half(session: Session, key: Object) -> bytes | None:
    """A private key's SubjectPublicKeyInfo; None if nothing in the token tells it.

    Raises:
        KeyMaterialError: what the token tells is no public key.
    """
    read = _rsa_key if kind_of(key) == "rsa" else _ec_key
    for each in (key, *_companions(session, "PUBLIC_KEY", key)):
        if found := read(each):
            return found
    for each in _companions(session, "CERTIFICATE", key):
        return load_certificate(value(each, "VALUE") or b"").key_der
    return None


def _companions(session: Session, kind: Kind, key: Object) -> Iterator[Object]:
    """What is stored under a key's identifier; nothing if it has none."""
    number = value(key, "ID")
    if number:
        yield from find(session, kind, number=number)


def _rsa_key(key: Object) -> bytes | None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers  # noqa: PLC0415

    modulus, exponent = value(key, "MODULUS"), value(key, "PUBLIC_EXPONENT")
    if not modulus or not exponent:
        return None
    numbers = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    try:
        public = numbers.public_key()
    except ValueError as error:
        raise KeyMaterialError(f"the token tells an RSA key that is none: {error}") from error
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _ec_key(key: Object) -> bytes | None:
    """CKA_EC_PARAMS is what an AlgorithmIdentifier has (RFC 5480 §2.1.1)."""
    parameters, point = value(key, "EC_PARAMS"), value(key, "EC_POINT")
    if not parameters or not point:
        return None
    algorithm = encode(SEQUENCE, _EC_PUBLIC_KEY, parameters)
    key_der = encode(SEQUENCE, algorithm, encode(BIT_STRING, b"\0", _bare_point(point)))
    load_public_key(key_der)
    return key_der


def _bare_point(point: bytes) -> bytes:
    """CKA_EC_POINT is an OCTET STRING with the point; older tokens have the point alone."""
    try:
        reader = DerReader(point, "the point of an EC key")
        inside = reader.take(OCTET_STRING).content
        reader.finish()
    except FormatError:
        return point
    return inside
