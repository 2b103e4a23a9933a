"""The lab on itself: real firmware, a real TPM, and guests that do as they are told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import CMDLINE
from sysgraft.errors import ToolError
from sysgraft.formats.eventlog import replay, serialise
from sysgraft.lab.esp import files_of, make_esp
from sysgraft.lab.guests import FILES, find_guests
from sysgraft.lab.options import Disk
from sysgraft.lab.tpm import running_tpm

if TYPE_CHECKING:
    from boot.conftest import BuildUki, Keys, Lab
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

BANKS: Final = ("sha1", "sha256", "sha384", "sha512")

# Asks the TPM itself how often it was started (TPM2_ReadClock, resetCount).
RESETS: Final = r"""
exec 4<> /dev/tpm0
printf '\200\001\000\000\000\012\000\000\001\201' >&4
dd bs=4096 count=1 <&4 2> /dev/null | od -An -tu1 -j26 -N4 > $SYSGRAFT_RESULTS/resets
"""
FACTS: Final = r"""
cat /proc/cmdline
ls /.extra/*
for bank in sha1 sha256 sha384 sha512; do
    for pcr in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        echo $bank $pcr $(cat /sys/class/tpm/tpm0/pcr-$bank/$pcr)
    done
done > $SYSGRAFT_RESULTS/pcrs
cat /sys/kernel/security/tpm0/binary_bios_measurements > $SYSGRAFT_RESULTS/log
head -c 5 /dev/vdb
printf later | dd of=/dev/vdb conv=notrunc 2> /dev/null
printf later | dd of=/dev/vdc conv=notrunc 2> /dev/null
exit 7
"""


def output(report: LabReport) -> str:
    assert report.script is not None, report.serial
    return report.script.output.decode()


def test_a_uki_boots_unchanged_and_all_is_told(lab: Lab, uki: BuildUki, tmp_path: Path) -> None:
    image = uki(tmp_path / "small.efi")
    before = Path(image).read_bytes()
    (tmp_path / "demo.cred").write_bytes(b"secret")
    for name in ("kept", "changed"):
        (tmp_path / name).write_bytes(b"first".ljust(1 << 20, b"\0"))
    report = lab.boot(
        RESETS + FACTS,
        uki=image,
        extras=(str(tmp_path / "demo.cred"),),
        disks=(Disk(str(tmp_path / "kept")), Disk(str(tmp_path / "changed"), writable=True)),
        tpm=str(tmp_path / "tpm"),
        output=str(tmp_path / "output"),
    )
    assert (report.ending, report.secure_boot, report.succeeded) == ("powered-off", False, False)
    assert Path(image).read_bytes() == before
    assert report.guest is not None
    assert report.guest.complete
    assert report.script is not None
    assert report.script.status == 7
    assert output(report).splitlines()[0] == report.guest.cmdline == CMDLINE
    assert "demo.cred" in output(report)
    check_pcrs(report, report.script.files["pcrs"].decode())
    check_log(report, report.script.files["log"])
    # What the guest writes to a disk stays where that was asked for.
    assert (tmp_path / "kept").read_bytes()[:5] == b"first"
    assert (tmp_path / "changed").read_bytes()[:5] == b"later"
    kept = {path.name for path in (tmp_path / "output").iterdir()}
    assert kept == {
        *("serial.log", "event-log.bin", "script.log"),
        *("result-pcrs", "result-log", "result-resets"),
    }
    check_next_run(lab, image, report, tmp_path)


def check_pcrs(report: LabReport, said: str) -> None:
    """The values read from outside are those the kernel sees."""
    seen: dict[str, dict[int, bytes]] = {}
    for line in said.splitlines():
        bank, pcr, value = line.split()
        seen.setdefault(bank, {})[int(pcr)] = bytes.fromhex(value)
    assert list(report.pcrs) == list(BANKS)
    assert {bank: dict(list(values.items())[:16]) for bank, values in report.pcrs.items()} == seen
    assert any(report.pcrs["sha256"][12])  # the credential


def check_log(report: LabReport, said: bytes) -> None:
    """The log found in memory is the kernel's, and explains the TPM's values in every bank."""
    assert report.event_log is not None

    assert serialise(report.event_log.log) == said
    assert report.event_log.replays
    later = {each.pcr: each.words for each in report.event_log.later}
    assert later == {10: ("boot_aggregate",)}
    for bank in BANKS:
        replayed = replay(report.event_log.log, bank)
        assert set(replayed) >= {0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12}
        for pcr, value in replayed.items():
            assert report.pcrs[bank][pcr] == value


def check_next_run(lab: Lab, image: str, first: LabReport, folder: Path) -> None:
    """A folder as ESP, the same TPM: the same measurements, but for the credential."""
    esp = folder / "esp"
    (esp / "EFI/BOOT").mkdir(parents=True)
    os.link(image, esp / "EFI/BOOT/BOOTX64.EFI")
    report = lab.boot(RESETS, esp=str(esp), tpm=str(folder / "tpm"))
    assert report.succeeded, report.serial
    assert not any(report.pcrs["sha256"][12])
    for pcr in (0, 1, 2, 3, 4, 6, 7, 11):
        assert report.pcrs["sha256"][pcr] == first.pcrs["sha256"][pcr], pcr
    assert resets(report) == resets(first) + 1


def resets(report: LabReport) -> int:
    assert report.script is not None
    return int.from_bytes(map(int, report.script.files["resets"].split()), "big")


def test_a_disk_image_is_booted_and_never_written(lab: Lab, uki: BuildUki, tmp_path: Path) -> None:
    folder = tmp_path / "esp"
    (folder / "EFI/BOOT").mkdir(parents=True)
    uki(folder / "EFI/BOOT/BOOTX64.EFI")
    image = tmp_path / "disk.raw"
    make_esp(str(image), files_of(str(folder)))
    image.chmod(0o444)
    before = image.read_bytes()
    # Once it asks for a restart, then it goes on.
    script = """
    if [ "$(dd if=/dev/vda bs=512 count=1 2> /dev/null | head -c 4)" = once ]; then exit 0; fi
    printf once | dd of=/dev/vda conv=notrunc 2> /dev/null
    sync
    reboot -f
    """
    report = lab.boot(script, esp=str(image), reboots=1)
    assert report.succeeded, report.serial
    assert report.serial.count("BdsDxe: starting Boot0001") == 2
    assert image.read_bytes() == before
    without = lab.boot(script, esp=str(image))
    assert (without.ending, without.succeeded) == ("reset", False)
    assert without.guest is not None
    assert not without.guest.complete
    assert without.event_log is not None


def test_a_guest_that_panics_is_not_waited_for(lab: Lab, uki: BuildUki, tmp_path: Path) -> None:
    image = uki(tmp_path / "panic.efi", cmdline="console=ttyS0 rdinit=/nowhere root=/dev/none")
    report = lab.boot(uki=image)
    assert report.ending == "panicked"
    assert "unable to mount root" in report.reason.lower()
    assert report.guest is None
    assert report.event_log is not None
    assert report.event_log.log.events


def test_a_guest_that_does_not_end_is_switched_off(lab: Lab, uki: BuildUki, tmp_path: Path) -> None:
    """However far it came: the TPM can be read."""
    image = uki(tmp_path / "small.efi")
    report = lab.boot("sleep 3600", uki=image, timeout=20)
    assert (report.ending, report.succeeded, report.script) == ("timed-out", False, None)
    assert list(report.pcrs) == list(BANKS)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        # A kernel that is quiet leaves the serial port to whoever comes next.
        (
            """
            printf '\\r\\nBdsDxe: failed to load Boot0001 "x" from x: Access Denied\\r\\n'
            printf 'BdsDxe: No bootable option or device was found\\r\\n'
            sleep 3600
            """,
            "only the serial port says",
        ),
        (
            "dd if=/dev/zero of=$SYSGRAFT_RESULTS/zeros bs=1M count=200",
            "it wrote more than 64 MiB to the results port",
        ),
    ],
    ids=["words", "size"],
)
def test_a_guest_that_lies_or_floods_is_stopped(
    lab: Lab, uki: BuildUki, tmp_path: Path, script: str, said: str
) -> None:
    report = lab.boot(script, uki=uki(tmp_path / "small.efi"))
    assert (report.ending, report.succeeded, report.script) == ("stopped", False, None)
    assert said in report.reason
    assert report.guest is not None
    assert report.event_log is not None
    assert report.memory_searched


def test_what_is_no_program_is_refused(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "nothing.efi").write_bytes(b"not a program" * 1000)
    report = lab.boot(uki=str(tmp_path / "nothing.efi"))
    assert report.ending == "refused"
    assert report.reason
    assert report.event_log is not None
    assert any(report.pcrs["sha256"][0])


def test_an_unsigned_program_is_refused_while_another_machine_runs(
    lab: Lab, uki: BuildUki, keys: Keys, tmp_path: Path
) -> None:
    """Two at once, which must not disturb each other."""
    image = uki(tmp_path / "small.efi")
    with ThreadPoolExecutor(2) as pool:
        refused = pool.submit(lab.boot, uki=image, secure_boot=str(keys.folder))
        started = pool.submit(lab.boot, "echo here", uki=image)
    report = refused.result()
    assert (report.ending, report.reason, report.secure_boot) == ("refused", "Access Denied", True)
    assert report.guest is None
    assert not any(report.pcrs["sha256"][11])  # nothing of it was measured
    other = started.result()
    assert (other.succeeded, other.secure_boot) == (True, False), other.serial
    assert other.event_log is not None
    assert other.event_log.replays


# --- Whatever happens, nothing is left -----------------------------------------------------------

RUN: Final = "import sys; from sysgraft.cli.main import entry; sys.argv[0] = 'sysgraft'; entry()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_lab_that_is_ended_ends_its_programs(
    uki: BuildUki, tmp_path: Path, number: signal.Signals
) -> None:
    """SIGKILL too: the kernel ends them, and only the temporary folder is left."""
    image = uki(tmp_path / "small.efi")
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "lab", "run", "--uki", image],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
    )
    try:
        children = wait_for_children(process)
    finally:
        process.send_signal(number)
        messages = process.communicate(timeout=60)[1]
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), messages
    for _ in range(600):
        if not any(map(is_running, children)):
            break
        time.sleep(0.1)
    assert [pid for pid in children if is_running(pid)] == []
    if number != signal.SIGKILL:
        assert list((tmp_path / "tmp").iterdir()) == []


def wait_for_children(process: subprocess.Popen[bytes]) -> list[int]:
    """The process IDs of QEMU and swtpm, once both run."""
    for _ in range(600):
        names = {pid: name for pid in children_of(process.pid) if (name := name_of(pid))}
        if {"swtpm", "qemu-system-x86"} <= set(names.values()):
            return list(names)
        assert process.poll() is None
        time.sleep(0.1)
    pytest.fail("QEMU and swtpm were not started")


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Whether it runs; what only waits to be reaped by whoever adopted it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_tpm_in_use_is_an_error_and_so_is_a_wrong_argument(
    lab: Lab, uki: BuildUki, tmp_path: Path
) -> None:
    image = uki(tmp_path / "small.efi")
    in_use = running_tpm(str(tmp_path / "tpm"), str(tmp_path / "messages"))
    with in_use, pytest.raises(ToolError, match="cannot use the TPM in this folder"):
        lab.boot(uki=image, tpm=str(tmp_path / "tpm"))
    with pytest.raises(ToolError, match=r"qemu-system-x86_64 ended by itself.*nonsense"):
        lab.boot(uki=image, qemu_arguments=("-nonsense",))


# --- Guests --------------------------------------------------------------------------------------


def test_the_guests_are_whole_and_for_everybody(guests: Guests) -> None:
    assert guests.packages["systemd"].startswith("257.")
    assert guests.packages["linux-image-amd64"]
    for name in FILES:
        status = Path(guests.path(name)).stat()
        assert status.st_size > 0
        assert status.st_mode & 0o777 == 0o644
    assert Path(guests.folder).stat().st_mode & 0o777 == 0o755
    assert find_guests(str(Path(guests.folder).parent)) == guests
