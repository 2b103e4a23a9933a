"""Variable stores for OVMF with Secure Boot on and one's own keys in it.

The store's format is edk2's; it is written by ``virt-fw-vars`` (Python package virt-firmware),
which runs as a program of its own. It is given the variables' very values, so the store holds the
bytes of the ``.esl`` files, and the same inputs give the same store.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.errors import FormatError, InputError, ToolError, UsageError
from sysgraft.formats import authvar, esl
from sysgraft.formats.efivar import (
    BOOTSERVICE_ACCESS,
    DATABASE_ATTRIBUTES,
    NON_VOLATILE,
)
from sysgraft.host.output import atomic_output
from sysgraft.host.run import run, which
from sysgraft.host.signature_files import read_lists
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "virt-fw-vars"
MAX_STORE: Final = 64 << 20
"""Bytes of a store: OVMF's have 128 or 528 KiB, those for arm64 are padded to 64 MiB."""
TEMPLATES: Final = (
    "/usr/share/OVMF/OVMF_VARS_4M.fd",  # Debian, Ubuntu
    "/usr/share/edk2/ovmf/OVMF_VARS.fd",  # Fedora
    "/usr/share/edk2/x64/OVMF_VARS.4m.fd",  # Arch
    "/usr/share/qemu/ovmf-x86_64-vars.bin",  # openSUSE
)
"""Where distributions keep an empty store; the first one there is the default."""
NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When the keys were enrolled, if nobody says: any signed update is newer."""

# EFI_FIRMWARE_VOLUME_HEADER (UEFI PI 1.8 vol. 3 §3.2.1), Signature.
_VOLUME_AT: Final = 40
_VOLUME: Final = b"_FVH"
_QCOW2: Final = b"QFI\xfb"

# Which say that Secure Boot is on, and that the owner of PK decides (OvmfPkg, SecurityPkg.dec).
_SWITCHES: Final = (
    ("SecureBootEnable", UUID("f0a30bc7-af08-4556-99c4-001009c93a44"), b"\1"),
    ("CustomMode", UUID("c076ec0c-7028-4399-a072-71ee5c448b9f"), b"\0"),
)


def enroll(  # noqa: PLR0913  the databases, each by its name
    template: str,
    output: str,
    *,
    pk: str,
    kek: Sequence[str],
    db: Sequence[str],
    dbx: Sequence[str] = (),
    owner: UUID,
    time: datetime = NO_TIME,
    replace: bool = False,
) -> None:
    """Make a variable store with these keys enrolled and Secure Boot on.

    The files are certificates (PEM, DER), signature lists (``.esl``, ``.auth``), text with SHA-256
    hashes of programs, or programs. Other variables of the template stay as they are.

    Args:
        template: an empty variable store of the firmware the result is for.
        output: the result.
        pk: the platform key: one certificate.
        kek: who may change db and dbx.
        db: whose programs start.
        dbx: which programs and certificates are refused all the same.
        owner: owner of the entries whose files name none.
        time: when the databases were set; later updates have to be newer.
        replace: whether an existing output may be replaced.

    Raises:
        ToolError: ``virt-fw-vars`` is missing or failed.
        InputError: a file cannot be read or is not what it has to be.
        OutputError: the store cannot be written.
    """
    files: dict[str, Sequence[str]] = {"PK": [pk], "KEK": kek, "db": db, "dbx": dbx}
    found = {name: read_lists(paths, owner) for name, paths in files.items()}
    for name in ("PK", "KEK", "db"):
        if not found[name]:
            raise UsageError(f"nothing is given to enroll as {name}")
    if [len(each.signatures) for each in found["PK"]] != [1]:
        raise FormatError("the platform key has to be one certificate", file=pk)
    values = {name: esl.serialise(lists) for name, lists in found.items() if lists}
    with atomic_output(output, replace=replace) as file:
        file.write(_write_variables(template, values, time))


def _write_variables(template: str, values: dict[str, bytes], time: datetime) -> bytes:
    """The template's content with these databases and Secure Boot on."""
    with tempfile.TemporaryDirectory(prefix="sysgraft-") as folder:
        variables, result = os.path.join(folder, "variables.json"), os.path.join(folder, "store")
        with open(variables, "w", encoding="ascii") as file:
            json.dump({"version": 2, "variables": _described(values, time)}, file)
        copy = os.path.join(folder, "template")
        with open(copy, "wb") as file_out:
            file_out.write(_read_template(template))
        program = _program()
        run([program, "--input", copy, "--set-json", variables, "--output", result])
        return read_small(result, MAX_STORE, "variable store")


def _read_template(path: str) -> bytes:
    data = read_small(path, MAX_STORE, "variable store")
    if data[_VOLUME_AT : _VOLUME_AT + len(_VOLUME)] != _VOLUME:
        hint = "convert it with qemu-img to raw" if data.startswith(_QCOW2) else ""
        raise FormatError("not a variable store of OVMF", file=path, hint=hint)
    return data


def _described(values: dict[str, bytes], time: datetime) -> list[dict[str, object]]:
    """The variables as virt-fw-vars reads them from JSON."""
    databases = [
        {
            "name": name,
            "guid": str(authvar.NAMESPACES[name]),
            "attr": DATABASE_ATTRIBUTES,
            "data": value.hex(),
            "time": authvar.encode_time(time).hex(),
        }
        for name, value in values.items()
    ]
    switches = [
        {
            "name": name,
            "guid": str(guid),
            "attr": NON_VOLATILE | BOOTSERVICE_ACCESS,
            "data": value.hex(),
        }
        for name, guid, value in _SWITCHES
    ]
    return [*databases, *switches]


def _program() -> str:
    """virt-fw-vars: beside this Python, where ``pip`` puts it, or on PATH."""
    beside = shutil.which(PROGRAM, path=os.path.dirname(sys.executable))
    found = beside or which(PROGRAM)
    if found is None:
        raise ToolError(
            f"the program {PROGRAM} is not installed",
            hint="install the Python package virt-firmware",
        )
    return found


def find_template() -> str:
    """An empty variable store of this machine's OVMF.

    Raises:
        InputError: there is none where distributions keep it.
    """
    for path in TEMPLATES:
        if os.path.isfile(path):
            return path
    raise InputError(
        "no variable store of OVMF was found",
        hint="install ovmf, or give an empty OVMF_VARS file with --template",
    )
