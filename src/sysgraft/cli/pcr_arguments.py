"""What the options that all verbs of ``sysgraft pcr`` share say."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.formats import uki
from sysgraft.seal.assembly import Settings
from sysgraft.seal.prediction import BootRequest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

_HARDWARE: Final = re.compile(r"(\.?[a-z]+)=([1-9][0-9]{0,3})")
_SET_HINT: Final = "give it one: --set NAME=FILE,FILE"
_PCR: Final = re.compile(r"[0-9]{1,2}")


def boot_request(arguments: argparse.Namespace) -> BootRequest:
    """Which boot the options mean.

    Raises:
        UsageError: they make no sense.
    """
    if not (arguments.uki or arguments.esp or arguments.extra or arguments.global_folder):
        raise UsageError(
            "what is to be booted: --uki with --extra, or --esp with --entry",
        )
    for name in ("cmdline", "smbios_cmdline"):
        _check_text(getattr(arguments, name), name)
    secure_boot = {"on": True, "off": False}.get(arguments.secure_boot or "")
    return BootRequest(
        uki=arguments.uki or "",
        extras=tuple(arguments.extra),
        global_folder=arguments.global_folder or "",
        loaders=tuple(arguments.loader),
        esp=arguments.esp or "",
        entry=arguments.entry or "",
        sets=tuple(map(_set, getattr(arguments, "sets", ()))),
        all_subsets=getattr(arguments, "all_subsets", False),
        efivars=arguments.efivars or "",
        settings=Settings(
            version=arguments.stub_version,
            profile=arguments.profile,
            cmdline=arguments.cmdline,
            smbios=arguments.smbios_cmdline,
            secure_boot=secure_boot,
            systemd=arguments.systemd_version,
            hardware=tuple(map(_hardware, arguments.hardware)),
        ),
    )


def _check_text(text: str | None, name: str) -> None:
    try:
        (text or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"--{name.replace('_', '-')} is not text in UTF-8") from error


def _set(text: str) -> tuple[str, tuple[str, ...]]:
    """A set's name and its paths; a path may have an equals sign where no name is in front."""
    name, equals, rest = text.partition("=")
    if not equals or os.sep in name or os.path.exists(text):
        name, rest = "", text
    if "," in name:
        raise UsageError(f"a set is called {name!r}: a name has no comma", hint=_SET_HINT)
    paths = tuple(filter(None, rest.split(",")))
    if not paths and not name:
        raise UsageError("--set wants [NAME=]FILE,FILE… or a folder")
    return name or "+".join(os.path.basename(path.rstrip(os.sep)) for path in paths), paths


def _hardware(text: str) -> tuple[str, int]:
    found = _HARDWARE.fullmatch(text)
    name = "." + found[1].lstrip(".") if found else ""
    if found is None or name not in uki.BY_HARDWARE:
        raise UsageError(
            f"--hardware wants a section and its number, such as .dtbauto=1, not {text!r}"
        )
    return name, int(found[2])


def pcr_numbers(texts: Iterable[str]) -> tuple[int, ...]:
    """Numbers of PCRs, as ``11``, ``11+13`` or ``11,13``.

    Raises:
        UsageError: something is no number of a PCR.
    """
    found = []
    for text in texts:
        for part in re.split(r"[+,]", text):
            if not _PCR.fullmatch(part) or int(part) > 23:
                raise UsageError(f"{text!r} names no PCRs; 11+13 does")
            found.append(int(part))
    return tuple(dict.fromkeys(found))
