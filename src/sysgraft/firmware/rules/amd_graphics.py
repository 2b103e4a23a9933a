"""AMD graphics, amdgpu: files are named by chip, or by the version of each block for newer chips.

Chips before 2021 are told by their PCI device alone (``pciidlist``). Newer ones tell the versions
of their blocks themselves (``CHIP_IP_DISCOVERY``); those whose versions are known are below, others
have no rule.
"""

from __future__ import annotations

from typing import Final

from sysgraft.firmware.rules.model import Rule, pci

_BY_CHIP: Final = "drivers/gpu/drm/amd/amdgpu/amdgpu_drv.c (pciidlist)"
_BY_BLOCK: Final = (
    "drivers/gpu/drm/amd/amdgpu/amdgpu_discovery.c (amdgpu_discovery_set_*_ip_blocks), "
    "https://gitlab.freedesktop.org/mesa/drm/-/blob/main/data/amdgpu.ids"
)

# Chip, whose name leads its files' names, and devices.
_CHIPS: Final = """
verde    682? 683?
hainan   6660 6663 6664 6665 6667 666F
kaveri   130? 131?
bonaire  6640 6641 6646 6647 6649 6650 6651 6658 665C 665D 665F
hawaii   67A0 67A1 67A2 67A8 67A9 67AA 67B0 67B1 67B8 67B9 67BA 67BE
kabini   983?
mullins  985?
topaz    6900 6901 6902 6903 6907
tonga    6920 6921 6928 6929 692B 692F 6930 6938 6939
fiji     7300 730F
carrizo  9870 9874 9875 9876 9877
stoney   98E4
polaris11 67E0 67E1 67E3 67E7 67E8 67E9 67EB 67EF 67FF
polaris10 67C0 67C1 67C2 67C4 67C7 67C8 67C9 67CA 67CC 67CF 67D0 67DF 6FDF
polaris12 6980 6981 6985 6986 6987 6995 6997 699F
vegam    694C 694E 694F
vega10   6860 6861 6862 6863 6864 6867 6868 6869 686A 686B 686C 686D 686E 686F 687F
vega12   69A0 69A1 69A2 69A3 69AF
vega20   66A0 66A1 66A2 66A3 66A4 66A7 66AF
raven,raven2,picasso 15DD 15D8
arcturus 7388 738C 738E 7390
navi10   7310 7312 7318 7319 731A 731B 731E 731F
navi14   7340 7341 7347 734F
renoir,green_sardine 15E7 1636 1638 164C
navi12   7360 7362
sienna_cichlid 73A0 73A1 73A2 73A3 73A5 73A8 73A9 73AB 73AC 73AD 73AE 73AF 73BF
vangogh  163F
yellow_carp 164D 1681
navy_flounder 73C0 73C1 73C3 73DA 73DB 73DC 73DD 73DE 73DF
dimgrey_cavefish 73E0 73E1 73E2 73E3 73E8 73E9 73EA 73EB 73EC 73ED 73EF 73FF
aldebaran 7408 740C 740F 7410
beige_goby 7420 7421 7422 7423 743F
"""
# What it is called, blocks, and devices.
_BLOCKS: Final = """
Raphael          gc_10_3_6 psp_13_0_5 sdma_5_2_6 dcn_3_1_5 vcn_3_1_2 : 164E
Phoenix          gc_11_0_1 psp_13_0_4 sdma_6_0_1 dcn_3_1_4 vcn_4_0_2 : 15BF
Phoenix-2 gc_11_0_[14] psp_13_0_4 psp_13_0_11 sdma_6_0_1 dcn_3_1_4 vcn_4_0_2 : 15C8 1900 1901
Navi-31          gc_11_0_0 psp_13_0_0 smu_13_0_0 sdma_6_0_0 dcn_3_2_0 vcn_4_0_0 : 7448 744C
Navi-32          gc_11_0_3 psp_13_0_10 smu_13_0_10 sdma_6_0_3 dcn_3_2_0 vcn_4_0_0 : 7470 747E
Navi-33          gc_11_0_2 psp_13_0_7 smu_13_0_7 sdma_6_0_2 dcn_3_2_1 vcn_4_0_4 : 7480
"""


def _chip_rule(line: str) -> Rule:
    chips, _, devices = line.partition(" ")
    names = chips.split(",")
    asks = tuple(f"amdgpu/{name}_*" for name in names)
    what = f"AMD graphics: {', '.join(names)}"
    return Rule(what, ("amdgpu",), pci("1002", devices), asks, _BY_CHIP)


def _block_rule(line: str) -> Rule:
    (what, *blocks), devices = line.partition(":")[0].split(), line.partition(":")[2]
    asks = tuple(ask for block in blocks for ask in (f"amdgpu/{block}.bin", f"amdgpu/{block}_*"))
    title = f"AMD graphics: {what.replace('-', ' ')}"
    return Rule(title, ("amdgpu",), pci("1002", devices), asks, _BY_BLOCK, "medium")


RULES: Final = (
    *(_chip_rule(line) for line in _CHIPS.strip().splitlines()),
    *(_block_rule(line) for line in _BLOCKS.strip().splitlines()),
)
