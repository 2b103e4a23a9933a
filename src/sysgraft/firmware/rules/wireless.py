"""Wi-Fi: which of a driver's many names a device asks for, and names no driver declares."""

from __future__ import annotations

from typing import Final

from sysgraft.firmware.rules.model import Ladder, Rule, pci

_IWLWIFI: Final = (
    "drivers/net/wireless/intel/iwlwifi/pcie/drv.c (iwl_hw_card_ids, iwl_dev_info_table), "
    "iwl-drv.c (iwl_request_firmware)"
)
_MT7921: Final = "drivers/net/wireless/mediatek/mt76/mt7921/pci.c (mt7921_pci_device_table)"
_ATH10K: Final = "drivers/net/wireless/ath/ath10k/core.c (ath10k_hw_params_list)"
_ATH11K: Final = "drivers/net/wireless/ath/ath11k/core.c (ath11k_hw_params)"
_ATH12K: Final = "drivers/net/wireless/ath/ath12k/hw.c (ath12k_hw_params)"

# Subsystem devices that are Garfield Peak radios (AX211), and those that are its successor (AX411).
_SUBSYSTEMS: Final = "https://pci-ids.ucw.cz/read/PC/8086/51f0"
_GF: Final = "0090 0094 0098 4090"
_GF4: Final = "00B0 00B4"
_SO_DEVICES: Final = ("51F0", "51F1", "54F0", "7A70", "7AF0")


def _so(subsystems: str) -> tuple[str, ...]:
    words = (f"{device}:{sub}" for device in _SO_DEVICES for sub in subsystems.split())
    return pci("8086", " ".join(words))


def _iwlwifi(what: str, devices: tuple[str, ...], *asks: str, source: str = _IWLWIFI) -> Rule:
    return Rule(f"Intel Wi-Fi: {what}", ("iwlwifi",), devices, asks, source)


def _intel(devices: str) -> tuple[str, ...]:
    return pci("8086", devices)


