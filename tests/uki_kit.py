"""Small stubs and kernels to build UKIs of, and an independent look at what comes out.

The stubs have what systemd's have for whoever builds, and no code that would run; the kernel says
its release where bzImages do. What was built is read with pefile.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pefile  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from command import Result, sysgraft
from executables import make_pe
from sysgraft.cli import uki_arguments

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pytest

    from sysgraft.testing.certificates import Identity

RELEASE: Final = "6.12.1-kit"
OS_RELEASE: Final = "ID=kit\nVERSION_ID=1\n"
STUB_SBAT: Final = (
    "sbat,1,SBAT Version,sbat,1,https://example.org\nsystemd-stub,1,S,systemd,257,u\n"
)
KERNEL_SBAT: Final = "sbat,1,SBAT Version,sbat,1,https://example.org\nlinux,7,K,linux,6.12.1,u\n"
HEADER: Final = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
UKI_LINE: Final = (
    "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n"
)
ADDON_LINE: Final = (
    "uki-addon,1,UKI Addon,addon,1,"
    "https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html\n"
)
PHASES: Final = ("enter-initrd", "leave-initrd", "sysinit", "ready")


def make_stub(
    version: str = "258.3-1", *, name: str = "systemd-stub", machine: int = 0x8664
) -> bytes:
    """A stub that says it is this one; with SBAT, unless it is the one for addons."""
    pieces = [(".text", b"\xc3" * 700)]
    if name != "systemd-addon":
        pieces.append((".sbat", STUB_SBAT.encode()))
    pieces.append((".sdmagic", f"#### LoaderInfo: {name} {version} ####\0".encode()))
    return make_pe(pieces, machine=machine)


def make_kernel(
    release: str = RELEASE, *, body: bytes = b"", sbat: str = "", machine: int = 0x8664
) -> bytes:
    """An executable with the header of a bzImage, which says its release."""
    # The headers end at 0x200, where the real-mode kernel header's fields begin.
    data = bytearray(0x400)
    data[2:6] = b"HdrS"
    data[0xE:0x10] = struct.pack("<H", 0x100)
    text = f"{release} (builder@kit) #1 SMP\0".encode()
    data[0x100 : 0x100 + len(text)] = text
    pieces = [(".text", bytes(data) + body)]
    if sbat:
        pieces.append((".sbat", sbat.encode()))
    return make_pe(pieces, machine=machine)


@dataclass(frozen=True, slots=True)
class Kit:
    """A folder with a stub, a kernel and an initrd, and what is built there."""

    folder: Path

    def file(self, name: str, content: bytes | str) -> Path:
        """A file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    @property
    def stub(self) -> Path:
        """The stub of UKIs."""
        return self.folder / "linuxx64.efi.stub"

    @property
    def addon_stub(self) -> Path:
        """The stub of addons and profiles."""
        return self.folder / "addonx64.efi.stub"

    @property
    def kernel(self) -> Path:
        """The kernel."""
        return self.folder / "vmlinuz"

    def run(self, *words: str | os.PathLike[str], kernel: bool = True) -> Result:
        """``uki build`` with kernel, stub and os-release, as the words before it leave open."""
        texts = [str(word) for word in words]
        more: list[str | os.PathLike[str]] = []
        if kernel and not _has(texts, "--linux"):
            more += ["--linux", self.kernel]
        if not _has(texts, "--stub"):
            more += ["--stub", self.stub if kernel else self.addon_stub]
        if kernel and not _has(texts, "--os-release"):
            more += ["--os-release", OS_RELEASE]
        return sysgraft("uki", "build", *more, *texts)

    def build(self, name: str, *words: str | os.PathLike[str], kernel: bool = True) -> Path:
        """A UKI, or without `kernel` an addon or profile, of that name in the folder."""
        path = self.folder / name
        result = self.run("--output", path, *words, kernel=kernel)
        assert result.code == 0, result.err
        return path

    def profile(self, name: str, *words: str | os.PathLike[str]) -> Path:
        """A profile file."""
        return self.build(f"{name}.profile", "--profile", f"ID={name}", *words, kernel=False)


