"""Sound, input, network and processors: names that are made at run time and declared nowhere."""

from __future__ import annotations

from typing import Final

from sysgraft.firmware.rules.model import Rule, pci

_SOF: Final = "sound/soc/sof/sof-pci-dev.c (sof_pci_probe), sound/soc/sof/fw-file-profile.c"
_SOF_INTEL: Final = (
    "snd_sof_pci_intel_apl",
    "snd_sof_pci_intel_cnl",
    "snd_sof_pci_intel_icl",
    "snd_sof_pci_intel_lnl",
    "snd_sof_pci_intel_mtl",
    "snd_sof_pci_intel_skl",
    "snd_sof_pci_intel_tgl",
    "snd_sof_acpi_intel_bdw",
    "snd_sof_acpi_intel_byt",
)
_SOF_AMD: Final = (
    "snd_sof_amd_acp63",
    "snd_sof_amd_acp70",
    "snd_sof_amd_rembrandt",
    "snd_sof_amd_renoir",
    "snd_sof_amd_vangogh",
)
_R8169: Final = "drivers/net/ethernet/realtek/r8169_main.c (rtl_chip_infos)"


def _undeclared(what: str, modules: tuple[str, ...], source: str, *asks: str) -> Rule:
    return Rule(what, modules, (), asks, source, "medium")


HELPERS: Final = (
    (
        "ccp",
        "AMD's security processor loads it for itself; kvm_amd wants the module's functions",
        "drivers/crypto/ccp/sev-dev.c (sev_get_firmware, from sev_update_firmware)",
    ),
)
"""Modules with devices of their own that others load too: their firmware is for those devices.
Name, what is known, and the source."""

RULES: Final = (
    _undeclared(
        "Sound Open Firmware on Intel",
        _SOF_INTEL,
        _SOF,
        "+intel/sof*/*",
        "+intel/sof*/*/*",
        "+intel/sof*/*/*/*",
    ),
    _undeclared("Sound Open Firmware on AMD", _SOF_AMD, _SOF, "+amd/sof*/*", "+amd/sof/*/*"),
    _undeclared(
        "Cirrus CS35L41 amplifiers, by the laptop's subsystem",
        ("snd_hda_scodec_cs35l41", "snd_soc_cs35l41"),
        "sound/pci/hda/cs35l41_hda.c (cs35l41_request_firmware_files)",
        "+cirrus/cs35l41*",
        "+cirrus/cs35l41/*/*",
        "+cs35l41*",
    ),
    _undeclared(
        "Cirrus CS35L54 to CS35L63 amplifiers, by the laptop's subsystem",
        ("snd_hda_scodec_cs35l56", "snd_soc_cs35l56"),
        "sound/pci/hda/cs35l56_hda.c (cs35l56_hda_request_firmware_files)",
        "+cirrus/cs35l5*",
        "+cirrus/cs35l63*",
        "+cirrus/cs35l56/*",
    ),
    _undeclared(
        "TI TAS2781 amplifiers, by the laptop's subsystem",
        ("snd_hda_scodec_tas2781_i2c", "snd_soc_tas2781_i2c", "snd_soc_tas2781_fmwlib"),
        "sound/pci/hda/tas2781_hda_i2c.c (tasdev_fw_ready)",
        "+TAS2XXX*.bin",
        "+TIAS2781RCA*.bin",
        "+INT8866RCA*.bin",
        "+ti/tas2781/*",
    ),
    _undeclared(
        "Goodix touch screens, by the panel",
        ("goodix_ts",),
        "drivers/input/touchscreen/goodix.c (goodix_configure_dev)",
        "+goodix_*",
        "+goodix/*",
    ),
    _undeclared(
        "Silead touch screens, by the ACPI or devicetree name",
        ("silead",),
        "drivers/input/touchscreen/silead.c (silead_ts_load_fw)",
        "+silead/*",
    ),
    _undeclared(
        "Elan touch screens in recovery",
        ("elants_i2c",),
        "drivers/input/touchscreen/elants_i2c.c (elants_i2c_fw_update)",
        "+elants_i2c_*.bin",
    ),
    _undeclared(
        "NXP Bluetooth on a serial line",
        ("btnxpuart",),
        "drivers/bluetooth/btnxpuart.c (nxp_request_firmware)",
        "+nxp/*",
    ),
    Rule("Realtek RTL8125", ("r8169",), pci("10EC", "8125 3000"), ("rtl_nic/rtl8125*",), _R8169),
    Rule("Realtek RTL8126", ("r8169",), pci("10EC", "8126"), ("rtl_nic/rtl8126*",), _R8169),
)
