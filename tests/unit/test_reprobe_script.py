"""The script for nodes without Python, run by two shells on machines laid out in folders.

What it writes is carried out by the same stand-in for the kernel that the Python code is tested
with (`sysgraft.testing.sysfs_control`), which its function ``put`` asks over two pipes. A real
device is in tests/boot/test_reprobe.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from reprobe_kit import RELEASE, Kit, kit_in
from sysgraft.errors import OutputError
from sysgraft.firmware.reprobe.units.tree import SCRIPT, UnitOptions, files
from sysgraft.testing.sysfs_control import Behaviour

if TYPE_CHECKING:
    from pathlib import Path

SHELLS: Final = [["dash"], ["busybox", "sh"], ["bash", "--posix"]]
HUB: Final = "pci0000:00/0000:00:14.0/usb1"
DONGLE: Final = f"{HUB}/1-4"
INTERFACE: Final = "usb:1-4:1.0"
PATTERN: Final = "usb:v2357p011E*"
ROUTE: Final = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
PUT: Final = """\
put() {
	printf '%s\\n' "$1	$2" > "$SYSGRAFT_RUN/ask"
	read -r answer < "$SYSGRAFT_RUN/answer"
	[ "$answer" = ok ] || { say "$device: ${2#"$sys"/} was refused"; return 1; }
}
"""


def script() -> str:
    options = UnitOptions(script=True, devices=(INTERFACE,))
    return next(each.data.decode() for each in files(options) if each.path == SCRIPT)


def with_put(text: str) -> str:
    """The script, asking the stand-in instead of writing."""
    start = text.index("put() {")
    text = text[:start] + PUT + text[text.index("\n}\n", start) + 3 :]
    return re.sub(r"bound \d", "bound 0", text)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine and a shell on it."""

    kit: Kit
    shell: list[str]

    def run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run the script; given its text, as it is, without the stand-in."""
        root = self.kit.root
        (root / "run").mkdir(exist_ok=True)
        text = text or with_put(script())
        # This machine's udev has nothing to do with it.
        (root / "script").write_text(text.replace("command -v udevadm", "false"))
        environment = {f"SYSGRAFT_{name.upper()}": str(root / name) for name in ("sys", "proc")}
        environment |= {"SYSGRAFT_USR": str(root / "usr"), "SYSGRAFT_RUN": str(root / "run")}
        words = (*self.shell, str(root / "script"), "--deadline", "5", *words)
        with self._kernel():
            return subprocess.run(
                words,
                env={"PATH": os.environ["PATH"], **environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )

    def _kernel(self) -> _Kernel:
        return _Kernel(self.kit)


class _Kernel:
    """Carries out what the script asks for, as long as the context lasts."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._ask, self._answer = kit.root / "run/ask", kit.root / "run/answer"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> None:
        for pipe in (self._ask, self._answer):
            pipe.unlink(missing_ok=True)
            os.mkfifo(pipe)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        with self._ask.open("w") as pipe:
            pipe.write("end\n")
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            with self._ask.open() as pipe:
                value, tab, path = pipe.readline().rstrip("\n").partition("\t")
            if not tab:
                return
            with self._answer.open("w") as pipe:
                pipe.write(f"{self._carry_out(path, value)}\n")

    def _carry_out(self, path: str, value: str) -> str:
        try:
            self._kit.machine.write(os.path.relpath(path, self._kit.root), value, seconds=1)
        except OutputError:
            return "no"
        return "ok"


@pytest.fixture(params=SHELLS, ids=lambda shell: str(shell[0]))
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    shell: list[str] = request.param
    if shutil.which(shell[0]) is None:
        pytest.skip(f"the program {shell[0]} is missing")
    kit = kit_in(tmp_path)
    machine = kit.machine
    machine.device("pci:0000:00:14.0", "pci0000:00/0000:00:14.0", bound="xhci_hcd")
    machine.device("usb:usb1", HUB, bound="usb", authorized="1")
    machine.device("usb:1-4", DONGLE, bound="usb", authorized="1")
    machine.device(
        INTERFACE,
        f"{DONGLE}/1-4:1.0",
        Behaviour(driver="rtw_8821au", firmware="rtw88/fw.bin"),
        authorized="1",
        modalias="usb:v2357p011Ed0200dc00dsc00dp00icFFiscFFipFFin00",
    )
    machine.text("usr/lib/firmware/rtw88/fw.bin", "firmware")
    return Node(kit, shell)


