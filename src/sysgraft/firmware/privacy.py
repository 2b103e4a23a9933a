"""What an inventory must not tell: addresses and serial numbers, taken out of messages and names.

Messages of the kernel carry MAC addresses, interface names made of them (``enx``, ``wlx``, ``wwx``
of systemd.net-naming-scheme(7)), UUIDs, world wide names and serial numbers of devices. Models,
versions, places on a bus and names of firmware files stay. The names of Intel's DDP packages hold
the network card's serial number (``ice_get_opt_fw_name()`` in Linux' ice driver); it goes too.
"""

from __future__ import annotations

import re
from typing import Final

_HEX: Final = "[0-9a-fA-F]"
# What is found, and what stands there instead.
_SECRETS: Final = (
    (re.compile(rf"\b{_HEX}{{2}}(?::{_HEX}{{2}}){{5,7}}\b"), "xx:xx:xx:xx:xx:xx"),
    (re.compile(rf"\b{_HEX}{{2}}(?:-{_HEX}{{2}}){{5}}\b"), "xx-xx-xx-xx-xx-xx"),
    (re.compile(rf"\b{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}\b"), "(uuid)"),
    (re.compile(rf"\b(enx|wlx|wwx|slx|ibx){_HEX}{{12}}\b"), r"\1xxxxxxxxxxxx"),
    (re.compile(rf"\b(naa|eui|nvme|wwn|uuid)[.-](?:0x)?{_HEX}{{16,}}\b", re.IGNORECASE), r"\1.x"),
    (re.compile(r"(?i)\b(serial ?(?:number|no\.?)?\s*[:=#]\s*)[^\s,;]+"), r"\1(removed)"),
    (re.compile(rf"\b(ice-){_HEX}{{16}}(\.pkg)"), r"\1xxxxxxxxxxxxxxxx\2"),
)


def redact(text: str) -> str:
    """`text` without what tells one machine from another of its kind."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
