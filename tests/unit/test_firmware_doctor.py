"""``firmware scan`` and ``firmware doctor``, from files to advice."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import lzma
import os
from typing import TYPE_CHECKING, Any

import pytest
from test_schemas import errors_of

from command import sysgraft
from golden_images import golden
from machine_kit import AFTER, BEFORE, LSPCI
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.firmware import doctor
from sysgraft.firmware.doctor import diagnose_firmware
from sysgraft.firmware.inventory import Device, Failure, Loaded, Machine, render_machine
from sysgraft.firmware.shelves import Shelf
from sysgraft.formats.allowance import Limits
from sysgraft.host import kernel_messages
from sysgraft.host.zstd import compress
from sysgraft.image.firmware_files import firmware_of_image

if TYPE_CHECKING:
    from pathlib import Path

DONGLE = "rtw88/rtw8821a_fw.bin"
CONTENT = b"firmware of a dongle\n" * 400


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def extension(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    tree = folder / f"tree-{name}"
    for path, data in files.items():
        place = tree / "usr/lib/firmware" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    build_extension(name, [str(tree)], output=str(folder), signing=None, options=BuildOptions())
    return folder / f"{name}.sysext.raw"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "dmesg"
    path.write_text(BEFORE)
    return path


def document(name: str, *words: str | Path, code: int = 0) -> dict[str, Any]:
    result = sysgraft("firmware", name, *words, "--json")
    assert result.code == code, result.err
    assert errors_of(f"firmware.{name}", result.document) == []
    return result.document


# --- The published dongle ------------------------------------------------------------------------


def test_no_firmware_anywhere(log: Path) -> None:
    found = document("doctor", "--kmsg", log, code=1)
    (finding,) = found["findings"]
    assert (finding["names"], finding["owner"], finding["action"]) == (
        [DONGLE], "usb:1-4:1.0", "find",
    )  # fmt: skip
    said = sysgraft("firmware", "doctor", "--kmsg", log)
    assert said.code == 1
    assert f"usb:1-4:1.0 (rtw_8821au) lacks {DONGLE}" in said.out
    assert f"{DONGLE} is nowhere at hand" in said.out


@pytest.mark.parametrize("suffix", ["", ".zst", ".xz"])
def test_an_extension_has_it(log: Path, tmp_path: Path, suffix: str) -> None:
    packed = {
        "": CONTENT,
        ".zst": b"".join(compress([CONTENT], 3)),
        ".xz": lzma.compress(CONTENT, check=lzma.CHECK_CRC32),
    }[suffix]
    folder = tmp_path / "extensions"
    folder.mkdir()
    if suffix == ".zst":  # of a stream the frame cannot say how large it is
        packed = with_size(CONTENT)
    extension(folder, "firmware", {DONGLE + suffix: packed})
    extension(folder, "other", {"other.bin": b"x"})
    found = document("doctor", "--kmsg", log, "--extension", folder, code=1)
    (finding,) = found["findings"]
    image = str(folder / "firmware.sysext.raw")
    assert finding["action"] == "install"
    assert finding["files"][0]["taken"] == {
        "in": image,
        "kind": "extension",
        "path": f"usr/lib/firmware/{DONGLE}{suffix}",
        "problem": None,
    }
    assert finding["advice"] == [
        f"install the extension {image}",
        "sysgraft firmware reprobe --device usb:1-4:1.0",
    ]


def with_size(data: bytes) -> bytes:
    """A zstd frame of one raw block that says how large it is (RFC 8878 §3.1.1)."""
    head = b"\x28\xb5\x2f\xfd" + b"\x60" + (len(data) - 256).to_bytes(2, "little")
    return head + (len(data) << 3 | 1).to_bytes(3, "little") + data


def test_a_file_the_kernel_cannot_use(log: Path, tmp_path: Path) -> None:
    packed = b"".join(compress([CONTENT], 3))
    image = extension(tmp_path, "firmware", {f"{DONGLE}.zst": packed})
    found = document("doctor", "--kmsg", log, "--extension", image, code=1)
    (finding,) = found["findings"]
    assert finding["action"] == "repair"
    assert "how large" in finding["files"][0]["passedOver"][0]["problem"]


def test_it_is_there_now_and_came_too_late(tmp_path: Path, log: Path) -> None:
    place = tmp_path / "root/usr/lib/firmware" / DONGLE
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    found = document("doctor", "--kmsg", log, "--root", tmp_path / "root", code=1)
    (finding,) = found["findings"]
    assert finding["action"] == "reprobe"
    assert finding["advice"] == [
        "it is there now, and came too late: sysgraft firmware reprobe --device usb:1-4:1.0"
    ]


def test_a_folder_has_it_and_its_package_is_known(tmp_path: Path, log: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/share/metainfo").mkdir(parents=True)
    (tree / "usr/lib/firmware").mkdir(parents=True)
    (tree / "usr/share/metainfo/a.metainfo.xml").write_text(
        '<component type="firmware"><name>firmware-realtek</name>'
        f'<provides><firmware type="runtime">{DONGLE}</firmware></provides></component>'
    )
    found = document("doctor", "--kmsg", log, "--firmware-tree", tree, code=1)
    (finding,) = found["findings"]
    assert (finding["action"], finding["files"][0]["package"]) == ("find", "firmware-realtek")
    assert finding["advice"][0] == "make an extension of the package firmware-realtek"
    (tree / "usr/lib/firmware/rtw88").mkdir()
    (tree / "usr/lib/firmware" / DONGLE).write_bytes(CONTENT)
    found = document("doctor", "--kmsg", log, "--firmware-tree", tree, code=1)
    assert found["findings"][0]["action"] == "build"


def test_it_came_later(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(BEFORE + AFTER)
    found = document("doctor", "--kmsg", tmp_path / "log")
    assert (found["ok"], found["findings"]) == (True, [])
    assert [each["verdict"] for each in found["passed"]] == ["cured"]
    said = sysgraft("firmware", "doctor", "--kmsg", tmp_path / "log")
    assert "no device is known to lack firmware" in said.out
    assert "came later" in said.out


def test_a_log_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(BEFORE.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    found = document("doctor", "--kmsg", "-", code=1)
    assert len(found["findings"]) == 1


def test_a_log_from_a_pipe() -> None:
    read, write = os.pipe()
    os.write(write, BEFORE.encode())
    os.close(write)
    found = document("doctor", "--kmsg", f"/dev/fd/{read}", code=1)
    os.close(read)
    assert len(found["findings"]) == 1


def test_a_log_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysgraft.formats.kernel_log.MAX_SIZE", 10)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BEFORE.encode())))
    said = sysgraft("firmware", "doctor", "--kmsg", "-")
    assert (said.code, "more than 10 bytes" in said.err) == (2, True)


# --- What was loaded -----------------------------------------------------------------------------


def shelf(label: str, kind: Any = "extension", **files: bytes) -> Shelf:
    tree = {
        name.replace("_dot_", ".").encode(): Inode(0o100644, content=BytesBlob(data))
        for name, data in files.items()
    }
    return Shelf(label, kind, tree)


def loaded(name: str, sha256: str) -> Machine:
    return Machine(loaded=(Loaded(name, sha256=sha256),), sources=("kmsg",))


@pytest.mark.parametrize("name", ["a", "a_dot_xz", "a_dot_zst"])
def test_what_was_loaded_is_what_is_there(name: str) -> None:
    packed = {
        "a": CONTENT,
        "a_dot_xz": lzma.compress(CONTENT, check=lzma.CHECK_CRC32),
        "a_dot_zst": with_size(CONTENT),
    }[name]
    machine = loaded("a", digest(CONTENT))
    result = diagnose_firmware(machine, [shelf("x", **{name: packed})])
    assert [each.match for each in result.attested] == ["match"]
    assert result.ok


def test_what_was_loaded_is_other_than_what_is_there() -> None:
    result = diagnose_firmware(loaded("a", digest(b"old")), [shelf("x", a=b"new")])
    (attested,) = result.attested
    assert (attested.match, result.ok) == ("differs", False)
    # The file that the kernel passes over has that content: it was loaded before.
    shelves = [shelf("base", "host", a=b"old"), shelf("x", a=b"new")]
    (attested,) = diagnose_firmware(loaded("a", digest(b"old")), shelves).attested
    assert attested.match == "differs"
    assert attested.place is not None
    assert attested.place.shelf.label == "base"


def test_what_nobody_can_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    (attested,) = diagnose_firmware(loaded("a", digest(b"old"))).attested
    assert (attested.match, attested.problem) == ("unknown", "no file of that name is at hand")
    damaged = shelf("x", a_dot_xz=b"\xfd7zXZ\0\0\x01" + b"rest" * 9)
    (attested,) = diagnose_firmware(loaded("a", digest(b"old")), [damaged]).attested
    assert attested.match == "unknown"
    assert "damaged xz data" in attested.problem
    monkeypatch.setattr(doctor, "_LIMITS", Limits(output=10, free=10))
    packed = shelf("x", a_dot_xz=lzma.compress(CONTENT, check=lzma.CHECK_CRC32))
    (attested,) = diagnose_firmware(loaded("a", digest(CONTENT)), [packed]).attested
    assert attested.match == "unknown"
    assert "grow" in attested.problem


@pytest.mark.parametrize("name", ["sysext-257", "sysext-257-lz4hc", "sysext-252-squashfs"])
def test_images_of_others_are_read(name: str, tmp_path: Path) -> None:
    tree = firmware_of_image(golden(name, tmp_path))
    files = [inode for inode in tree.values() if inode.content is not None]
    assert files
    for inode in files:
        assert inode.content is not None
        assert len(inode.content.read_at(0, inode.content.size)) == inode.content.size


# --- Machines and inventories --------------------------------------------------------------------


def test_an_inventory(tmp_path: Path) -> None:
    machine = Machine(
        devices=(Device("usb", "1-4:1.0", "usb:v2357p011E"),),
        failures=(
            Failure(DONGLE, f"x 1-4:1.0: Direct firmware load for {DONGLE} failed with error -2",
                    "usb:1-4:1.0", "rtw_8821au", errno.ENOENT),
            Failure("", "iwlwifi 0000:00:14.3: no suitable firmware found!", "pci:0000:00:14.3"),
            Failure("regulatory.db", "x", "platform:regulatory.0"),
        ),
        loaded=(Loaded("a.bin", sha256=digest(b"a")), Loaded("b.bin", path="/lib/firmware/b.bin")),
        firmware_path="/var/lib/firmware",
        sources=("sysfs", "kmsg"),
    )  # fmt: skip
    path = tmp_path / "machine.json"
    path.write_bytes(render_machine(machine))
    found = document("doctor", "--machine", path, code=1)
    first, second = found["findings"]
    assert (first["bound"], first["modalias"]) == (False, "usb:v2357p011E")
    assert (second["names"], second["files"], second["action"]) == ([], [], "find")
    assert [each["verdict"] for each in found["passed"]] == ["optional"]
    assert [each["match"] for each in found["loaded"]] == ["unknown"]
    assert "firmware_class.path is /var/lib/firmware" in found["notes"][0]
    said = sysgraft("firmware", "doctor", "--machine", path)
    assert "its driver does not say which" in said.out
    assert "without a driver" in said.out


def test_an_inventory_without_a_log(tmp_path: Path) -> None:
    (tmp_path / "lspci").write_text(LSPCI)
    output = tmp_path / "machine.json"
    said = sysgraft("firmware", "scan", "--lspci", tmp_path / "lspci", "--output", output)
    assert said.code == 0
    assert "2 pci" in said.out
    found = document("doctor", "--machine", output)
    assert "without a log" in found["notes"][0]


def test_the_document_is_the_inventory(tmp_path: Path, log: Path) -> None:
    output = tmp_path / "machine.json"
    printed = document("scan", "--kmsg", log, "--output", output)
    assert json.loads(output.read_text()) == printed
    again = sysgraft("firmware", "scan", "--kmsg", log, "--output", output)
    assert (again.code, again.out) == (2, "")
    assert sysgraft("firmware", "scan", "--kmsg", log, "--output", output, "--force").code == 0


def test_what_initrds_were_made_without_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "W: Possible missing firmware /lib/firmware/i915/a.bin for module i915\n"
    )
    said = sysgraft("firmware", "scan", "--kmsg", tmp_path / "log")
    assert "1 file that modules name were not found for an initrd" in said.err


def test_this_machine() -> None:
    found = document("scan")
    assert "sysfs" in found["sources"]
    assert sysgraft("firmware", "doctor").code in (0, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("doctor", "--machine", "none"), "cannot read the inventory"),
        (("doctor", "--machine", "x", "--kmsg", "y"), "--machine is an inventory"),
        (("doctor", "--kmsg", "none"), "cannot read the log"),
        (("doctor", "--kmsg", "LOG", "--extension", "none"), "No such file"),
        (("doctor", "--kmsg", "LOG", "--firmware-tree", "none"), "no such folder"),
        (("scan", "--root", "none"), "no such folder"),
        (("scan", "--hw-probe", "none"), "there is no folder logs"),
        (("scan", "--root", ".", "--enable-debug"), "for this machine alone"),
    ],
)
def test_bad_input(words: tuple[str, ...], message: str, log: Path) -> None:
    said = sysgraft("firmware", *(str(log) if word == "LOG" else word for word in words))
    assert (said.code, said.out) == (2, "")
    assert message in said.err


def test_files_that_are_something_else(tmp_path: Path, log: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = sysgraft("firmware", "doctor", "--kmsg", log, "--extension", tmp_path / "empty")
    assert (said.code, "nothing ends in .raw" in said.err) == (2, True)
    (tmp_path / "not.raw").write_bytes(b"no image\n" * 1000)
    said = sysgraft("firmware", "doctor", "--kmsg", log, "--extension", tmp_path / "not.raw")
    assert (said.code, said.out) == (2, "")
    said = sysgraft("firmware", "doctor", "--machine", log)
    assert (said.code, "not an inventory" in said.err) == (2, True)


def test_the_switch_of_dynamic_debug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control = tmp_path / "control"
    control.write_text("")
    assert kernel_messages.log_firmware_loads((str(tmp_path / "none/x"), str(control)))
    assert control.read_text() == kernel_messages.LOADER_MESSAGES
    monkeypatch.setattr("sysgraft.cli.firmware_scan.log_firmware_loads", lambda: str(control))
    said = sysgraft("firmware", "scan", "--enable-debug")
    assert f"({control})" in said.err
    with pytest.raises(Exception, match="no dynamic debug") as caught:
        kernel_messages.log_firmware_loads((str(tmp_path / "none/x"),))
    assert "dyndbg=" in caught.value.hint  # type: ignore[attr-defined]
    capsys.readouterr()
