"""UKIs and addons on real firmware: what starts, what is refused, what is measured."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest

from command import sysgraft
from sysgraft.formats import esl, pe
from sysgraft.host.files import OpenFile
from sysgraft.sign.pair import load_certificate_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from boot.conftest import Keys, Lab
    from conftest import Debian13
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

BANKS: Final = ("sha1", "sha256", "sha384", "sha512")
CONSOLE: Final = "console=ttyS0 quiet"


@pytest.fixture(scope="module")
def parts(guests: Guests) -> list[str]:
    """What every UKI here is made of: the small guest."""
    return [
        f"--linux={guests.path('vmlinuz')}",
        f"--initrd={guests.path('small.cpio.zst')}",
        f"--os-release=@{guests.path('os-release')}",
        f"--stub={guests.path('linuxx64.efi.stub')}",
        "--config=",
    ]


def signed_by(keys: Keys) -> tuple[str, ...]:
    return (
        f"--secureboot-private-key={keys.folder}/db.key",
        f"--secureboot-certificate={keys.folder}/db.pem",
    )


def run(*words: str | Path) -> dict[str, Any]:
    """Run a command line that has to succeed; its document."""
    done = sysgraft(*words, "--json")
    assert done.code == 0, done.err
    return done.document


def output(report: LabReport) -> str:
    assert report.script is not None, report.serial
    return report.script.output.decode()


# --- Secure Boot ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signed_uki(parts: list[str], keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small guest, signed with the key in db."""
    path = tmp_path_factory.mktemp("signed") / "signed.efi"
    run("uki", "build", *parts, f"--cmdline={CONSOLE}", *signed_by(keys), "--output", path)
    assert sysgraft("uki", "verify", path, "--certificate", keys.folder / "db.pem").code == 0
    return path


def test_ours_boots_with_our_addon_and_without_a_strangers(
    lab: Lab, guests: Guests, signed_uki: Path, keys: Keys, other_keys: Keys, tmp_path: Path
) -> None:
    stub = f"--stub={guests.path('addonx64.efi.stub')}"
    addons = []
    for name, pair in (("ours", keys), ("theirs", other_keys)):
        addons.append(tmp_path / f"{name}.addon.efi")
        words = (f"--cmdline=sysgraft.{name}=1", stub, *signed_by(pair))
        run("uki", "addon", *words, "--output", addons[-1])
    report = lab.boot(
        "cat /proc/cmdline",
        uki=str(signed_uki),
        extras=tuple(map(str, addons)),
        secure_boot=str(keys.folder),
    )
    assert (report.ending, report.secure_boot) == ("powered-off", True), report.serial
    assert output(report).split() == [*CONSOLE.split(), "sysgraft.ours=1"]
    assert report.event_log is not None
    assert report.event_log.replays
    assert any(report.pcrs["sha256"][12])


