"""Keys and certificates in a PKCS#11 token: smart cards, HSMs, SoftHSM (PKCS #11 v2.40).

The private key stays where it is; the token is given SHA-256 digests, or data to hash, and answers
with signatures. RSA signatures are those of the same key in a file, byte for byte. ECDSA ones
differ from one time to the next, since tokens choose their own nonces: an image signed with them
is not reproducible. Every signature is verified before it is given out.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sysgraft.errors import KeyMaterialError
from sysgraft.formats.der import (
    DER_NULL,
    OCTET_STRING,
    SEQUENCE,
    encode,
    encode_algorithm,
    encode_integer,
)
from sysgraft.formats.public_key import SignatureScheme, load_public_key, verify_signature
from sysgraft.sign.keys import check_strength, load_certificate
from sysgraft.sign.pkcs11_objects import find, find_one, kind_of, public_half, value
from sysgraft.sign.pkcs11_session import load_module, open_session, open_token, token_errors

if TYPE_CHECKING:
    from pkcs11 import Object, Token

    from sysgraft.formats.public_key import KeyKind
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Passphrase
    from sysgraft.sign.pkcs11_uri import Pkcs11Uri

_SHA256: Final = encode_algorithm("2.16.840.1.101.3.4.2.1", DER_NULL)


class TokenKey:
    """A private key in a token; implements `sysgraft.sign.keys.Signer`.

    Args:
        uri: where it is, for messages.
        key: python-pkcs11's object.
        key_der: its public half.
        pin: needed again for keys that ask for it at every signature, as some cards' do.
    """

    __slots__ = ("_key", "_key_der", "_kind", "_pin", "_uri")

    def __init__(self, uri: Pkcs11Uri, key: Object, *, key_der: bytes, pin: str) -> None:
        self._uri = uri
        self._key: Any = key
        self._key_der = key_der
        self._pin = pin
        self._kind: KeyKind = kind_of(key)

    @property
    def kind(self) -> KeyKind:
        """See `Signer.kind`."""
        return self._kind

    @property
    def key_der(self) -> bytes:
        """See `Signer.key_der`."""
        return self._key_der

    def sign(self, data: bytes) -> bytes:
        """See `Signer.sign`."""
        with token_errors(self._uri):
            made = self._rsa(data) if self._kind == "rsa" else self._ec(data)
            public = load_public_key(self._key_der)
            if not verify_signature(public, SignatureScheme(self._kind, "sha256"), made, data):
                raise KeyMaterialError("the token made a signature that its key does not verify")
        return made

    def _rsa(self, data: bytes) -> bytes:
        mechanism = load_module().Mechanism
        known = self._key.session.token.slot.get_mechanisms()
        if mechanism.SHA256_RSA_PKCS in known:
            return self._answer(data, mechanism.SHA256_RSA_PKCS)
        # DigestInfo (RFC 8017 §9.2): what the other mechanism would make of the data.
        digest = encode(OCTET_STRING, hashlib.sha256(data).digest())
        return self._answer(encode(SEQUENCE, _SHA256, digest), mechanism.RSA_PKCS)

    def _ec(self, data: bytes) -> bytes:
        """Ecdsa-Sig-Value (RFC 3279 §2.2.3) of what the token gives: r and s, of equal length."""
        raw = self._answer(hashlib.sha256(data).digest(), load_module().Mechanism.ECDSA)
        half = len(raw) // 2
        numbers = (int.from_bytes(part, "big") for part in (raw[:half], raw[half:]))
        return encode(SEQUENCE, *map(encode_integer, numbers))

    def _answer(self, data: bytes, mechanism: object) -> bytes:
        again = self._pin if self._pin and value(self._key, "ALWAYS_AUTHENTICATE") else None
        signature: bytes = self._key.sign(data, mechanism=mechanism, pin=again)
        return signature


def load_token_key(
    uri: Pkcs11Uri, passphrase: Passphrase, *, certificate: Certificate | None = None
) -> TokenKey:
    """Find a private key in a token.

    Args:
        uri: which one.
        passphrase: the PIN or what asks for it; called only if the token wants one and the URI
            does not say where it is.
        certificate: of this key, where known: has its public half, should the token not.

    Raises:
        KeyMaterialError: there is no such token or key, more than one, or one that cannot sign.
    """
    if uri.type not in ("", "private"):
        raise KeyMaterialError(f"not a private key: the URI says type={uri.type}", file=uri.text)
    token = open_token(uri)
    with token_errors(uri):
        session, pin = open_session(uri, token, passphrase)
        key = find_one(session, "PRIVATE_KEY", uri)
        if not value(key, "SIGN"):
            raise KeyMaterialError("the token does not let this key sign")
        key_der = public_half(session, key) or _told_by(certificate)
        check_strength(load_public_key(key_der))
        return TokenKey(uri, key, key_der=key_der, pin=pin)


def _told_by(certificate: Certificate | None) -> bytes:
    if certificate is None:
        raise KeyMaterialError(
            "the token does not tell the public half of the key",
            hint="store its public key or certificate in the token under the same identifier",
        )
    return certificate.key_der


def load_token_certificate(uri: Pkcs11Uri, passphrase: Passphrase) -> Certificate:
    """Find a certificate in a token; the PIN is asked for only if it is not public.

    Raises:
        KeyMaterialError: there is no such certificate, or more than one.
    """
    if uri.type not in ("", "cert"):
        raise KeyMaterialError(f"not a certificate: the URI says type={uri.type}", file=uri.text)
    token = open_token(uri)
    with token_errors(uri):
        session = token.open()
        seen = find(session, "CERTIFICATE", label=uri.label, number=uri.id)
        if not seen and _may_log_in(uri, token, passphrase):
            session, _ = open_session(uri, token, passphrase)
        return load_certificate(value(find_one(session, "CERTIFICATE", uri), "VALUE") or b"")


def _may_log_in(uri: Pkcs11Uri, token: Token, passphrase: Passphrase) -> bool:
    if not token.flags & load_module().TokenFlag.LOGIN_REQUIRED:
        return False
    return passphrase is not None or bool(uri.pin_source)
