"""From a plan to an extension and an early set; roots and initrds without firmware."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import msgspec
import pytest

from command import signing, sysgraft
from sysgraft.base.blob import BytesBlob
from sysgraft.firmware.plan_document import File, Link, Plan, Reason, Terms, Totals, render_plan
from sysgraft.formats.cpio_reader import entries
from sysgraft.host.run import locate

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import SigningPair

WIFI = b"wifi firmware " * 900
DISK = b"disk firmware " * 300
MICROCODE = bytes(range(256)) * 8
WHENCE = """\
Driver: rtw88 - Realtek
File: rtw88/rtw8821a_fw.bin
RawFile: raw/board.bin
Link: rtw88/alias.bin -> rtw8821a_fw.bin
Licence: Redistributable. See LICENCE.rtlwifi_firmware.txt
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with firmware plain and compressed, links, terms, and other files."""
    root = tmp_path / "root"
    files: dict[str, bytes] = {
        "rtw88/rtw8821a_fw.bin": WIFI,
        "rtw88/unused.bin": b"unused" * 1000,
        "qed/disk.bin.xz": lzma.compress(DISK, check=lzma.CHECK_CRC32),
        "intel-ucode/06-01-02": MICROCODE,
        "intel-ucode/06-01-03": MICROCODE[::-1],
        "raw/board.bin": b"raw" * 700,
        "deep/er/file.bin": b"deep" * 500,
        "WHENCE": WHENCE.encode(),
        "LICENCE.rtlwifi_firmware.txt": b"terms",
    }
    for name, data in files.items():
        path = root / "usr/lib/firmware" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    firmware = root / "usr/lib/firmware"
    (firmware / "rtw88/alias.bin").symlink_to("rtw8821a_fw.bin")
    (firmware / "rtw88/second.bin").symlink_to("alias.bin")
    (firmware / "folder").symlink_to("deep/er")
    (firmware / "rtw88/dangling.bin").symlink_to("nowhere")
    (root / "usr/bin").mkdir()
    (root / "usr/bin/tool").write_bytes(b"#!/bin/sh\n")
    (root / "usr/bin/same").hardlink_to(root / "usr/bin/tool")
    return root


def reason(name: str, module: str) -> tuple[Reason, ...]:
    return (Reason(name=name, evidence="declared", confidence="high", module=module),)


def plan_of(root: Path, *, digests: bool = True) -> Plan:
    def file(path: str, when: str, **more: str) -> File:
        data = (root / "usr/lib/firmware" / path).read_bytes()
        digest = hashlib.sha256(data).hexdigest() if digests else ""
        reasons = reason(path, path.partition("/")[0])
        return File(path, len(data), when, reasons, sha256=digest, **more)  # type: ignore[arg-type]

    files = (
        file("intel-ucode/06-01-02", "early", early="microcode"),
        file("qed/disk.bin.xz", "early", early="storage"),
        file("rtw88/rtw8821a_fw.bin", "late", license="Redistributable"),
    )
    links = (Link("rtw88/alias.bin", "rtw8821a_fw.bin"),)
    licenses = (Terms("usr/lib/firmware/LICENCE.rtlwifi_firmware.txt"),)
    totals = Totals(3, 1, 2, 1, 1, 1, 9, 9)
    return Plan(
        level="device", architecture="x86-64", kernels=("6.12",), machines=1, files=files,
        links=links, licenses=licenses, totals=totals,
    )  # fmt: skip


@pytest.fixture
def plan(root: Path, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_bytes(render_plan(plan_of(root)))
    return path


def built(tmp_path: Path, *words: str | Path) -> dict[str, bytes | str]:
    """Build ``fw``, unsigned; files below the firmware folder and where links lead."""
    out = tmp_path / "out"
    line = ("firmware", "build", "fw", *words, "--unsigned", "--output", out, "--force")
    done = sysgraft(*line)
    assert done.code == 0, done.err
    return contents(out / "fw.sysext.raw", tmp_path / "extracted")


def contents(image: Path, folder: Path) -> dict[str, bytes | str]:
    done = sysgraft("ext", "extract", image, folder)
    assert done.code == 0, done.err
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder)).removeprefix("usr/lib/firmware/")
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def test_the_files_of_a_plan_become_a_signed_extension(
    root: Path, plan: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    out = tmp_path / "out"
    done = sysgraft(
        "firmware", "build", "fw", "--plan", plan, "--firmware-tree", root, "--output", out,
        "--json", *signing(signing_pair),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.document["files"] == 2
    assert done.document["size"] == len(WIFI) + len(DISK), "as drivers get them"
    image = out / "fw.sysext.raw"
    assert sysgraft("ext", "verify", image, "--certificate", signing_pair.certificate).code == 0
    found = contents(image, tmp_path / "extracted")
    assert found["rtw88/rtw8821a_fw.bin"] == WIFI
    assert found["rtw88/alias.bin"] == "rtw8821a_fw.bin"
    assert found["rtw88/second.bin"] == "alias.bin"
    assert lzma.decompress(found["qed/disk.bin.xz"]) == DISK  # type: ignore[arg-type]
    assert "intel-ucode/06-01-02" not in found, "early microcode is for the processor's start"
    assert not {"rtw88/unused.bin", "rtw88/dangling.bin", "folder"} & set(found)
    assert found["usr/share/licenses/fw/LICENCE.rtlwifi_firmware.txt"] == b"terms"
    assert found["usr/share/licenses/fw/WHENCE"] == WHENCE.encode()
    notes = " ".join(done.document["notes"])
    assert "--early-initrd FILE" in notes
    assert "--early-microcode FILE" in notes


def test_the_bill_of_materials(root: Path, plan: Path, tmp_path: Path) -> None:
    found = built(tmp_path, "--plan", plan, "--firmware-tree", root)
    bill = json.loads(found["usr/share/sbom/fw.spdx.json"])
    assert bill["spdxVersion"] == "SPDX-2.3"
    files = {entry["fileName"]: entry for entry in bill["files"]}
    wifi = files["./usr/lib/firmware/rtw88/rtw8821a_fw.bin"]
    digests = {entry["algorithm"]: entry["checksumValue"] for entry in wifi["checksums"]}
    assert digests == {
        "SHA1": hashlib.sha1(WIFI).hexdigest(),
        "SHA256": hashlib.sha256(WIFI).hexdigest(),
    }
    assert wifi["comment"] == "declared by rtw88 as rtw88/rtw8821a_fw.bin"
    terms = {
        entry["licenseId"]: entry["extractedText"] for entry in bill["hasExtractedLicensingInfos"]
    }
    assert terms[wifi["licenseInfoInFiles"][0]] == "Redistributable"
    assert {entry["relatedSpdxElement"] for entry in bill["relationships"]} >= {wifi["SPDXID"]}
    assert len(bill["files"]) == 2


def test_each_file_compressed_as_the_kernel_wants_it(
    root: Path, plan: Path, tmp_path: Path
) -> None:
    keep = ("--keep", "raw/*", "--keep", "deep/er/file.bin")
    found = built(tmp_path, "--plan", plan, "--firmware-tree", root, "--pack", "zstd", *keep)
    for name, data in {"rtw88/rtw8821a_fw.bin": WIFI, "qed/disk.bin": DISK}.items():
        packed = found[f"{name}.zst"]
        assert isinstance(packed, bytes)
        assert zstd.decompress(packed) == data
        assert zstd.get_frame_info(packed).decompressed_size == len(data), "Linux wants the size"
    assert found["rtw88/alias.bin.zst"] == "rtw8821a_fw.bin.zst"
    assert found["rtw88/second.bin.zst"] == "alias.bin.zst"
    assert found["raw/board.bin"] == b"raw" * 700, "WHENCE says it stays plain"
    assert found["folder"] == "deep/er", "a link to a folder stays as it is"
    plain = built(tmp_path / "plain", "--plan", plan, "--firmware-tree", root, "--pack", "plain")
    assert plain["qed/disk.bin"] == DISK
    assert plain["rtw88/alias.bin"] == "rtw8821a_fw.bin"


def test_the_early_set(root: Path, plan: Path, tmp_path: Path) -> None:
    early, microcode = tmp_path / "early.cpio", tmp_path / "microcode.cpio"
    built(
        tmp_path, "--plan", plan, "--firmware-tree", root, "--early-initrd", early,
        "--early-microcode", microcode,
    )  # fmt: skip
    assert lzma.decompress(archive(early)["usr/lib/firmware/qed/disk.bin.xz"]) == DISK
    assert archive(microcode) == {"kernel/x86/microcode/GenuineIntel.bin": MICROCODE}
    listed = subprocess.run(
        [locate("cpio"), "-t"], input=early.read_bytes(), capture_output=True, check=True
    ).stdout.split()
    assert b"usr/lib/firmware/qed/disk.bin.xz" in listed


def archive(path: Path) -> dict[str, bytes]:
    return {
        entry.name.decode(): entry.data.read_at(0, entry.data.size)
        for entry in entries(BytesBlob(path.read_bytes()))
        if entry.data.size
    }


def test_compressed_microcode_is_decompressed_for_the_processor(
    root: Path, plan: Path, tmp_path: Path
) -> None:
    data = b"DMA" + b"microcode" * 99
    path = root / "usr/lib/firmware/amd-ucode/family.bin.xz"
    path.parent.mkdir()
    path.write_bytes(lzma.compress(data, check=lzma.CHECK_CRC32))
    add_early(plan, "amd-ucode/family.bin.xz", path.read_bytes())
    output = tmp_path / "microcode.cpio"
    for packing in ("keep", "plain", "zstd"):
        words = ("--plan", plan, "--firmware-tree", root, "--early-microcode", output)
        built(tmp_path / packing, *words, "--pack", packing)
        assert archive(output)["kernel/x86/microcode/AuthenticAMD.bin"] == data


def test_nothing_but_early_microcode(root: Path, plan: Path, tmp_path: Path) -> None:
    words = ("--plan", plan, "--firmware-tree", root, "--drop=qed/*", "--drop=rtw88/*")
    out = tmp_path / "out"
    done = sysgraft("firmware", "build", "fw", *words, "--unsigned", "--output", out, "--json")
    assert done.code == 0, done.err
    assert done.document["extension"] is None
    assert "nothing but early microcode" in " ".join(done.document["notes"])
    assert not out.exists()


def test_unreadable_microcode_is_refused(root: Path, plan: Path, tmp_path: Path) -> None:
    path = root / "usr/lib/firmware/amd-ucode/family.bin.xz"
    path.parent.mkdir()
    path.write_bytes(b"no xz")
    add_early(plan, "amd-ucode/family.bin.xz", b"no xz")
    words = ("--plan", plan, "--firmware-tree", root, "--early-microcode", tmp_path / "m")
    err = refused("build", "fw", *words, "--unsigned", "--output", tmp_path / "out")
    assert "not compressed as its name says" in err
    assert not (tmp_path / "m").exists()


def add_early(plan: Path, path: str, data: bytes) -> None:
    document = json.loads(plan.read_bytes())
    file = {"path": path, "size": len(data), "when": "early", "reasons": []}
    document["files"].append(file)
    plan.write_bytes(msgspec.json.encode(document))


def test_of_two_forms_of_a_file_the_other_is_early_too(
    root: Path, plan: Path, tmp_path: Path
) -> None:
    (root / "usr/lib/firmware/qed/disk.bin").write_bytes(DISK)
    early = tmp_path / "early.cpio"
    found = built(
        tmp_path, "--plan", plan, "--firmware-tree", root, "--keep=qed/*", "--pack=plain",
        "--early-initrd", early,
    )  # fmt: skip
    assert archive(early) == {"usr/lib/firmware/qed/disk.bin": DISK}
    bill = json.loads(found["usr/share/sbom/fw.spdx.json"])
    comments = {entry["fileName"]: entry.get("comment") for entry in bill["files"]}
    assert comments["./usr/lib/firmware/qed/disk.bin"] == "declared by qed as qed/disk.bin.xz"


@pytest.mark.parametrize("fault", ["name", "codec", "exists", "twice", "inside", "time"])
def test_all_parts_appear_or_none(root: Path, plan: Path, tmp_path: Path, fault: str) -> None:
    out, early, microcode = tmp_path / "out", tmp_path / "early", tmp_path / "microcode"
    name, words = "fw", []
    if fault == "name":
        name = "bad/name"
    elif fault == "codec":
        words = ["--compress", "nope"]
    elif fault == "exists":
        out.mkdir()
        (out / "fw.sysext.raw").write_bytes(b"old")
    elif fault == "twice":
        microcode = out / ".." / "early"
    elif fault == "inside":
        out = root / "out"
    else:
        words = ["--source-date-epoch", str(10**12)]
    message = {
        "name": "bad/name", "codec": "nope", "exists": "the file exists",
        "twice": "two outputs would be this file", "inside": "lies inside the source",
        "time": "beyond the year 9999",
    }[fault]  # fmt: skip
    before = {*tmp_path.rglob("*")}
    err = refused(
        "build", name, "--plan", plan, "--firmware-tree", root, "--unsigned", "--output", out,
        "--early-initrd", early, "--early-microcode", microcode, *words,
    )  # fmt: skip
    assert message in err
    assert {*tmp_path.rglob("*")} == before


def test_names_that_are_not_utf8(root: Path, tmp_path: Path) -> None:
    path = os.fsencode(root) + b"/usr/lib/firmware/\xff.bin"
    with open(path, "wb") as file:
        file.write(b"odd")
    found = built(tmp_path, "--firmware-tree", root, "--keep=*.bin")
    bill = json.loads(found["usr/share/sbom/fw.spdx.json"])
    assert "./usr/lib/firmware/\\xff.bin" in {entry["fileName"] for entry in bill["files"]}


def test_patterns_as_of_find(root: Path, tmp_path: Path) -> None:
    """The published find(1) recipe, turned round: what is kept is named."""
    keep = ["--keep=/usr/lib/firmware/rtw88/*", "--keep=raw*", "--drop=*/unused.bin"]
    found = built(tmp_path, "--firmware-tree", root, *keep)
    firmware = {name for name in found if not name.startswith("usr/")}
    assert firmware == {
        "rtw88/rtw8821a_fw.bin", "rtw88/alias.bin", "rtw88/second.bin", "raw/board.bin",
    }  # fmt: skip


def test_a_bare_folder_and_a_package_as_firmware_trees(root: Path, tmp_path: Path) -> None:
    bare = built(tmp_path, "--firmware-tree", root / "usr/lib/firmware", "--keep=rtw88/*_fw.bin")
    assert bare["rtw88/rtw8821a_fw.bin"] == WIFI
    packed = tmp_path / "firmware.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(root / "usr/lib/firmware/rtw88", "lib/firmware/rtw88")
    again = built(tmp_path / "again", "--firmware-tree", packed, "--keep=rtw88/*_fw.bin")
    assert again["rtw88/rtw8821a_fw.bin"] == WIFI


def test_the_same_bytes_anywhere(root: Path, plan: Path, tmp_path: Path) -> None:
    images = []
    for name in ("one", "two"):
        built(tmp_path / name, "--plan", plan, "--firmware-tree", root, "--pack", "zstd")
        images.append((tmp_path / name / "out/fw.sysext.raw").read_bytes())
    assert images[0] == images[1]


def refused(*words: str | Path) -> str:
    done = sysgraft("firmware", *words)
    assert done.code == 2, done
    assert done.err.startswith("error: ")
    return done.err


def test_what_cannot_be_built(root: Path, plan: Path, tmp_path: Path) -> None:
    tree = ("--firmware-tree", root, "--output", tmp_path / "out", "--unsigned")
    assert "nothing says which firmware" in refused("build", "fw", *tree)
    assert "the set is empty" in refused("build", "fw", *tree, "--keep=nothing*")
    (root / "usr/lib/firmware/rtw88/rtw8821a_fw.bin").write_bytes(WIFI[::-1])
    assert "is not the file that was planned" in refused("build", "fw", *tree, "--plan", plan)
    (root / "usr/lib/firmware/rtw88/rtw8821a_fw.bin").unlink()
    assert "no firmware tree has rtw88/" in refused("build", "fw", *tree, "--plan", plan)
    plan.write_text("{}")
    assert "not a firmware plan" in refused("build", "fw", *tree, "--plan", plan)
    (tmp_path / "empty").mkdir()
    assert "no usr/lib/firmware" in refused(
        "build",
        "fw",
        "--firmware-tree",
        f"tar:{tar_of_nothing(tmp_path)}",
        "--unsigned",
        "--keep=*",
    )
    (root / "usr/lib/firmware/bad.bin.zst").write_bytes(b"no zstd")
    assert "not compressed as its name says: bad.bin.zst" in refused(
        "build", "fw", *tree, "--keep=bad*", "--pack=plain"
    )
    assert not list((tmp_path / "out").glob("*"))


def tar_of_nothing(folder: Path) -> Path:
    with tarfile.open(folder / "nothing.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("etc/motd"), io.BytesIO())
    return folder / "nothing.tar"


def test_links_in_circles_and_out_of_the_tree_lead_nowhere(root: Path, tmp_path: Path) -> None:
    firmware = root / "usr/lib/firmware"
    (firmware / "loop.bin").symlink_to("pool.bin")
    (firmware / "pool.bin").symlink_to("loop.bin")
    (firmware / "out.bin").symlink_to("../../../etc/passwd")
    found = built(tmp_path, "--firmware-tree", root, "--keep=rtw88/*_fw.bin")
    assert not {"loop.bin", "pool.bin", "out.bin"} & set(found)


def test_absolute_links_to_firmware_come_along(root: Path, tmp_path: Path) -> None:
    firmware = root / "usr/lib/firmware"
    for name, place in (("one.bin", "/usr/lib/firmware"), ("two.bin", "/lib/firmware")):
        (firmware / name).symlink_to(f"{place}/rtw88/rtw8821a_fw.bin")
    (firmware / "left.bin").symlink_to("/etc/alternatives/left.bin")
    words = ("--firmware-tree", root, "--pack=zstd", "--keep=one.bin", "--keep=left.bin")
    found = built(tmp_path, *words)
    assert "rtw88/rtw8821a_fw.bin.zst" in found
    assert found["one.bin.zst"] == "/usr/lib/firmware/rtw88/rtw8821a_fw.bin.zst"
    assert found["two.bin.zst"] == "/lib/firmware/rtw88/rtw8821a_fw.bin.zst"
    assert "left.bin" not in found
    done = sysgraft(
        "firmware", "build", "fw", *words, "--unsigned", "--output", tmp_path / "n", "--json"
    )
    assert any("left behind: left.bin" in note for note in done.document["notes"])
    assert any("--arch" in note for note in done.document["notes"]), "those of the extension too"


def test_a_link_to_another_form_of_its_name_does_not_become_a_loop(
    root: Path, tmp_path: Path
) -> None:
    (root / "usr/lib/firmware/qed/disk.bin").symlink_to("disk.bin.xz")
    words = ("--firmware-tree", root, "--keep=qed/*")
    assert built(tmp_path / "plain", *words, "--pack=plain")["qed/disk.bin"] == DISK
    assert built(tmp_path / "keep", *words)["qed/disk.bin"] == "disk.bin.xz"


def test_parents_behind_a_linked_folder(root: Path, tmp_path: Path) -> None:
    """``..`` is the parent of where the link leads, not of the link."""
    firmware = root / "usr/lib/firmware"
    (firmware / "deep/sibling.bin").write_bytes(b"sibling")
    (firmware / "up.bin").symlink_to("folder/../sibling.bin")
    (firmware / "out-and-in.bin").symlink_to("../../lib/firmware/deep/sibling.bin")
    found = built(tmp_path, "--firmware-tree", root, "--keep=deep/*")
    assert found["up.bin"] == "folder/../sibling.bin"
    assert found["folder"] == "deep/er"
    assert found["out-and-in.bin"] == "../../lib/firmware/deep/sibling.bin"


def test_what_leads_through_a_dropped_link_is_dropped(root: Path, tmp_path: Path) -> None:
    words = ("--firmware-tree", root, "--keep=rtw88/*_fw.bin", "--drop=rtw88/alias.bin")
    found = built(tmp_path, *words)
    assert not {"rtw88/alias.bin", "rtw88/second.bin"} & set(found)


# --- strip ---------------------------------------------------------------------------------------


def test_a_root_without_its_firmware(root: Path, plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "slim.tar"
    done = sysgraft(
        "firmware", "strip", root, "--plan", plan, "--keep", "raw/*", "--output", out, "--json"
    )
    assert done.code == 0, done.err
    with tarfile.open(out) as tar:
        members = {member.name: member for member in tar}
        assert (
            members["usr/bin/tool"].mode & 0o777 == (root / "usr/bin/tool").stat().st_mode & 0o777
        )
        assert {members["usr/bin/same"].type, members["usr/bin/tool"].type} == {b"0", b"1"}
    firmware = {n.removeprefix("usr/lib/firmware/") for n in members if "/firmware/" in n}
    assert firmware == {
        "intel-ucode", "intel-ucode/06-01-02", "qed", "qed/disk.bin.xz", "raw", "raw/board.bin",
    }  # fmt: skip
    assert done.document["kept"]["files"] == 3
    largest = {entry["folder"]: entry["bytes"] for entry in done.document["largest"]}
    assert largest["rtw88"] == len(WIFI) + 6000
    assert done.document["removed"]["bytes"] == sum(largest.values())
    again = sysgraft("firmware", "strip", out, "--plan", plan, "--keep", "raw/*", "--output",
                     tmp_path / "again.tar", "--json")  # fmt: skip
    assert again.document["removed"] == {"files": 0, "bytes": 0, "links": 0}
    assert (tmp_path / "again.tar").read_bytes() == out.read_bytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "zstd": zstd.compress,
}


@pytest.mark.oracle("cpio")
@pytest.mark.parametrize("pack", sorted(PACKERS))
def test_an_initrd_without_its_firmware(root: Path, tmp_path: Path, pack: str) -> None:
    names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    main = subprocess.run(
        [locate("cpio"), "-o", "-H", "newc", "--quiet"],
        input=names.encode(), capture_output=True, cwd=root, check=True,
    ).stdout  # fmt: skip
    early = microcode_part(tmp_path)
    initrd, slim = tmp_path / "initrd.img", tmp_path / "slim.img"
    initrd.write_bytes(early + PACKERS[pack](main))
    keep = ("--keep", "qed/*", "--output", slim, "--json")
    done = sysgraft("firmware", "strip", initrd, *keep)
    assert done.code == 0, done.err
    assert done.document["sizeBefore"] == initrd.stat().st_size
    data = slim.read_bytes()
    if pack != "none":
        assert data.startswith(early), "what goes nowhere stays as it is"
        data = early + unpacked(data[len(early) :], pack)
    found = {entry.name.decode().removeprefix("./"): entry for entry in entries(BytesBlob(data))}
    firmware = {name for name in found if name.startswith("usr/lib/firmware/") and "." in name}
    assert firmware == {"usr/lib/firmware/qed/disk.bin.xz"}
    assert found["usr/bin/same"].number == found["usr/bin/tool"].number
    assert found["kernel/x86/microcode/GenuineIntel.bin"].data.size == len(MICROCODE)


def microcode_part(folder: Path) -> bytes:
    place = folder / "ucode/kernel/x86/microcode"
    place.mkdir(parents=True)
    (place / "GenuineIntel.bin").write_bytes(MICROCODE)
    done = subprocess.run(
        [locate("cpio"), "-o", "-H", "newc", "--quiet"],
        input=b"kernel/x86/microcode/GenuineIntel.bin", capture_output=True,
        cwd=folder / "ucode", check=True,
    )  # fmt: skip
    return done.stdout


def unpacked(data: bytes, pack: str) -> bytes:
    data = data.lstrip(b"\0")
    unpack = {"gzip": gzip.decompress, "xz": lzma.decompress, "zstd": zstd.decompress}
    return unpack[pack](data)


@pytest.mark.parametrize("data", [b"", b"070701" + b"0" * 50, b"\x1f\x8bjunk", b"junk" * 300])
def test_what_is_no_initrd(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(data)
    assert "error: " in refused("strip", tmp_path / "junk", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_early_files_that_are_not_there_are_named(root: Path, plan: Path, tmp_path: Path) -> None:
    document = json.loads(plan.read_bytes())
    document["files"].append({**document["files"][0], "path": "missing.bin"})
    plan.write_bytes(msgspec.json.encode(document))
    done = sysgraft("firmware", "strip", root, "--plan", plan, "--output", tmp_path / "x.tar")
    assert done.code == 0
    assert "planned early, and not there: missing.bin" in done.err


COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Files-Excluded: keyspan/*

Files: rtw88/*
Copyright: Realtek
License: Realtek

Files: qed/*
Copyright: QLogic
License: QLogic

License: Realtek
 Redistribute it.

License: QLogic
 Keep it.
"""


