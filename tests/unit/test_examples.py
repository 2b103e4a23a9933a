"""The scripts in ``examples`` run and do what they say."""

from __future__ import annotations

import json
import lzma
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import KERNEL_MODULES
from firmware_kit import DISK, WIFI, machine, write_firmware, write_kernel
from sysgraft.firmware.inventory import Failure, render_machine
from sysgraft.testing.certificates import make_identity
from uki_kit import make_kit, public_pem

if TYPE_CHECKING:
    from conftest import SigningPair

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str, *words: str | Path, code: int = 0) -> str:
    """What a script prints; its exit code has to be `code`."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


@pytest.fixture
def image(sample_tree: Path, signing_pair: SigningPair, tmp_path: Path) -> Path:
    """An image built by the first example."""
    (sample_tree / "etc").mkdir()
    (sample_tree / "etc/outside").write_text("outside\n")
    pair = (signing_pair.key, signing_pair.certificate)
    printed = run("build_and_verify.py", "demo", sample_tree, *pair, tmp_path / "out")
    assert "left out (outside): 1 files, such as etc/outside" in printed
    statuses = {line.split(":")[0].split()[-1]: line.split()[0] for line in printed.splitlines()}
    assert statuses["verity-tree"] == statuses["trust"] == "ok"
    assert statuses["host-match"] == "skipped"
    return tmp_path / "out/demo.sysext.raw"


def test_build_and_verify_refuses_to_replace(
    image: Path, sample_tree: Path, signing_pair: SigningPair
) -> None:
    words = ("demo", sample_tree, signing_pair.key, signing_pair.certificate, image.parent)
    assert "the file exists" in run("build_and_verify.py", *words, code=1)


def test_verify_in_ci_passes_a_good_image(image: Path, signing_pair: SigningPair) -> None:
    printed = run("verify_in_ci.py", signing_pair.certificate, image)
    assert printed == f"good  {image}\n"


def test_verify_in_ci_names_what_is_wrong(
    image: Path, signing_pair: SigningPair, tmp_path: Path
) -> None:
    bad = tmp_path / image.name
    data = bytearray(image.read_bytes())
    data[data.index(b"echo demo")] ^= 1
    bad.write_bytes(data)
    printed = run("verify_in_ci.py", signing_pair.certificate, image, bad, code=1)
    assert f"good  {image}\nBAD   {bad}\n      verity-tree: data partition" in printed


def test_verify_in_ci_trusts_only_the_certificate_given(
    image: Path, other_pair: SigningPair
) -> None:
    printed = run("verify_in_ci.py", other_pair.certificate, image, code=1)
    assert "      trust: no trusted certificate has issuer" in printed


def test_list_content_lists_the_largest_file_first(image: Path) -> None:
    lines = run("list_content.py", image).splitlines()
    assert lines[0].split() == ["251000", "/usr/lib/firmware/demo/large.bin"]
    assert lines[-1].split()[0] == "0"
    assert "/usr/lib/firmware/demo/same.bin" in {line.split()[1] for line in lines}


def test_sign_for_extensions_signs_for_these_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_identity("PCR policies")
    kit = make_kit(tmp_path / "kit", monkeypatch)
    uki = kit.build("linux.efi", "--pcrpkey", kit.file("pcr.pub", public_pem(owner)))
    words = (uki, kit.file("pcr.key", owner.key_pem), kit.folder / "sig.json")
    lines = run("sign_for_extensions.py", *words, kit.file("a.raw", b"image")).splitlines()
    assert [line[:7] for line in lines[:2]] == ["PCR 11 ", "PCR 13 "]
    assert lines[2] == "with the extensions: there is a good signature"
    assert "has no signature of PCR 11+13 for these values" in lines[3]
    entries = json.loads((kit.folder / "sig.json").read_text())["sha256"]
    assert [entry["pcrs"] for entry in entries] == [[11, 13]]


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_a_script_says_how_it_is_called(script: str) -> None:
    assert f"{script} " in run(script, code=1)


@pytest.mark.parametrize("script", ["list_content.py", "verify_in_ci.py"])
def test_a_script_says_what_it_cannot_read(script: str, signing_pair: SigningPair) -> None:
    words = (signing_pair.certificate, "missing.raw") if "verify" in script else ("missing.raw",)
    assert "error: missing.raw: No such file" in run(script, *words, code=1)


def test_firmware_by_hardware(tmp_path: Path, signing_pair: SigningPair) -> None:
    root, out, inventory = tmp_path / "root", tmp_path / "out", tmp_path / "machine.json"
    write_kernel(root)
    packed = write_firmware(root) / "helper/b.bin.xz"
    packed.write_bytes(lzma.compress(b"b", check=lzma.CHECK_CRC32))
    out.mkdir()
    missed = "iwlwifi-so-a0-gf-a0-83.ucode"
    failure = Failure(missed, f"firmware load for {missed} failed", "pci:0000:00:00.0", error=2)
    inventory.write_bytes(render_machine(machine(WIFI, DISK, failures=(failure,))))
    pair = (signing_pair.key, signing_pair.certificate)
    printed = run("firmware_by_hardware.py", root, inventory, *pair, out).splitlines()
    assert any(line.startswith("early qlogic/v2/fw.bin: ") for line in printed)
    assert any(line.startswith("late  iwlwifi-so-a0-gf-a0-83.ucode: ") for line in printed)
    assert "verified" in printed
    assert f"pci:0000:00:00.0: {missed}: install" in printed
    assert printed[-1].startswith("upgrade: firmware_2 lies on top, ")
    assert {path.name for path in out.iterdir()} >= {"plan.json", "slim.tar", "early-1.cpio"}


def test_extensions_on_a_node(tmp_path: Path, signing_pair: SigningPair) -> None:
    library = tmp_path / "root/usr/lib/systemd/libsystemd-shared-257.so"
    certificate = tmp_path / "root/usr/lib/verity.d/mine.crt"
    for path, data in ((library, b""), (certificate, signing_pair.certificate.read_bytes())):
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    (tmp_path / "out").mkdir()
    pair = (signing_pair.key, signing_pair.certificate)
    printed = run("extensions_on_a_node.py", tmp_path / "root", *pair, tmp_path / "out")
    lines = printed.splitlines()
    assert lines[0].startswith("installed hello_1, sha256:")
    assert lines[1:] == [
        "hello_2: installed",
        "hello_2: enabled active",
        "hello_1: disabled active",
        "hello_1: enabled for passive",
        "hello_2: enabled for active",
        "after the rollback hello_2 would be removed",
    ]


def virt_initrd() -> dict[str, set[str]]:
    """The lists in the configuration of dracut, by name."""
    lists: dict[str, set[str]] = {}
    for line in (EXAMPLES / "virt-initrd/dracut-virt.conf").read_text().splitlines():
        if line and not line.startswith("#"):
            found = re.fullmatch(r'(\w+)(?:="(\w+)"|\+=" ([\w -]+) ")', line)
            assert found is not None, line
            lists.setdefault(found[1], set()).update((found[2] or found[3]).split())
    return lists


@pytest.mark.oracle("kernel-modules")
def test_the_initrd_for_virtual_machines_names_modules_there_are() -> None:
    """Of Debian's kernel for clouds; what is built in counts."""
    (kernel,) = (KERNEL_MODULES / "usr/lib/modules").iterdir()
    paths = [str(path) for path in kernel.rglob("*.ko*")]
    paths += (kernel / "modules.builtin").read_text().split()
    there = {Path(path).name.partition(".ko")[0].replace("-", "_") for path in paths}
    lists = virt_initrd()
    assert len(lists["drivers"]) > 20
    assert lists["drivers"] | lists["filesystems"] <= there


def test_the_initrd_for_virtual_machines_is_for_all_of_them() -> None:
    lists = virt_initrd()
    assert lists["hostonly"] == {"no"}
    assert lists["reproducible"] == {"yes"}
    assert {"systemd", "systemd-veritysetup", "crypt", "rootfs-block"} <= lists["dracutmodules"]
