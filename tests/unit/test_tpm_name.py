"""Names of public keys in a TPM: systemd's own vectors, and keys that have none."""

from __future__ import annotations

import base64
from typing import Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sysgraft.errors import KeyMaterialError
from sysgraft.measure.tpm_name import key_name, pem_name, rsa_name

# src/test/test-tpm2.c, tpm2b_public_from_openssl_pkey: modulus, exponent, name.
MODULUS_1: Final = int(
    "c95f4220f7bf3d7477cc2a1cc691348d645b4e5e615d70c2906fd72b2eca9bf0fd5c80772ac399d428d8efb5"
    "2aeff80263ad698b1f22b91ba3b00e1d3f57bc638137961526ec9dfe76cbe46e829d53609b99120bfdfb9bc2"
    "a88b317cc0837056471b6be13b840f9dd1cfbeb85053ddd33a742a1c11d486f40cb830ff8360568d4016fdf1"
    "c4a31dc7030487982092cb34f36736a65e493cdd97bf0068b4d90c4ea465b59279e510c26a98a7a92dc4c3b7"
    "ee76536c5d0e7016f96ddbbcefef829741e6a6a4b602d3b5ce81ad0b8254a4cae1ad5e48cf4ffb140532694a"
    "d6968a0319a2a2adc95e1c4195c29094610d868b197bec3c1de1cef995a9c9e419e3537b",
    16,
)
MODULUS_2: Final = int(
    "c9596e41f2ae550a988d9a828decefe8d2685de2eca29febbd2b9f734c3b89330eb1580052d6d04d13d342b5"
    "edf69792cc2a510e0702c5e9234c00d6af2d0a998c63cfae30963a7417d63cd217239242bb600337d137cb14"
    "77a5fbbbad06ca70a811739fef197d856c4822bdb13a68d656bb9d219036d416a3a0c9ea5459de382699739a"
    "4c54c0684d090bea455c1b150eab2617677cebfd4d42a26e6504d159745c893a4d5f9bc8cbfeef9256638548"
    "91971bcd60e374a5c76f489efa36d2270f3d073e8c19f2964438cfc910e6316b32c98dd23a0e4e51c98e71d9"
    "9c88ecfb558f4592ac144e322a3e80b7951330b8e15dddf3567c0d0f153772e26d0d37a5",
    16,
)
VECTORS: Final = [
    (MODULUS_1, 0x10001, "000be1bd75c7976e7a30e9e82223b81a9eff0d42c30618e588db592ed5da94455e81"),
    (MODULUS_2, 0x10005, "000beb8974d36d8cf58fdc87460dda00319e10c94c1b9f222ac9ce29d1c4776246cc"),
]
ELLIPTIC: Final = base64.b64decode(
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErjnEuBLsIl9rhphwyvXNPhj4jBnPDXnyJ0K9UyrNgd6S5A52T+oS"
    "vtkCj6Zrl4hXG3wAQUXpoBlS+tHqtRqL5Q=="
)


@pytest.mark.parametrize(("modulus", "exponent", "name"), VECTORS)
def test_systemds_vectors(modulus: int, exponent: int, name: str) -> None:
    assert rsa_name(modulus, exponent).hex() == name


@pytest.mark.parametrize(("modulus", "exponent", "name"), VECTORS)
def test_keys_are_taken_apart(modulus: int, exponent: int, name: str) -> None:
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    assert key_name(key.public_bytes(serialization.Encoding.DER, spki)).hex() == name
    pem = key.public_bytes(serialization.Encoding.PEM, spki)
    assert pem_name(pem).hex() == pem_name(b"a comment\n" + pem + b"\n").hex() == name


def test_only_rsa_keys_have_a_name_here() -> None:
    with pytest.raises(KeyMaterialError, match="no RSA key"):
        key_name(ELLIPTIC)
    armoured = b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n"
    with pytest.raises(KeyMaterialError, match="no RSA key"):
        pem_name(armoured % base64.b64encode(ELLIPTIC))


@pytest.mark.parametrize(
    "pem", [b"", b"\xff", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_key(pem: bytes) -> None:
    with pytest.raises(KeyMaterialError):
        pem_name(pem)
    with pytest.raises(KeyMaterialError):
        key_name(pem)


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [(0, 3), (1 << 4096, 3), (1 << 2047, 0), (1 << 2047, 1 << 32), (-5, 3)],
)
def test_keys_that_no_tpm_takes(modulus: int, exponent: int) -> None:
    with pytest.raises(KeyMaterialError, match="no TPM takes"):
        rsa_name(modulus, exponent)
    assert len(rsa_name((1 << 4096) - 1, (1 << 32) - 1)) == 34
