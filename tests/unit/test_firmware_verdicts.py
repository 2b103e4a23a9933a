"""Which missed firmware files matter."""

from __future__ import annotations

import pytest

from sysgraft.firmware import fallbacks
from sysgraft.firmware.inventory import Device, Failure, Loaded, Machine
from sysgraft.firmware.verdicts import Need, Verdict, judge

CARD = "pci:0000:00:14.3"


def missed(name: str, message: str = "", *, device: str = CARD, cured: bool = False) -> Failure:
    text = message or f"x 0000:00:14.3: Direct firmware load for {name} failed with error -2"
    return Failure(name, text, device, "x", 2, cured)


def machine(
    *failures: Failure, driver: str | None = None, loaded: tuple[str, ...] = ()
) -> list[Need]:
    known = () if driver is None else (Device("pci", "0000:00:14.3", "pci:v1", driver=driver),)
    return judge(
        Machine(
            failures=failures,
            devices=known,
            loaded=tuple(Loaded(name, device=CARD) for name in loaded),
        )
    )


GAVE_UP = missed("", "iwlwifi 0000:00:14.3: no suitable firmware found!")
PROBE = missed("", "x 0000:00:14.3: probe with driver x failed with error -22")
RUNGS = tuple(missed(f"iwlwifi-so-a0-gf-a0-{number}.ucode") for number in (89, 88, 87))


def verdicts(needs: list[Need]) -> list[Verdict]:
    return [need.verdict for need in needs]


def test_a_plain_miss() -> None:
    (need,) = machine(missed("rtw88/rtw8821a_fw.bin"), PROBE, driver="")
    assert (need.verdict, need.names) == (Verdict.MISSING, ("rtw88/rtw8821a_fw.bin",))
    assert (need.owner, need.driver, need.error) == (CARD, "x", 2)
    assert len(need.messages) == 2


def test_a_bound_device_may_lack_firmware() -> None:
    assert verdicts(machine(missed("rtl_nic/a.fw"), driver="r8169")) == [Verdict.MISSING]


def test_a_device_that_could_not_be_probed_and_is_bound_now() -> None:
    assert verdicts(machine(missed("a.bin"), PROBE, driver="x")) == [Verdict.CURED]
    assert verdicts(machine(missed("a.bin"), PROBE, driver="vfio-pci")) == [Verdict.MISSING]
    assert verdicts(machine(missed("a.bin", cured=True))) == [Verdict.CURED]


def test_what_was_loaded_is_not_missed() -> None:
    assert machine(missed("a.bin"), loaded=("a.bin",)) == []


def test_a_ladder_that_was_climbed() -> None:
    (need,) = machine(*RUNGS, loaded=("iwlwifi-so-a0-gf-a0-72.ucode",))
    assert need.verdict is Verdict.LADDER
    assert need.why == "iwlwifi-so-a0-gf-a0-72.ucode came instead"
    assert verdicts(machine(*RUNGS)) == [Verdict.LADDER]
    assert verdicts(machine(*RUNGS, driver="iwlwifi")) == [Verdict.LADDER]


@pytest.mark.parametrize(("more", "driver"), [((GAVE_UP,), None), ((), ""), ((PROBE,), None)])
def test_a_ladder_that_leads_nowhere(more: tuple[Failure, ...], driver: str | None) -> None:
    (need,) = machine(*RUNGS, *more, driver=driver)
    assert need.verdict is Verdict.MISSING
    assert len(need.names) == 3


def test_another_ladder_that_was_climbed_is_another_matter() -> None:
    found = machine(*RUNGS, GAVE_UP, loaded=("i915/adlp_dmc.bin",))
    assert verdicts(found) == [Verdict.MISSING]


def test_a_ladder_of_two_rungs() -> None:
    rungs = [missed(f"bnx2x/bnx2x-e2-7.13.{number}.0.fw") for number in (21, 15)]
    assert verdicts(machine(rungs[0], driver="bnx2x")) == [Verdict.LADDER]
    assert verdicts(machine(*rungs, driver="bnx2x")) == [Verdict.MISSING]


def test_a_driver_that_says_itself_that_no_rung_was_there() -> None:
    first = missed("i915/adlp_dmc.bin")
    second = missed(
        "i915/adlp_dmc_ver2_16.bin",
        "i915 0000:00:02.0: [drm] Failed to load DMC firmware i915/adlp_dmc_ver2_16.bin. Disabling",
    )
    (need,) = machine(first, second, driver="i915")
    assert need.verdict is Verdict.MISSING
    assert need.names == ("i915/adlp_dmc.bin", "i915/adlp_dmc_ver2_16.bin")
    assert verdicts(machine(first, driver="i915")) == [Verdict.LADDER]


