"""A node in the lab: what is enabled for an entry is what that entry has, and nothing else.

The guest is a whole Debian 13 with its stock systemd 257, the agent and its units in the UKI,
systemd-boot before it, Secure Boot on, and the store on a disk of its own.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from extension_cases import extension
from node_kit import NodeGuest, keys_trusted, store_disk
from sysgraft.formats import esl
from sysgraft.lab.esp import File, make_esp
from sysgraft.lab.options import Disk
from sysgraft.node.modes import Fate, State, fate
from sysgraft.node.settings import Mode
from sysgraft.sign.pair import load_certificate_file

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

STATUS: Final = r"""
systemctl --no-legend --plain list-units --failed > "$SYSGRAFT_RESULTS/units"
sysgraft node status --json > "$SYSGRAFT_RESULTS/status" 2> "$SYSGRAFT_RESULTS/status.err"
systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/merged"
ls -la /run/extensions /run/verity.d > "$SYSGRAFT_RESULTS/links" 2>&1
cp /run/sysgraft/activation.json "$SYSGRAFT_RESULTS/"
journalctl -b -o cat -u sysgraft-node-activate -u systemd-sysext > "$SYSGRAFT_RESULTS/journal"
"""

INSTALL: Final = r"""
exec > "$SYSGRAFT_RESULTS/log" 2>&1
set -x
mkdir /run/images
mount -t vfat -o ro /dev/disk/by-id/virtio-disk1-part1 /run/images
busybox httpd -p 127.0.0.1:8080 -h /run/images
url=http://127.0.0.1:8080
sysgraft node install "$url/one.sysext.raw"
sysgraft node install "$url/two.sysext.raw?token=secret"
sysgraft node install "$url/three.sysext.raw"
sysgraft node install "$url/stranger.sysext.raw"
echo "stranger $?"
sysgraft node enable --active --now one
sysgraft node enable --common --now two
sysgraft node enable --passive three
sysgraft node list --json > "$SYSGRAFT_RESULTS/list"
[ "$(cat /usr/share/demo/shared)" = two ] && echo "two is on top"
sync
"""


def test_each_entry_has_what_is_enabled_for_it(
    lab: Lab, guests: Guests, uki: BuildUki, keys: Keys, other_keys: Keys, tmp_path: Path
) -> None:
    signing = keys.pair("extension")
    images = [extension(tmp_path, name, signing) for name in ("one", "two", "three")]
    images.append(extension(tmp_path, "stranger", other_keys.pair("extension")))
    make_esp(str(tmp_path / "images"), [File(path.name, str(path)) for path in images])
    (tmp_path / "empty").mkdir()
    store = store_disk(tmp_path / "store", tmp_path / "empty")
    disks = (store, Disk(str(tmp_path / "images")))
    guest = NodeGuest(tmp_path, guests, uki, keys.pair("db"))
    image = guest.image("kairos", keys_trusted(keys))
    # Beside the boot image that all three entries start: the stub brings and measures it.
    beside = tmp_path / "esp/EFI/kairos/kairos.efi.extra.d"
    beside.mkdir(parents=True)
    extension(tmp_path, "early", signing).rename(beside / "early.sysext.raw")

    def boot(entry: str, script: str) -> LabReport:
        esp = guest.esp(entry, dict.fromkeys(("active", "passive", "recovery"), image))
        report = lab.boot(script, esp=str(esp), disks=disks, secure_boot=str(keys.folder))
        assert report.succeeded, report.serial
        assert report.secure_boot is True
        return report

    first = files(boot("active", INSTALL + STATUS))
    (tmp_path / "first.json").write_text(json.dumps(first))
    assert merged(first) == ["early", "one", "two"]
    assert "two is on top\n" in first["log"]
    assert "stranger 2\n" in first["log"]
    assert "secret" not in first["journal"] + first["list"]
    for entry, wanted in (
        ("active", ["early", "one", "two"]),
        ("passive", ["early", "three", "two"]),
        ("recovery", ["early", "two"]),
    ):
        found = files(boot(entry, STATUS))
        assert merged(found) == wanted, found
        status = json.loads(found["status"])
        assert status["ok"], status
        assert found["units"] == ""


def files(report: LabReport) -> dict[str, str]:
    assert report.script is not None, report.serial
    return {name: data.decode(errors="replace") for name, data in report.script.files.items()}


def merged(found: dict[str, str]) -> list[str]:
    return merged_in(found["merged"])


def merged_in(text: str) -> list[str]:
    """The extensions in what ``systemd-sysext status`` prints."""
    names = {
        name
        for each in json.loads(text)
        if each["extensions"] != "none"
        for name in each["extensions"]
    }
    return sorted(names)


MODES: Final = r"""
exec > "$SYSGRAFT_RESULTS/log" 2>&1
set -x
tell() {
    sysgraft node status --json > "$SYSGRAFT_RESULTS/status-$1"
    systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/merged-$1"
    ls /run/verity.d > "$SYSGRAFT_RESULTS/trusted-$1"
}
again() {
    sysgraft node activate
    systemctl reset-failed systemd-sysext.service
    systemctl restart systemd-sysext.service
    tell "$1"
}
cp /run/sysgraft/activation.json "$SYSGRAFT_RESULTS/"
systemctl is-failed sysgraft-node-activate.service
systemctl is-active systemd-sysext.service
tell enforced
mkdir -p /etc/sysgraft
systemctl start boot-complete.target
echo "complete without fail_boot: $?"
systemctl stop boot-complete.target sysgraft-node-check.service
echo 'fail_boot = true' > /etc/sysgraft/config.toml
systemctl start boot-complete.target
echo "complete with fail_boot: $?"
systemctl is-active boot-complete.target
systemctl reset-failed
for mode in permissive disabled; do
    echo "mode = '$mode'" > /etc/sysgraft/config.toml
    again $mode
