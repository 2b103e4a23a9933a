"""What the kernel and its drivers say about firmware, as data.

A rule is a regular expression over a message without the name of the device in front, what it
means, and the function in Linux' source that prints it (other projects by name). Groups: ``name``
as the driver asked for it, ``path`` of a file, ``error`` as the kernel prints errors, ``sha256``.
Messages that tell a version but no file ("Firmware version 42.4.0") name nothing; of a driver that
prints them once the firmware runs, they say that the device came up.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class Meaning(enum.Enum):
    """What a message says of a file, or of a device."""

    FAILED = "failed"
    """A file did not come."""
    LOADED = "loaded"
    """A file came."""
    GAVE_UP = "gave up"
    """The driver goes on without firmware, or not at all; the message names no file."""
    BROKEN = "broken"
    """The device does not work, for whatever reason: it counts beside a file that did not come."""
    CAME_UP = "came up"
    """The firmware runs; the message names no file."""
    DECLARED = "declared"
    """A program that makes initrds did not find a file that a module names; nobody asked for it."""


class Rule(NamedTuple):
    """How one message is understood.

    Attributes:
        meaning: what it says.
        pattern: matched at the beginning of the message.
        source: file and function that print it.
    """

    meaning: Meaning
    pattern: str
    source: str


_ERROR: Final = r"(?P<error>-?\d+|-E[A-Z0-9]+)"
_QUOTED: Final = r"\"(?P<name>[^\"]+)\""
# Intel's graphics drivers put this before their messages.
_DRM: Final = r"(?:\[drm\] )?(?:\*ERROR\* )?(?:(?:Tile\d+: )?GT\d+: )?"
_LOADER: Final = "drivers/base/firmware_loader/main.c"

PROBE: Final = Rule(
    Meaning.BROKEN,
    rf"probe with driver \S+ failed with error {_ERROR}$",
    "drivers/base/dd.c call_driver_probe",
)
CORE: Final = (
    Rule(
        Meaning.FAILED,
        rf"Direct firmware load for (?P<name>.+) failed with error {_ERROR}$",
        f"{_LOADER} _request_firmware",
    ),
    Rule(
        Meaning.FAILED,
        rf"loading (?P<path>/.+) failed with error {_ERROR}$",
        f"{_LOADER} fw_get_filesystem_firmware",
    ),
    Rule(
        Meaning.LOADED,
        r"Loading firmware from (?P<path>/.+)$",
        f"{_LOADER} fw_get_filesystem_firmware",
    ),
    Rule(
        Meaning.LOADED,
        r"Loaded FW: (?P<name>.+), sha256: (?P<sha256>[0-9a-f]{64})$",
        f"{_LOADER} fw_log_firmware_info",
    ),
    Rule(
        Meaning.LOADED,
        r"using built-in (?P<name>\S.*)$",
        f"{_LOADER} _request_firmware_prepare",
    ),
    Rule(
        Meaning.FAILED,
        rf"firmware: failed to load (?P<name>.+) \({_ERROR}\)$",
        f"{_LOADER} fw_get_filesystem_firmware, Debian's patch",
    ),
    Rule(
        Meaning.LOADED,
        r"firmware: direct-loading firmware (?P<name>.+)$",
        f"{_LOADER} fw_get_filesystem_firmware, Debian's patch",
    ),
    PROBE,
)
"""Of the firmware loader and the driver core."""

DRIVERS: Final = (
    Rule(
        Meaning.GAVE_UP,
        r"failed to (?:early )?request firmware(?:: -?\d+)?$",
        "drivers/net/wireless/realtek/rtw88/main.c rtw_load_firmware_cb; "
        "rtw89/fw.c rtw89_early_fw_feature_recognize",
    ),
    Rule(
        Meaning.CAME_UP,
        r"Firmware version [\d.]+.*, (?:H2C|cmd) version \d+",
        "drivers/net/wireless/realtek/rtw88/main.c rtw_load_firmware_cb; rtw89/fw.c",
    ),
    Rule(
        Meaning.LOADED,
        r"loaded firmware (?P<name>rtw89/\S+)$",
        "drivers/net/wireless/realtek/rtw89/fw.c rtw89_early_fw_feature_recognize",
    ),
    Rule(
        Meaning.GAVE_UP,
        r"no suitable firmware found!?$",
        "drivers/net/wireless/intel/iwlwifi/iwl-drv.c iwl_request_firmware; "
        "drivers/net/wireless/ath/ath9k/hif_usb.c ath9k_hif_request_firmware",
    ),
    Rule(
        Meaning.CAME_UP,
        r"loaded firmware version \S+",
        "drivers/net/wireless/intel/iwlwifi/iwl-drv.c iwl_req_fw_callback",
    ),
    Rule(
        Meaning.FAILED,
        r"PNVM data is missing, please install (?P<name>\S+)$",
        "drivers/net/wireless/intel/iwlwifi/fw/dump.c iwl_fwrt_dump_umac_error_log",
    ),
    Rule(
        Meaning.FAILED,
        rf"{_DRM}(?:GuC|HuC|GSC) firmware (?P<name>\S+): fetch failed (?:with error )?{_ERROR}$",
        "drivers/gpu/drm/i915/gt/uc/intel_uc_fw.c intel_uc_fw_fetch; "
        "drivers/gpu/drm/xe/xe_uc_fw.c uc_fw_request",
    ),
    Rule(
        Meaning.LOADED,
        rf"{_DRM}(?:GuC|HuC) firmware (?P<name>\S+) version [\d.]+$",
        "drivers/gpu/drm/i915/gt/uc/intel_uc.c print_fw_ver",
    ),
    Rule(
        Meaning.LOADED,
        rf"{_DRM}Using (?:GuC|HuC|GSC) firmware from (?P<name>\S+) version ",
        "drivers/gpu/drm/xe/xe_uc_fw.c uc_fw_request",
    ),
    Rule(
        Meaning.LOADED,
        rf"{_DRM}(?:GuC|HuC) firmware \S+ \([\d.]+\) is recommended, but only (?P<name>\S+) ",
        "drivers/gpu/drm/i915/gt/uc/intel_uc_fw.c intel_uc_fw_fetch",
    ),
    Rule(
        Meaning.FAILED,
        rf"{_DRM}Failed to load DMC firmware (?P<name>\S+?)(?: \({_ERROR}\))?\. Disabling",
        "drivers/gpu/drm/i915/display/intel_dmc.c dmc_load_work_fn",
    ),
    Rule(
        Meaning.LOADED,
        rf"{_DRM}Finished loading DMC firmware (?P<name>\S+) \(v",
        "drivers/gpu/drm/i915/display/intel_dmc.c dmc_load_work_fn",
    ),
    Rule(
        Meaning.FAILED,
        rf"Unable to load firmware (?P<name>\S+) \({_ERROR}\)$",
        "drivers/net/ethernet/realtek/r8169_firmware.c rtl_fw_request_firmware",
    ),
    Rule(
        Meaning.GAVE_UP,
        r"RmFetchGspRmImages: No firmware image found",
        "NVIDIA open-gpu-kernel-modules RmFetchGspRmImages",
    ),
    Rule(
        Meaning.FAILED,
        r"failed to fetch board data for \S+ from (?P<name>\S+)$",
        "drivers/net/wireless/ath/ath10k/core.c ath10k_core_fetch_board_data_api_n; ath11k/core.c",
    ),
    Rule(
        Meaning.GAVE_UP,
        r"failed to fetch board-2\.bin or board\.bin from \S+$",
        "drivers/net/wireless/ath/ath10k/core.c ath10k_core_fetch_board_file",
    ),
    Rule(
        Meaning.GAVE_UP,
        r"Failed to find firmware-N\.bin \(N between \d+ and \d+\) from \S+: ",
        "drivers/net/wireless/ath/ath10k/core.c ath10k_core_fetch_firmware_files",
    ),
    Rule(
        Meaning.GAVE_UP,
        r"could not (?:fetch firmware files|probe fw) \(-?\d+\)$",
        "drivers/net/wireless/ath/ath10k/core.c ath10k_core_probe_fw, ath10k_core_register_work",
    ),
    Rule(
        Meaning.CAME_UP,
        r"firmware ver \S+ api \d+ features ",
        "drivers/net/wireless/ath/ath10k/debug.c ath10k_debug_print_hwfw_info",
    ),
    Rule(
        Meaning.CAME_UP,
        r"fw_version 0x[0-9a-f]+ fw_build_timestamp ",
        "drivers/net/wireless/ath/ath11k/qmi.c ath11k_qmi_request_target_cap",
    ),
    Rule(
        Meaning.CAME_UP,
        r"W[AM] Firmware Version: ",
        "drivers/net/wireless/mediatek/mt76/mt76_connac_mcu.c mt76_connac2_load_ram",
    ),
    Rule(
        Meaning.FAILED,
        rf"(?:Failed to load|failed to open) Intel firmware file:? (?P<name>\S+) \({_ERROR}\)$",
        "drivers/bluetooth/btintel.c btintel_prepare_fw_download_tlv, btintel_legacy_rom_get_fw",
    ),
    Rule(
        Meaning.LOADED,
        r"(?:Found device firmware|Intel Bluetooth firmware file): (?P<name>\S+)$",
        "drivers/bluetooth/btintel.c btintel_prepare_fw_download_tlv, btintel_legacy_rom_get_fw",
    ),
    Rule(
        Meaning.FAILED,
        rf"Failed to load Intel DDC file (?P<name>\S+) \({_ERROR}\)$",
        "drivers/bluetooth/btintel.c btintel_load_ddc_config",
    ),
    Rule(
        Meaning.FAILED,
        r"(?:RTL: )?firmware file (?P<name>\S+) not found$",
        "drivers/bluetooth/btrtl.c btrtl_initialize",
    ),
    Rule(
        Meaning.FAILED,
        r"BCM: '(?P<name>[^']+)'$",
        "drivers/bluetooth/btbcm.c btbcm_initialize",
    ),
    Rule(
        Meaning.FAILED,
        r"BCM: Patch (?P<name>\S+) not found$",
        "drivers/bluetooth/btbcm.c of older kernels",
    ),
    Rule(
        Meaning.LOADED,
        r"\S+ '(?P<name>[^']+)' Patch$",
        "drivers/bluetooth/btbcm.c btbcm_initialize",
    ),
    Rule(
        Meaning.FAILED,
        rf"QCA Failed to request file: (?P<name>\S+) \({_ERROR}\)$",
        "drivers/bluetooth/btqca.c qca_download_firmware",
    ),
    Rule(
        Meaning.FAILED,
        rf"failed to request (?:rampatch|NVM) file: (?P<name>\S+) \({_ERROR}\)$",
        "drivers/bluetooth/btusb.c btusb_setup_qca_load_rampatch, btusb_setup_qca_load_nvm",
    ),
    Rule(
        Meaning.LOADED,
        r"using (?:rampatch|NVM) file: (?P<name>\S+)$",
        "drivers/bluetooth/btusb.c btusb_setup_qca_load_rampatch, btusb_setup_qca_load_nvm",
    ),
    Rule(
        Meaning.GAVE_UP,
        rf"Failed to load firmware file \({_ERROR}\)$",
        "drivers/bluetooth/btmtk.c btmtk_setup_firmware_79xx, btmtk_setup_firmware",
    ),
    Rule(
        Meaning.FAILED,
        r"(?:\[drm[^*]{0,80}\] )?(?:\*ERROR\* )?(?:[\w .]+: )?(?:Failed to|Can't) load firmware "
        rf"{_QUOTED}",
        "drivers/gpu/drm/amd/amdgpu and radeon, *_init_microcode; "
        "drivers/net/ethernet/intel/e100.c e100_request_firmware",
    ),
    Rule(
        Meaning.BROKEN,
        r"(?:amdgpu: )?Fatal error during GPU init$",
        "drivers/gpu/drm/amd/amdgpu/amdgpu_device.c, amdgpu_kms.c",
    ),
    Rule(
        Meaning.BROKEN,
        r"hardware init failed$",
        "drivers/net/wireless/mediatek/mt76/mt7921/init.c mt7921_init_work",
    ),
    Rule(
        Meaning.GAVE_UP,
        r"The DDP package file was not found or could not be read\. Entering Safe Mode$",
        "drivers/net/ethernet/intel/ice/ice_main.c ice_request_fw",
    ),
)
"""Of drivers; those that print nothing of their own are known by the loader's messages (mt76,
ath11k, brcmfmac, mwifiex and most others)."""

INITRD: Final = (
    Rule(
        Meaning.DECLARED,
        r"(?:dracut-install: |dracut\[[A-Z]\]: )*(?:Possible m|M)issing firmware "
        r"(?P<name>[^/\s]\S*) for kernel module \S+$",
        "dracut src/install/dracut-install.c install_firmware",
    ),
    Rule(
        Meaning.DECLARED,
        r"(?:W: )?Possible missing firmware (?P<path>/\S+) for (?:built-in driver|module) \S+$",
        "initramfs-tools hook-functions",
    ),
)
"""Of programs that make initrds; those are programs' words, not the kernel's."""

OLD_PROBE: Final = Rule(
    Meaning.BROKEN,
    rf"(?P<driver>\S+): probe of (?P<device>\S+) failed with error {_ERROR}$",
    "drivers/base/dd.c call_driver_probe, before Linux 6.10",
)
"""The one message that begins with the driver alone."""
