"""Plans: what goes in on what evidence, and that nothing is left out by a guess."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from firmware_kit import (
    DISK,
    GRAPHICS,
    RELEASE,
    VIRTIO,
    WIFI,
    machine,
    write_firmware,
    write_kernel,
)
from sysgraft.errors import FormatError, InputError, LimitError, UsageError
from sysgraft.firmware.index import Entry, Index, Kernel, License, Module, Package
from sysgraft.firmware.inventory import Device, Loaded, Machine
from sysgraft.firmware.make_index import make_index
from sysgraft.firmware.plan import MAX_REASONS, Planner, PlanOptions
from sysgraft.firmware.plan_document import Plan, parse_plan, render_plan
from sysgraft.firmware.rules import tables

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = PlanOptions(level="device")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = tmp_path_factory.mktemp("tree")
    write_kernel(root)
    write_firmware(root)
    return make_index([str(root)], [str(root)])


@pytest.fixture
def planner(index: Index) -> Planner:
    return Planner(index)


def paths(plan: Plan) -> list[str]:
    return [file.path for file in plan.files]


def asked(plan: Plan) -> dict[str, set[tuple[str, str]]]:
    """Each file with who asks, and on what evidence."""
    return {f.path: {(r.module, r.evidence) for r in f.reasons} for f in plan.files}


def test_a_driver_gets_all_it_declares(planner: Planner) -> None:
    plan = planner.plan([machine(WIFI)])
    assert asked(plan) == {
        "iwlwifi-cc-a0-77.ucode": {("iwlwifi", "declared")},
        # The driver's 89 is not there: it counts down.
        "iwlwifi-so-a0-gf-a0-83.ucode": {("iwlwifi", "rule")},
        "iwlwifi-so-a0-gf-a0.pnvm": {("iwlwifi", "declared")},
        "iwlwifi-so-a0-hr-b0-89.ucode": {("iwlwifi", "declared")},
        "regulatory.db": {("cfg80211", "declared"), ("cfg80211", "rule")},
    }
    assert [each.name for each in plan.unresolved] == ["regulatory.db.p7s"]
    assert plan.kernels == (RELEASE,)
    assert plan.machines == 1


def test_a_device_gets_its_own(planner: Planner) -> None:
    plan = planner.plan([machine(WIFI, GRAPHICS)], DEVICE)
    assert paths(plan) == [
        "i915/adlp_dmc.bin",
        "i915/adlp_guc_70.bin",
        "i915/tgl_huc.bin",
        "iwlwifi-so-a0-gf-a0-83.ucode",
        "iwlwifi-so-a0-gf-a0.pnvm",
        "regulatory.db",
    ]
    reason = plan.files[0].reasons[0]
    assert (reason.device, reason.module, reason.confidence) == (GRAPHICS, "i915", "high")
    assert "intel_dmc.c" in reason.source
    assert plan.notes == ()


def test_a_device_nothing_is_known_of_gets_what_its_driver_may_ask_for(planner: Planner) -> None:
    plan = planner.plan([machine(DISK)], DEVICE)
    assert paths(plan) == ["helper/a.bin", "helper/b.bin.xz", "qlogic/v2/fw.bin"]
    assert "taken whole: helper_late, qla2xxx" in plan.notes[0]
    assert paths(plan) == paths(planner.plan([machine(DISK)]))


def test_a_rule_that_leads_to_nothing_takes_nothing_away(index: Index) -> None:
    entries = tuple(entry for entry in index.entries if "-so-a0-gf-a0" not in entry.path)
    plan = Planner(Index(index.kernels, entries, (), (), ())).plan([machine(WIFI)], DEVICE)
    assert "iwlwifi-so-a0-hr-b0-89.ucode" in paths(plan)
    assert "taken whole: iwlwifi" in plan.notes[0]
    assert "iwlwifi-so-a0-gf-a0-89.ucode" in [each.name for each in plan.unresolved]


def test_links_are_part_of_the_plan(planner: Planner) -> None:
    plan = planner.plan([machine(DISK)])
    assert [(each.path, each.target, each.when) for each in plan.links] == [
        ("ql2500_fw.bin", "qlogic/current/fw.bin", "early"),
        ("qlogic/current", "v2", "early"),
    ]


def test_early_and_late(planner: Planner) -> None:
    cpu = "cpu:type:x86,ven0000fam0006mod00BA:feature:,0000,0001"
    plan = planner.plan([machine(WIFI, GRAPHICS, DISK, cpu)], DEVICE)
    early = {file.path: file.early for file in plan.files if file.when == "early"}
    assert early == {
        "i915/adlp_dmc.bin": "graphics of the console",
        "i915/adlp_guc_70.bin": "graphics of the console",
        "i915/tgl_huc.bin": "graphics of the console",
        "qlogic/v2/fw.bin": "storage",
    }
    options = replace(DEVICE, early=frozenset({"net"}))
    with_net = planner.plan([machine(WIFI, GRAPHICS)], options)
    assert {file.path for file in with_net.files if file.when == "early"} == {
        "iwlwifi-so-a0-gf-a0-83.ucode",
        "iwlwifi-so-a0-gf-a0.pnvm",
        "regulatory.db",
    }
    totals = with_net.totals
    assert totals.early_size + totals.late_size == totals.size < totals.all_size


@pytest.mark.parametrize(
    ("cpu", "found"),
    [
        ("cpu:type:x86,ven0000fam0006mod00BA:feature:,0000", ["intel-ucode/06-ba-02"]),
        (
            "cpu:type:x86,ven0002fam0019mod0074:feature:,0000",
            ["amd-ucode/microcode_amd_fam19h.bin"],
        ),
        ("cpu:type:x86,ven0002fam0010mod0004:feature:,0000", ["amd-ucode/microcode_amd.bin"]),
        ("cpu:type:x86,ven0000fam0006mod00BA:feature:,0000,009F,00C0", []),  # a guest
        ("cpu:type:x86,ven0000fam0006mod0001:feature:,0000", []),
        ("cpu:type:arm64:feature:,0000", []),
    ],
)
def test_microcode(cpu: str, found: list[str], tmp_path: Path) -> None:
    write_kernel(tmp_path)
    names = ("intel-ucode/06-ba-02", "intel-ucode/06-9a-03", "amd-ucode/microcode_amd.bin")
    write_firmware(tmp_path, dict.fromkeys((*names, "amd-ucode/microcode_amd_fam19h.bin"), "x"))
    plan = Planner(make_index([str(tmp_path)], [str(tmp_path)])).plan([machine(cpu)])
    assert paths(plan) == found
    assert all(file.when == "early" for file in plan.files)


def test_a_virtual_machine_needs_nothing(planner: Planner) -> None:
    for level in ("driver", "device"):
        plan = planner.plan([machine(VIRTIO)], PlanOptions(level=level))
        assert (plan.files, plan.links, plan.unresolved, plan.notes) == ((), (), (), ())


def test_what_was_loaded_is_certain(planner: Planner) -> None:
    loaded = (
        Loaded("ql2500_fw.bin", device="pci:0000:00:00.0"),
        Loaded("unused.bin"),
        Loaded("gone.bin"),
    )
    plan = planner.plan([machine(DISK, loaded=loaded)], DEVICE)
    assert paths(plan) == ["qlogic/v2/fw.bin", "unused.bin"]
    reason = plan.files[0].reasons[0]
    assert (reason.evidence, reason.confidence, reason.device) == ("observed", "certain", DISK)
    assert [(each.name, each.evidence) for each in plan.unresolved] == [("gone.bin", "observed")]
    assert plan.notes == ()


def test_what_was_loaded_does_not_take_away_what_the_system_shares(planner: Planner) -> None:
    loaded = (Loaded("iwlwifi-cc-a0-77.ucode", device="pci:0000:00:00.0"),)
    plan = planner.plan([machine(WIFI, loaded=loaded)], DEVICE)
    assert "regulatory.db" in paths(plan)
    assert "iwlwifi-cc-a0-77.ucode" in paths(plan)


def test_what_was_loaded_and_is_not_there_takes_nothing_away(planner: Planner) -> None:
    loaded = (
        Loaded("ql2500_fw.bin", device="pci:0000:00:00.0"),
        Loaded("gone.bin", device="pci:0000:00:00.0"),
    )
    plan = planner.plan([machine(DISK, loaded=loaded)], DEVICE)
    assert "helper/a.bin" in paths(plan)
    assert "taken whole: helper_late, qla2xxx" in plan.notes[0]


def test_what_is_loaded_for_others_asks_for_its_own_devices_only(tmp_path: Path) -> None:
    """kvm_amd wants functions of ccp, which has firmware for a device of its own."""
    modules = {
        "kernel/arch/x86/kvm/kvm-amd.ko": (("alias", "cpu:type:x86*"), ("depends", "ccp")),
        "kernel/drivers/crypto/ccp/ccp.ko": (
            ("alias", "pci:v00001022d00001456sv*sd*bc*sc*i*"),
            ("firmware", "amd/amd_sev.sbin"),
        ),
    }
    write_kernel(tmp_path, modules)
    write_firmware(tmp_path, {"amd/amd_sev.sbin": "sev"})
    planner = Planner(make_index([str(tmp_path)], [str(tmp_path)]))
    device, driver = PlanOptions(level="device"), PlanOptions(level="driver")
    processor, security = "cpu:type:x86,ven0002", "pci:v00001022d00001456sv0sd0bc10sc80i00"
    assert not planner.plan([machine(processor)], device).files
    assert [file.path for file in planner.plan([machine(processor)], driver).files]
    assert [file.path for file in planner.plan([machine(processor, security)], device).files]


def test_a_fleet_gets_one_set(planner: Planner) -> None:
    loaded = (Loaded("ql2500_fw.bin", device="pci:0000:00:00.0"),)
    plan = planner.plan([machine(WIFI), machine(GRAPHICS), machine(DISK, loaded=loaded)], DEVICE)
    assert plan.machines == 3
    each = [planner.plan([one], DEVICE) for one in (machine(WIFI), machine(GRAPHICS))]
    assert set(paths(plan)) == {*paths(each[0]), *paths(each[1]), "qlogic/v2/fw.bin"}


def test_a_bound_driver_is_the_one_that_counts_at_device_level(index: Index) -> None:
    (kernel,) = index.kernels
    rival = Module(
        "rival", "kernel/rival.ko", b"", (f"{DISK[:20]}*",), (), (), (), ("unused.bin",), ""
    )
    more = Kernel(kernel.release, kernel.architecture, (*kernel.modules, rival), (), (), (), (), ())
    planner = Planner(Index((more,), index.entries, (), (), ()))
    bound = Machine(devices=(Device("pci", "0000:00:00.0", DISK, "qla2xxx", "qla2xxx"),))
    assert "unused.bin" in paths(planner.plan([bound]))
    assert "unused.bin" not in paths(planner.plan([bound], DEVICE))
    unbound = Machine(devices=(Device("pci", "0000:00:00.0", DISK),))
    assert "unused.bin" in paths(planner.plan([unbound], DEVICE))


def test_loaded_modules_and_devicetree_names(planner: Planner) -> None:
    device = Device("platform", "x", "of:NxT<NULL>Cx", properties={"firmware-name": "unused.bin"})
    plan = planner.plan([Machine(devices=(device,), modules=("helper-late", "nobody"))], DEVICE)
    assert asked(plan)["unused.bin"] == {("", "rule")}
    assert asked(plan)["helper/a.bin"] == {("helper_late", "declared")}


def test_whence_for_modules_that_declare_nothing(index: Index) -> None:
    terms = License(("virtio-net",), ("unused.bin",), "Redistributable.", ("LICENCE.kit",))
    entries = (*index.entries, Entry("LICENCE.kit", 3, "", 0, b""))
    planner = Planner(Index(index.kernels, entries, (), (terms,), ()))
    plan = planner.plan([machine(VIRTIO)])
    assert asked(plan) == {"unused.bin": {("virtio_net", "whence")}}
    assert plan.files[0].license == "Redistributable."
    assert [each.path for each in plan.licenses] == ["usr/lib/firmware/LICENCE.kit"]


def test_packages_name_terms_and_devices_without_a_driver(index: Index) -> None:
    package = Package(
        "firmware-kit", ("pci:v00009999*",), ("unused.bin", "ql2500_fw.bin"), "usr/share/doc/kit"
    )
    planner = Planner(Index(index.kernels, index.entries, (package,), (), ()))
    plan = planner.plan([machine("pci:v00009999d00000001sv", DISK)])
    assert "firmware-kit says it is for pci:v00009999d00000001sv" in plan.notes[0]
    assert plan.licenses == ()


def test_metainfo_confirms_what_a_module_asks_for(index: Index) -> None:
    package = Package("firmware-kit", (f"{DISK[:21]}*",), ("qlogic/v2/fw.bin", "unused.bin"), "")
    planner = Planner(Index(index.kernels, index.entries, (package,), (), ()))
    plan = planner.plan([machine(DISK)])
    assert asked(plan)["qlogic/v2/fw.bin"] == {("qla2xxx", "declared"), ("", "metainfo")}
    assert plan.files[-1].reasons[-1].source == "firmware-kit"
    assert "unused.bin" not in paths(plan)


def test_another_architecture(planner: Planner) -> None:
    other = Machine(architecture="arm64")
    with pytest.raises(InputError, match="the machine is arm64, the index has a kernel for x86-64"):
        planner.plan([other], files=["pi.json"])


def test_nothing_to_plan(planner: Planner, index: Index) -> None:
    with pytest.raises(UsageError, match="nothing to plan for"):
        planner.plan([])
    with pytest.raises(InputError, match="no kernel"):
        Planner(Index((), index.entries, (), (), ())).plan([machine(WIFI)])
    with pytest.raises(LimitError):
        planner.plan([machine("x" * 5000)])


def test_reasons_have_a_limit(planner: Planner) -> None:
    wifi = [WIFI.replace("0094", f"{number:04X}") for number in range(0x1000, 0x1000 + 100)]
    plan = planner.plan([machine(*wifi)])
    assert max(len(file.reasons) for file in plan.files) == MAX_REASONS
    assert "more than 64 reasons" in plan.notes[0]


def test_ten_thousand_inventories_take_ten_times_as_long_as_a_thousand(planner: Planner) -> None:
    one = machine(WIFI, GRAPHICS, DISK, VIRTIO)
    spent = []
    for count in (1000, 10_000):
        began = time.process_time()
        planner.plan([one] * count, DEVICE)
        spent.append(time.process_time() - began)
    assert spent[1] < spent[0] * 30 + 1


def test_a_plan_is_read_as_it_was_written(planner: Planner) -> None:
    plan = planner.plan([machine(WIFI, GRAPHICS, DISK)], replace(DEVICE, name="edge"))
    data = render_plan(plan)
    assert data.startswith(b'{\n "schema": "sysgraft.firmware.plan/1",')
    assert parse_plan(data) == plan
    assert (
        render_plan(planner.plan([machine(WIFI, GRAPHICS, DISK)], replace(DEVICE, name="edge")))
        == data
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"schema": "sysgraft.firmware.scan/1"}', b"\xff", b"[" * 100_000],
)
def test_what_is_no_plan(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_plan(data)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "", "a\\u0000b"])
def test_a_plan_does_not_lead_out(planner: Planner, path: str) -> None:
    data = render_plan(planner.plan([machine(GRAPHICS)], DEVICE))
    changed = data.replace(b"i915/adlp_dmc.bin", path.encode(), 1)
    with pytest.raises(FormatError, match="leads out"):
        parse_plan(changed)


def test_every_rule_has_a_source_and_asks_for_something() -> None:
    rules = (*tables.DEVICE_RULES, *tables.MODULE_RULES)
    assert len({rule.what for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.modules
        assert rule.asks
        assert rule.source.partition(" ")[0].endswith((".c", ".h")) or "/" in rule.source
        assert all(pattern.startswith(("pci:v", "usb:v")) for pattern in rule.devices)
    for ladder in tables.LADDERS:
        assert ladder.lowest > 0
