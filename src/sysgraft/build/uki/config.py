"""ukify's config file: ``[UKI]`` and ``[PCRSignature:NAME]`` (ukify(1), "Configuration settings").

Lines of ``Key = value``, comments from ``#`` on. A line that is indented deeper than the setting
above it continues that; an empty line or a comment ends it (Python's configparser, which is what
ukify reads it with). The keys are those of systemd 252 to 262. Unlike ukify, which prints a
warning, an unknown key is an error that names file, line and key: a mistyped
``SecureBootPrivateKey=`` must not give an unsigned image. Relative paths are relative to the
current folder, as there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

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
_WORDS: Final = frozenset({"initrd", "devicetree_auto"})
"""Options whose value is a list of words with white space between them."""
_ONE_OF_MANY: Final = frozenset({"efifw", "sbat"})
"""Options that may be given several times on the command line, here once."""
_SWITCHES: Final = frozenset({"sign_kernel", "sign_initrd_pcrs"})
_EMPTY_COUNTS: Final = frozenset({"os_release", "cmdline", "hwids", "uname"})
"""Options whose empty value means something else than no value: no such section."""

_UKI: Final = "UKI"
_PCR: Final = "PCRSignature"
_SECTION: Final = re.compile(r"\[([^\]]+)\]\Z")
_COMMENT: Final = re.compile(r"(?:\A|(?<=\s))#")
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_TRUE: Final = frozenset({"1", "true", "yes", "y", "t", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "n", "f", "off"})

Value: TypeAlias = "str | bool | list[str]"
"""What a setting says: a list where the command line's values are added to it."""


@dataclass(slots=True)
class Config:
    """What a config file says.

    Attributes:
        settings: values by the name of their option in `UKI_KEYS`.
        signatures: of each ``[PCRSignature:NAME]`` in turn, values by the names in `PCR_KEYS`.
    """

    settings: dict[str, Value] = field(default_factory=dict)
    signatures: dict[str, dict[str, str]] = field(default_factory=dict)


class _Line(NamedTuple):
    """A setting or the head of a section, with the lines that continue it."""

    number: int
    text: str


def parse(text: str, file: str) -> Config:
    """Read a config file.

    Args:
        text: its content.
        file: its name, for messages.

    Raises:
        InputError: a line is no setting, a key or section is not known, or a value is none that
            its key takes; named with its line.
    """
    config = Config()
    section: str | None = None
    for line in _lines(text):
        found = _SECTION.match(line.text)
        if found:
            section = _checked_section(found[1], line, file)
            continue
        key, equals, value = line.text.partition("=")
        key, value = key.rstrip(" \t"), value.strip()
        if not equals or not key or "\n" in key or section is None:
            raise InputError(f"line {line.number} is no setting: {line.text[:80]!r}", file=file)
        kind, _, group = section.partition(":")
        option = _option(UKI_KEYS if kind == _UKI else PCR_KEYS, key, line, file)
        if kind == _UKI:
            _set(config.settings, option, value, f"line {line.number}: {key}", file)
        else:
            config.signatures.setdefault(group, {})[option] = value
    return config


def _lines(text: str) -> Iterator[_Line]:
    """Each setting and section head with the number of its first line; comments are gone."""
    held: list[str] = []
    first = depth = 0
    for number, raw in enumerate(_LINE_END.split(text), 1):
        comment = _COMMENT.search(raw)
        line = raw[: comment.start()] if comment else raw
        indent = len(line) - len(line.lstrip())
        if held and line.strip() and indent > depth and held[0][0] != "[":
            held.append(line.strip())
            continue
        if held:
            yield _Line(first, "\n".join(held))
        held, first, depth = ([line.strip()], number, indent) if line.strip() else ([], 0, 0)
    if held:
        yield _Line(first, "\n".join(held))


def _checked_section(name: str, line: _Line, file: str) -> str:
    kind, _, group = name.partition(":")
    if name == _UKI or (kind == _PCR and group and ":" not in group):
        return name
    problem = "needs a name behind one colon" if kind == _PCR else "is not known"
    raise InputError(
        f"line {line.number}: the section [{name[:80]}] {problem}",
        file=file,
        hint=f"known: [{_UKI}] and [{_PCR}:NAME]",
    )


def _option(keys: Mapping[str, str], key: str, line: _Line, file: str) -> str:
    found = keys.get(key)
    if found is None:
        raise InputError(
            f"line {line.number}: unknown key {key[:80]}",
            file=file,
            hint=f"known here: {', '.join(keys)}",
        )
    return found


def _set(settings: dict[str, Value], option: str, text: str, where: str, file: str) -> None:
    """Enter a value; the last one of a key counts, and an empty one takes it back."""
    if not text and option not in _EMPTY_COUNTS:
        settings.pop(option, None)
    elif option in _WORDS:
        settings[option] = text.split()
    elif option in _ONE_OF_MANY:
        settings[option] = [text]
    elif option in _SWITCHES:
        settings[option] = _boolean(text, where, file)
    else:
        settings[option] = text


def _boolean(text: str, where: str, file: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise InputError(f"{where} is {text[:80]!r}, yes or no is wanted", file=file)
    return word in _TRUE