def test_of_a_packages_terms_those_of_its_files_come_along(root: Path, tmp_path: Path) -> None:
    path = root / "usr/share/doc/firmware-realtek/copyright"
    path.parent.mkdir(parents=True)
    path.write_text(COPYRIGHT)
    whole = plan_of(root)
    of_package = msgspec.structs.replace(whole.files[2], license="firmware-realtek")
    plan = msgspec.structs.replace(
        whole,
        files=(*whole.files[:2], of_package),
        licenses=(Terms("usr/share/doc/firmware-realtek/copyright"),),
    )
    file = tmp_path / "plan.json"
    file.write_bytes(render_plan(plan))

    def terms(*words: str) -> bytes | str | None:
        found = built(tmp_path, "--plan", file, "--firmware-tree", root, *words)
        shutil.rmtree(tmp_path / "extracted")
        return found.get("usr/share/licenses/fw/firmware-realtek/copyright")

    for packing in ("keep", "zstd"):
        part = terms("--pack", packing)
        assert isinstance(part, bytes)
        digest = hashlib.sha256(COPYRIGHT.encode()).hexdigest()
        assert f"X-Excerpt-Of: sha256:{digest}\n" in part.decode()
        assert b"Redistribute it." in part
        assert b"QLogic" not in part
        assert b"keyspan" not in part
    assert terms("--drop", "rtw88/*") is None, "nothing of the package is there"
    whole_file = COPYRIGHT.encode()
    assert terms("--keep", "raw/*") == whole_file, "whose terms the kept file has is not known"
    path.write_text(COPYRIGHT.replace("Files: rtw88", "Files: rtw89"))
    assert terms() == path.read_bytes(), "it says nothing of the file"
