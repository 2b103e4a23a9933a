"""ukify's config file: ``[UKI]`` and ``[PCRSignature:NAME]`` (ukify(1), "Configuration settings").

Lines of ``Key = value``, comments from ``#`` on, an indented line continues the one above. The
keys are those of systemd 252 to 262. Unlike ukify, which prints a warning, an unknown key is an
error that names file, line and key: a mistyped ``SecureBootPrivateKey=`` must not give an unsigned
image. Relative paths are relative to the current folder, as there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_SIZE: Final = 1 << 20
"""Bytes of a config file."""

# Key → the option of the command line that it stands for.
UKI_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Linux": "linux",
        "OSRelease": "os_release",
        "Cmdline": "cmdline",
        "Initrd": "initrd",
        "Microcode": "microcode",
        "Firmware": "efifw",
        "Splash": "splash",
        "DeviceTree": "devicetree",
        "DeviceTreeAuto": "devicetree_auto",
        "HWIDs": "hwids",
        "Uname": "uname",
        "SBAT": "sbat",
        "PCRPKey": "pcrpkey",
        "PCRSig": "pcrsig",
        "Profile": "profile",
        "EFIArch": "efi_arch",
        "Stub": "stub",
        "PCRBanks": "pcr_banks",
        "SigningEngine": "signing_engine",
        "SigningProvider": "signing_provider",
        "CertificateProvider": "certificate_provider",
        "SecureBootSigningTool": "signtool",
        "SecureBootPrivateKey": "secureboot_private_key",
        "SecureBootCertificate": "secureboot_certificate",
        "SecureBootCertificateDir": "secureboot_certificate_dir",
        "SecureBootCertificateName": "secureboot_certificate_name",
        "SecureBootCertificateValidity": "secureboot_certificate_validity",
        "SecureBootCertificateCommonName": "secureboot_certificate_common_name",
        "SignKernel": "sign_kernel",
        "SignInitrdPCRs": "sign_initrd_pcrs",
    }
)
PCR_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PCRPrivateKey": "pcr_private_key",
        "PCRPublicKey": "pcr_public_key",
        "PCRCertificate": "pcr_certificate",
        "Phases": "phases",
        "PolicyRef": "policyref",
    }
)
LISTS: Final = frozenset({"initrd", "devicetree_auto", "efifw"})
"""Options whose value is a list of words separated by white space."""
BOOLEANS: Final = frozenset({"sign_kernel", "sign_initrd_pcrs"})

_UKI: Final = "UKI"
_PCR: Final = "PCRSignature"
_SECTION: Final = re.compile(r"\[([^\]]+)\]\s*\Z")
_TRUE: Final = frozenset({"1", "true", "yes", "y", "t", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "n", "f", "off"})


@dataclass(slots=True)
class Config:
    """What a config file says.

    Attributes:
        settings: values by the name of their option in `UKI_KEYS`.
        signatures: of each ``[PCRSignature:NAME]`` in turn, values by the names in `PCR_KEYS`.
    """

    settings: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, dict[str, str]] = field(default_factory=dict)


def parse(text: str, file: str) -> Config:
    """Read a config file.

    Args:
        text: its content.
        file: its name, for messages.

    Raises:
        InputError: a line is no setting, or a key or section is not known; named with its line.
    """
    config = Config()
    target: dict[str, str] | None = None
    keys: Mapping[str, str] = {}
    for number, line in _lines(text):
        where = f"line {number}"
        found = _SECTION.match(line)
        if found:
            target, keys = _section(config, found[1].strip(), file, where)
            continue
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or target is None:
            raise InputError(f"{where} is no setting: {line.strip()!r}", file=file)
        option = keys.get(key)
        if option is None:
            raise InputError(
                f"{where}: unknown key {key}", file=file, hint=f"known here: {', '.join(keys)}"
            )
        target[option] = value.strip()
    return config


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each setting with the number of its first line; comments and blank lines are gone."""
    held: tuple[int, str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = _without_comment(raw).rstrip()
        if not line.strip():
            continue
        if held is not None and line[0].isspace():
            held = held[0], f"{held[1]}\n{line.strip()}"
            continue
        if held is not None:
            yield held
        held = number, line
    if held is not None:
        yield held


def _without_comment(line: str) -> str:
    """A ``#`` begins a comment at the start of a line or behind white space."""
    found = re.search(r"(?:^|(?<=\s))#", line)
    return line[: found.start()] if found else line


def _section(
    config: Config, name: str, file: str, where: str
) -> tuple[dict[str, str], Mapping[str, str]]:
    kind, _, group = name.partition(":")
    if name == _UKI:
        return config.settings, UKI_KEYS
    if kind == _PCR and group and ":" not in group:
        return config.signatures.setdefault(group, {}), PCR_KEYS
    problem = "needs a name behind the colon" if kind == _PCR else "is not known"
    raise InputError(
        f"{where}: the section [{name}] {problem}",
        file=file,
        hint=f"known: [{_UKI}] and [{_PCR}:NAME]",
    )


def boolean(text: str) -> bool | None:
    """What a switch is set to; None if the word is none that ukify knows."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None
