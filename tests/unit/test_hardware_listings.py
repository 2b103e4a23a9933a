"""What lspci, lsusb and udevadm print of a machine's devices."""

from __future__ import annotations

import pytest

from machine_kit import LSPCI, LSUSB, MACHINE_FORM, UDEV
from sysgraft.errors import LimitError
from sysgraft.formats import lspci, lsusb, modalias, udev_db
from sysgraft.formats.modalias import PciId, UsbId

CARD = "pci:v00008086d0000A0F0sv00008086sd00000074bc02sc80i00"


@pytest.mark.parametrize(
    "text",
    [LSPCI, MACHINE_FORM, MACHINE_FORM.replace("Slot:", "Device:", 1), LSPCI.replace("0000:", "")],
)
def test_a_card_of_lspci(text: str) -> None:
    card = lspci.parse(text.encode())[0]
    assert (card.name, card.driver, card.modules) == ("0000:00:14.3", "iwlwifi", ("iwlwifi", "wl"))
    assert modalias.of_pci(card.ids) == CARD


def test_the_interface_of_its_class_and_no_subsystem() -> None:
    controller = lspci.parse(LSPCI.encode())[1]
    assert controller.ids == PciId(0x8086, 0x9A13, 0, 0, 0x0C0330)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00:14.3 Network controller: Intel Corporation Wi-Fi 6 AX201 (rev 20)\n",
        "00:14.3 Network controller [0280]: Intel Corporation\n",
        "Slot:\t00:14.3\nClass:\tNetwork controller\n",
        "\tSubsystem: [8086:0074]\n",
        ":\t\n",
    ],
)
def test_no_identifiers_no_devices(text: str) -> None:
    assert lspci.parse(text.encode()) == []


def test_a_dongle_of_lsusb() -> None:
    (interface,) = lsusb.parse(LSUSB.encode())
    assert interface.name == "001/003:1.0"
    assert modalias.of_usb(interface.ids) == ("usb:v2357p011Ed0200dc00dsc00dp00icFFiscFFipFFin00")


def test_a_short_listing_has_no_interfaces() -> None:
    assert lsusb.parse(b"Bus 001 Device 003: ID 2357:011e TP-Link\n" * 3) == []


def test_numbers_out_of_range_are_held_to_a_byte() -> None:
    (interface,) = lsusb.parse(LSUSB.replace("      255", "      999").encode())
    assert interface.ids == UsbId(0x2357, 0x11E, 0x200, (0, 0, 0), (255, 255, 255), 0)


def test_udevs_database() -> None:
    card, other = udev_db.parse(UDEV.encode())
    assert (card.name, card.subsystem, card.modalias, card.driver) == (
        "0000:00:14.3", "pci", "pci:v1", "iwlwifi",
    )  # fmt: skip
    assert (other.name, other.modalias) == ("lo", "")


@pytest.mark.parametrize("module", [lspci, lsusb, udev_db])
def test_limits(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SIZE", 10)
    with pytest.raises(LimitError, match="10 bytes"):
        module.parse(b"x" * 11)  # type: ignore[attr-defined]
