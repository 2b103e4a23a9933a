"""PCR 7 and 9 of a boot under Secure Boot are what the files say, event by event.

The loader is trusted by one entry of db, image and addon by another, and a second addon by none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.build.enrolment import enroll_store
from sysgraft.build.keyset import KeySetOptions, generate_keys
from sysgraft.build.resign import Target
from sysgraft.build.uki.build import build_uki
from sysgraft.build.uki.options import UkiOptions
from sysgraft.build.uki_sign import sign_executable
from sysgraft.measure import boot as measured
from sysgraft.measure import events, pcr9
from sysgraft.seal import firmware_keys, secure_boot
from sysgraft.seal.assembly import Assembly, Settings
from sysgraft.seal.hashing import Hashing
from sysgraft.seal.image import read_executable
from sysgraft.seal.initrd import hash_initrd
from sysgraft.seal.material import from_files, source

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport
    from sysgraft.measure.events import Event
    from sysgraft.seal.firmware_keys import FirmwareKeys
    from sysgraft.seal.secure_boot import Verdict
    from sysgraft.sign.pair import SigningPair

pytestmark = pytest.mark.boot

BANKS: Final = ("sha1", "sha256", "sha384", "sha512")
STRANGER: Final = "stranger.addon.efi"


class Machine:
    """An EFI system partition, and keys for the firmware."""

    def __init__(self, folder: Path) -> None:
        self.esp = folder / "esp"
        self.loader = self.esp / "EFI/BOOT/BOOTX64.EFI"
        self.image = self.esp / "EFI/Linux/x.efi"
        self.beside = self.esp / "EFI/Linux/x.efi.extra.d"
        self.settings = self.esp / "loader"
        self.keys = folder / "keys"
        for each in (self.loader.parent, self.beside, self.settings / "credentials"):
            each.mkdir(parents=True)


@pytest.fixture
def machine(tmp_path: Path, guests: Guests, uki: BuildUki, keys: Keys, other_keys: Keys) -> Machine:
    made = Machine(tmp_path)
    db = str(keys.folder / "db.pem")
    generate_keys("two entries", str(made.keys), KeySetOptions(db_certificates=(db,)))
    ours = type(keys)(made.keys).pair("db")
    sign_executable(
        guests.path("systemd-bootx64.efi"), keys.pair("db"), target=Target(str(made.loader))
    )
    (made.settings / "loader.conf").write_text("timeout 0\ndefault x.efi\n")
    (made.settings / "credentials/all.cred").write_bytes(b"global")
    uki(made.image, signing=ours)
    (made.beside / "odd.raw").write_bytes(b"odd number of bytes")
    (made.beside / "token.cred").write_bytes(b"secret")
    addon(made.beside / "ours.addon.efi", guests, "sysgraft.test=ours", ours)
    addon(made.beside / STRANGER, guests, "sysgraft.test=no", other_keys.pair("db"))
    return made


def addon(path: Path, guests: Guests, cmdline: str, signing: SigningPair) -> None:
    stub = guests.path("addonx64.efi.stub")
    initrd = path.with_name("initrd")
    initrd.write_bytes(bytes(13))
    options = UkiOptions(
        cmdline=cmdline, os_release="", uname="", stub=stub, initrds=(str(initrd),)
    )
    build_uki(options, path, signing=signing)
    initrd.unlink()


def predict(machine: Machine) -> tuple[list[Event], list[str]]:
    """Every event of the boot's PCRs 4, 7, 9, 11, 12 and 13, and the addons that are refused."""
    names = sorted(each.name for each in machine.beside.iterdir())
    keys = firmware_keys.read_keys(str(machine.keys))
    programs = [judge_file(keys, each) for each in (machine.loader, machine.image)]
    addons = [
        judge_file(keys, machine.beside / name) for name in names if name.endswith(".addon.efi")
    ]
    refused = [each.name for each in addons if each.refused]
    material = from_files(
        str(machine.image),
        [str(machine.beside / name) for name in names if name not in refused],
        global_folder=str(machine.settings),
        loaders=[str(machine.loader)],
    )
    hashing = Hashing(BANKS)
    assembly = Assembly(material, Settings(), hashing)
    files = assembly.add_set()
    assert assembly.uki is not None
    loaded = [each for each, _ in files.addons]
    initrd = hash_initrd(assembly.uki, {"own": material.own, **material.loader}, loaded, hashing)
    hashing.run()
    boot = assembly.boot(files)
    text = pcr9.final_cmdline(boot, assembly.uki.text(".cmdline"))
    found = [
        *measured.before_userspace(boot, BANKS),
        *secure_boot.predict(keys, programs, addons, BANKS),
        *pcr9.predict(text, initrd, BANKS),
    ]
    return found, refused


def judge_file(keys: FirmwareKeys, path: Path) -> Verdict:
    return secure_boot.judge(keys, read_executable(source(str(path))))


def logged(report: LabReport, pcr: int) -> list[tuple[int, dict[str, bytes]]]:
    assert report.event_log is not None, report.serial
    return [(each.type, dict(each.digests)) for each in report.event_log.events if each.pcr == pcr]


def test_every_event_and_value_under_secure_boot_is_foreseen(machine: Machine, lab: Lab) -> None:
    store = machine.keys.with_name("store.fd")
    enroll_store(str(machine.keys), str(store))
    predicted, refused = predict(machine)
    assert refused == [STRANGER]
    assert firmware_keys.read_keys(str(store)).variables == (
        firmware_keys.read_keys(str(machine.keys)).variables
    )
    report = lab.boot(esp=str(machine.esp), secure_boot=str(store))
    assert report.secure_boot, report.serial
    assert report.guest is not None, report.serial
    assert report.guest.cmdline.split()[-1] == "sysgraft.test=ours"
    for pcr in (4, 7, 9, 12, 13):
        foreseen = [(each.type, dict(each.digests)) for each in predicted if each.pcr == pcr]
        assert foreseen == logged(report, pcr), pcr
        for bank in BANKS:
            assert events.value(predicted, pcr, bank) == report.pcrs[bank][pcr], (pcr, bank)
    # The loader, the image and our addon: neither the stranger's nor the kernel inside the image.
    kinds = [kind for kind, _ in logged(report, 4)]
    assert kinds.count(events.EV_EFI_BOOT_SERVICES_APPLICATION) == 3
    assert [kind for kind, _ in logged(report, 7)].count(events.EV_EFI_VARIABLE_AUTHORITY) == 2