@pytest.mark.parametrize(
    "name",
    ["iwl-debug-yoyo.bin", "regulatory.db", "amdgpu/ip_discovery.bin", "amdgpu/psp_13_0_4_ta.bin",
     "intel/ibt-0040-0041.ddc", "rtl_bt/rtl8761bu_config.bin", "brcm/brcmfmac43455-sdio.clm_blob",
     "iwl-dbg-cfg.ini", "nouveau/nv84_xuc103", "nouveau/nve7_fuc084",
     "brcm/brcmfmac43602-pcie.txt", "brcm/brcmfmac43602-pcie.Apple Inc.-MacBookPro14,1.txt",
     "ath10k/cal-pci-0000:01:00.0.bin", "intel-ucode/06-9e-0a", "amd/amd_sev_fam19h_model0xh.sbin"],
)  # fmt: skip
def test_what_is_optional(name: str) -> None:
    (need,) = machine(missed(name), PROBE, driver="")
    assert need.verdict is Verdict.OPTIONAL
    assert need.why


def test_a_boards_own_name() -> None:
    board = "brcm/brcmfmac43455-sdio.raspberrypi,4-model-b.bin"
    generic = "brcm/brcmfmac43455-sdio.bin"
    assert fallbacks.generic(board) == generic
    assert verdicts(machine(missed(board))) == [Verdict.BOARD]
    assert verdicts(machine(missed(board), loaded=(generic,))) == [Verdict.BOARD]
    (need,) = machine(missed(board), missed(generic))
    assert (need.verdict, need.names) == (Verdict.MISSING, (board, generic))
    assert verdicts(machine(missed(board), driver="")) == [Verdict.MISSING]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("iwlwifi-so-a0-gf-a0-89.ucode", "iwlwifi-so-a0-gf-a0"),
        ("iwlwifi-bz-b0-gf-a0-c102.ucode", "iwlwifi-bz-b0-gf-a0"),
        ("i915/adlp_dmc_ver2_16.bin", "i915/adlp_dmc"),
        ("i915/adlp_dmc.bin", "i915/adlp_dmc"),
        ("i915/tgl_huc_7.9.3.bin", "i915/tgl_huc"),
        ("xe/lnl_guc_70.bin", "xe/lnl_guc"),
        ("ath9k_htc/htc_9271-1.4.0.fw", "ath9k_htc/htc_9271"),
        ("ath10k/QCA6174/hw3.0/firmware-6.bin", "ath10k/QCA6174/hw3.0/firmware"),
        ("ath10k/QCA6174/hw3.0/board-2.bin", "ath10k/QCA6174/hw3.0/board"),
        ("ath10k/QCA9377/hw1.0/firmware-sdio-5.bin", "ath10k/QCA9377/hw1.0/firmware-sdio"),
        ("ath10k/QCA6174/hw3.0/board-pci-168c:003e:1a56:1535.bin", "ath10k/QCA6174/hw3.0/board"),
        ("bnx2x/bnx2x-e2-7.13.21.0.fw", "bnx2x/bnx2x-e2"),
        ("rtw89/rtw8852b_fw-1.bin", "rtw89/rtw8852b_fw"),
        ("rtw88/rtw8821a_fw.bin", ""),
        ("iwlwifi-so-a0-gf-a0.pnvm", ""),
    ],
)
def test_ladders(name: str, step: str) -> None:
    assert fallbacks.ladder(name) == step


def test_a_driver_that_does_not_say_which_file() -> None:
    (need,) = machine(GAVE_UP)
    assert (need.verdict, need.names) == (Verdict.MISSING, ())


def test_words_of_a_driver_whose_device_is_known() -> None:
    words = Failure("", "NVRM: RmFetchGspRmImages: No firmware image found", driver="x")
    assert len(machine(words)) == 1
    (need,) = machine(missed("nvidia/gsp.bin"), words)
    assert need.names == ("nvidia/gsp.bin",)


def test_devices_are_judged_apart() -> None:
    found = machine(missed("a.bin"), missed("b.bin", device="usb:1-1"))
    assert [need.owner for need in found] == [CARD, "usb:1-1"]
