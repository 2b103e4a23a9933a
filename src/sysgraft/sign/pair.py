"""A private key with its certificate, ready to sign root hashes."""

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
        private_key: a path or ``file:`` URI.
        certificate: likewise.
        passphrase: of an encrypted key, or what asks for it.
        include_certificate: see `SigningPair`.

    Raises:
        InputError: a file cannot be read.
        KeyMaterialError: a key or certificate that cannot be used, or two that do not match.
    """
    key_path = resolve(private_key).path
    with in_file(key_path):
        key = load_private_key(read_small(key_path, MAX_KEY, "private key"), passphrase)
    found = load_certificate_file(certificate)
    with in_file(resolve(certificate).path):
        check_pair(key, found)
    return SigningPair(key, found, include_certificate)


def load_certificate_file(certificate: str) -> Certificate:
    """Read one certificate.

    Raises:
        InputError: the file cannot be read, or holds no certificate.
    """
    path = resolve(certificate).path
    with in_file(path):
        return load_certificate(read_small(path, MAX_BUNDLE, "certificate"))
