"""Which missed firmware files mean nothing, as data: drivers try further names, or do without.

Three kinds. *Optional*: the device works without. *Ladder*: a driver asks for several versions, the
newest it knows first, and takes the first that is there. *Board*: a name made of the machine's or
the device's own identity is asked for before the generic one. Sources are files and functions of
Linux. Whether a ladder was climbed in vain is decided by `sysgraft.firmware.verdicts`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Dispensable(NamedTuple):
    """Names that a device works without.

    Attributes:
        pattern: of the whole name.
        why: what is missing then.
        source: who asks.
    """

    pattern: str
    why: str
    source: str


OPTIONAL: Final = (
    Dispensable(
        r"iwl-debug-yoyo\.bin",
        "settings for debugging",
        "drivers/net/wireless/intel/iwlwifi/iwl-dbg-tlv.c iwl_dbg_tlv_load_bin",
    ),
    Dispensable(
        r"iwl-dbg-cfg\.ini",
        "settings for debugging",
        "Intel's backported iwlwifi",
    ),
    Dispensable(
        r"nouveau/nv(?:[0-9a-f]{2}_fuc[0-9a-f]{3}[cd]?|84_xuc[0-9a-f]{3})",
        "video is decoded without the card",
        "drivers/gpu/drm/nouveau/nvkm/engine/falcon.c, xtensa.c",
    ),
    Dispensable(
        r"(?:brcm|cypress)/[\w-]+-pcie(?:\..+)?\.txt",
        "the card's own settings count",
        "drivers/net/wireless/broadcom/brcm80211/brcmfmac/pcie.c brcmf_pcie_prepare_fw_request",
    ),
    Dispensable(
        r"amdgpu/ip_discovery\.bin",
        "the chip itself says what is in it",
        "drivers/gpu/drm/amd/amdgpu/amdgpu_discovery.c",
    ),
    Dispensable(
        r"amdgpu/\w+_(?:ta|cap)\.bin",
        "trusted applications and virtual functions do without",
        "drivers/gpu/drm/amd/amdgpu psp_init_ta_microcode, psp_init_cap_microcode",
    ),
    Dispensable(
        r"regulatory\.db(?:\.p7s)?",
        "wireless devices keep to the rules of the world, with fewer channels",
        "net/wireless/reg.c regdb_fw_cb",
    ),
    Dispensable(
        r"intel/ibt-.*\.ddc",
        "the controller keeps its default settings",
        "drivers/bluetooth/btintel.c btintel_load_ddc_config",
    ),
    Dispensable(
        r"rtl_bt/\w+_config(?:-[\w.]+)?\.bin",
        "the controller keeps its default settings",
        "drivers/bluetooth/btrtl.c btrtl_initialize",
    ),
    Dispensable(
        r"(?:brcm|cypress)/.*\.(?:clm|txcap)_blob",
        "fewer channels",
        "drivers/net/wireless/broadcom/brcm80211/brcmfmac/common.c brcmf_c_process_clm_blob",
    ),
    Dispensable(
        r"ath10k/(?:pre-)?cal-.*\.bin",
        "calibration comes from the device",
        "drivers/net/wireless/ath/ath10k/core.c ath10k_core_fetch_firmware_files",
    ),
    Dispensable(
        r"(?:intel-ucode/[0-9a-f-]+|amd-ucode/microcode_amd\w*\.bin)",
        "the processor keeps the microcode it has",
        "arch/x86/kernel/cpu/microcode",
    ),
    Dispensable(
        r"amd/amd_sev_\w+\.sbin",
        "the secure processor keeps the firmware it has",
        "drivers/crypto/ccp/sev-dev.c sev_get_firmware",
    ),
)


class _Ladder(NamedTuple):
    """Names that stand for each other.

    Attributes:
        pattern: of the whole name; group 1 is what all rungs share.
        rungs: how many there are; 0 where the driver says itself that none was there.
    """

    pattern: str
    rungs: int = 0


_LADDERS: Final = (
    # iwl-drv.c iwl_request_firmware: the version counts down.
    _Ladder(r"(iwlwifi-.+?)-c?\d+\.ucode"),
    # intel_uc_fw.c, intel_dmc.c, xe_uc_fw.c: without and with a version.
    _Ladder(r"((?:i915|xe)/\w+?_(?:dmc|guc|huc|gsc))(?:_ver[\d_]+|_[\d.]+)?\.bin"),
    # ath9k/hif_usb.c ath9k_hif_request_firmware
    _Ladder(r"(ath9k_htc/htc_\w+)-[\d.]+\.fw"),
    # ath10k/core.c ath10k_core_fetch_firmware_files
    _Ladder(r"(ath10k/.+/firmware(?:-[a-z]+)?)-\d+\.bin"),
    # ath10k/core.c ath10k_core_fetch_board_file, of old kernels too; ath11k and ath12k alike
    _Ladder(r"(ath1[012]k/.+/board)(?:-2|-pci-[0-9a-f:]+)?\.bin", 2),
    # rtw89/fw.c rtw89_early_fw_feature_recognize
    _Ladder(r"(rtw89/\w+_fw)(?:-\d+)?\.bin"),
    # bnx2x_main.c bnx2x_init_firmware
    _Ladder(r"(bnx2x/bnx2x-e\w+)-[\d.]+\.fw", 2),
)
_COMPILED_LADDERS: Final = tuple((each, re.compile(each.pattern)) for each in _LADDERS)
_COMPILED_OPTIONAL: Final = tuple((each, re.compile(each.pattern)) for each in OPTIONAL)

# A board's own name, and the generic one.
_BOARDS: Final = (
    # brcmfmac/firmware.c brcm_alt_fw_path: the board's type before the suffix.
    (re.compile(r"((?:brcm|cypress)/(?:brcmfmac|cyfmac)[\w-]+)\..+\.(bin|txt)"), r"\1.\2"),
    # ice_main.c ice_get_opt_fw_name: the device's serial number.
    (re.compile(r"(intel/ice/ddp/ice)-[0-9a-fx]{16}(\.pkg)"), r"\1\2"),
    # sound/pci/hda/cs35l41_hda.c: the subsystem's ID.
    (re.compile(r"((?:cirrus/)?cs35l\d\d-dsp1-spk-\w+)-.+(\.wmfw|\.bin)"), r"\1\2"),
)


def optional(name: str) -> Dispensable | None:
    """Why a device works without a file; None if it may not."""
    return next((each for each, pattern in _COMPILED_OPTIONAL if pattern.fullmatch(name)), None)


def ladder(name: str) -> str:
    """What all rungs of the ladder have in common that a name is of; empty if it is of none."""
    for _, pattern in _COMPILED_LADDERS:
        found = pattern.fullmatch(name)
        if found is not None:
            return found[1]
    return ""


def is_whole(names: tuple[str, ...]) -> bool:
    """Whether names of one ladder are all that a driver knows of it."""
    return any(
        pattern.fullmatch(names[0]) is not None and 0 < each.rungs <= len(names)
        for each, pattern in _COMPILED_LADDERS
    )


def generic(name: str) -> str:
    """The name that is asked for after one that is made for a board; empty if it is no such."""
    for pattern, replacement in _BOARDS:
        found = pattern.fullmatch(name)
        if found is not None:
            return found.expand(replacement)
    return ""
