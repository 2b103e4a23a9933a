"""A whole machine, read from a copy of its files and its log, and what its kernel said it loaded.

The guest has QEMU's i82551, whose driver asks for ``e100/d102e_ucode.bin`` when the interface is
set up, and no such file; and an extension with a file that ``test_firmware`` loads. Its log is told
to say what is loaded, as ``firmware scan --enable-debug`` does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import initrd
from command import sysgraft
from guest_kit import COPY, results_of, unpack_machine
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.formats import udev_db
from sysgraft.host.kernel_messages import CONTROLS, LOADER_MESSAGES

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from sysgraft.sign.pair import SigningPair

pytestmark = pytest.mark.boot

UCODE: Final = "e100/d102e_ucode.bin"
LOADED: Final = "sysgraft/loaded.bin"
CONTENT: Final = b"what the kernel loads\n" * 1000
ADDRESS: Final = "52:54:00:5e:c5:ec"
SERIAL: Final = "5ec5ec-serial"
UUID: Final = "5ec5ec5e-1234-4321-8765-5ec5ec5ec5ec"
CARD: Final = "pci:v00008086d00001209sv00001AF4sd00001100bc02sc00i00"
JOURNAL: Final = (
    *("export", "json", "json-seq", "short", "short-precise", "short-iso", "short-iso-precise"),
    *("short-full", "short-monotonic", "short-unix", "cat", "with-unit"),
)
SETTLE: Final = f"""
printf '{LOADER_MESSAGES.strip()}\\n' > {CONTROLS[0]}
modprobe -a e100 test_firmware
for interface in /sys/class/net/*; do
    [ -e "$interface/device/driver/module" ] || continue
    ip link set "${{interface##*/}}" up
done
printf '{LOADED}' > /sys/devices/virtual/misc/test_firmware/trigger_request
dmesg > "$SYSGRAFT_RESULTS/dmesg"
for form in {" ".join(JOURNAL)}; do
    journalctl --dmesg "--output=$form" > "$SYSGRAFT_RESULTS/$form"
done
udevadm info --export-db > "$SYSGRAFT_RESULTS/udev"
"""


def extension(folder: Path, name: str, content: bytes, signing: SigningPair) -> str:
    """An extension with the file that is loaded."""
    place = folder / f"tree-{name}" / "usr/lib/firmware" / LOADED
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    tree = str(folder / f"tree-{name}")
    build_extension(name, [tree], output=str(folder), signing=signing, options=BuildOptions())
    return str(folder / f"{name}.sysext.raw")


def test_a_machine_as_its_files_and_its_log_tell(
    lab: Lab, uki: BuildUki, keys: Keys, tmp_path: Path
) -> None:
    merged = extension(tmp_path, "firmware", CONTENT, keys.pair("extension"))
    trust = initrd(
        tmp_path,
        {"usr/lib/verity.d/extension.crt": (keys.folder / "extension.pem").read_bytes()},
    )
    report = lab.boot(
        SETTLE + COPY + "exit 0\n",
        uki=uki(tmp_path / "guest.efi", "debian", initrds=(trust,)),
        extras=(merged,),
        qemu_arguments=(
            *("-netdev", "hubport,id=net0,hubid=0"),
            *("-device", f"i82551,netdev=net0,mac={ADDRESS}"),
            *("-smbios", f"type=1,serial={SERIAL},uuid={UUID}"),
        ),
        output=str(tmp_path / "result"),
    )
    assert report.succeeded, report
    found = results_of(tmp_path / "result")
    root = unpack_machine(found, tmp_path / "machine")

    document = tmp_path / "machine.json"
    scanned = sysgraft("firmware", "scan", "--root", root, "--kmsg", found["kmsg"],
                       "--output", document, "--json")  # fmt: skip
    assert scanned.code == 0, scanned.err
    check_inventory(scanned.document, found)
    # The copy has them, and the inventory does not.
    log = found["kmsg"].read_text("utf-8", "replace")
    serial = (root / "sys/devices/virtual/dmi/id/product_serial").read_text()
    assert ADDRESS in log
    assert SERIAL in serial
    for secret in (ADDRESS, SERIAL, UUID):
        assert secret not in document.read_text().lower()

    # Every form of the log tells the same, of the files at least.
    for form in ("dmesg", *JOURNAL):
        other = sysgraft("firmware", "scan", "--root", root, "--kmsg", found[form], "--json")
        assert files(other.document) == files(scanned.document), form

    check_diagnosis(tmp_path, document, merged, keys.pair("extension"))


def files(machine: dict[str, list[dict[str, object]]]) -> list[tuple[object, ...]]:
    loaded = [(each["name"], each["sha256"], each["device"]) for each in machine["loaded"]]
    missed = [(each["name"], each["error"], each["device"]) for each in machine["failures"]]
    return [*loaded, *missed]


def check_inventory(machine: dict[str, object], found: dict[str, Path]) -> None:
    devices: list[dict[str, str]] = machine["devices"]  # type: ignore[assignment]
    (card,) = [each for each in devices if each["modalias"] == CARD]
    assert (card["driver"], card["module"]) == ("e100", "e100")
    name = f"pci:{card['name']}"
    failures: list[dict[str, object]] = machine["failures"]  # type: ignore[assignment]
    assert [(each["name"], each["error"], each["device"]) for each in failures] == [
        (UCODE, 2, name)
    ]
    loaded: list[dict[str, object]] = machine["loaded"]  # type: ignore[assignment]
    assert (LOADED, f"/lib/firmware/{LOADED}", hashlib.sha256(CONTENT).hexdigest()) in [
        (each["name"], each["path"], each["sha256"]) for each in loaded
    ]
    assert machine["os"]["ID"] == "debian"  # type: ignore[index]
    assert machine["dmi"]["sys_vendor"] == "QEMU"  # type: ignore[index]
    assert {"e100", "test_firmware"} <= set(machine["modules"])  # type: ignore[call-overload]
    # udev's own list has the same devices with the same drivers; of processors one is enough.
    theirs = {
        (each.subsystem, each.name, each.modalias, each.driver)
        for each in udev_db.parse(found["udev"].read_bytes())
        if each.modalias and each.subsystem != "cpu"
    }
    ours = {
        (each["bus"], each["name"], each["modalias"], each.get("driver", "")) for each in devices
    }
    assert {each for each in ours if each[0] != "cpu"} == {
        each for each in theirs if each[0] in {each["bus"] for each in devices}
    }


def check_diagnosis(folder: Path, machine: Path, merged: str, signing: SigningPair) -> None:
    tree = folder / "microcode/usr/lib/firmware" / UCODE
    tree.parent.mkdir(parents=True)
    tree.write_bytes(b"microcode")
    said = sysgraft("firmware", "doctor", "--machine", machine, "--extension", merged,
                    "--firmware-tree", folder / "microcode", "--json")  # fmt: skip
    assert said.code == 1, said.err
    (finding,) = said.document["findings"]
    assert (finding["names"], finding["action"], finding["bound"]) == ([UCODE], "build", True)
    (loaded,) = [each for each in said.document["loaded"] if each["name"] == LOADED]
    assert (loaded["match"], loaded["file"]["in"]) == ("match", merged)

    (folder / "other").mkdir()
    other = extension(folder / "other", "other", CONTENT[:-1], signing)
    said = sysgraft("firmware", "doctor", "--machine", machine, "--extension", other, "--json")
    (loaded,) = [each for each in said.document["loaded"] if each["name"] == LOADED]
    assert (said.code, loaded["match"]) == (1, "differs")