def _has(words: Iterable[str], option: str) -> bool:
    return any(word == option or word.startswith(option + "=") for word in words)


def make_kit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """A folder with what a UKI needs; this machine's own config file is not looked at."""
    monkeypatch.setattr(uki_arguments, "CONFIG_FOLDERS", ())
    monkeypatch.delenv("SYSGRAFT_PASSPHRASE", raising=False)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    folder.mkdir(parents=True, exist_ok=True)
    kit = Kit(folder)
    kit.stub.write_bytes(make_stub())
    kit.addon_stub.write_bytes(make_stub(name="systemd-addon"))
    kit.kernel.write_bytes(make_kernel())
    return kit


# --- What was built ------------------------------------------------------------------------------


def sections_of(path: Path) -> list[tuple[str, bytes]]:
    """All sections in their order, with what they hold."""
    image = pefile.PE(data=path.read_bytes(), fast_load=True)
    found = []
    for section in image.sections:
        size = min(section.Misc_VirtualSize, section.SizeOfRawData)
        data = image.__data__[section.PointerToRawData : section.PointerToRawData + size]
        found.append((section.Name.rstrip(b"\0").decode(), bytes(data)))
    return found


def own_sections(path: Path) -> list[tuple[str, bytes]]:
    """The sections that were added: those of the stub alone are left out."""
    return [each for each in sections_of(path) if each[0] not in (".text", ".sdmagic")]


def names_of(path: Path) -> list[str]:
    """The names of the sections that were added, in their order."""
    return [name for name, _ in own_sections(path)]


def section(path: Path, name: str) -> bytes:
    """The only section of that name."""
    (data,) = [data for each, data in sections_of(path) if each == name]
    return data


def pcr_signatures(path: Path) -> list[dict[str, Any]]:
    """The documents of all sections ``.pcrsig``, in their order."""
    return [json.loads(data) for name, data in sections_of(path) if name == ".pcrsig"]


# --- What the TPM will hold ----------------------------------------------------------------------

# systemd's src/fundamental/uki.h, as UKI sections are measured since v258.
_MEASURED: Final = [
    ".linux",
    ".osrel",
    ".cmdline",
    ".initrd",
    ".ucode",
    ".splash",
    ".dtb",
    ".uname",
    ".sbat",
    ".pcrpkey",
    ".profile",
    ".dtbauto",
    ".hwids",
    ".efifw",
]


def pcr11(sections: Mapping[str, bytes], phase: str, bank: str) -> str:
    """PCR 11 after a stub that found these sections, at the end of a phase path."""
    value = bytes(hashlib.new(bank).digest_size)
    measured = [
        data
        for name in _MEASURED
        if sections.get(name)
        for data in (f"{name}\0".encode(), sections[name])
    ]
    for data in [*measured, *(word.encode() for word in phase.split(":") if word)]:
        value = hashlib.new(bank, value + hashlib.new(bank, data).digest()).digest()
    return value.hex()


def policy(value: str, bank: str) -> str:
    """The digest of a TPM policy that wants this value in PCR 11 of the bank."""
    number = {"sha1": 4, "sha256": 11, "sha384": 12, "sha512": 13}[bank]
    selection = struct.pack(">IHB3s", 1, number, 3, b"\0\x08\0")
    digest = hashlib.sha256(bytes.fromhex(value)).digest()
    return hashlib.sha256(bytes(32) + b"\0\0\1\x7f" + selection + digest).hexdigest()


def paths(count: int = len(PHASES)) -> list[str]:
    """The usual phase paths."""
    return [":".join(PHASES[: number + 1]) for number in range(count)]


def public_pem(identity: Identity) -> bytes:
    """The public half of a key, as ``openssl pkey -pubout`` writes it."""
    return identity.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign_elsewhere(document: dict[str, Any], identity: Identity) -> dict[str, Any]:
    """What an offline signer gives back: the same document, its entries signed."""
    key = identity.key
    assert isinstance(key, rsa.RSAPrivateKey)
    for entries in document.values():
        for entry in entries:
            made = key.sign(bytes.fromhex(entry["tbs"]), padding.PKCS1v15(), hashes.SHA256())
            entry["sig"] = base64.b64encode(made).decode()
    return document
