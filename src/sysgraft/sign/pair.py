"""A private key, alone or with its certificate, from wherever the user says it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.errors import in_file
from sysgraft.formats import verity_signature
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.small import read_small
from sysgraft.sign.keys import MAX_KEY, check_pair, load_certificate, load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.source import resolve

if TYPE_CHECKING:
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Passphrase, Signer
    from sysgraft.sign.source import KeySource


@dataclass(frozen=True, slots=True)
class SigningPair:
    """Who signs, and how.

    Attributes:
        key: the private key.
        certificate: the one that verifies its signatures.
        include_certificate: whether signatures hold the certificate, as systemd-repart's do.
    """

    key: Signer
    certificate: Certificate
    include_certificate: bool = True

    def signature_partition(self, root_hash: bytes) -> bytes:
        """The content of a verity-sig partition for this root hash: JSON, NUL-padded."""
        pkcs7 = sign_root_hash(
            root_hash,
            self.key,
            self.certificate,
            include_certificate=self.include_certificate,
        )
        return verity_signature.render(
            verity_signature.Signature(root_hash, pkcs7, self.certificate.fingerprint),
        )


def load_pair(
    private_key: str,
    certificate: str,
    *,
    passphrase: Passphrase = None,
    include_certificate: bool = True,
) -> SigningPair:
    """Read a key and its certificate and see that they belong together.

    Args:
        private_key: a path, a ``file:`` URI, or a ``pkcs11:`` URI of a key in a token.
        certificate: likewise.
        passphrase: of an encrypted key, or the PIN of a token; or what asks for it.
        include_certificate: see `SigningPair`.

    Raises:
        InputError: a file cannot be read.
        KeyMaterialError: a key or certificate that cannot be used, or two that do not match.
    """
    source = resolve(private_key)
    if source.kind == "file":
        # The key first: it is the one that people get wrong.
        key = load_signer(private_key, passphrase)
        found = load_certificate_file(certificate, passphrase)
    else:
        found = load_certificate_file(certificate, passphrase)
        key = _token_key(source, passphrase, found)
    with in_file(resolve(certificate).label):
        check_pair(key, found)
    return SigningPair(key, found, include_certificate)


def load_signer(private_key: str, passphrase: Passphrase = None) -> Signer:
    """Find a private key to sign with, where no certificate is needed.

    Args:
        private_key: a path, a ``file:`` URI, or a ``pkcs11:`` URI of a key in a token.
        passphrase: of an encrypted key, or the PIN of a token; or what asks for it.

    Raises:
        InputError: the file cannot be read.
        KeyMaterialError: the key cannot be used.
    """
    source = resolve(private_key)
    if source.kind == "pkcs11":
        return _token_key(source, passphrase, None)
    with in_file(source.path):
        return load_private_key(read_small(source.path, MAX_KEY, "private key"), passphrase)


def _token_key(
    source: KeySource, passphrase: Passphrase, certificate: Certificate | None
) -> Signer:
    from sysgraft.sign import pkcs11, pkcs11_uri  # noqa: PLC0415  only keys in tokens need them

    uri = pkcs11_uri.parse(source.name)
    return pkcs11.load_token_key(uri, passphrase, certificate=certificate)


def load_certificate_file(certificate: str, passphrase: Passphrase = None) -> Certificate:
    """Read one certificate.

    Args:
        certificate: a path, a ``file:`` URI, or a ``pkcs11:`` URI of a certificate in a token.
        passphrase: the PIN of a token that does not show its certificates without.

    Raises:
        InputError: the file cannot be read.
        KeyMaterialError: there is no certificate, or one that cannot be used.
    """
    source = resolve(certificate)
    if source.kind == "pkcs11":
        from sysgraft.sign import pkcs11, pkcs11_uri  # noqa: PLC0415  only for tokens

        return pkcs11.load_token_certificate(pkcs11_uri.parse(source.name), passphrase)
    with in_file(source.path):
        return load_certificate(read_small(source.path, MAX_BUNDLE, "certificate"))
