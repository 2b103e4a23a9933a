"""Targets: what is in the sections of a UKI."""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.base.blob import BytesBlob
from sysgraft.formats import (
    devicetree,
    efifw,
    hwids,
    sbat,
)
from target import Target, as_text, drain

if TYPE_CHECKING:
    from collections.abc import Sequence


_OWNER: Final = UUID("5eed5eed-0000-4000-8000-000000000001")


@functools.cache
def devicetrees() -> Sequence[bytes]:
    """A devicetree."""
    strings = b"compatible\0model\0"
    value = b"vendor,board\0vendor,soc\0"
    body = struct.pack(">II", 1, 0)
    body += struct.pack(">III", 3, len(value), 0) + value.ljust(-(-len(value) // 4) * 4, b"\0")
    body += struct.pack(">III", 3, 6, 11) + b"Board\0\0\0"
    body += struct.pack(">I8s", 1, b"child\0\0\0") + struct.pack(">III", 2, 2, 9)
    at = 40 + 16
    head = struct.pack(
        ">10I",
        0xD00DFEED,
        at + len(body) + len(strings),
        at,
        at + len(body),
        40,
        17,
        16,
        0,
        len(strings),
        len(body),
    )
    return (head + bytes(16) + body + strings,)


def read_devicetree(data: bytes) -> None:
    """A devicetree."""
    devicetree.parse(BytesBlob(data))


@functools.cache
def hardware() -> Sequence[bytes]:
    """Hardware IDs."""
    devices = [
        hwids.Device(kind, f"name{kind}", "vendor,board", (_OWNER, UUID(int=7)))
        for kind in hwids.DeviceType
    ]
    return (hwids.render(devices),)


def read_hardware(data: bytes) -> None:
    """Hardware IDs."""
    found = hwids.parse(data)
    assert not found or hwids.parse(hwids.render(found))


def read_description(data: bytes) -> None:
    """Hardware IDs in JSON."""
    hwids.parse_description(data)


@functools.cache
def firmware() -> Sequence[bytes]:
    """Firmware in a section."""
    blob = efifw.wrap("vendor/board", BytesBlob(b"payload" * 9))
    return (blob.read_at(0, blob.size),)


def read_firmware(data: bytes) -> None:
    """Firmware in a section."""
    drain(efifw.parse(BytesBlob(data)).payload)


def read_sbat(data: bytes) -> None:
    """SBAT."""
    text = as_text(data)
    sbat.parse(text)
    sbat.merge([text, "sbat,1,SBAT Version,sbat,1,u\n"])


TARGETS: Final = (
    Target(name="devicetree", seeds=devicetrees, read=read_devicetree, weight=20),
    Target(name="hwids", seeds=hardware, read=read_hardware, weight=20),
    Target(
        name="hwids-json",
        seeds=lambda: (
            (
                b'{"type": "devicetree", "name": "n", "compatible": "a,b", '
                b'"hwids": ["5eed5eed-0000-4000-8000-000000000001"]}'
            ),
        ),
        read=read_description,
        tokens=(b'"hwids"', b'"type"', b'"uefi-fw"', b'"compatible"'),
        weight=10,
    ),
    Target(name="efifw", seeds=firmware, read=read_firmware, weight=15),
    Target(
        name="sbat",
        seeds=lambda: (b"sbat,1,SBAT Version,sbat,1,https://e\nuki,1,UKI,uki,1,u\n",),
        read=read_sbat,
        tokens=(b"sbat,1,", b",", b"\n", b"#"),
        weight=10,
    ),
)
