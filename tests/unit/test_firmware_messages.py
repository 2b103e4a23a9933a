"""What messages of the kernel, its drivers and of initrd makers say about firmware."""

from __future__ import annotations

import re

import pytest

from sysgraft.firmware.message_rules import CORE, DRIVERS, INITRD, OLD_PROBE, Meaning
from sysgraft.firmware.messages import (
    Said,
    guess_bus,
    is_failed_probe,
    is_loaders_own,
    understand,
)
from sysgraft.formats.kmsg import Record

SHA = "0123456789abcdef" * 4


def said(text: str, **more: str) -> list[Said]:
    return list(understand(Record(text, **more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "meaning", "name", "error", "driver", "device"),
    [
        ("rtw_8821au 1-4:1.0: Direct firmware load for rtw88/rtw8821a_fw.bin failed with error -2",
         Meaning.FAILED, "rtw88/rtw8821a_fw.bin", 2, "rtw_8821au", "usb:1-4:1.0"),
        ("rtw_8821au 1-4:1.0: failed to request firmware",
         Meaning.GAVE_UP, "", 0, "rtw_8821au", "usb:1-4:1.0"),
        ("rtw_8821au 1-4:1.0: Firmware version 42.4.0, H2C version 0",
         Meaning.CAME_UP, "", 0, "rtw_8821au", "usb:1-4:1.0"),
        ("rtw_8821au 1-4:1.0: probe with driver rtw_8821au failed with error -22",
         Meaning.BROKEN, "", 22, "rtw_8821au", "usb:1-4:1.0"),
        ("rtw_8821au: probe of 1-4:1.0 failed with error -22",
         Meaning.BROKEN, "", 22, "rtw_8821au", "usb:1-4:1.0"),
        ("r8169 0000:03:00.0 eth0: Unable to load firmware rtl_nic/rtl8168h-2.fw (-2)",
         Meaning.FAILED, "rtl_nic/rtl8168h-2.fw", 2, "r8169", "pci:0000:03:00.0"),
        ("iwlwifi 0000:00:14.3: firmware: failed to load iwlwifi-so-a0-gf-a0-72.ucode (-2)",
         Meaning.FAILED, "iwlwifi-so-a0-gf-a0-72.ucode", 2, "iwlwifi", "pci:0000:00:14.3"),
        ("iwlwifi 0000:00:14.3: firmware: direct-loading firmware iwlwifi-so-a0-gf-a0.pnvm",
         Meaning.LOADED, "iwlwifi-so-a0-gf-a0.pnvm", 0, "iwlwifi", "pci:0000:00:14.3"),
        ("iwlwifi 0000:00:14.3: no suitable firmware found!",
         Meaning.GAVE_UP, "", 0, "iwlwifi", "pci:0000:00:14.3"),
        ("iwlwifi 0000:00:14.3: loaded firmware version 72.a764baac.0 so-a0.ucode op_mode iwlmvm",
         Meaning.CAME_UP, "", 0, "iwlwifi", "pci:0000:00:14.3"),
        (("i915 0000:00:02.0: [drm] *ERROR* GT0: GuC firmware i915/adlp_guc_70.bin: "
         "fetch failed -ENOENT"),
         Meaning.FAILED, "i915/adlp_guc_70.bin", 2, "i915", "pci:0000:00:02.0"),
        ("i915 0000:00:02.0: [drm] HuC firmware i915/tgl_huc.bin: fetch failed with error -2",
         Meaning.FAILED, "i915/tgl_huc.bin", 2, "i915", "pci:0000:00:02.0"),
        ("i915 0000:00:02.0: [drm] GT0: GuC firmware i915/adlp_guc_70.bin version 70.20.0",
         Meaning.LOADED, "i915/adlp_guc_70.bin", 0, "i915", "pci:0000:00:02.0"),
        (("xe 0000:00:02.0: [drm] Tile0: GT0: Using GuC firmware from xe/lnl_guc_70.bin version "
         "70.44.1"), Meaning.LOADED, "xe/lnl_guc_70.bin", 0, "xe", "pci:0000:00:02.0"),
        (("i915 0000:00:02.0: [drm] Failed to load DMC firmware i915/adlp_dmc.bin. Disabling "
         "runtime power management."),
         Meaning.FAILED, "i915/adlp_dmc.bin", 0, "i915", "pci:0000:00:02.0"),
        (("i915 0000:00:02.0: [drm] Failed to load DMC firmware i915/adlp_dmc.bin (-ENOENT). "
         "Disabling runtime power management."),
         Meaning.FAILED, "i915/adlp_dmc.bin", 2, "i915", "pci:0000:00:02.0"),
        ("i915 0000:00:02.0: [drm] Finished loading DMC firmware i915/adlp_dmc.bin (v2.20)",
         Meaning.LOADED, "i915/adlp_dmc.bin", 0, "i915", "pci:0000:00:02.0"),
        ("NVRM: RmFetchGspRmImages: No firmware image found", Meaning.GAVE_UP, "", 0, "nvidia", ""),
        ("amdgpu 0000:03:00.0: amdgpu: Fatal error during GPU init",
         Meaning.BROKEN, "", 0, "amdgpu", "pci:0000:03:00.0"),
        ("rtw89_8852be 0000:02:00.0: failed to early request firmware: -2",
         Meaning.GAVE_UP, "", 0, "rtw89_8852be", "pci:0000:02:00.0"),
        ("amdgpu: Direct firmware load for amdgpu/gc_11_0_1_mes.bin failed with error -2",
         Meaning.FAILED, "amdgpu/gc_11_0_1_mes.bin", 2, "amdgpu", ""),
        ("ath10k_pci 0000:02:00.0: could not fetch firmware files (-2)",
         Meaning.GAVE_UP, "", 0, "ath10k_pci", "pci:0000:02:00.0"),
        (("ath10k_pci 0000:02:00.0: firmware ver WLAN.RM.4.4.1-00157-QCARMSWPZ-1 api 6 features "
         "wowlan,ignore-otp crc32 90eebefb"),
         Meaning.CAME_UP, "", 0, "ath10k_pci", "pci:0000:02:00.0"),
        ("mt7921e 0000:01:00.0: WM Firmware Version: ____010000, Build Time: 20220311230931",
         Meaning.CAME_UP, "", 0, "mt7921e", "pci:0000:01:00.0"),
        ("Bluetooth: hci0: BCM: Patch brcm/BCM4345C0.hcd not found",
         Meaning.FAILED, "brcm/BCM4345C0.hcd", 0, "", "bluetooth:hci0"),
        (("ath10k_pci 0000:02:00.0: failed to fetch board data for bus=pci,vendor=168c from "
         "ath10k/QCA6174/hw3.0/board-2.bin"),
         Meaning.FAILED, "ath10k/QCA6174/hw3.0/board-2.bin", 0, "ath10k_pci", "pci:0000:02:00.0"),
        ("Bluetooth: hci0: Failed to load Intel firmware file intel/ibt-0040-0041.sfi (-2)",
         Meaning.FAILED, "intel/ibt-0040-0041.sfi", 2, "", "bluetooth:hci0"),
        ("Bluetooth: hci0: Found device firmware: intel/ibt-0040-0041.sfi",
         Meaning.LOADED, "intel/ibt-0040-0041.sfi", 0, "", "bluetooth:hci0"),
        ("Bluetooth: hci0: RTL: firmware file rtl_bt/rtl8761bu_fw.bin not found",
         Meaning.FAILED, "rtl_bt/rtl8761bu_fw.bin", 0, "", "bluetooth:hci0"),
        ("Bluetooth: hci0: BCM: 'brcm/BCM20702A1-0a5c-21e8.hcd'",
         Meaning.FAILED, "brcm/BCM20702A1-0a5c-21e8.hcd", 0, "", "bluetooth:hci0"),
        ("Bluetooth: hci0: BCM20702A1 'brcm/BCM20702A1-0a5c-21e8.hcd' Patch",
         Meaning.LOADED, "brcm/BCM20702A1-0a5c-21e8.hcd", 0, "", "bluetooth:hci0"),
        ("bluetooth hci0: Direct firmware load for qca/nvm_00130200.bin failed with error -2",
         Meaning.FAILED, "qca/nvm_00130200.bin", 2, "", "bluetooth:hci0"),
        ("platform regulatory.0: Direct firmware load for regulatory.db failed with error -2",
         Meaning.FAILED, "regulatory.db", 2, "", "platform:regulatory.0"),
        (('[drm:radeon_cp_init_microcode [radeon]] *ERROR* si_cp: Failed to load firmware '
         '"radeon/TAHITI_pfp.bin"'), Meaning.FAILED, "radeon/TAHITI_pfp.bin", 0, "", ""),
        ("mt7921e 0000:01:00.0: hardware init failed",
         Meaning.BROKEN, "", 0, "mt7921e", "pci:0000:01:00.0"),
        (("brcmfmac mmc1:0001:1: Direct firmware load for brcm/brcmfmac43455-sdio.bin failed with "
         "error -2"), Meaning.FAILED, "brcm/brcmfmac43455-sdio.bin", 2, "brcmfmac",
         "sdio:mmc1:0001:1"),
        ("imx-sdma 20ec000.dma: Direct firmware load for imx/sdma.bin failed with error -2",
         Meaning.FAILED, "imx/sdma.bin", 2, "imx-sdma", ":20ec000.dma"),
        ("Direct firmware load for a file.bin failed with error -110",
         Meaning.FAILED, "a file.bin", 110, "", ""),
    ],
)  # fmt: skip
def test_what_the_kernel_says(
    text: str, meaning: Meaning, name: str, error: int, driver: str, device: str
) -> None:
    (found,) = said(text)
    assert (found.meaning, found.name, found.error) == (meaning, name, error)
    assert (found.driver, found.device, found.message) == (driver, device, text)


def test_what_dynamic_debug_adds() -> None:
    (path,) = said("e100 0000:00:03.0: Loading firmware from /lib/firmware/e100/d101m_ucode.bin")
    assert (path.meaning, path.path) == (Meaning.LOADED, "/lib/firmware/e100/d101m_ucode.bin")
    (digest,) = said(f"e100 0000:00:03.0: Loaded FW: e100/d101m_ucode.bin, sha256: {SHA}")
    assert (digest.name, digest.sha256) == ("e100/d101m_ucode.bin", SHA)
    (broken,) = said("x 0000:00:03.0: loading /lib/firmware/a.bin failed with error -5")
    assert (broken.meaning, broken.path, broken.error) == (Meaning.FAILED, "/lib/firmware/a.bin", 5)


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("dracut-install: Missing firmware i915/a.bin for kernel module i915", "i915/a.bin", ""),
        ("Possible missing firmware i915/a.bin for kernel module i915", "i915/a.bin", ""),
        ("W: Possible missing firmware /lib/firmware/i915/a.bin for module i915", "",
         "/lib/firmware/i915/a.bin"),
        ("W: Possible missing firmware /lib/firmware/b.fw for built-in driver bnx2", "",
         "/lib/firmware/b.fw"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("origin", ["kernel", "dracut-install"])
def test_what_makers_of_initrds_say(text: str, name: str, path: str, origin: str) -> None:
    (found,) = said(text, origin=origin)
    assert (found.meaning, found.name, found.path) == (Meaning.DECLARED, name, path)


@pytest.mark.parametrize(
    "text",
    [
        "rtw_8821au 1-4:1.0: Firmware version 42.4.0",
        "[Firmware Bug]: TSC doesn't count with P0 frequency!",
        "mt7921e 0000:01:00.0: HW/SW Version: 0x8a108a10, Build Time: 20220311230842a",
        "Bluetooth: hci0: Firmware loaded in 1729284 usecs",
        "Loaded FW: a.bin, sha256: 00",
        "brcmfmac: brcmf_fw_alloc_request: using brcm/brcmfmac43455-sdio for chip BCM4345/6",
        "usb 1-4: new high-speed USB device number 3 using xhci_hcd",
        "",
    ],
)
def test_what_names_no_firmware(text: str) -> None:
    assert said(text) == []


def test_programs_are_not_believed_about_the_kernel() -> None:
    text = "Direct firmware load for a.bin failed with error -2"
    assert said(text, origin="logger") == []


def test_the_record_knows_the_device_best() -> None:
    (found,) = said(
        "snd 1.2: Direct firmware load for a.bin failed with error -2",
        device="+hdaudio:ehdaudio0D0",
    )
    assert found.device == "hdaudio:ehdaudio0D0"


def test_several_lines_in_one_record() -> None:
    text = "a 0000:00:01.0: Direct firmware load for a failed with error -2"
    assert [each.name for each in said(f"{text}\nmore\n{text}")] == ["a", "a"]


def test_who_says_so() -> None:
    assert is_loaders_own("a 0000:00:01.0: Direct firmware load for a failed with error -2")
    assert not is_loaders_own("r8169 0000:03:00.0 eth0: Unable to load firmware a.fw (-2)")
    assert is_failed_probe("a: probe of 1-1 failed with error -5")
    assert is_failed_probe("a 1-1: probe with driver a failed with error -5")
    assert not is_failed_probe("a 1-1: failed to request firmware")


@pytest.mark.parametrize(
    ("name", "full"),
    [("0000:02:00.0", "pci:0000:02:00.0"), ("1-4.2:1.0", "usb:1-4.2:1.0"), ("1-0050", "i2c:1-0050"),
     ("hci0", "bluetooth:hci0"), ("20ec000.dma", ":20ec000.dma")],
)  # fmt: skip
def test_the_looks_of_names(name: str, full: str) -> None:
    assert guess_bus(name) == full


def test_rules_are_anchored_and_tell_their_source() -> None:
    for rule in (*CORE, *DRIVERS, *INITRD, OLD_PROBE):
        assert not re.match(rule.pattern, "")
        assert re.search(r"\w\.c\b|/|hook-functions|RmFetch|\*", rule.source)
