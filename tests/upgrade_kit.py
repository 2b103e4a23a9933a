"""An upgrade of an EFI system partition, as two folders, and ``sysgraft pcr plan`` about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization

from command import Result, sysgraft
from executables import make_pe
from sysgraft.testing.certificates import make_identity
from uki_kit import make_kernel

if TYPE_CHECKING:
    from pathlib import Path

OWNER, OTHER = make_identity("PCR policies"), make_identity("other PCR policies")
PEM: Final = OWNER.key.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
OS: Final = "EFI/Linux/os.efi"
SYSEXT: Final = f"{OS}.extra.d/a.sysext.raw"
GLOBAL: Final = "loader/extensions/g.raw"


def make_uki(body: bytes, *, signatures: bytes = b"", key: bytes = b"") -> bytes:
    pieces = [
        (".text", b"\xc3" * 70),
        (".sdmagic", b"#### LoaderInfo: systemd-stub 258.3-1 ####\0"),
        (".osrel", b"ID=plan\n"),
        (".linux", make_kernel(body=body)),
    ]
    if key:
        pieces.append((".pcrpkey", key))
    if signatures:
        pieces.append((".pcrsig", signatures))
    return make_pe(pieces)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Two partitions, a key, and the command."""

    folder: Path

    def write(self, place: str, data: bytes | str) -> Path:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def run(self, *words: str | Path) -> Result:
        return sysgraft(
            "pcr", "plan", "--from", self.folder / "from", "--to", self.folder / "to", *words
        )

    def plan(self, *words: str | Path) -> dict[str, Any]:
        result = self.run("--json", *words)
        document = result.document
        assert document["schema"] == "sysgraft.pcr.plan/1"
        assert result.code == (0 if document["ok"] else 1)
        return document

    def sign(self, side: str, output: str) -> Path:
        """Signatures for the entry as one partition has it."""
        path = self.folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        esp = self.folder / side
        key = self.folder / "k.key"
        words = ("--phase", "enter-initrd", "--private-key", key, "--output", path, "--force")
        result = sysgraft("pcr", "sign", "--esp", esp, "--entry", OS, *words)
        assert result.code == 0, result.err
        return path


def make_upgrade(folder: Path) -> Upgrade:
    """One image with one sysext, both replaced."""
    found = Upgrade(folder)
    for side in ("from", "to"):
        found.write(f"{side}/{OS}", make_uki(side.encode()))
        found.write(f"{side}/{SYSEXT}", f"sysext {side}" * 100)
    found.write("k.key", OWNER.key_pem)
    found.write("k.pem", PEM)
    found.write("other.key", OTHER.key_pem)
    return found


def entry(plan: dict[str, Any], path: str, profile: int = 0) -> dict[str, Any]:
    """A boot entry of a plan."""
    (found,) = (e for e in plan["entries"] if (e["path"], e["profile"]) == (path, profile))
    assert isinstance(found, dict)
    return found


def done(plan: dict[str, Any], combination: dict[str, Any]) -> set[str]:
    """The files of a combination that are new."""
    return {plan["changes"][number]["path"] for number in combination["done"]}


def steps(plan: dict[str, Any]) -> list[str]:
    """The suggested order."""
    numbers = [state["change"] for state in plan["order"][1:]]
    return [f"{plan['changes'][n]['action']} {plan['changes'][n]['path']}" for n in numbers]
