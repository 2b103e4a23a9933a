"""Re-probing on machines in folders: which steps are taken, in which order, and when they end."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Final

import pytest

from reprobe_kit import RELEASE, Kit, kit_in
from sysgraft.errors import OutputError, ToolError, UsageError
from sysgraft.firmware.inventory import Failure
from sysgraft.firmware.reprobe.guards import parse_allowed
from sysgraft.testing.sysfs_control import Behaviour

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.firmware.reprobe.report import DeviceReport

HUB: Final = "pci0000:00/0000:00:14.0/usb1"
DONGLE: Final = f"{HUB}/1-4"
INTERFACE: Final = "usb:1-4:1.0"
FIRMWARE: Final = "rtw88/rtw8821a_fw.bin"
MISSED: Final = Failure(
    name=FIRMWARE,
    message=f"Direct firmware load for {FIRMWARE} failed with error -2",
    device=INTERFACE,
    driver="rtw_8821au",
)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """The published example: a dongle whose firmware has come since."""
    kit = kit_in(tmp_path)
    dongle(kit, Behaviour(driver="rtw_8821au", firmware=FIRMWARE, thing="net/wlan0"))
    kit.machine.text(f"usr/lib/firmware/{FIRMWARE}", "firmware")
    return kit


def dongle(kit: Kit, behaviour: Behaviour) -> None:
    machine = kit.machine
    machine.device("pci:0000:00:14.0", "pci0000:00/0000:00:14.0", bound="xhci_hcd")
    machine.device("usb:usb1", HUB, bound="usb", authorized="1")
    machine.device("usb:1-0:1.0", f"{HUB}/1-0:1.0", bound="hub", authorized="1")
    machine.device("usb:1-4", DONGLE, bound="usb", authorized="1")
    machine.device(
        INTERFACE,
        f"{DONGLE}/1-4:1.0",
        behaviour,
        authorized="1",
        modalias="usb:v2357p011Ed0200dc00dsc00dp00icFFiscFFipFFin00",
    )


def steps(report: DeviceReport) -> list[tuple[str, str]]:
    return [(step.name, step.status) for step in report.steps]


# --- The ladder ----------------------------------------------------------------------------------


def test_the_first_step_that_helps_is_the_last(kit: Kit) -> None:
    before = kit.machine.bindings()
    report = kit.one(all_failed=True, failures=(MISSED,))
    assert (report.status, report.driver) == ("recovered", "rtw_8821au")
    assert (report.evidence, report.why) == ("message", f"it missed {FIRMWARE}")
    assert steps(report) == [("probe", "helped")]
    assert kit.machine.writes == [("sys/bus/usb/drivers_probe", "1-4:1.0")]
    after = kit.machine.bindings()
    assert after.pop(INTERFACE)[0] == "rtw_8821au"
    assert after == before


@pytest.mark.parametrize(
    ("attribute", "helpful"),
    [("uevent", "module"), ("authorized", "interface")],
)
def test_steps_are_taken_until_one_helps(kit: Kit, attribute: str, helpful: str) -> None:
    kit.machine.behaviours[INTERFACE].only_after = attribute
    report = kit.one(INTERFACE)
    assert report.status == "recovered"
    assert steps(report)[-1] == (helpful, "helped")
    names = [name for name, _ in steps(report)]
    assert names == ["probe", "module", "interface"][: len(names)]


def test_a_device_that_never_binds_is_given_up_after_each_step_was_taken_once(kit: Kit) -> None:
    kit.machine.behaviours[INTERFACE] = Behaviour()
    result = kit.reprobe(INTERFACE)
    (report,) = result.devices
    assert not result.ok
    assert (report.status, report.driver) == ("failed", "")
    names = [name for name, _ in steps(report)]
    assert names == ["probe", "module", "interface", "usb-device"]
    # Whatever was taken away is given back.
    authorized = [value for path, value in kit.machine.writes if path.endswith("authorized")]
    assert authorized == ["0", "1", "0", "1"]
    assert kit.machine.bound("usb:1-4") == "usb"


def test_what_nobody_authorized_stays_so(kit: Kit) -> None:
    kit.machine.behaviours[INTERFACE] = Behaviour()
    for place in (DONGLE, f"{DONGLE}/1-4:1.0"):
        (kit.root / f"sys/devices/{place}/authorized").write_text("0\n")
    report = kit.one(INTERFACE)
    assert [name for name, _ in steps(report)] == ["probe", "module"]
    assert not any(path.endswith("authorized") for path, _ in kit.machine.writes)


def test_the_firmware_that_is_still_missing_costs_no_success(kit: Kit) -> None:
    (kit.root / "usr/lib/firmware" / FIRMWARE).unlink()
    assert kit.one(INTERFACE).status == "failed"


def test_nothing_is_done_before_the_firmware_is_there(kit: Kit) -> None:
    (kit.root / "usr/lib/firmware" / FIRMWARE).unlink()
    (kit.root / "lib").symlink_to("usr/lib")
    report = kit.reprobe(INTERFACE, firmware=(FIRMWARE,))
    assert (report.ok, report.waits_for, report.devices) == (True, (FIRMWARE,), ())
    assert kit.machine.writes == []
    kit.machine.text(f"usr/lib/firmware/updates/{FIRMWARE}.zst", "packed")
    assert kit.one(INTERFACE, firmware=(FIRMWARE,)).evidence == "named"


def test_a_usb_device_stands_for_its_interfaces_without_driver(kit: Kit) -> None:
    assert kit.one("usb:1-4").device == INTERFACE


def test_a_named_device_that_has_its_driver_is_left_alone(kit: Kit) -> None:
    report = kit.one("usb:1-0:1.0")
    assert (report.status, report.steps) == ("in-order", ())
    assert kit.machine.writes == []


def test_a_driver_is_taken_away_where_that_was_asked_for(kit: Kit) -> None:
    path = "pci0000:00/0000:00:02.0"
    behaviour = Behaviour(driver="i915", thing="drm/card0")
    kit.machine.device("pci:0000:00:02.0", path, behaviour, bound="i915", **{"class": "0x030000"})
    before = kit.machine.bindings()["pci:0000:00:02.0"]
    kit.programs.failures["devlink"] = "devlink answers: Operation not supported"
    report = kit.one("pci:0000:00:02.0", rebind=True)
    assert (report.status, report.things) == ("recovered", ("drm/card0",))
    assert steps(report) == [("devlink", "refused"), ("rebind", "helped")]
    assert kit.machine.bindings()["pci:0000:00:02.0"] != before


def test_a_driver_that_made_nothing_of_its_device_is_started_anew(kit: Kit) -> None:
    """Its probe succeeded without the firmware; the interface never came."""
    path = "pci0000:00/0000:02:00.0"
    facts = {"class": "0x028000"}
    kit.machine.device("pci:0000:02:00.0", path, Behaviour(), bound="iwlwifi", **facts)
    kit.machine.behaviours["pci:0000:02:00.0"] = Behaviour(driver="iwlwifi", thing="net/wlan0")
    missed = Failure(name="iwlwifi.ucode", message="", device="pci:0000:02:00.0")
    report = kit.one(all_failed=True, failures=(missed,))
    assert (report.status, report.things) == ("recovered", ("net/wlan0",))


def test_a_message_about_a_device_that_works_is_not_acted_on(kit: Kit) -> None:
    """Drivers try one file after the other."""
    missed = Failure(name="x", message="", device="usb:1-0:1.0")
    assert kit.one(all_failed=True, failures=(missed,)).status == "in-order"


def test_network_drivers_that_ask_when_the_interface_is_brought_up(kit: Kit) -> None:
    kit.machine.device("pci:0000:03:00.0", "pci0000:00/0000:03:00.0", bound="r8169")
    assert kit.one("pci:0000:03:00.0").status == "on-open"


def test_a_pci_device_is_reset_and_at_last_found_anew(kit: Kit) -> None:
    path = "pci0000:00/0000:02:00.0"
    behaviour = Behaviour(driver="ath11k_pci", only_after="remove")
    kit.machine.device("pci:0000:02:00.0", path, behaviour, reset="", remove="")
    report = kit.one("pci:0000:02:00.0")
    assert steps(report) == [("probe", "done"), ("reset", "done"), ("rescan", "helped")]
    assert kit.machine.writes[-1][0] == "sys/bus/pci/rescan"
    assert kit.machine.bound("pci:0000:02:00.0") == "ath11k_pci"
    bridge = kit.machine.device("pci:0000:00:1c.0", "pci0000:00/0000:00:1c.0", rescan="")
    place = "pci0000:00/0000:00:1c.0/0000:05:00.0"
    kit.machine.device("pci:0000:05:00.0", place, behaviour, reset="", remove="")
    assert kit.one("pci:0000:05:00.0").status == "recovered"
    assert kit.machine.writes[-1][0] == f"{bridge}/rescan"


def test_what_is_unbound_for_a_reset_that_fails_is_bound_again(kit: Kit) -> None:
    path = "pci0000:00/0000:02:00.0"
    kit.machine.device("pci:0000:02:00.0", path, Behaviour(driver="igc"), bound="igc", reset="")
    kit.programs.failures["devlink"] = "no"
    kit.machine.refused["sys/bus/pci/drivers/igc/bind"] = errno.EBUSY
    kit.machine.behaviours["pci:0000:02:00.0"].only_after = "reset"
    kit.machine.refused[f"sys/devices/{path}/reset"] = errno.EIO
    kit.one("pci:0000:02:00.0", rebind=True)
    assert kit.machine.writes[-1] == ("sys/bus/pci/drivers_probe", "0000:02:00.0")


def test_a_driver_that_somebody_chose_stays_chosen(kit: Kit) -> None:
    path = "pci0000:00/0000:02:00.0"
    kit.machine.device("pci:0000:02:00.0", path, Behaviour(), driver_override="vfio-pci")
    kit.machine.driver("pci", "ath11k_pci")
    missed = Failure(name="x", message="", device="pci:0000:02:00.0", driver="ath11k_pci")
    kit.one(all_failed=True, failures=(missed,))
    assert not any(path.endswith("driver_override") for path, _ in kit.machine.writes)


def test_the_driver_of_a_message_may_be_forced(kit: Kit) -> None:
    path = "pci0000:00/0000:02:00.0"
    behaviour = Behaviour(driver="ath11k_pci", only_after="driver_override")
    kit.machine.device("pci:0000:02:00.0", path, behaviour, driver_override="(null)")
    missed = Failure(name="x", message="", device="pci:0000:02:00.0", driver="ath11k_pci")
    report = kit.one(all_failed=True, failures=(missed,))
    assert steps(report) == [("probe", "done"), ("override", "helped")]
    override = f"sys/devices/{path}/driver_override"
    assert kit.machine.writes[-1] == (override, "\n")  # the wish is taken back


def test_a_module_is_loaded_anew_only_for_its_only_device(kit: Kit) -> None:
    for number in (1, 2):
        key = f"sdio:mmc{number}:0001:1"
        kit.machine.device(key, f"mmc{number}", Behaviour(driver="brcmfmac"), bound="brcmfmac")
        kit.machine.behaviours[key] = Behaviour()
    alone = kit.one("sdio:mmc1:0001:1", rebind=True)
    assert [name for name, _ in steps(alone)] == ["rebind", "probe"]
    assert not any(words[0] == "modprobe" for words in kit.programs.runs)


def test_the_module_of_a_single_device_is_loaded_anew_at_last(kit: Kit) -> None:
    kit.machine.device("sdio:mmc1:0001:1", "mmc1", Behaviour(driver="brcmfmac"), bound="brcmfmac")
    kit.machine.behaviours["sdio:mmc1:0001:1"] = Behaviour()
    kit.one("sdio:mmc1:0001:1", rebind=True)
    assert kit.programs.runs == [("modprobe", "-r", "brcmfmac"), ("modprobe", "brcmfmac")]


# --- Devices that nobody said anything about ------------------------------------------------------


def test_a_device_without_driver_is_only_asked_for_once_more(kit: Kit) -> None:
    kit.machine.behaviours[INTERFACE] = Behaviour()
    kit.machine.driver("usb", "rtw_8821au", "rtw88_8821au")
    alias = "alias usb:v2357p011Ed*dc*dsc*dp*icFFiscFFipFFin* rtw88-8821au\n"
    kit.machine.text(f"usr/lib/modules/{RELEASE}/modules.alias", f"# Aliases\n{alias}")
    result = kit.reprobe(all_failed=True)
    (report,) = result.devices
    assert result.ok
    assert (report.evidence, report.status) == ("unbound", "still-unbound")
    assert [name for name, _ in steps(report)] == ["probe"]


def test_what_describes_a_device_is_none(kit: Kit) -> None:
    kit.machine.device("acpi:QEMU0002:00", "acpi/QEMU0002:00", Behaviour(), modalias="acpi:QEMU")
    kit.machine.driver("platform", "qemu_fw_cfg")
    kit.machine.text(f"usr/lib/modules/{RELEASE}/modules.alias", "alias acpi* qemu_fw_cfg\n")
    assert kit.reprobe(all_failed=True).devices == ()


def test_a_module_that_is_not_loaded_is_no_evidence(kit: Kit) -> None:
    kit.machine.text(f"usr/lib/modules/{RELEASE}/modules.alias", "alias usb:* other\n")
    assert kit.reprobe(all_failed=True).devices == ()


def test_a_message_about_a_usb_device_is_about_its_interfaces(kit: Kit) -> None:
    missed = Failure(name=FIRMWARE, message="", device="usb:1-4")
    assert kit.one(all_failed=True, failures=(missed,)).device == INTERFACE


def test_a_message_about_a_card_whose_driver_asks_later(kit: Kit) -> None:
    kit.machine.device("pci:0000:03:00.0", "pci0000:00/0000:03:00.0", bound="r8169")
    missed = Failure(name="rtl_nic/rtl8168g-2.fw", message="", device="pci:0000:03:00.0")
    report = kit.one(all_failed=True, failures=(missed,))
    assert (report.device, report.status) == ("pci:0000:03:00.0", "on-open")


def test_a_thousand_messages_are_one_reason(kit: Kit) -> None:
    missed = tuple(
        Failure(name=f"{number}.bin", message="", device=INTERFACE) for number in range(1000)
    )
    assert kit.one(all_failed=True, failures=missed).why == "it missed 0.bin"


def test_a_message_about_nothing_that_is_there(kit: Kit) -> None:
    names = ("", "usb:9-9", "n77", "c1:1", "+x:y", "/../..", "b8:0")
    missed = tuple(Failure(name="x", message="", device=name) for name in names)
    assert kit.reprobe(all_failed=True, failures=missed).devices == ()


def test_devices_by_their_modalias(kit: Kit) -> None:
    assert kit.one(modaliases=("usb:v2357p011E*",)).device == INTERFACE
    assert kit.reprobe(modaliases=("usb:v2357p011E*", "pci:*")).devices == ()


# --- Once in a boot ------------------------------------------------------------------------------


def test_a_device_is_tried_once_in_a_boot(kit: Kit) -> None:
    kit.machine.behaviours[INTERFACE] = Behaviour()
    assert kit.one(INTERFACE).status == "failed"
    kit.machine.writes.clear()
    again = kit.one(INTERFACE)
    assert again.status == "guarded"
    assert "re-probed in this boot" in again.steps[0].reason
    assert kit.machine.writes == []
    allowed = (parse_allowed(f"again={INTERFACE}"),)
    assert kit.one(INTERFACE, allowed=allowed).status == "failed"
    assert kit.machine.writes


def test_what_was_only_guarded_was_not_tried(kit: Kit) -> None:
    kit.mounted("8:0 / ext4 /dev/sda rw")
    kit.machine.disk("sda", "pci0000:00/0000:00:14.0/usb1/x", "8:0")
    named = "pci:0000:00:14.0"
    assert kit.one(named, rebind=True).status == "guarded"
    allowed = (parse_allowed(f"root-disk={named}"),)
    assert kit.one(named, rebind=True, allowed=allowed).status == "recovered"


def test_another_boot_knows_nothing_of_it(kit: Kit) -> None:
    kit.machine.behaviours[INTERFACE] = Behaviour()
    kit.one(INTERFACE)
    kit.machine.text("proc/sys/kernel/random/boot_id", "another\n")
    assert kit.one(INTERFACE).status == "failed"


def test_what_is_begun_is_remembered_before_it_is_done(kit: Kit) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    kit.machine.write = crash  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        kit.one(INTERFACE)
    state = json.loads((kit.root / "run/sysgraft/reprobe.json").read_text())
    assert state["devices"] == {INTERFACE: "begun"}


@pytest.mark.parametrize("junk", ["", "[]", "{", '{"boot": "5e1f", "devices": 3}', "[" * 100_000])
def test_a_damaged_memory_is_none(kit: Kit, junk: str) -> None:
    kit.machine.text("run/sysgraft/reprobe.json", junk)
    assert kit.one(INTERFACE).status == "recovered"


def test_two_at_once_are_one_too_many(kit: Kit) -> None:
    with kit.access().state.alone(), pytest.raises(ToolError, match="another process"):
        kit.one(INTERFACE)


def test_what_cannot_be_remembered_is_not_done(kit: Kit) -> None:
    kit.machine.text("run/sysgraft", "no folder")
    with pytest.raises(OutputError):
        kit.one(INTERFACE)
    assert kit.machine.writes == []


# --- What goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ENODEV, errno.EACCES, errno.EINVAL])
def test_a_refusal_is_told_and_the_next_step_is_taken(kit: Kit, number: int) -> None:
    kit.machine.refused["sys/bus/usb/drivers_probe"] = number
    report = kit.one(INTERFACE)
    first = report.steps[0]
    assert (first.name, first.status) == ("probe", "refused")
    assert first.reason == f"/sys/bus/usb/drivers_probe: {os.strerror(number)}"
    assert (report.status, report.steps[1].name) == ("recovered", "module")


def test_a_kernel_that_does_not_answer_ends_the_steps(kit: Kit) -> None:
    kit.machine.stuck.add("sys/bus/usb/drivers_probe")
    report = kit.one(INTERFACE)
    assert (report.status, steps(report)) == ("failed", [("probe", "stuck")])
    assert kit.clock.now() <= 30


def test_the_deadline_is_for_all_devices(kit: Kit) -> None:
    for number in range(20):
        key = f"usb:1-{number + 10}:1.0"
        kit.machine.device(
            key, f"{HUB}/1-{number + 10}:1.0", Behaviour(), modalias=f"usb:x{number}"
        )
    report = kit.reprobe(modaliases=("usb:x*",), deadline=12)
    assert kit.clock.now() <= 13
    assert report.devices[-1].status == "out-of-time"
    assert not report.ok


def test_a_device_that_goes_meanwhile(kit: Kit) -> None:
    kit.machine.behaviours[INTERFACE].dies_by = "authorized"
    kit.machine.behaviours[INTERFACE].driver = ""
    assert kit.one(INTERFACE).status == "gone"


def test_a_device_that_is_not_there(kit: Kit) -> None:
    result = kit.reprobe("usb:7-7:1.0")
    assert (result.ok, result.devices[0].status) == (False, "gone")


@pytest.mark.parametrize(
    "name", ["", "usb", "usb:", ":1-4", "usb:../../x", "usb:a/b", "u/s:b", "usb:.."]
)
def test_names_that_are_none(kit: Kit, name: str) -> None:
    with pytest.raises(UsageError, match="not a device"):
        kit.reprobe(name)


def test_nothing_asked_for(kit: Kit) -> None:
    with pytest.raises(UsageError, match="which devices"):
        kit.reprobe()


def test_attributes_with_junk(kit: Kit) -> None:
    for name in ("modalias", "class", "authorized"):
        (kit.root / f"sys/devices/{DONGLE}/1-4:1.0" / name).write_bytes(b"\xff\0\n" * 5000)
    assert kit.one(INTERFACE).status == "recovered"


def test_links_that_lead_around_and_outside(kit: Kit) -> None:
    devices = kit.root / "sys/bus/usb/devices"
    (devices / "round").symlink_to("round")
    (devices / "outside").symlink_to("/etc")
    (devices / "dangling").symlink_to("../nowhere")
    (kit.root / "sys/class/net").mkdir()
    (kit.root / "sys/class/net/up").symlink_to("..")
    assert kit.one(INTERFACE).status == "recovered"
    for name in ("round", "outside", "dangling"):
        assert kit.reprobe(f"usb:{name}").devices[0].status == "gone"


# --- Telling only --------------------------------------------------------------------------------


def test_a_dry_run_does_nothing(kit: Kit) -> None:
    report = kit.one(INTERFACE, dry_run=True)
    assert report.status == "planned"
    assert [step.name for step in report.steps] == ["probe", "module", "interface", "usb-device"]
    assert {step.status for step in report.steps} == {"planned"}
    assert (kit.machine.writes, kit.programs.runs) == ([], [])
    assert not (kit.root / "run").exists()


# --- After a merge -------------------------------------------------------------------------------


def test_udev_is_told_what_a_merge_brought(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = {"usr/lib/udev/hwdb.d": ("50-x.hwdb",), "usr/lib/udev/rules.d": ("60-x.rules",)}
    monkeypatch.setattr(
        "sysgraft.firmware.reprobe.after_merge.merged_files",
        lambda folder, **_: brought.get(folder, ()),
    )
    report = kit.reprobe(INTERFACE, after_merge=True)
    assert [each.status for each in report.merge] == ["done", "done", "done"]
    assert [words[:2] for words in kit.programs.runs] == [
        ("udevadm", "control"),
        ("systemd-hwdb", "update"),
        ("udevadm", "settle"),
    ]


def test_a_database_that_cannot_be_written_is_told(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sysgraft.firmware.reprobe.after_merge.merged_files", lambda *_, **__: ("x",)
    )
    kit.programs.failures["systemd-hwdb"] = "Failed to write: Read-only file system"
    report = kit.reprobe(INTERFACE, after_merge=True)
    assert report.merge[-1].status == "impossible"
    assert "Read-only" in report.merge[-1].reason
    assert report.devices[0].status == "recovered"


def test_without_udev_the_devices_are_asked_all_the_same(kit: Kit) -> None:
    kit.programs.failures["udevadm"] = "the program udevadm is not installed"
    report = kit.reprobe(INTERFACE, after_merge=True)
    assert [each.status for each in report.merge] == ["impossible", "impossible", "not-needed"]
    assert report.devices[0].status == "recovered"
