"""Intel graphics, i915 and xe: display (DMC), graphics (GuC), media (HuC) and security (GSC).

Platforms are those of ``include/drm/intel/i915_pciids.h``. Where a driver knows several names for
one thing, it tries the newest first.
"""

from __future__ import annotations

from typing import Final

from sysgraft.firmware.rules.model import Rule, pci

_SOURCE: Final = (
    "drivers/gpu/drm/i915/gt/uc/intel_uc_fw.c (INTEL_GUC_FIRMWARE_DEFS, INTEL_HUC_FIRMWARE_DEFS), "
    "drivers/gpu/drm/i915/display/intel_dmc.c (dmc_firmware_default), "
    "include/drm/intel/i915_pciids.h"
)
_SKYLAKE: Final = """1902 1906 190A 190B 190E 1912 1913 1915 1916 1917 191A 191B 191D 191E 1921 1923
1926 1927 192A 192B 192D 1932 193A 193B 193D"""
_BROXTON: Final = "0A84 1A84 1A85 5A84 5A85"
_GEMINI_LAKE: Final = "3184 3185"
_KABY_LAKE: Final = """5902 5906 5908 590A 590B 590E 5912 5913 5915 5916 5917 591A 591B 591C 591D
591E 5921 5923 5926 5927 593B 87C0 87CA"""
_COFFEE_LAKE: Final = """3E90 3E91 3E92 3E93 3E94 3E96 3E98 3E99 3E9A 3E9B 3E9C 3EA0 3EA1 3EA2 3EA3
3EA4 3EA5 3EA6 3EA7 3EA8 3EA9"""
_COMET_LAKE: Final = """9B21 9B41 9BA2 9BA4 9BA5 9BA8 9BAA 9BAC 9BC2 9BC4 9BC5 9BC6 9BC8 9BCA 9BCC
9BE6 9BF6"""
_ICE_LAKE: Final = """8A50 8A51 8A52 8A53 8A54 8A56 8A57 8A58 8A59 8A5A 8A5B 8A5C 8A5D 8A70 8A71"""
_ELKHART_LAKE: Final = "4541 4551 4555 4557 4570 4571 4E51 4E55 4E57 4E61 4E71"
_TIGER_LAKE: Final = "9A40 9A49 9A59 9A60 9A68 9A70 9A78 9AC0 9AC9 9AD9 9AF8"
_ROCKET_LAKE: Final = "4C80 4C8A 4C8B 4C8C 4C90 4C9A"
_ALDER_LAKE_S: Final = """4680 4682 4688 468A 468B 4690 4692 4693 A780 A781 A782 A783 A788 A789 A78A
A78B"""
_ALDER_LAKE_P: Final = """4626 4628 462A 46A0 46A1 46A2 46A3 46A6 46A8 46AA 46B0 46B1 46B2 46B3 46C0
46C1 46C2 46C3 46D0 46D1 46D2 46D3 46D4 A720 A721 A7A0 A7A1 A7A8 A7A9 A7AA A7AB A7AC A7AD"""
_DG1: Final = "4905 4906 4907 4908 4909"
_DG2: Final = """5690 5691 5692 5693 5694 5695 5696 5697 56A0 56A1 56A2 56A3 56A4 56A5 56A6 56B0
56B1 56B2 56B3 56BA 56BB 56BC 56BD 56BE 56BF 56C0 56C1 56C2"""
_METEOR_LAKE: Final = "7D40 7D41 7D45 7D51 7D55 7D60 7D67 7DD1 7DD5 B640"
_LUNAR_LAKE: Final = "6420 64A0 64B0"
_BATTLEMAGE: Final = "E202 E20B E20C E20D E210 E211 E212 E215 E216"

# Platform, devices, and what they ask for.
_PLATFORMS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("Skylake", _SKYLAKE, ("skl_dmc*", "skl_guc_*", "skl_huc_*")),
    ("Broxton", _BROXTON, ("bxt_dmc*", "bxt_guc_*", "bxt_huc_*")),
    ("Gemini Lake", _GEMINI_LAKE, ("glk_dmc*", "glk_guc_*", "glk_huc_*")),
    (
        "Kaby Lake and Coffee Lake",
        f"{_KABY_LAKE} {_COFFEE_LAKE}",
        ("kbl_dmc*", "kbl_guc_*", "kbl_huc_*"),
    ),
    ("Comet Lake", _COMET_LAKE, ("kbl_dmc*", "kbl_guc_*", "kbl_huc_*", "cml_guc_*", "cml_huc_*")),
    ("Ice Lake", _ICE_LAKE, ("icl_dmc*", "icl_guc_*", "icl_huc_*")),
    ("Elkhart Lake and Jasper Lake", _ELKHART_LAKE, ("icl_dmc*", "ehl_guc_*", "ehl_huc_*")),
    (
        "Tiger Lake",
        _TIGER_LAKE,
        (
            "tgl_dmc*",
            "tgl_guc_70.bin",
            "tgl_guc_70.1.1.bin|tgl_guc_69*",
            "tgl_huc.bin",
            "tgl_huc_*",
        ),
    ),
    (
        "Rocket Lake",
        _ROCKET_LAKE,
        (
            "rkl_dmc*",
            "tgl_guc_70.bin",
            "tgl_guc_70.1.1.bin|tgl_guc_69*",
            "tgl_huc.bin",
            "tgl_huc_*",
        ),
    ),
    (
        "Alder Lake S and Raptor Lake S",
        _ALDER_LAKE_S,
        ("adls_dmc*", "tgl_guc_70.bin|tgl_guc_70.1.1.bin|tgl_guc_*", "tgl_huc.bin|tgl_huc_*"),
    ),
    (
        "Alder Lake P, N and Raptor Lake P, U",
        _ALDER_LAKE_P,
        (
            "adlp_dmc.bin|adlp_dmc_ver*",
            "adlp_guc_70.bin|adlp_guc_70.1.1.bin|adlp_guc_*",
            "tgl_huc.bin|tgl_huc_*",
        ),
    ),
    ("DG1", _DG1, ("dg1_dmc*", "dg1_guc_70.bin|dg1_guc_*", "dg1_huc.bin|dg1_huc_*")),
    ("DG2 and ATS-M", _DG2, ("dg2_dmc*", "dg2_guc_70.bin|dg2_guc_*", "dg2_huc_gsc.bin|dg2_huc*")),
    (
        "Meteor Lake and Arrow Lake",
        _METEOR_LAKE,
        (
            "mtl_dmc.bin|mtl_dmc*",
            "mtl_guc_70.bin|mtl_guc_*",
            "mtl_huc_gsc.bin|mtl_huc*",
            "mtl_gsc_*",
        ),
    ),
    ("Lunar Lake", _LUNAR_LAKE, ("xe2lpd_dmc*", "lnl_guc_*", "lnl_huc*", "lnl_gsc_*")),
    ("Battlemage", _BATTLEMAGE, ("bmg_dmc*", "bmg_guc_*", "bmg_huc*")),
)


def _ask(names: str) -> str:
    """Names in the folders of both drivers, ``i915/`` and ``xe/``."""
    return "|".join(f"*/{name}" for name in names.split("|"))


RULES: Final = tuple(
    Rule(
        f"Intel graphics: {what}",
        ("i915", "xe"),
        pci("8086", devices),
        tuple(map(_ask, asks)),
        _SOURCE,
    )
    for what, devices, asks in _PLATFORMS
)