done
cp /var/lib/kairos/extensions/good.sysext.raw /run/good
for name in tampered stranger revoked unsigned; do
    sysgraft node disable --common $name
done
again alone
cat > /etc/sysgraft/config.toml <<-end
	trust = { sources = ["config"], certificates = ["/etc/sysgraft/own.pem"] }
end
cp /usr/share/keys/own.pem /etc/sysgraft/own.pem
again own
cp /usr/share/keys/next.pem /etc/sysgraft/own.pem
again rotated
rm /etc/sysgraft/config.toml
cp /var/lib/kairos/extensions/stranger.sysext.raw /var/lib/extensions/
again masked
rm /var/lib/extensions/*
"""


def test_one_bad_image_never_takes_the_others_along(
    lab: Lab, guests: Guests, uki: BuildUki, keys: Keys, other_keys: Keys, tmp_path: Path
) -> None:
    """Of five images one is good; each mode does with the others what its table says."""
    own, stranger = keys.pair("extension"), other_keys.pair("extension")
    revoked = other_keys.pair("db")
    folder = enrolled_and_revoked(keys, other_keys, tmp_path)
    store = tmp_path / "tree/extensions"
    common = store / "common"
    common.mkdir(parents=True)
    signers = {"good": own, "tampered": own, "stranger": stranger, "revoked": revoked}
    for name, signing in {**signers, "unsigned": None}.items():
        path = extension(store, name, signing)
        (common / path.name).symlink_to(f"../{path.name}")
        shutil.rmtree(store / f"tree-{name}")
    damage(store / "tampered.sysext.raw")
    disk = store_disk(tmp_path / "store", tmp_path / "tree")
    guest = NodeGuest(tmp_path, guests, uki, keys.pair("db"))
    more = {
        **keys_trusted(keys),
        "usr/share/keys/own.pem": (keys.folder / "extension.pem").read_bytes(),
        "usr/share/keys/next.pem": (other_keys.folder / "KEK.pem").read_bytes(),
    }
    image = guest.image("kairos", more, cmdline="sysgraft.config=trusted")
    esp = guest.esp("active", {"active": image})
    report = lab.boot(MODES, esp=str(esp), disks=(disk,), secure_boot=str(folder))
    assert report.succeeded, report.serial
    found = files(report)
    (tmp_path / "found.json").write_text(json.dumps(found, indent=1))
    activation = json.loads(found["activation.json"])
    states = {each["name"]: each["state"] for each in activation["images"]}
    assert states == {
        "good": "good",
        "revoked": "revoked",
        "stranger": "untrusted",
        "tampered": "damaged",
        "unsigned": "unsigned",
    }
    merged_by = {
        name.removeprefix("merged-"): merged_in(text)
        for name, text in found.items()
        if name.startswith("merged-")
    }
    assert merged_by == {
        "enforced": ["good"],
        # systemd 257 takes no image with a bad signature, whatever the policy says.
        "permissive": ["good", "revoked", "unsigned"],
        "disabled": [],
        "alone": ["good"],
        "own": ["good"],
        "rotated": [],
        "masked": ["good"],
    }
    assert json.loads(found["status-enforced"])["ok"] is False
    assert "complete without fail_boot: 0\n" in found["log"], found["log"]
    assert "complete with fail_boot: 1\n" in found["log"]
    assert "\ninactive\n" in found["log"]
    for mode in Mode:
        assert table_says(mode, states) == merged_by[mode], mode


def table_says(mode: Mode, states: dict[str, str]) -> list[str]:
    """What of these images is merged by systemd 257, by the table of modes."""
    fates = {name: fate(mode, State(state), 257) for name, state in states.items()}
    if Fate.ENDS_THE_MERGE in fates.values():
        return []
    return sorted(name for name, each in fates.items() if each is not Fate.SKIPPED)


def enrolled_and_revoked(keys: Keys, others: Keys, tmp_path: Path) -> Path:
    """Keys whose db has a second certificate, which dbx revokes."""
    folder = tmp_path / "enrolled"
    shutil.copytree(keys.folder, folder)
    pair = [load_certificate_file(str(each.folder / "db.pem")).der for each in (keys, others)]
    lists = [esl.SignatureList(esl.CERT_X509, (esl.Signature(UUID(int=1), der),)) for der in pair]
    (folder / "db.esl").write_bytes(esl.serialise(lists))
    (folder / "dbx.esl").write_bytes(esl.serialise(lists[1:]))
    return folder


def damage(path: Path) -> None:
    """Flip a bit of the data in the middle of an image."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


UNMEASURED: Final = r"""
exec > "$SYSGRAFT_RESULTS/log" 2>&1
set -x
cat /proc/cmdline
ls /sys/firmware/efi/efivars | grep '^Stub'
cp /run/sysgraft/activation.json "$SYSGRAFT_RESULTS/"
systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/merged"
mkdir -p /etc/sysgraft
echo 'unsigned = true' > /etc/sysgraft/config.toml
sysgraft node activate
systemctl restart systemd-sysext.service
systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/merged-unsigned"
sysgraft node status || echo "status says $?"
"""


def test_a_machine_without_stub_and_secure_boot(
    lab: Lab, guests: Guests, keys: Keys, other_keys: Keys, uki: BuildUki, tmp_path: Path
) -> None:
    """As GRUB starts it: kernel and initrd by an entry's text, nothing of it signed or measured."""
    store = tmp_path / "tree/extensions"
    (store / "common").mkdir(parents=True)
    signers = {
        "good": keys.pair("extension"),
        "stranger": other_keys.pair("extension"),
        "unsigned": None,
    }
    for name, signing in signers.items():
        path = extension(store, name, signing)
        (store / "common" / path.name).symlink_to(f"../{path.name}")
        shutil.rmtree(store / f"tree-{name}")
    disk = store_disk(tmp_path / "store", tmp_path / "tree")
    guest = NodeGuest(tmp_path, guests, uki, None)
    esp = guest.esp_without_stub("active", keys_trusted(keys))
    report = lab.boot(UNMEASURED, esp=str(esp), disks=(disk,))
    assert report.succeeded, report.serial
    found = files(report)
    activation = json.loads(found["activation.json"])
    assert activation["entry"] == "active"
    assert {each["name"]: each["linked"] for each in activation["images"]} == {
        "good": True,
        "stranger": False,
        "unsigned": False,
    }
    assert merged(found) == ["good"], found
    assert merged_in(found["merged-unsigned"]) == ["good", "unsigned"], found
    # The stranger's is still not there.
    assert "status says 1\n" in found["log"], found["log"]
