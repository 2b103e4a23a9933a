"""Whom TLS trusts: what the system says, wherever it says it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from sysgraft.testing.certificates import make_identity
from sysgraft.transport import authorities

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of authorities where another distribution has it, and nothing where OpenSSL looks."""
    file = tmp_path / "ca-bundle.crt"
    file.write_bytes(make_identity("authority").certificate_pem)
    nowhere = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: nowhere)
    monkeypatch.setattr("ssl.SSLContext.load_default_certs", lambda *_: None)
    monkeypatch.setattr(authorities, "_FILES", (str(tmp_path / "missing"), str(file)))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return file


@pytest.mark.usefixtures("bundle")
def test_the_authorities_of_another_distribution_are_found() -> None:
    context = authorities.default_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509"] == 1


def test_what_is_named_counts_alone(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle.parent / "other"))
    assert authorities.default_context().cert_store_stats()["x509"] == 0


def test_where_openssl_finds_something_nothing_is_added(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ssl.DefaultVerifyPaths("", str(bundle.parent), "A", "", "B", "")
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: there)
    assert authorities.default_context().cert_store_stats()["x509"] == 0
