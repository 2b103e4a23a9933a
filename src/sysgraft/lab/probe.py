"""The probe: how the lab gets a script into a guest it knows nothing of, and answers out of it.

A shell script (``probe.sh``) asks the guest about itself, runs the user's script and switches the
machine off. It travels in SMBIOS OEM strings, where systemd looks for credentials (since 252) and
finds a unit to add (``systemd.extra-unit.``, since 256); other guests can look there themselves, as
the lab's small one does. Neither OVMF nor systemd-stub before 261 measures these strings, so one
UKI serves every script. Answers come over a virtio port.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Final

from sysgraft.errors import LimitError
from sysgraft.host.small import read_small

MAX_SCRIPT: Final = 32 << 10
"""Bytes of the user's script: all SMBIOS tables have 64 KiB together, and this goes as base64."""

_PROBE: Final = "sysgraft.lab.probe"
_SCRIPT: Final = "sysgraft.lab.script"
_UNIT: Final = "sysgraft-lab.service"

# systemd.system-credentials(7): what begins so is a credential, its value in base64.
_PREFIX: Final = b"io.systemd.credential.binary:"

_SERVICE: Final = f"""\
[Unit]
Description=sysgraft boot lab
After=multi-user.target

[Service]
Type=oneshot
ImportCredential={_PROBE}
ImportCredential={_SCRIPT}
ExecStart=/bin/sh %d/{_PROBE} %d/{_SCRIPT}
TimeoutStartSec=infinity
"""
_SERVICE_ALONE: Final = _SERVICE.replace(f" %d/{_SCRIPT}\n", "\n")
_WANTED: Final = f"[Unit]\nWants={_UNIT}\n"


def oem_strings(script: str) -> list[bytes]:
    """The strings that put the probe into a guest.

    Args:
        script: the file with the user's script; empty for none.

    Raises:
        InputError: it cannot be read.
        LimitError: it is too large.
    """
    credentials = {
        f"systemd.extra-unit.{_UNIT}": (_SERVICE if script else _SERVICE_ALONE).encode(),
        "systemd.unit-dropin.multi-user.target~sysgraft-lab": _WANTED.encode(),
        _PROBE: _probe(),
    }
    if script:
        credentials[_SCRIPT] = _read_script(script)
    return [
        _PREFIX + name.encode() + b"=" + b64encode(value) for name, value in credentials.items()
    ]


def _probe() -> bytes:
    """The script beside this module, without its comments."""
    with open(os.path.join(os.path.dirname(__file__), "probe.sh"), "rb") as file:
        lines = file.read().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.lstrip().startswith(b"#"))


def _read_script(path: str) -> bytes:
    try:
        return read_small(path, MAX_SCRIPT, "script")
    except LimitError as error:
        error.hint = "put what it needs on a --disk"
        raise
