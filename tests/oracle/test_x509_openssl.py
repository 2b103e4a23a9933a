"""Certificates and keys against the openssl program."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import KeyMaterialError
from sysgraft.formats import public_key
from sysgraft.sign.keys import check_pair, load_certificate, load_private_key
from sysgraft.testing.certificates import make_identity

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle("openssl")


def openssl(*words: str, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    return subprocess.run(
        ["openssl", *words], input=stdin, cwd=cwd, capture_output=True, check=True, timeout=120
    ).stdout


@pytest.mark.parametrize("serial", [1, 0x0A, 0x80, 0x1234ABCD, 2**158 + 7])
def test_serial_fingerprint_and_name_are_those_openssl_prints(serial: int) -> None:
    certificate = make_identity("Näme, with #; signs", serial=serial, kind="p256").certificate
    shown = openssl(
        *("x509", "-inform", "der", "-noout", "-serial", "-fingerprint", "-sha256"),
        *("-subject", "-nameopt", "RFC2253,-esc_msb,utf8"),
        stdin=certificate.der,
    ).decode()
    printed = dict(line.split("=", 1) for line in shown.splitlines())
    assert int(printed["serial"], 16) == certificate.serial
    assert printed["sha256 Fingerprint"].replace(":", "").lower() == certificate.fingerprint.hex()
    assert printed["subject"] == certificate.subject


def test_certificates_in_der_and_pem_are_read(tmp_path: Path) -> None:
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-days", "9")
    openssl(*words, "-subj", "/C=DE/O=Acme/OU=Build/CN=db", "-out", "pem", cwd=tmp_path)
    openssl("x509", "-in", "pem", "-text", "-out", "text", cwd=tmp_path)
    openssl("x509", "-in", "pem", "-outform", "der", "-out", "der", cwd=tmp_path)
    pem, text, der = (load_certificate((tmp_path / n).read_bytes()) for n in ("pem", "text", "der"))
    assert pem == text == der
    assert pem.subject == pem.issuer == "CN=db,OU=Build,O=Acme,C=DE"
    check_pair(load_private_key((tmp_path / "key").read_bytes()), pem)
    assert pem.is_issued_by(pem)


@pytest.mark.parametrize(
    "words",
    [
        ("genrsa", "-traditional", "2048"),
        ("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("ecparam", "-genkey", "-noout", "-name", "prime256v1"),
        ("ecparam", "-genkey", "-name", "prime256v1"),
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521", "-outform", "der"),
    ],
    ids=" ".join,
)
def test_keys_openssl_makes_are_read(words: tuple[str, ...]) -> None:
    data = openssl(*words)
    key = load_private_key(data)
    form = ("-inform", "der") if "der" in words else ()
    assert openssl("pkey", *form, "-pubout", "-outform", "der", stdin=data) == key.key_der


@pytest.mark.parametrize(
    "words",
    [
        ("pkcs8", "-topk8", "-v2", "aes-256-cbc"),
        ("pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"),
        ("pkcs8", "-topk8", "-scrypt"),
        ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-outform", "der"),
        ("rsa", "-aes256", "-traditional"),
    ],
    ids=" ".join,
)
def test_keys_openssl_encrypts_need_the_passphrase(words: tuple[str, ...]) -> None:
    identity = make_identity()
    data = openssl(*words, "-passout", "pass:s3cret phrase", stdin=identity.key_pem)
    key = load_private_key(data, b"s3cret phrase")
    assert key.key_der == identity.certificate.key_der
    with pytest.raises(KeyMaterialError, match="passphrase"):
        load_private_key(data)
    with pytest.raises(KeyMaterialError, match="wrong"):
        load_private_key(data, b"other")


def test_a_compressed_point_is_the_same_key() -> None:
    identity = make_identity(kind="p256")
    compressed = openssl(
        *("ec", "-pubin", "-inform", "der", "-conv_form", "compressed", "-pubout"),
        *("-outform", "der"),
        stdin=identity.certificate.key_der,
    )
    assert compressed != identity.certificate.key_der
    key = load_private_key(identity.key_pem)
    assert public_key.load_public_key(compressed) == public_key.load_public_key(key.key_der)
