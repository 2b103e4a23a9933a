"""A private SoftHSM: tokens with keys in a folder of the test, seen by this process alone.

PKCS#11 modules read their configuration once in a process, and python-pkcs11 keeps them loaded;
so each new SoftHSM has the module taken out and loaded anew.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pkcs11

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.testing.certificates import Identity

PIN = "1234"
PLACES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/usr/lib/pkcs11/libsofthsm2.so"),
)


def module() -> Path:
    """SoftHSM's library."""
    return next(place for place in PLACES if place.exists()).resolve()


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """Tokens in a folder."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see them."""
        return {**os.environ, "SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def uri(self, path: str, query: str = "") -> str:
        """A URI of something in here."""
        more = f"&{query}" if query else ""
        return f"pkcs11:{path}?module-path={module()}{more}"

    def add_token(self, label: str, *, pin: str = PIN) -> None:
        """A token with a user PIN."""
        options = ("--free", "--label", label, "--so-pin", "5678", "--pin", pin)
        self._run("softhsm2-util", "--init-token", *options)

    def add_key(self, token: str, identity: Identity, *, label: str, number: str) -> None:
        """A private key with its public key and its certificate, as tools import them."""
        key = self.folder / "key.pem"
        key.write_bytes(identity.key_pem)
        place = ("--token", token, "--label", label, "--id", number, "--pin", PIN)
        self._run("softhsm2-util", "--import", str(key), *place, "--force")
        key.unlink()

    def add_certificate(self, token: str, identity: Identity, *, label: str, number: str) -> None:
        """A certificate that anybody can see."""
        place = self.folder / "certificate.der"
        place.write_bytes(identity.certificate.der)
        self.tool(token, "--write-object", str(place), "--type", "cert", "--label", label,
                  "--id", number)  # fmt: skip

    def tool(self, token: str, *words: str) -> str:
        """Run opensc's pkcs11-tool, logged in."""
        common = ("--module", str(module()), "--token-label", token, "--login", "--pin", PIN)
        return self._run("pkcs11-tool", *common, *words)

    def _run(self, *argv: str) -> str:
        done = subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout


def make(folder: Path) -> SoftHsm:
    """An empty SoftHSM."""
    (folder / "tokens").mkdir(parents=True)
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    return SoftHsm(folder)


@contextlib.contextmanager
def in_this_process(hsm: SoftHsm) -> Iterator[SoftHsm]:
    """Have the module in this process see these tokens, for as long as the context lasts."""
    before = os.environ.get("SOFTHSM2_CONF")
    pkcs11.unload(str(module()))
    os.environ["SOFTHSM2_CONF"] = hsm.environment["SOFTHSM2_CONF"]
    try:
        yield hsm
    finally:
        pkcs11.unload(str(module()))
        del os.environ["SOFTHSM2_CONF"]
        if before is not None:
            os.environ["SOFTHSM2_CONF"] = before
