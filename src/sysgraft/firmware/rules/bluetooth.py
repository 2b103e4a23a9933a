"""Bluetooth: names are made of what the controller answers; Intel's are not even declared."""

from __future__ import annotations

from typing import Final

from sysgraft.firmware.rules.model import Rule, usb

_BTINTEL: Final = (
    "drivers/bluetooth/btintel.c (btintel_get_fw_name, btintel_get_fw_name_tlv), "
    "btusb.c (quirks_table)"
)
_BTUSB: Final = "drivers/bluetooth/btusb.c (quirks_table)"
# Helpers that btusb depends on for every vendor, whatever the device is.
_HELPERS: Final = ("btintel", "btrtl", "btbcm", "btmtk", "btusb")

_MEDIATEK: Final = """0E8D:0608 0489:E0C8 0489:E0CD 0489:E0D8 0489:E0D9 0489:E0E0 0489:E0E2
0489:E0E4 0489:E0F1 0489:E0F2 0489:E0F5 0489:E0F6 0489:E102 04CA:3802 04CA:3804 13D3:3563 13D3:3564
13D3:3567 13D3:3568 13D3:3576 13D3:3578 13D3:3583 13D3:3606 35F5:7922"""


def _intel(what: str, products: str, *asks: str) -> Rule:
    devices = usb(" ".join(f"8087:{product}" for product in products.split()))
    return Rule(f"Intel Bluetooth: {what}", _HELPERS, devices, asks, _BTINTEL)


RULES: Final = (
    _intel("7260, 7265", "07DC 0A2A", "+intel/ibt-hw-37.*"),
    _intel("8260, 8265", "0A2B 0AA7", "+intel/ibt-11-*", "+intel/ibt-12-*"),
    _intel("9260, 9560", "0025 0AAA", "+intel/ibt-17-*", "+intel/ibt-18-*"),
    _intel("AX201", "0026", "+intel/ibt-19-*", "+intel/ibt-?040-*"),
    _intel("AX200", "0029", "+intel/ibt-20-*"),
    _intel("AX210", "0032", "+intel/ibt-0041-*", "+intel/ibt-?040-*"),
    _intel("AX211, AX411", "0033", "+intel/ibt-0041-*", "+intel/ibt-?040-*"),
    _intel("BE200", "0036", "+intel/ibt-?291-*", "+intel/ibt-?191-*"),
    Rule(
        "MediaTek Bluetooth",
        _HELPERS,
        usb(_MEDIATEK),
        ("mediatek/*BT_RAM_CODE*|mediatek/mt7*", "mediatek/mt7*"),
        _BTUSB,
    ),
    Rule("Realtek Bluetooth", _HELPERS, usb("0BDA:*"), ("rtl_bt/*",), _BTUSB, "medium"),
    Rule(
        "Intel Bluetooth: names are not declared",
        ("btintel",),
        (),
        ("+intel/ibt-*",),
        _BTINTEL,
        "medium",
    ),
    Rule(
        "Qualcomm Bluetooth: nothing is declared",
        ("btqca",),
        (),
        ("+qca/*",),
        "drivers/bluetooth/btqca.c (qca_uart_setup)",
        "medium",
    ),
    Rule(
        "Qualcomm Bluetooth on USB: nothing is declared",
        ("btusb",),
        usb("0CF3:E300 0CF3:E301 0CF3:E500 0489:E0C7 0489:E0D0 13D3:3491 13D3:3496"),
        ("+qca/*", "+ar3k/*"),
        "drivers/bluetooth/btusb.c (btusb_setup_qca)",
        "medium",
    ),
    Rule(
        "Broadcom Bluetooth: nothing is declared",
        ("btbcm",),
        (),
        ("+brcm/BCM*.hcd",),
        "drivers/bluetooth/btbcm.c (btbcm_patchram, btbcm_get_board_name)",
        "medium",
    ),
)
