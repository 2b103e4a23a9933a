"""From a machine whose network card lacks its firmware to one that has it, and nothing more.

QEMU's i82551 cannot be set up without ``e100/d102e_ucode.bin``. The machine scans itself; outside
Debian's kernel and firmware are indexed, a plan is made, and an extension of its few files is built
and signed; with that the interface comes up. ``test_firmware`` loads a second file, plain from an
extension in the first boot, compressed in the second.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from boot.conftest import initrd
from command import sysgraft
from conftest import FIRMWARE_13
from guest_kit import PYTHONPATH, python_extension, results_of
from sysgraft.host.kernel_messages import CONTROLS, LOADER_MESSAGES

if TYPE_CHECKING:
    from boot.conftest import BuildUki, Keys, Lab

pytestmark = [
    pytest.mark.boot,
    pytest.mark.oracle("firmware-13"),
    pytest.mark.oracle("debian-13"),
]

UCODE: Final = "e100/d102e_ucode.bin"
WIFI: Final = "rtw88/rtw8821a_fw.bin"
SAMPLE: Final = Path(__file__).parents[2] / "examples/firmware/tree"
NETWORK: Final = ("-netdev", "hubport,id=net0,hubid=0", "-device", "i82551,netdev=net0")
USE: Final = f"""
printf '{LOADER_MESSAGES.strip()}\\n' > {CONTROLS[0]}
modprobe -a e100 test_firmware
printf '{WIFI}' > /sys/devices/virtual/misc/test_firmware/trigger_request
sha256sum < /dev/test_firmware > "$SYSGRAFT_RESULTS/wifi"
for interface in /sys/class/net/*; do
    case $(readlink "$interface/device/driver/module") in */e100) name=${{interface##*/}} ;; esac
done
ip link set "$name" up && echo up > "$SYSGRAFT_RESULTS/link" || echo down > "$SYSGRAFT_RESULTS/link"
cat "/sys/class/net/$name/flags" > "$SYSGRAFT_RESULTS/flags"
export PYTHONPATH={PYTHONPATH} PYTHONDONTWRITEBYTECODE=1
python3 -m sysgraft firmware scan --output "$SYSGRAFT_RESULTS/machine.json"
exit 0
"""
UP: Final = 1  # IFF_UP


class Story:
    """The builder's side: keys, folders, and what was made so far."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.folder = folder
        self.keys = keys
        extension = keys.folder / "extension"
        self.signing = [f"--private-key={extension}.key", f"--certificate={extension}.pem"]

    def tool(self, *words: str | Path, code: int = 0) -> dict[str, Any]:
        done = sysgraft("firmware", *words, "--json")
        assert done.code == code, done.err
        document: dict[str, Any] = done.document
        return document

    def build(self, name: str, *words: str | Path) -> tuple[str, int]:
        """An extension's path, and the size of the firmware in it."""
        made = self.tool("build", name, *words, "--output", self.folder / name, *self.signing)
        return made["extension"]["file"], made["size"]


@pytest.fixture
def story(tmp_path: Path, keys: Keys) -> Story:
    return Story(tmp_path, keys)


def boot(story: Story, lab: Lab, image: str, name: str, *extras: str) -> dict[str, Path]:
    output = story.folder / f"boot-{name}"
    report = lab.boot(USE, uki=image, extras=extras, qemu_arguments=NETWORK, output=str(output))
    assert report.succeeded, report
    return results_of(output)


def test_a_card_gets_its_firmware_and_no_other(story: Story, lab: Lab, uki: BuildUki) -> None:
    certificate = (story.keys.folder / "extension.pem").read_bytes()
    trust = initrd(story.folder, {"usr/lib/verity.d/extension.crt": certificate})
    image = uki(story.folder / "guest.efi", "debian", initrds=(trust,))
    sample = hashlib.sha256((SAMPLE / "usr/lib/firmware" / WIFI).read_bytes()).hexdigest()
    tree = ("--firmware-tree", SAMPLE, "--keep", WIFI)

    plain, _ = story.build("plain", *tree, "--pack", "plain")
    python = python_extension(story.folder, story.keys.pair("extension"))
    before = boot(story, lab, image, "before", plain, python)
    assert before["link"].read_text() == "down\n"
    assert before["wifi"].read_text().split()[0] == sample
    found = json.loads(before["machine.json"].read_bytes())
    assert [each["name"] for each in found["failures"]] == [UCODE]
    said = story.tool("doctor", "--machine", before["machine.json"], code=1)
    assert [each["names"] for each in said["findings"]] == [[UCODE]]

    card, size = planned(story, before["machine.json"])
    assert size < 4_000, "the card's files, of more than a gigabyte"
    assert Path(card).stat().st_size < 80_000, "most of it partitions and tables"
    compressed, _ = story.build("compressed", *tree, "--pack", "zstd")
    after = boot(story, lab, image, "after", card, compressed, python)
    assert after["link"].read_text() == "up\n"
    assert int(after["flags"].read_text(), 16) & UP
    assert after["wifi"].read_text().split()[0] == sample, "what a driver gets is the same"
    found = json.loads(after["machine.json"].read_bytes())
    assert not found.get("failures")
    loaded = {each["name"]: each["path"] for each in found["loaded"]}
    assert loaded[UCODE] == f"/lib/firmware/{UCODE}"
    assert loaded[WIFI] == f"/lib/firmware/{WIFI}.zst"
    said = story.tool("doctor", "--machine", after["machine.json"], "--extension", card)
    assert not said["findings"]


def planned(story: Story, inventory: Path) -> tuple[str, int]:
    """The extension that the plan for this machine makes, and the size of its firmware."""
    index, plan = story.folder / "firmware.index", story.folder / "plan.json"
    debian = ("--firmware-tree", FIRMWARE_13)
    story.tool("index", "--kernel-tree", FIRMWARE_13, *debian, "--output", index)
    options = ("--index", index, "--machine", inventory, "--level", "device")
    made = story.tool("plan", *options, "--output", plan)
    assert UCODE in {each["path"] for each in made["files"]}
    # The second file comes from an extension of its own, under another name.
    return story.build("card", "--plan", plan, *debian, "--drop", WIFI, "--compress", "zstd")