def flipped(path: Path, target: Path) -> Path:
    """A copy with one bit of its initrd changed."""
    data = bytearray(path.read_bytes())
    with OpenFile(path) as blob:
        section = pe.parse(blob).find(".initrd")
    assert section is not None
    data[section.offset + section.virtual_size // 2] ^= 1
    target.write_bytes(data)
    return target


def test_a_flipped_bit_is_refused(lab: Lab, signed_uki: Path, keys: Keys, tmp_path: Path) -> None:
    image = flipped(signed_uki, tmp_path / "flipped.efi")
    assert sysgraft("uki", "verify", image, "--certificate", keys.folder / "db.pem").code == 1
    report = lab.boot(uki=str(image), secure_boot=str(keys.folder))
    assert (report.ending, report.guest) == ("refused", None), report.serial


def test_a_strangers_signature_is_refused(
    lab: Lab, parts: list[str], keys: Keys, other_keys: Keys, tmp_path: Path
) -> None:
    image = tmp_path / "theirs.efi"
    cmdline = f"--cmdline={CONSOLE}"
    run("uki", "build", *parts, cmdline, *signed_by(other_keys), "--output", image)
    assert sysgraft("uki", "verify", image, "--certificate", keys.folder / "db.pem").code == 1
    report = lab.boot(uki=str(image), secure_boot=str(keys.folder))
    assert (report.ending, report.guest) == ("refused", None), report.serial


@pytest.mark.parametrize("revoked", ["certificate", "digest"])
def test_what_dbx_names_is_refused(
    lab: Lab, signed_uki: Path, keys: Keys, tmp_path: Path, revoked: str
) -> None:
    """The same image and the same db as the one that boots; only dbx differs."""
    folder = tmp_path / "keys"
    shutil.copytree(keys.folder, folder)
    entry = esl.Signature(UUID(int=1), load_certificate_file(str(folder / "db.pem")).der)
    kind = esl.CERT_X509
    if revoked == "digest":
        document = run("uki", "verify", signed_uki, "--certificate", folder / "db.pem")
        digest = document["images"][0]["digests"]["sha256"]
        entry, kind = esl.Signature(UUID(int=1), bytes.fromhex(digest)), esl.CERT_SHA256
    (folder / "dbx.esl").write_bytes(esl.serialise([esl.SignatureList(kind, (entry,))]))
    checks = ("--certificate", keys.folder / "db.pem", "--dbx", folder / "dbx.esl")
    assert sysgraft("uki", "verify", signed_uki, *checks).code == 1
    report = lab.boot(uki=str(signed_uki), secure_boot=str(folder))
    assert (report.ending, report.guest) == ("refused", None), report.serial


# --- What is measured ----------------------------------------------------------------------------


PROFILES: Final = ("ID=main\nTITLE=Main\n", "ID=rescue\nTITLE=Rescue\n")
PHASES: Final = ("sysinit:ready", "sysinit:ready:shutdown")
# PCR 11 as it is once the boot is done; then the next phase, measured by systemd itself.
READ: Final = """
systemctl start systemd-pcrphase.service systemd-pcrphase-sysinit.service
for bank in sha1 sha256 sha384 sha512; do
    cat /sys/class/tpm/tpm0/pcr-$bank/11
done > $SYSGRAFT_RESULTS/pcr11
cat /proc/cmdline
/usr/lib/systemd/systemd-pcrextend shutdown
"""


@pytest.fixture(scope="module")
def two_profiles(
    guests: Guests, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """A UKI of the whole Debian with two profiles, and its values of PCR 11."""
    folder = tmp_path_factory.mktemp("profiles")
    stub = guests.path("linuxx64.efi.stub")
    for name, text in zip(("main", "rescue"), PROFILES, strict=True):
        (folder / f"{name}.profile").write_text(text)
    addon_stub = guests.path("addonx64.efi.stub")
    run(
        *("uki", "build", "--config=", f"--profile=@{folder}/rescue.profile"),
        *(f"--cmdline={CONSOLE} sysgraft.rescue", f"--stub={addon_stub}"),
        f"--output={folder}/rescue.efi",
    )
    sysgraft("keys", "generate", "demo", "--output", folder / "keys")
    image = folder / "two.efi"
    document = run(
        *("uki", "build", "--config=", f"--linux={guests.path('vmlinuz')}"),
        *(f"--initrd={guests.path('debian.cpio.zst')}", f"--cmdline={CONSOLE}"),
        *(f"--os-release=@{guests.path('os-release')}", f"--stub={stub}", "--measure"),
        *(f"--profile=@{folder}/main.profile", f"--join-profile={folder}/rescue.efi"),
        *(f"--pcr-private-key={folder}/keys/tpm2-pcr-private.pem", f"--phases={','.join(PHASES)}"),
        f"--output={image}",
    )
    return image, document["pcrs"]


@pytest.mark.parametrize("profile", [0, 1])
def test_pcr_11_is_what_the_build_said(
    lab: Lab,
    guests: Guests,
    two_profiles: tuple[Path, list[dict[str, Any]]],
    tmp_path: Path,
    profile: int,
) -> None:
    image, values = two_profiles
    esp = tmp_path / "esp"
    for folder in ("EFI/BOOT", "EFI/Linux", "loader"):
        (esp / folder).mkdir(parents=True)
    shutil.copy(guests.path("systemd-bootx64.efi"), esp / "EFI/BOOT/BOOTX64.EFI")
    shutil.copy(image, esp / "EFI/Linux/two.efi")
    entry = "two.efi@rescue" if profile else "two.efi"
    (esp / "loader/loader.conf").write_text(f"timeout 0\ndefault {entry}\n")
    report = lab.boot(READ, esp=str(esp))
    assert report.succeeded, report.serial
    assert ("sysgraft.rescue" in output(report)) is (profile == 1)
    expected = {
        (value["phase"], value["bank"]): value["value"]
        for value in values
        if value["profile"] == profile
    }
    assert len(expected) == len(PHASES) * len(BANKS)
    assert report.script is not None
    then = report.script.files["pcr11"].decode().lower().split()
    for bank, value in zip(BANKS, then, strict=True):
        assert value == expected[PHASES[0], bank]
        assert report.pcrs[bank][11].hex() == expected[PHASES[1], bank]


# --- Made of other things ------------------------------------------------------------------------


INIT: Final = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "started from $(/bin/busybox cat /etc/os-release), $(/bin/busybox uname -r)"
/bin/busybox test -e /gone || echo "and the upper layer counts"
/bin/busybox poweroff -f
"""


@pytest.mark.oracle("skopeo", "busybox")
def test_a_container_image_boots_as_its_own_initrd(
    lab: Lab, guests: Guests, keys: Keys, tmp_path: Path
) -> None:
    """As Kairos does it: root file system, kernel and os-release come out of the image."""
    archive = container_image(tmp_path, guests)
    image = tmp_path / "system.efi"
    document = run(
        *("uki", "build", "--config=", f"--initrd={archive}", f"--cmdline={CONSOLE}"),
        *(f"--stub={guests.path('linuxx64.efi.stub')}", *signed_by(keys), f"--output={image}"),
    )
    assert document["uname"] == guests.kernel
    report = lab.boot(uki=str(image), secure_boot=str(keys.folder))
    assert (report.ending, report.secure_boot) == ("powered-off", True), report.serial
    assert f"started from ID=shipped, {guests.kernel}" in report.serial
    assert "and the upper layer counts" in report.serial
    assert report.event_log is not None
    assert report.event_log.replays


def container_image(folder: Path, guests: Guests) -> str:
    """A saved image with two layers, as skopeo writes it: a source argument."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    lower = layer(
        {
            "bin/busybox": Path(busybox).read_bytes(),
            "etc/os-release": b"ID=shipped",
            "gone": b"deleted above",
            f"usr/lib/modules/{guests.kernel}/vmlinuz": Path(guests.path("vmlinuz")).read_bytes(),
        }
    )
    write_layout(folder / "layout", [lower, layer({".wh.gone": b"", "init": INIT.encode()})])
    words = ("copy", "--quiet", f"oci:{folder}/layout", f"docker-archive:{folder}/saved.tar")
    subprocess.run(["skopeo", "--insecure-policy", *words], check=True)
    return f"docker-archive:{folder}/saved.tar"


def layer(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of executable files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o755, len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def write_layout(folder: Path, layers: Sequence[bytes]) -> None:
    """An OCI layout (OCI Image Format 1.1) with one image."""
    kind = "application/vnd.oci.image"
    blobs: dict[str, bytes] = {}

    def put(data: bytes, media_type: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{name}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    def put_json(value: object, media_type: str) -> dict[str, object]:
        return put(json.dumps(value).encode(), media_type)

    stored = [put(each, f"{kind}.layer.v1.tar") for each in layers]
    rootfs = {"type": "layers", "diff_ids": [each["digest"] for each in stored]}
    config = {"architecture": "amd64", "os": "linux", "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "config": put_json(config, f"{kind}.config.v1+json"),
        "layers": stored,
    }
    index = {"schemaVersion": 2, "manifests": [put_json(manifest, f"{kind}.manifest.v1+json")]}
    blobs["index.json"] = json.dumps(index).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    for name, data in blobs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.oracle("debian-13")
def test_a_uki_made_by_ukify_boots_in_the_lab(
    lab: Lab, guests: Guests, debian13: Debian13, tmp_path: Path
) -> None:
    files = {name: Path(guests.path(name)) for name in ("vmlinuz", "small.cpio.zst", "os-release")}
    for name, path in files.items():
        shutil.copy(path, tmp_path / name)
    debian13.run(
        [
            *("ukify", "build", "--linux=/mnt/work/vmlinuz", "--initrd=/mnt/work/small.cpio.zst"),
            *("--os-release=@/mnt/work/os-release", f"--cmdline={CONSOLE}"),
            "--output=/mnt/work/theirs.efi",
        ],
        binds={tmp_path: "/mnt/work"},
    )
    report = lab.boot("cat /proc/cmdline", uki=str(tmp_path / "theirs.efi"))
    assert report.succeeded, report.serial
    assert output(report).split() == CONSOLE.split()
    assert report.event_log is not None
    assert report.event_log.replays