@pytest.mark.parametrize("words", [("--device", INTERFACE), ("--modalias", PATTERN)])
def test_the_bus_is_asked_first_and_nothing_else(node: Node, words: tuple[str, str]) -> None:
    before = node.kit.machine.bindings()
    done = node.run(*words)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{INTERFACE}: has the driver rtw_8821au now (by_bus)\n"
    assert [path for path, _ in node.kit.machine.writes] == ["sys/bus/usb/drivers_probe"]
    after = node.kit.machine.bindings()
    assert after.pop(INTERFACE)[0] == "rtw_8821au"
    assert after == before


@pytest.mark.parametrize(
    ("attribute", "step"), [("uevent", "by_udev"), ("authorized", "by_interface")]
)
def test_further_steps_are_taken_until_one_helps(node: Node, attribute: str, step: str) -> None:
    node.kit.machine.behaviours[INTERFACE].only_after = attribute
    done = node.run("--device", INTERFACE)
    assert done.returncode == 0
    assert done.stderr.endswith(f"({step})\n")


def test_a_device_that_never_binds(node: Node) -> None:
    node.kit.machine.behaviours[INTERFACE] = Behaviour()
    done = node.run("--device", INTERFACE)
    assert done.returncode == 1
    assert done.stderr.endswith(f"{INTERFACE}: still has no driver\n")
    authorized = [value for path, value in node.kit.machine.writes if path.endswith("authorized")]
    assert authorized[:2] == ["0", "1"]
    node.kit.machine.writes.clear()
    again = node.run("--device", INTERFACE)
    assert (again.returncode, node.kit.machine.writes) == (1, [])
    assert "has been tried in this boot" in again.stderr


def test_a_device_with_a_driver_is_left_alone(node: Node) -> None:
    done = node.run("--device", "usb:1-4")
    assert (done.returncode, done.stderr) == (0, "usb:1-4: has a driver, nothing to do\n")
    assert node.kit.machine.writes == []


def test_what_nobody_authorized_stays_so(node: Node) -> None:
    node.kit.machine.behaviours[INTERFACE] = Behaviour()
    for place in (DONGLE, f"{DONGLE}/1-4:1.0"):
        (node.kit.root / f"sys/devices/{place}/authorized").write_text("0\n")
    assert node.run("--device", INTERFACE).returncode == 1
    assert not any(path.endswith("authorized") for path, _ in node.kit.machine.writes)


def test_the_other_interfaces_keep_their_drivers(node: Node) -> None:
    """The whole USB device is not taken away for one of them."""
    machine = node.kit.machine
    machine.behaviours[INTERFACE] = Behaviour()
    machine.device("usb:1-4:1.1", f"{DONGLE}/1-4:1.1", bound="btusb", authorized="1")
    assert node.run("--device", INTERFACE).returncode == 1
    assert not any(path == f"sys/devices/{DONGLE}/authorized" for path, _ in machine.writes)
    assert machine.bound("usb:1-4:1.1") == "btusb"


