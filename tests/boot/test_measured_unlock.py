"""A volume bound to the extensions: what unlocks it without a person, what does not, and why.

Stock systemd 257 under Secure Boot. The volume is enrolled for PCR 11 and 13 while version 1 of an
extension is loaded. Then the extension changes, with the signature of the new version beside it or
not, and in ways that nobody approved. After each refusal ``pcr explain`` says from that boot's log
what was different.

The guest is a whole system in the initrd, so it unlocks before any phase is measured (``:``).
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from boot.conftest import CMDLINE
from command import sysgraft
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.build.uki.build import build_uki
from sysgraft.build.uki.options import UkiOptions
from sysgraft.formats import eventlog
from sysgraft.lab.options import Disk
from sysgraft.seal.early.tree import write

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import Keys, Lab
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

NAME: Final = "fw.sysext.raw"
SIZE: Final = 32 << 20
CRYPTTAB: Final = "data /dev/disk/by-id/virtio-disk0 - tpm2-device=auto,headless=1\n"
ENROL: Final = r"""
set -eu
printf secret > /run/key
volume=/dev/disk/by-id/virtio-disk0
cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $volume /run/key
{command}
cryptsetup open --key-file /run/key $volume new
mkfs.ext4 -q /dev/mapper/new
mount /dev/mapper/new /mnt
echo kept > /mnt/marker
umount /mnt
cryptsetup close new
"""
LOOK: Final = r"""
cp /usr/share/demo/version "$SYSGRAFT_RESULTS/version"
journalctl --boot --no-pager --output=cat --unit=systemd-cryptsetup@data.service \
    --unit=sysgraft-pcr-signatures.service > "$SYSGRAFT_RESULTS/journal"
if mount -o ro /dev/mapper/data /mnt; then cp /mnt/marker "$SYSGRAFT_RESULTS/marker"; fi
exit 0
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that is booted, and the machine it was enrolled on."""

    folder: Path
    keys: Keys
    addon_stub: str

    @property
    def uki(self) -> str:
        return str(self.folder / "linux.efi")

    def version(self, number: int) -> Path:
        """A version of the extension."""
        return self.folder / f"v{number}" / NAME

    def signatures(self, number: int) -> Path:
        """The signatures that are shipped with it."""
        return self.folder / f"v{number}" / "fw.pcrsig.json"

    def boot(self, lab: Lab, name: str, extras: list[Path], script: str = LOOK) -> LabReport:
        """Boot a copy of the machine."""
        copy = self.folder / name
        copy.mkdir()
        if (self.folder / "tpm").exists():
            shutil.copytree(self.folder / "tpm", copy / "tpm")
        shutil.copy(self.folder / "data.raw", copy / "data.raw")
        report = lab.boot(
            script,
            uki=self.uki,
            extras=tuple(map(str, extras)),
            secure_boot=str(self.keys.folder),
            tpm=str(copy / "tpm"),
            disks=(Disk(str(copy / "data.raw"), writable=True),),
        )
        assert report.succeeded, report.serial[-2000:]
        return report


def run(*words: str | Path) -> dict[str, Any]:
    """A command that has to succeed; its document."""
    done = sysgraft(*words, "--json")
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, guests: Guests, keys: Keys) -> Bench:
    """A UKI with our unit in its initrd, two versions of an extension, signatures for each."""
    folder = tmp_path_factory.mktemp("unlock")
    found = Bench(folder, keys, guests.path("addonx64.efi.stub"))
    tree = folder / "tree"
    write(str(tree))
    (tree / "etc").mkdir()
    (tree / "etc/crypttab").write_text(CRYPTTAB)
    options = UkiOptions(
        linux=guests.path("vmlinuz"),
        initrds=(guests.path("debian.cpio.zst"), f"dir:{tree}"),
        cmdline=CMDLINE,
        os_release=f"@{guests.path('os-release')}",
        uname=guests.kernel,
        stub=guests.path("linuxx64.efi.stub"),
        pcrpkey=str(keys.folder / "tpm2-pcr-public.pem"),
    )
    build_uki(options, found.uki, signing=keys.pair("db"))
    for number in (1, 2):
        content = folder / f"content{number}/usr/share/demo"
        content.mkdir(parents=True)
        (content / "version").write_text(str(number))
        (folder / f"v{number}").mkdir()
        build_extension(
            "fw",
            [str(folder / f"content{number}")],
            output=str(folder / f"v{number}"),
            signing=keys.pair("db"),
            options=BuildOptions(),
        )
    for number in (1, 2):
        words: list[str | Path] = [f"--append={found.signatures(1)}"] if number == 2 else []
        words += ["--output", found.signatures(number)]
        run(
            *("pcr", "sign", "--uki", found.uki, "--extra", found.version(number), "--phase", ":"),
            *("--private-key", keys.folder / "tpm2-pcr-private.pem", *words),
        )
    with open(folder / "data.raw", "wb") as disk:
        disk.truncate(SIZE)
    return found


@pytest.fixture(scope="module")
def enrolled(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The machine after it was enrolled with version 1."""
    from boot.conftest import Lab  # noqa: PLC0415  of this scope

    lab = Lab(tmp_path_factory.mktemp("enrol"))
    command = (
        "systemd-cryptenroll --tpm2-device=auto --tpm2-public-key=/run/systemd/tpm2-pcr-public-key"
        ".pem --tpm2-public-key-pcrs=11+13 --tpm2-pcrs= --unlock-key-file=/run/key $volume"
    )
    beside = [bench.version(1), bench.signatures(1)]
    bench.boot(lab, "enrol", beside, ENROL.format(command=command))
    shutil.move(bench.folder / "enrol/tpm", bench.folder / "tpm")
    shutil.move(bench.folder / "enrol/data.raw", bench.folder / "data.raw")
    return bench


