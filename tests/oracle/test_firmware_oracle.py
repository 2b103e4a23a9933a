"""Debian 13's kernel and firmware: our index and plans against kmod and dracut-install."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from conftest import DEBIAN_13, FIRMWARE_13
from firmware_kit import machine
from sysgraft.firmware.inventory import Machine
from sysgraft.firmware.kernel_view import KernelView
from sysgraft.firmware.make_index import make_index
from sysgraft.firmware.plan import Planner, PlanOptions
from sysgraft.firmware.rules import tables
from sysgraft.formats.alias_table import AliasTable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sysgraft.firmware.index import Index, Kernel
    from sysgraft.firmware.plan_document import Plan

pytestmark = [pytest.mark.oracle("firmware-13"), pytest.mark.oracle("debian-13")]

ROOT: Final = str(FIRMWARE_13)
LIBRARIES: Final = f"{ROOT}/usr/lib/x86_64-linux-gnu:{DEBIAN_13}/usr/lib/x86_64-linux-gnu"

# What these machines load, each name from the source named with it. Where the name depends on what
# a chip answers, it is the one such machines log.
NUC_13: Final = {
    # i915: intel_dmc.c, ADLP_DMC_PATH
    "i915/adlp_dmc.bin": "pci:v00008086d0000A7A0sv00008086sd00003037bc03sc00i00",
    # intel_uc_fw.c, INTEL_GUC_FIRMWARE_DEFS(ALDERLAKE_P)
    "i915/adlp_guc_70.bin": "pci:v00008086d0000A7A0sv00008086sd00003037bc03sc00i00",
    # intel_uc_fw.c, INTEL_HUC_FIRMWARE_DEFS(ALDERLAKE_P)
    "i915/tgl_huc.bin": "pci:v00008086d0000A7A0sv00008086sd00003037bc03sc00i00",
    # iwlwifi: cfg/ax210.c, iwlax211_2ax_cfg_so_gf_a0
    "iwlwifi-so-a0-gf-a0-89.ucode": "pci:v00008086d000051F1sv00008086sd00000094bc02sc80i00",
    "iwlwifi-so-a0-gf-a0.pnvm": "pci:v00008086d000051F1sv00008086sd00000094bc02sc80i00",
    # btintel.c, btintel_get_fw_name_tlv, CNVi 0040 with CNVr 0041
    "intel/ibt-0040-0041.sfi": "usb:v8087p0033d0000dcE0dsc01dp01icE0isc01ip01in00",
    "intel/ibt-0040-0041.ddc": "usb:v8087p0033d0000dcE0dsc01dp01icE0isc01ip01in00",
}
_PHOENIX: Final = "pci:v00001002d000015BFsv00001043sd00001E83bc03sc00i00"
_MT7922: Final = "pci:v000014C3d00000616sv00001A3Bsd00005300bc02sc80i00"
RYZEN: Final = {
    # amdgpu_dm.c, FIRMWARE_DCN_314_DMUB
    "amdgpu/dcn_3_1_4_dmcub.bin": _PHOENIX,
    # gfx_v11_0.c, MODULE_FIRMWARE of 11.0.1; imu_v11_0.c, mes_v11_0.c
    **dict.fromkeys(
        (f"amdgpu/gc_11_0_1_{part}.bin" for part in ("pfp", "me", "mec", "rlc", "imu")), _PHOENIX
    ),
    **dict.fromkeys((f"amdgpu/gc_11_0_1_mes{part}.bin" for part in ("1", "_2")), _PHOENIX),
    # psp_v13_0.c of 13.0.4
    "amdgpu/psp_13_0_4_ta.bin": _PHOENIX,
    "amdgpu/psp_13_0_4_toc.bin": _PHOENIX,
    # sdma_v6_0.c, amdgpu_vcn.c
    "amdgpu/sdma_6_0_1.bin": _PHOENIX,
    "amdgpu/vcn_4_0_2.bin": _PHOENIX,
    # mt792x.h, MT7922_FIRMWARE_WM, MT7922_ROM_PATCH
    "mediatek/WIFI_RAM_CODE_MT7922_1.bin": _MT7922,
    "mediatek/WIFI_MT7922_patch_mcu_1_1_hdr.bin": _MT7922,
    # btmtk.h, FIRMWARE_MT7922
    "mediatek/BT_RAM_CODE_MT7922_1_1_hdr.bin": "usb:v0489pE0D8d0100dcEFdsc02dp01icE0isc01ip01in00",
    # r8169_main.c, FIRMWARE_8168H_2
    "rtl_nic/rtl8168h-2.fw": "pci:v000010ECd00008168sv00001043sd0000208Fbc02sc00i00",
}
GUEST: Final = (
    "virtio:d00000001v00001AF4",
    "virtio:d00000002v00001AF4",
    "virtio:d00000010v00001AF4",
    "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00",
    "pci:v00008086d000029C0sv00001AF4sd00001100bc06sc00i00",
    "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
    "acpi:PNP0C0C:",
    "cpu:type:x86,ven0000fam0006mod00BA:feature:,0000,0001,009F,00C0",
)


@pytest.fixture(scope="module")
def index() -> Index:
    return make_index([ROOT], [ROOT])


@pytest.fixture(scope="module")
def kernel(index: Index) -> Kernel:
    (kernel,) = index.kernels
    return kernel


@pytest.fixture(scope="module")
def view(kernel: Kernel) -> KernelView:
    return KernelView(kernel)


def run(program: str, *arguments: str, name: str = "") -> str:
    """Run a program of Debian 13 on this system, whatever that is."""
    loader = f"{DEBIAN_13}/lib64/ld-linux-x86-64.so.2"
    words = [loader, "--argv0", name or program, "--library-path", LIBRARIES, f"{ROOT}/{program}"]
    done = subprocess.run([*words, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def modprobe(release: str, *arguments: str) -> list[str]:
    """What modprobe would do in Debian 13, in lines."""
    options = ("-C", "/dev/null", "-d", f"{ROOT}/usr", "-S", release)
    return run("usr/bin/kmod", *options, *arguments, name="modprobe").splitlines()


def test_nothing_of_debian_13_is_a_problem(kernel: Kernel) -> None:
    assert kernel.problems == ()
    assert kernel.architecture == "x86-64"
    assert len(kernel.modules) > 4000
    # What depmod wrote says nothing that the modules themselves do not.
    assert (kernel.aliases, kernel.depends, kernel.soft, kernel.weak) == ((), (), (), ())


def test_each_module_declares_what_modinfo_prints(kernel: Kernel) -> None:
    folder = f"{ROOT}/usr/lib/modules/{kernel.release}"
    with_files = [module for module in kernel.modules if module.path]
    asking = [module for module in with_files if module.firmware]
    assert len(asking) > 200
    for module in (*asking, *with_files[::100]):
        path = f"{folder}/{module.path}"
        for field, ours in (("firmware", module.firmware), ("alias", module.aliases)):
            printed = run("usr/bin/kmod", "-F", field, path, name="modinfo").split()
            assert list(dict.fromkeys(printed)) == list(ours), (module.name, field)


def modaliases(kernel: Kernel) -> list[str]:
    """Modaliases for every fortieth pattern, with something in place of what it leaves open."""
    patterns = [pattern for module in kernel.modules for pattern in module.aliases]
    return [concrete(pattern) for pattern in patterns[::40]]


def test_the_modules_of_a_modalias_are_modprobes(kernel: Kernel, view: KernelView) -> None:
    asked = modaliases(kernel)
    assert len(asked) > 500
    known = [*NUC_13.values(), *RYZEN.values(), *GUEST]
    for modalias in (*asked[::4], *dict.fromkeys(known)):
        theirs = {line.replace("-", "_") for line in modprobe(kernel.release, "-R", modalias)}
        ours = view.wanted_by(modalias)
        # kmod asks for built-in ones only where no module's alias matches.
        files = {name for name in ours if view.modules[name].path}
        assert (files or set(ours)) == theirs, modalias


def test_what_comes_along_is_what_modprobe_loads(kernel: Kernel, view: KernelView) -> None:
    names = [module.name for module in kernel.modules if module.firmware or module.soft]
    for name in names[::3]:
        lines = modprobe(kernel.release, "--show-depends", name)
        paths = [line.split()[1] for line in lines if line.startswith("insmod ")]
        theirs = {os.path.basename(path).partition(".")[0].replace("-", "_") for path in paths}
        ours = {each for each in view.family(name) if view.modules[each].path}
        assert ours == theirs, name


def dracut(kernel: Kernel, modules: Iterable[str], into: Path) -> set[str]:
    """Files and links of firmware that dracut installs for modules."""
    firmware = f"{ROOT}/usr/lib/firmware"
    folder = f"{ROOT}/usr/lib/modules/{kernel.release}"
    options = ("-D", str(into), "--kerneldir", folder, "--firmwaredirs", firmware)
    run("usr/lib/dracut/dracut-install", *options, "--silent", "-o", "-m", *modules)
    installed = into / firmware.lstrip("/")
    paths = (path for path in installed.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(installed)) for path in paths}


def chosen(plan: Plan) -> set[str]:
    return {file.path for file in plan.files} | {link.path for link in plan.links}


def by_rule_only(plan: Plan) -> set[str]:
    """Files no module declares, and the links that lead to them: dracut cannot know of these."""
    declared = {
        file.path
        for file in plan.files
        if any(reason.evidence == "declared" for reason in file.reasons)
    }
    named = {
        reason.name
        for file in plan.files
        for reason in file.reasons
        if reason.evidence == "declared"
    }
    return {path for path in chosen(plan) if path not in declared and path not in named}


def test_at_driver_level_we_take_what_dracut_takes(
    index: Index, kernel: Kernel, tmp_path: Path
) -> None:
    """Nothing of dracut's is missing, and what is more has a rule that names its source.

    These are ``intel/ibt-*`` (btintel makes the names itself), board files and chips that ath10k
    and brcmfmac do not declare, and the Wi-Fi that iwlwifi counts down to.
    """
    asking = [module.name for module in kernel.modules if module.firmware and module.path]
    assert len(asking) > 200
    plan = Planner(index).plan([Machine(architecture="x86-64", modules=tuple(asking))])
    theirs = dracut(kernel, asking, tmp_path)
    assert len(theirs) > 1000
    assert theirs - chosen(plan) == set()
    more = chosen(plan) - theirs
    assert more <= by_rule_only(plan)
    modules = {reason.module for file in plan.files if file.path in more for reason in file.reasons}
    assert modules == {"ath10k_pci", "brcmfmac", "btintel", "iwlwifi"}


@pytest.mark.parametrize("name", ["i915", "qla2xxx", "ath11k_pci", "r8169", "mt7921e", "nouveau"])
def test_one_driver_gets_what_dracut_gives_it(
    index: Index, kernel: Kernel, name: str, tmp_path: Path
) -> None:
    plan = Planner(index).plan([Machine(modules=(name,))])
    assert chosen(plan) == dracut(kernel, [name], tmp_path)


@pytest.mark.parametrize("profile", [NUC_13, RYZEN], ids=["nuc-13", "ryzen"])
def test_at_device_level_a_tenth_is_enough(index: Index, profile: dict[str, str]) -> None:
    planner = Planner(index)
    one = machine(*dict.fromkeys(profile.values()))
    whole, small = (planner.plan([one], PlanOptions(level=each)) for each in ("driver", "device"))
    assert set(profile) - chosen(small) == set()
    assert small.totals.size * 10 <= whole.totals.size
    assert chosen(small) <= chosen(whole)
    reasons = itertools.chain.from_iterable(file.reasons for file in small.files)
    assert {reason.evidence for reason in reasons} <= {"rule", "declared", "metainfo"}


@pytest.mark.parametrize("level", ["driver", "device"])
def test_a_guest_needs_nothing(index: Index, level: str) -> None:
    options = PlanOptions(level=level)  # type: ignore[arg-type]  # one of its two
    plan = Planner(index).plan([machine(*GUEST)], options)
    assert (plan.files, plan.links, plan.unresolved) == ((), (), ())


def concrete(pattern: str) -> str:
    """A modalias that a pattern matches."""
    chosen = re.sub(r"\[!?(.)[^]]*\]", r"\1", pattern)
    return chosen.replace("?", "0").replace("*", "0000")


def test_rules_ask_for_what_is_there(index: Index, view: KernelView) -> None:
    """Devices of a rule that this kernel drives need nothing beyond what the rule finds."""
    planner = Planner(index)
    lost = []
    for rule in tables.DEVICE_RULES:
        patterns = [p for name in rule.modules for p in view.modules[name].aliases]
        table = AliasTable((pattern, "rule") for pattern in rule.devices)
        devices = [each for each in map(concrete, patterns) if table.look_up(each)]
        plan = planner.plan([machine(*devices)], PlanOptions(level="device"))
        whole = re.findall(r"\w+", " ".join(plan.notes).partition("taken whole: ")[2])
        if devices and set(whole).intersection(rule.modules):
            lost.append(rule.what)
    assert lost == ["Qualcomm QCN9274"]  # which Debian has no firmware for