RULES: Final = (
    _iwlwifi("AX211", _so(_GF), "iwlwifi-so-a0-gf-a0*", source=f"{_IWLWIFI}, {_SUBSYSTEMS}"),
    _iwlwifi("AX411", _so(_GF4), "iwlwifi-so-a0-gf4-a0*"),
    _iwlwifi("radios with So", _intel(" ".join((*_SO_DEVICES, "7F70"))), "iwlwifi-so-a0-*"),
    _iwlwifi("AX210", _intel("2725"), "iwlwifi-ty-a0-gf-a0*", "iwlwifi-so-a0-gf*"),
    _iwlwifi("radios with Ma", _intel("2729 7E40"), "iwlwifi-ma-*"),
    _iwlwifi("BE200", _intel("272B"), "iwlwifi-gl-*"),
    _iwlwifi("AX200", _intel("2723"), "iwlwifi-cc-a0-*"),
    _iwlwifi(
        "AX201, AX101 and 9560 with Qu",
        _intel("02F0 06F0 34F0 3DF0 43F0 4DF0 A0F0"),
        "iwlwifi-Qu*",
        "iwlwifi-9000-*",
    ),
    _iwlwifi(
        "9260 and 9560",
        _intel("2526 271B 271C 30DC 31DC 9DF0 A370"),
        "iwlwifi-9260-*",
        "iwlwifi-9000-*",
    ),
    _iwlwifi("8260", _intel("24F3 24F4 24F5 24F6"), "iwlwifi-8000C-*"),
    _iwlwifi("8265", _intel("24FD"), "iwlwifi-8265-*", "iwlwifi-8000C-*"),
    _iwlwifi("3168", _intel("24FB"), "iwlwifi-3168-*"),
    _iwlwifi("7265", _intel("095A 095B"), "iwlwifi-7265-*", "iwlwifi-7265D-*"),
    _iwlwifi("3165", _intel("3165 3166"), "iwlwifi-7265D-*"),
    _iwlwifi("7260", _intel("08B1 08B2"), "iwlwifi-7260-*"),
    _iwlwifi("3160", _intel("08B3 08B4"), "iwlwifi-3160-*"),
    Rule(
        "MediaTek MT7921",
        ("mt7921e",),
        pci("14C3", "7961 0608"),
        ("mediatek/*MT7961_patch_mcu_1_2_hdr.bin", "mediatek/*RAM_CODE_MT7961_1.bin"),
        _MT7921,
    ),
    Rule(
        "MediaTek MT7922",
        ("mt7921e",),
        (*pci("14C3", "7922 0616"), *pci("0B48", "7922")),
        ("mediatek/WIFI_MT7922_*", "mediatek/WIFI_RAM_CODE_MT7922_*"),
        _MT7921,
    ),
    Rule("MediaTek MT7920", ("mt7921e",), pci("14C3", "7920"), ("mediatek/*MT7961*1a*",), _MT7921),
    Rule(
        "Qualcomm QCA6174",
        ("ath10k_pci",),
        pci("168C", "003E 0041"),
        ("+ath10k/QCA6174/*/*",),
        _ATH10K,
    ),
    Rule(
        "Qualcomm QCA9377", ("ath10k_pci",), pci("168C", "0042"), ("+ath10k/QCA9377/*/*",), _ATH10K
    ),
    Rule(
        "Qualcomm QCA988X", ("ath10k_pci",), pci("168C", "003C"), ("+ath10k/QCA988X/*/*",), _ATH10K
    ),
    Rule(
        "Qualcomm QCA9887", ("ath10k_pci",), pci("168C", "0050"), ("+ath10k/QCA9887/*/*",), _ATH10K
    ),
    Rule(
        "Qualcomm QCA99X0", ("ath10k_pci",), pci("168C", "0040"), ("+ath10k/QCA99X0/*/*",), _ATH10K
    ),
    Rule(
        "Qualcomm QCA9984", ("ath10k_pci",), pci("168C", "0046"), ("+ath10k/QCA9984/*/*",), _ATH10K
    ),
    Rule(
        "Qualcomm QCA9888", ("ath10k_pci",), pci("168C", "0056"), ("+ath10k/QCA9888/*/*",), _ATH10K
    ),
    Rule(
        "Qualcomm ath10k: calibration and chips that are not declared",
        ("ath10k_pci",),
        (),
        ("+ath10k/QCA*/*/*",),
        _ATH10K,
        "medium",
    ),
    Rule(
        "Qualcomm QCA6390", ("ath11k_pci",), pci("17CB", "1101"), ("+ath11k/QCA6390/*/*",), _ATH11K
    ),
    Rule(
        "Qualcomm WCN6855", ("ath11k_pci",), pci("17CB", "1103"), ("+ath11k/WCN6855/*/*",), _ATH11K
    ),
    Rule(
        "Qualcomm QCN9074", ("ath11k_pci",), pci("17CB", "1104"), ("+ath11k/QCN9074/*/*",), _ATH11K
    ),
    Rule("Qualcomm WCN7850", ("ath12k",), pci("17CB", "1107"), ("+ath12k/WCN7850/*/*",), _ATH12K),
    Rule("Qualcomm QCN9274", ("ath12k",), pci("17CB", "1109"), ("+ath12k/QCN9274/*/*",), _ATH12K),
    Rule(
        "Qualcomm ath12k declares nothing", ("ath12k",), (), ("+ath12k/*/*/*",), _ATH12K, "medium"
    ),
    Rule(
        "Broadcom brcmfmac: links into cypress/, files named by board",
        ("brcmfmac",),
        (),
        ("+brcm/brcmfmac*",),
        "drivers/net/wireless/broadcom/brcm80211/brcmfmac/firmware.c (brcm_alt_fw_paths)",
        "medium",
    ),
    Rule(
        "Wireless regulatory rules",
        ("cfg80211",),
        (),
        ("+regulatory.db", "+regulatory.db.p7s"),
        "net/wireless/reg.c (regulatory_init_db, load_builtin_regdb_keys)",
        shared=True,
    ),
)

_API: Final = "drivers/net/wireless/intel/iwlwifi/cfg/*.c (IWL_*_UCODE_API_MIN), iwl-drv.c"


def _ladder(family: str, lowest: int) -> Ladder:
    return Ladder("iwlwifi", rf"iwlwifi-{family}[\w-]*-(\d+)\.ucode", lowest, _API)


LADDERS: Final = (
    _ladder("(?:so|ty|ma)-", 59),
    _ladder("(?:Qu|QuZ|cc)-?", 39),
    _ladder("(?:9000|9260)-", 30),
    _ladder("(?:8000C|8265)", 22),
    _ladder("(?:7265D|3168)", 22),
    _ladder("(?:7260|7265|3160)", 16),
    _ladder("(?:bz|gl|sc|sc2|sc2f|br|dr)-", 77),
)
