"""What an event of a TPM event log is, in a few words for people.

TCG PC Client Platform Firmware Profile 1.06 §10.4 for the firmware's events; systemd's
``src/fundamental/tpm2-pcr.h`` and Linux ``drivers/firmware/efi/libstub/efistub.h`` for those of
boot loader, stub and kernel. The words are made from the data in the log, which nothing vouches
for: only an event's digest is in a PCR. Certificates and device paths are not taken apart.
"""

from __future__ import annotations

import hashlib
import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError
from sysgraft.formats.efivar import GLOBAL_VARIABLE, IMAGE_SECURITY_DATABASE
from sysgraft.formats.eventlog import startup_locality
from sysgraft.formats.eventlog_records import read_algorithms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sysgraft.formats.eventlog_records import Event

MAX_TEXT: Final = 256
"""Characters of text or hexadecimal digits that are shown of one event."""

TAGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        # systemd-boot and systemd-stub
        0xF5BC_582A: "loader.conf",
        0x6C46_F751: "devicetree addon",
        0x49DF_FE0F: "initrd addon",
        0xDAC0_8E1A: "microcode addon",
        0x13AE_D6DB: "profile",
        0xD5CB_7CBC: "SMBIOS system information",
        0xE0D4_7BC8: "SMBIOS board information",
        0xC0B3_BD23: "SMBIOS OEM strings",
        # Linux, the EFI stub
        0x8F3B_22EC: "initrd",
        0x8F3B_22ED: "kernel command line",
    },
)
"""Who measured what, by the number of an EV_EVENT_TAG."""

_GUIDS: Final[Mapping[UUID, str]] = MappingProxyType(
    {GLOBAL_VARIABLE: "EFI", IMAGE_SECURITY_DATABASE: "image security"}
)

# TCG_PCClientTaggedEvent: 0 tag, 4 size, then the data.
_TAGGED: Final = struct.Struct("<II")
# UEFI_VARIABLE_DATA: 0 GUID, 16 length of the name in UTF-16 units, 24 size of the value, then
# the name, the value.
_VARIABLE: Final = struct.Struct("<16sQQ")
# UEFI_IMAGE_LOAD_EVENT: 0 address, 8 length, 16 link time address, 24 size of the device path,
# then that.
_IMAGE: Final = struct.Struct("<QQQQ")
# UEFI_PLATFORM_FIRMWARE_BLOB: 0 address, 8 length. The second form has a description before it,
# led by its length in one byte.
_REGION: Final = struct.Struct("<QQ")
_SECURE_BOOT: Final = "SecureBoot".encode("utf-16-le")
_HASHES: Final = ("sha1", "sha256", "sha384", "sha512")
# UEFI_GPT_DATA: the header of the partition table, then how many entries follow.
_GPT_HEADER: Final = 92
_GPT_COUNT: Final = struct.Struct("<Q")


def describe(event: Event) -> str:
    """What the event says, on one line; never fails, whatever its data are."""
    maker = _MAKERS.get(event.type_name, _text_or_hex)
    try:
        return one_line(maker(event.data) if event.is_measured else _no_action(event))
    except (struct.error, ValueError):  # too short, or not the text it should be
        return _hex(event.data)


def secure_boot(events: Iterable[Event]) -> bool | None:
    """Whether the firmware says that it enforced signatures: what it measured of its variable.

    The first event of PCR 7 is EV_EFI_VARIABLE_DRIVER_CONFIG for ``SecureBoot`` (TCG PC Client
    Platform Firmware Profile 1.06 §3.3.4.8). None if there is none, or if its data are not what was
    measured.
    """
    for event in events:
        if event.pcr == 7 and event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG":
            content = event.data[_VARIABLE.size :]
            if not content.startswith(_SECURE_BOOT) or not _is_measured(event):
                return None
            return content[len(_SECURE_BOOT) :] == b"\1"
    return None


def _is_measured(event: Event) -> bool:
    """Whether what the log says of an event is what was measured."""
    known = {bank: digest for bank, digest in event.digests.items() if bank in _HASHES}
    return bool(known) and all(
        hashlib.new(bank, event.data).digest() == digest for bank, digest in known.items()
    )


def decode_text(data: bytes) -> str | None:
    """The text that `data` is, in UTF-16 (with or without a NUL) or UTF-8; None if it is none."""
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding).removesuffix("\0")
        except UnicodeDecodeError:
            continue
        if text and all(c.isprintable() or c in "\t\n" for c in text):
            return text
    return None


