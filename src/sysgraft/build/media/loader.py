"""The boot loader of a medium: which file, where it goes, and its settings as text.

systemd-boot(7), loader.conf(5); entries as UAPI.1 has them. ``efi`` names the image in an entry:
``uki`` came with systemd 258 only, and means the same to everything that knows both.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.build.uki import stub
from sysgraft.build.uki.options import EFI_ARCHITECTURES
from sysgraft.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from sysgraft.build.media.options import MediaOptions

SETTINGS: Final = "loader/loader.conf"
ENTRIES: Final = "loader/entries"
# systemd's suffix of programs that a distribution has signed.
_SIGNED: Final = ".signed"


def efi_name(architecture: str) -> str:
    """EFI's name of an architecture, as file names have it.

    Raises:
        UnsupportedError: it has none that is known.
    """
    for efi, name in EFI_ARCHITECTURES.items():
        if name == architecture:
            return efi
    raise UnsupportedError(f"a UKI for {architecture}; no boot loader for that is known")


def default_path(architecture: str) -> str:
    """Where systemd has installed its boot loader; the signed one if there is one.

    Raises:
        InputError: it has not.
    """
    path = os.path.join(stub.FOLDER, f"systemd-boot{efi_name(architecture)}.efi")
    if os.path.isfile(path + _SIGNED):
        return path + _SIGNED
    if not os.path.isfile(path):
        raise InputError(
            "there is no boot loader",
            file=path,
            hint="name one with --boot-loader; on Debian the package systemd-boot-efi has it",
        )
    return path


def places(architecture: str) -> tuple[str, str]:
    """Where the boot loader goes: what firmware starts by itself, and where bootctl has it."""
    efi = efi_name(architecture)
    return f"EFI/BOOT/BOOT{efi.upper()}.EFI", f"EFI/systemd/systemd-boot{efi}.efi"


def settings_text(options: MediaOptions) -> str:
    """``loader.conf``."""
    lines = [f"timeout {options.timeout}"]
    if options.default:
        suffix = ".conf" if options.layout == "kairos" else ".efi"
        lines.append(f"default {options.default}{suffix}")
    if options.console_mode:
        lines.append(f"console-mode {options.console_mode}")
    lines.append("editor no")
    if options.keys:
        lines.append(f"secure-boot-enroll {options.enrolment}")
    return "\n".join(lines) + "\n"


def entry_text(options: MediaOptions, name: str, image: str) -> str:
    """An entry of text for an image at a path of the partition."""
    title = f"{options.title} ({name})" if options.title else name
    return f"title {title}\nsort-key {name}\nefi /{image}\n"
