"""Capabilities of files: from their text form to the extended attribute the kernel reads.

Text: cap_from_text(3) of libcap, as RPM packages state them. Attribute: ``struct vfs_cap_data``
of ``linux/capability.h``, revision 2, which libcap writes where no user namespace is named.
Attributes are not turned back into text.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from sysgraft.errors import FormatError

XATTR: Final = b"security.capability"
"""The attribute's name."""

# By their number, without the leading "cap_" (linux/capability.h of Linux 5.9 and later).
_NAMES: Final = """
chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio
sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time
sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
"""

_BITS: Final = {f"cap_{name}": 1 << number for number, name in enumerate(_NAMES.split())}
_ALL: Final = (1 << len(_BITS)) - 1
# A list of names (none is all), and one or more actions; only the first may be "=".
_CLAUSE: Final = re.compile(r"([a-z_,0-9]*)((?:=[eip]*|[+-][eip]+)(?:[+-][eip]+)*)")
_ACTION: Final = re.compile(r"([=+-])([eip]*)")
_REVISION_2: Final = 0x02000000
_EFFECTIVE: Final = 1
_DATA: Final = struct.Struct("<5I")
_LOW: Final = 0xFFFFFFFF


def from_text(text: str) -> bytes:
    """The attribute that says what `text` does, ``cap_net_raw,cap_net_admin=ep`` for instance.

    Raises:
        FormatError: it is not in that syntax, names an unknown capability, or cannot be said of a
            file: all that is permitted or inheritable is effective, or nothing is.
    """
    sets = dict.fromkeys("eip", 0)
    for clause in text.lower().split():
        _apply(clause, sets)
    given = sets["p"] | sets["i"]
    if sets["e"] and given & ~sets["e"]:
        raise FormatError(f"capabilities no file can have: {text[:80]!r}")
    flags = _REVISION_2 | (_EFFECTIVE if sets["e"] else 0)
    permitted, inheritable = sets["p"], sets["i"]
    low = (permitted & _LOW, inheritable & _LOW)
    return _DATA.pack(flags, *low, permitted >> 32, inheritable >> 32)


def _apply(clause: str, sets: dict[str, int]) -> None:
    match = _CLAUSE.fullmatch(clause)
    if match is None or (not match[1] and match[2][0] != "="):
        raise FormatError(f"not a clause of capabilities: {clause[:80]!r}")
    bits = _bits(match[1])
    for operator, flags in _ACTION.findall(match[2]):
        if operator == "=":
            for flag in sets:
                sets[flag] &= ~bits
        for flag in flags:
            sets[flag] = sets[flag] & ~bits if operator == "-" else sets[flag] | bits


def _bits(names: str) -> int:
    if names in ("", "all"):
        return _ALL
    bits = 0
    for name in names.split(","):
        if name not in _BITS:
            raise FormatError(f"unknown capability: {name[:80]!r}")
        bits |= _BITS[name]
    return bits