def altered(bench: Bench, name: str, change: str) -> list[Path]:
    """What lies beside the image in the cases that nobody approved."""
    folder = bench.folder / f"altered-{name}"
    folder.mkdir()
    shutil.copy(bench.version(2), folder / NAME)
    shutil.copy(bench.signatures(2), folder / "fw.pcrsig.json")
    if change == "unsigned policy":
        shutil.copy(bench.signatures(1), folder / "fw.pcrsig.json")
    elif change == "tampered":
        data = bytearray((folder / NAME).read_bytes())
        data[len(data) // 3] ^= 1
        (folder / NAME).write_bytes(data)
    elif change == "another":
        (folder / "other.sysext.raw").write_bytes(bench.version(1).read_bytes()[:40960])
    elif change == "renamed":
        (folder / NAME).rename(folder / "gw.sysext.raw")
    return sorted(folder.iterdir())


def carrier(bench: Bench) -> Path:
    """A signed addon with the signatures in its initrd, where nothing lies beside the image."""
    tree = bench.folder / "carrier/.extra"
    tree.mkdir(parents=True)
    shutil.copy(bench.signatures(2), tree / "tpm2-pcr-signature.json")
    path = bench.folder / "signatures.addon.efi"
    run(
        *("uki", "addon", "--initrd", f"dir:{tree.parent}", "--stub", bench.addon_stub),
        *("--secureboot-private-key", bench.keys.folder / "db.key", "--output", path),
        *("--secureboot-certificate", bench.keys.folder / "db.pem"),
    )
    return path


CHANGES: Final = {
    "old-signature": "unsigned policy",
    "tampered": "tampered",
    "another": "another",
    "renamed": "renamed",
}


@pytest.fixture(scope="module")
def reports(enrolled: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LabReport]:
    """All boots after the enrolment, two at a time, each of a copy of the same machine."""
    from boot.conftest import Lab  # noqa: PLC0415  of this scope

    beside = {"upgraded": [enrolled.version(2), enrolled.signatures(2)]}
    beside["carried"] = [enrolled.version(2), carrier(enrolled)]
    beside |= {name: altered(enrolled, name, change) for name, change in CHANGES.items()}

    def boot(name: str) -> LabReport:
        lab = Lab(tmp_path_factory.mktemp(name))
        return enrolled.boot(lab, name, beside[name])

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(beside, pool.map(boot, beside), strict=True))


def result(report: LabReport, name: str) -> str:
    assert report.script is not None
    return report.script.files.get(name, b"").decode()


def test_the_volume_opens_after_an_upgrade(reports: dict[str, LabReport], bench: Bench) -> None:
    """Version 2 and its signature were delivered; nobody was asked for anything."""
    report = reports["upgraded"]
    assert report.secure_boot
    assert result(report, "version") == "2"
    assert result(report, "marker") == "kept\n"
    assert "signatures of 1 files beside EFI/BOOT/BOOTX64.EFI" in result(report, "journal")
    said = run(
        *("pcr", "check", bench.signatures(2), "--uki", bench.uki, "--extra", bench.version(2)),
        *("--phase", ":", "--luks", bench.folder / "data.raw"),
    )
    assert said["ok"] is True


def test_a_signed_addon_can_carry_the_signatures(reports: dict[str, LabReport]) -> None:
    """It is measured itself, into PCR 4 and 12, which are not enrolled."""
    assert result(reports["carried"], "marker") == "kept\n"


@pytest.mark.parametrize("name", CHANGES)
def test_what_nobody_approved_does_not_open_it(name: str, reports: dict[str, LabReport]) -> None:
    report = reports[name]
    assert result(report, "marker") == ""
    assert "Failed to unseal secret using TPM2" in result(report, "journal")


@pytest.mark.parametrize(
    ("name", "approved", "finding"),
    [
        ("old-signature", 1, "fw.sysext.raw had another content"),
        ("tampered", 2, "fw.sysext.raw had another content"),
        ("another", 2, "other.sysext.raw was there, and is not approved"),
        ("renamed", 2, "fw.sysext.raw was called gw.sysext.raw"),
    ],
)
def test_the_log_says_what_was_different(
    name: str,
    approved: int,
    finding: str,
    reports: dict[str, LabReport],
    bench: Bench,
    tmp_path: Path,
) -> None:
    """From that boot's event log, what was approved, and what lay beside the image."""
    report = reports[name]
    assert report.event_log is not None
    log, values, document = (tmp_path / each for each in ("log", "pcrs.json", "approved.json"))
    log.write_bytes(eventlog.serialise(report.event_log.log))
    values.write_text(
        json.dumps(
            {
                bank: {str(pcr): value.hex() for pcr, value in found.items()}
                for bank, found in report.pcrs.items()
            }
        )
    )
    document.write_text(
        sysgraft(
            *("pcr", "predict", "--uki", bench.uki, "--extra", bench.version(approved)),
            *("--phase", ":", "--json"),
        ).out
    )
    done = sysgraft(
        *("pcr", "explain", log, "--approved", document, "--values", values),
        *("--uki", bench.uki, "--extra", bench.folder / f"altered-{name}"),
    )
    assert done.code == 1, done.err
    assert finding in done.out
    assert done.out.count("NOT as approved") == 1
    if name == "old-signature":
        known = sysgraft(
            *("pcr", "explain", log, "--approved", document, "--values", values),
            *("--known", bench.folder / "v2"),
        )
        assert f"{finding} ({bench.version(2)})" in known.out