@pytest.mark.parametrize("what", ["disk", "route", "route6", "console", "screen"])
def test_what_the_machine_needs_is_not_taken_away(node: Node, what: str) -> None:
    machine = node.kit.machine
    machine.behaviours[INTERFACE] = Behaviour()
    place = f"{DONGLE}/1-4:1.0/below"
    if what == "disk":
        machine.disk("sda", place, "8:0")
    elif what == "console":
        machine.thing("tty/ttyUSB0", place)
        machine.text("proc/consoles", "ttyUSB0              -W- (E   p  )  188:0\n")
    elif what == "screen":
        machine.thing("drm/card1", place)
    else:
        machine.thing("net/wlan0", place)
        machine.text("proc/net/route", ROUTE)
    if what == "route":
        line = "wlan0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n"
        machine.text("proc/net/route", ROUTE + line)
    elif what == "route6":
        line = f"{'0' * 32} 00 {'0' * 32} 00 {'f' * 32} 00000400 00000001 0 00000003 wlan0\n"
        machine.text("proc/net/ipv6_route", line)
    done = node.run("--device", INTERFACE)
    assert done.returncode == 1
    assert "left alone" in done.stderr
    assert not any(path.endswith("authorized") for path, _ in machine.writes)


@pytest.mark.parametrize(
    "path",
    ["updates/x.bin", f"{RELEASE}/x.bin.zst", f"updates/{RELEASE}/x.bin.xz", "x.bin"],
)
def test_the_firmware_is_looked_for_where_the_kernel_does(node: Node, path: str) -> None:
    waiting = node.run("--file", "x.bin", "--device", INTERFACE)
    assert waiting.returncode == 0
    assert waiting.stderr == "there is no firmware x.bin: nothing is done\n"
    assert node.kit.machine.writes == []
    node.kit.machine.text(f"usr/lib/firmware/{path}", "firmware")
    assert "has the driver" in node.run("--file", "x.bin", "--device", INTERFACE).stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--device",),
        ("--what", "x"),
        ("--deadline", "soon"),
        ("--deadline", ""),
        ("--device", "usb:../../bus"),
        ("--device", "usb"),
        ("--device", "usb:"),
        ("--device", "usb:a/b"),
        ("--device", "usb:.."),
    ],
)
def test_what_makes_no_sense(node: Node, words: tuple[str, ...]) -> None:
    done = node.run(*words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert node.kit.machine.writes == []


def test_a_name_with_blanks(node: Node) -> None:
    key = "platform:Fixed MDIO bus.0"
    node.kit.machine.device(key, "platform/Fixed MDIO bus.0", Behaviour(driver="m"), modalias="x:y")
    done = node.run("--modalias", "x:*")
    assert (done.returncode, done.stderr) == (0, f"{key}: has the driver m now (by_bus)\n")


def test_a_device_that_is_not_there(node: Node) -> None:
    done = node.run("--device", "usb:9-9:1.0", "--modalias", "usb:nothing*")
    assert (done.returncode, done.stderr) == (0, "usb:9-9:1.0: is not there\n")


# --- Without the stand-in ------------------------------------------------------------------------


def test_an_attribute_gets_the_name(node: Node) -> None:
    text = script().replace("bound 5", "bound 1")
    done = node.run("--device", INTERFACE, text=text)
    assert done.returncode == 1
    root = node.kit.root
    assert (root / "sys/bus/usb/drivers_probe").read_text() == "1-4:1.0"
    assert (root / f"sys/devices/{DONGLE}/1-4:1.0/authorized").read_text() == "1"


def test_an_attribute_that_cannot_be_written(node: Node) -> None:
    probe = node.kit.root / "sys/bus/usb/drivers_probe"
    probe.unlink()
    probe.mkdir()
    text = script().replace("bound 5", "bound 1")
    done = node.run("--device", INTERFACE, text=text)
    assert done.returncode == 1
    assert f"{INTERFACE}: bus/usb/drivers_probe was refused\n" in done.stderr


def test_a_kernel_that_does_not_answer(node: Node) -> None:
    """A pipe that nobody reads from stands for it."""
    probe = node.kit.root / "sys/bus/usb/drivers_probe"
    probe.unlink()
    os.mkfifo(probe)
    done = node.run("--device", INTERFACE, "--deadline", "1", text=script())
    assert done.returncode == 1
    assert f"{INTERFACE}: bus/usb/drivers_probe did not end in time\n" in done.stderr


@pytest.mark.oracle("shellcheck")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script())
    done = subprocess.run(
        ["shellcheck", tmp_path / "script"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