def _encodings(data: bytes) -> tuple[str, ...]:
    """UTF-16 first where every other byte is mostly zero, as in what programs write in it."""
    upper = data[1::2]
    is_wide = len(data) % 2 == 0 and 2 * upper.count(0) >= len(upper)
    return ("utf-16-le", "utf-8") if is_wide else ("utf-8",)


def _text_or_hex(data: bytes) -> str:
    text = decode_text(data)
    return _hex(data) if text is None else _shorten(text)


def _hex(data: bytes) -> str:
    return _shorten(data.hex()) if data else "no data"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _no_action(event: Event) -> str:
    locality = startup_locality(event)
    if locality is not None:
        return f"TPM started from locality {locality}"
    try:
        return f"log header, {', '.join(each.name for each in read_algorithms(event.data))}"
    except FormatError:
        name, _, rest = event.data.partition(b"\0")
        return f"{name.decode('ascii')}: {_hex(rest)}" if rest else _text_or_hex(event.data)


def _separator(data: bytes) -> str:
    """Zeros or ones end the firmware's part of a PCR; 1 tells of an error (§10.4.1)."""
    if data in (bytes(4), b"\xff" * 4):
        return "separator"
    return "separator after an error" if data == b"\1\0\0\0" else _text_or_hex(data)


def _tagged(data: bytes) -> str:
    tag, size = _TAGGED.unpack_from(data)
    content = _part(data, _TAGGED.size, size)
    name = TAGS.get(tag, f"tag {tag:#010x}")
    return f"{name}: {_text_or_hex(content)}" if content else name


def _variable(data: bytes) -> str:
    guid_bytes, units, size = _VARIABLE.unpack_from(data)
    name = _part(data, _VARIABLE.size, 2 * units).decode("utf-16-le")
    value = _part(data, _VARIABLE.size + 2 * units, size)
    guid = UUID(bytes_le=guid_bytes)
    content = _hex(value) if len(value) <= 8 else f"{len(value)} bytes"
    return f"{_GUIDS.get(guid, guid)} variable {_shorten(name)}: {content}"


def _image(data: bytes) -> str:
    _, size, _, path_size = _IMAGE.unpack_from(data)
    return f"program of {size} bytes, device path {_hex(_part(data, _IMAGE.size, path_size))}"


def _region(data: bytes) -> str:
    if len(data) != _REGION.size:
        return _text_or_hex(data)
    address, size = _REGION.unpack(data)
    return f"{size} bytes at {address:#x}"


def _described_region(data: bytes) -> str:
    length = data[0] if data else 0
    description = _part(data, 1, length)
    if len(data) != 1 + length + _REGION.size:
        return _text_or_hex(data)
    return f"{_text_or_hex(description)}: {_region(data[1 + length :])}"


def _described_tables(data: bytes) -> str:
    return _text_or_hex(_part(data, 1, data[0] if data else 0))


def _partition_table(data: bytes) -> str:
    (count,) = _GPT_COUNT.unpack_from(data, _GPT_HEADER)
    disk = UUID(bytes_le=_part(data, 56, 16))
    return f"partition table of disk {disk}, partitions: {count}"


def _part(data: bytes, start: int, size: int) -> bytes:
    """Exactly `size` bytes.

    Raises:
        ValueError: they are not all there.
    """
    if start + size > len(data):
        raise ValueError
    return data[start : start + size]


_MAKERS: Final[Mapping[str, Callable[[bytes], str]]] = MappingProxyType(
    {
        "EV_SEPARATOR": _separator,
        "EV_EVENT_TAG": _tagged,
        "EV_POST_CODE": _region,
        "EV_POST_CODE2": _described_region,
        "EV_EFI_VARIABLE_DRIVER_CONFIG": _variable,
        "EV_EFI_VARIABLE_BOOT": _variable,
        "EV_EFI_VARIABLE_BOOT2": _variable,
        "EV_EFI_VARIABLE_AUTHORITY": _variable,
        "EV_EFI_BOOT_SERVICES_APPLICATION": _image,
        "EV_EFI_BOOT_SERVICES_DRIVER": _image,
        "EV_EFI_RUNTIME_SERVICES_DRIVER": _image,
        "EV_EFI_GPT_EVENT": _partition_table,
        "EV_EFI_GPT_EVENT2": _partition_table,
        "EV_EFI_PLATFORM_FIRMWARE_BLOB": _region,
        "EV_EFI_PLATFORM_FIRMWARE_BLOB2": _described_region,
        "EV_EFI_HANDOFF_TABLES2": _described_tables,
    },
)
