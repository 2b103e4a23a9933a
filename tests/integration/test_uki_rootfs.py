"""A root file system as the initrd of a UKI: from which sources, which files, as which bytes."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from command import signing, sysgraft
from image_kit import Layout, docker_archive, tar_of
from uki_kit import RELEASE, Kit, make_kernel, make_kit, names_of, section

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from command import Result
    from conftest import SigningPair

KERNEL = f"boot/vmlinuz-{RELEASE}"
SYSTEM: dict[str, bytes | str] = {
    "usr/lib/os-release": b"ID=root\nVERSION_ID=7\n",
    "etc/os-release": "->../usr/lib/os-release",
    "usr/lib/systemd/systemd": b"\x7fELF systemd",
    "usr/bin/tool": b"#!/bin/sh\n",
    "usr/bin/same": "=usr/bin/tool",
    "bin": "->usr/bin",
    "lib": "->usr/lib",
    KERNEL: make_kernel(),
    "etc/empty": b"",
}


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


class Entry(NamedTuple):
    """An entry of a cpio archive."""

    mode: int
    owner: tuple[int, int]
    mtime: int
    number: int
    links: int
    data: bytes


def entries(archive: bytes) -> dict[str, Entry]:
    """The entries of a plain archive (Linux' buffer-format.rst); nothing may follow it."""
    found: dict[str, Entry] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + n : at + n + 8], 16) for n in range(6, 110, 8)]
        number, mode, uid, gid, links, mtime, size = fields[:7]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + -(-(110 + fields[11]) // 4) * 4
        at = -(-(start + size) // 4) * 4
        if name == "TRAILER!!!":
            assert at == len(archive)
            return found
        assert name not in found
        found[name] = Entry(mode, (uid, gid), mtime, number, links, archive[start : start + size])


def initrd(uki: Path) -> dict[str, Entry]:
    return entries(zstd.decompress(section(uki, ".initrd")))


def from_root(kit: Kit, source: str | Path, *words: str | Path) -> tuple[Path, Result]:
    """A UKI of a root file system alone, with its own kernel and os-release."""
    path = kit.folder / f"root-{len(list(kit.folder.glob('root-*.efi')))}.efi"
    result = sysgraft(
        "uki", "build", f"--initrd={source}", f"--stub={kit.stub}", "-o", path, *words
    )
    return path, result


def unpack(items: Mapping[str, bytes | str], folder: Path) -> Path:
    """The items as files of a folder."""
    with tarfile.open(fileobj=io.BytesIO(tar_of(items))) as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder


def archive_of(members: Mapping[str, tarfile.TarInfo], path: Path) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, info in members.items():
            info.name = name
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return path


# --- Sources -------------------------------------------------------------------------------------


def test_every_kind_of_source_gives_the_same_uki(kit: Kit, tmp_path: Path) -> None:
    layer = tar_of(SYSTEM)
    folder = unpack(SYSTEM, tmp_path / "root")
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    plain = kit.file("root.tar", layer)
    layout = Layout()
    layout.add(layout.manifest(layer))
    saved = kit.file("oci.tar", tar_of(layout.files()))
    sources = (
        folder,
        f"dir:{folder}",
        f"tar:{plain}",
        f"docker-archive:{docker_archive(tmp_path / 'docker.tar', layer)}",
        f"oci-archive:{saved}",
        f"oci:{layout.write(tmp_path / 'layout')}",
    )
    images = []
    for source in sources:
        path, result = from_root(kit, source, "--source-date-epoch=0")
        assert result.code == 0, result.err
        images.append(path.read_bytes())
    assert all(image == images[0] for image in images)


def test_an_archive_without_a_prefix_is_an_initrd_as_it_is(kit: Kit) -> None:
    archive = kit.file("root.tar", tar_of(SYSTEM))
    uki = kit.build("x.efi", f"--initrd={archive}")
    assert section(uki, ".initrd") == archive.read_bytes()


def test_all_layers_count_and_deletions_are_carried_out(kit: Kit) -> None:
    base = tar_of({**SYSTEM, "etc/gone": b"1", "opt/old/a": b"2", "opt/old/b": b"3", "etc/x": b"1"})
    top = tar_of({"etc/.wh.gone": b"", "opt/old/.wh..wh..opq": b"", "opt/old/c": b"4",
                  "etc/x": b"new", "var/.wh.never-was": b""})  # fmt: skip
    layout = Layout()
    layout.add(layout.manifest(base, top))
    saved = kit.file("oci.tar", tar_of(layout.files()))
    path, result = from_root(kit, f"oci-archive:{saved}")
    assert result.code == 0, result.err
    found = initrd(path)
    assert not {"etc/gone", "opt/old/a", "opt/old/b"} & set(found)
    assert not any(".wh." in name for name in found)
    assert (found["opt/old/c"].data, found["etc/x"].data) == (b"4", b"new")


def test_one_of_several_images_is_chosen_by_architecture(kit: Kit) -> None:
    layout = Layout()
    for arch in ("amd64", "arm64"):
        layout.add(
            layout.manifest(tar_of({**SYSTEM, "etc/arch": arch.encode()}), arch=arch),
            platform={"os": "linux", "architecture": arch},
        )
    saved = kit.file("oci.tar", tar_of(layout.files()))
    path, result = from_root(kit, f"oci-archive:{saved}", "--efi-arch=x64")
    assert result.code == 0, result.err
    assert initrd(path)["etc/arch"].data == b"amd64"
    path, result = from_root(kit, f"oci-archive:{saved}")
    assert initrd(path)["etc/arch"].data == b"amd64"
    assert "note: of images for several architectures, that for x86-64 is taken" in result.err
    _, result = from_root(kit, f"oci-archive:{saved}", "--efi-arch=riscv64")
    assert result.code == 2
    assert "--efi-arch" in result.err


def test_a_system_for_another_machine_is_told(kit: Kit, tmp_path: Path) -> None:
    image = docker_archive(tmp_path / "docker.tar", tar_of(SYSTEM))
    _, result = from_root(kit, f"docker-archive:{image}")
    assert result.code == 0
    assert "is for arm64, the stub for x86-64" in result.err


def test_a_root_file_system_and_further_initrds(kit: Kit, tmp_path: Path) -> None:
    folder = unpack(SYSTEM, tmp_path / "root")
    before, behind = kit.file("before.img", b"070701abc"), kit.file("behind.img", b"070701defg")
    alone, _ = from_root(kit, folder)
    uki = kit.build("x.efi", f"--initrd={before}", f"--initrd={folder}", f"--initrd={behind}")
    packed = section(alone, ".initrd")
    assert section(uki, ".initrd") == (
        b"070701abc" + bytes(3) + packed + bytes(-len(packed) % 4) + b"070701defg" + bytes(2)
    )


def test_an_addon_may_bring_files(kit: Kit, tmp_path: Path) -> None:
    folder = unpack({"etc/motd": b"hello"}, tmp_path / "root")
    path = kit.folder / "x.addon.efi"
    result = sysgraft("uki", "addon", f"--initrd={folder}", f"--stub={kit.addon_stub}", "-o", path)
    assert result.code == 0, result.err
    assert initrd(path)["etc/motd"].data == b"hello"


def test_a_profile_may_bring_a_system_without_a_kernel(kit: Kit, tmp_path: Path) -> None:
    folder = unpack({"etc/motd": b"rescue"}, tmp_path / "root")
    profile = kit.profile("rescue", f"--initrd={folder}")
    assert names_of(profile) == [".profile", ".initrd"]
    uki = kit.build("x.efi", f"--join-profile={profile}")
    assert initrd(uki)["etc/motd"].data == b"rescue"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no archive at all", ""),
        (tar_of({"etc/": b""})[:0] + bytes(1024), "there is no file in this root file system"),
        (tar_of(SYSTEM)[:3000], ""),
    ],
)
def test_what_is_no_root_file_system(kit: Kit, data: bytes, message: str) -> None:
    archive = kit.file("root.tar", data)
    path, result = from_root(kit, f"tar:{archive}")
    assert result.code == 2
    assert f"error: {archive}: " in result.err
    assert message in result.err
    assert not path.exists()


# --- What goes in --------------------------------------------------------------------------------


def test_what_belongs_to_a_running_system_stays_out(kit: Kit, tmp_path: Path) -> None:
    folder = unpack(
        {
            **SYSTEM,
            "proc/1/environ": b"secret",
            "run/lock/x": b"",
            "run/.containerenv": b"",
            ".dockerenv": b"",
            "tmp/left": b"",
            "dev/null": b"",
            "sys/x": b"",
            "home/keep/run/x": b"kept",
        },
        tmp_path / "root",
    )
    path, _ = from_root(kit, folder)
    found = initrd(path)
    assert {"boot", "dev", "proc", "run", "sys", "tmp"} <= set(found), "the folders stay"
    assert [name for name in found if name.startswith(("proc/", "run/", "tmp/", "dev/", "sys/",
                                                       "boot/", ".docker"))] == []  # fmt: skip
    assert found["home/keep/run/x"].data == b"kept"


def test_patterns_leave_out_more(kit: Kit, tmp_path: Path) -> None:
    folder = unpack({**SYSTEM, "usr/share/doc/a/b": b"1", "usr/share/x": b"2"}, tmp_path / "root")
    path, _ = from_root(kit, folder, "--exclude=/usr/share/doc", "--exclude=*.d/*")
    found = initrd(path)
    assert "usr/share/x" in found
    assert not any(name.startswith("usr/share/doc") for name in found)


def test_device_nodes_are_left_to_the_kernel(kit: Kit) -> None:
    members = {"etc/os-release": tarfile.TarInfo(), "srv/null": tarfile.TarInfo(),
               "srv/disk": tarfile.TarInfo(), "srv/fifo": tarfile.TarInfo()}  # fmt: skip
    members["etc/os-release"].size = 4
    for name, kind in (
        ("null", tarfile.CHRTYPE),
        ("disk", tarfile.BLKTYPE),
        ("fifo", tarfile.FIFOTYPE),
    ):
        info = members[f"srv/{name}"]
        info.type, info.devmajor, info.devminor = kind, 1, 3
    archive = archive_of(members, kit.folder / "root.tar")
    path = kit.folder / "x.efi"
    result = kit.run(f"--initrd=tar:{archive}", "-o", path)
    assert "note: 2 device nodes are left out: the kernel makes its own" in result.err
    assert stat.S_ISFIFO(initrd(path)["srv/fifo"].mode)
    assert "srv/null" not in initrd(path)


@pytest.mark.parametrize(
    ("items", "target"),
    [
        ({"usr/bin/immucore": b"x", "usr/lib/systemd/systemd": b"x"}, b"/usr/bin/immucore"),
        ({"usr/lib/systemd/systemd": b"x", "sbin/init": b"x"}, b"/usr/lib/systemd/systemd"),
        ({"lib/systemd/systemd": b"x", "usr/x": b""}, b"/lib/systemd/systemd"),
        ({"sbin/init": "->/bin/busybox"}, b"/sbin/init"),
        ({"usr/sbin/init": b"x"}, b"/usr/sbin/init"),
    ],
)
def test_init_leads_to_the_first_program(
    kit: Kit, items: dict[str, bytes | str], target: bytes
) -> None:
    archive = kit.file("root.tar", tar_of({**items, "etc/x": b"x"}))
    path = kit.folder / "x.efi"
    result = kit.run(f"--initrd=tar:{archive}", "-o", path)
    entry = initrd(path)["init"]
    assert (entry.mode, entry.data) == (stat.S_IFLNK | 0o777, target)
    assert f"note: /init is a link to {target.decode()}" in result.err


def test_an_init_of_its_own_stays(kit: Kit) -> None:
    archive = kit.file("root.tar", tar_of({**SYSTEM, "init": b"#!/bin/sh"}))
    path, result = from_root(kit, f"tar:{archive}")
    assert initrd(path)["init"].data == b"#!/bin/sh"
    assert "/init" not in result.err


def test_a_system_that_starts_nothing_is_told(kit: Kit) -> None:
    archive = kit.file("root.tar", tar_of({"etc/x": b"x"}))
    path = kit.folder / "x.efi"
    result = kit.run(f"--initrd=tar:{archive}", "-o", path)
    assert "init" not in initrd(path)
    assert "note: there is no /init: the kernel starts nothing in this initrd" in result.err


# --- What the image takes from it ----------------------------------------------------------------


def test_kernel_release_and_os_release_are_the_systems(kit: Kit) -> None:
    archive = kit.file("root.tar", tar_of(SYSTEM))
    path, result = from_root(kit, f"tar:{archive}", "--cmdline=rdinit=/init")
    assert section(path, ".linux") == SYSTEM[KERNEL]
    assert section(path, ".uname") == RELEASE.encode()
    assert section(path, ".osrel") == b"ID=root\nVERSION_ID=7\n"
    assert f"note: the kernel is /{KERNEL} of the root file system" in result.err
    other = kit.file("other", make_kernel("1.2.3"))
    path, _ = from_root(kit, f"tar:{archive}", f"--linux={other}", "--os-release=ID=mine")
    assert section(path, ".uname") == b"1.2.3"
    assert section(path, ".osrel") == b"ID=mine"


def test_a_file_in_etc_wins_over_the_one_in_usr(kit: Kit) -> None:
    archive = kit.file("root.tar", tar_of({**SYSTEM, "etc/os-release": b"ID=etc\n"}))
    path, _ = from_root(kit, f"tar:{archive}")
    assert section(path, ".osrel") == b"ID=etc\n"


def test_a_kernel_beside_its_modules_wins_over_copies_of_it(kit: Kit) -> None:
    better = make_kernel("6.99")
    items = {**SYSTEM, "usr/lib/modules/6.99/vmlinuz": better, "boot/vmlinuz-old": b"MZ old"}
    path, _ = from_root(kit, f"tar:{kit.file('root.tar', tar_of(items))}")
    assert section(path, ".linux") == better
    assert initrd(path)["usr/lib/modules/6.99/vmlinuz"].data == better


def test_several_kernels_or_none(kit: Kit) -> None:
    old = make_kernel("5.10")
    archive = kit.file("root.tar", tar_of({**SYSTEM, "boot/vmlinuz-5.10": old}))
    path, result = from_root(kit, f"tar:{archive}")
    assert result.code == 2
    assert f"has 2 (boot/vmlinuz-5.10, {KERNEL})" in result.err
    assert not path.exists()
    path, result = from_root(kit, f"tar:{archive}", f"--exclude=/{KERNEL}")
    assert section(path, ".linux") == old
    archive = kit.file("root.tar", tar_of({"etc/os-release": b"ID=x"}))
    path, result = from_root(kit, f"tar:{archive}")
    assert result.code == 2
    assert "the root file system has none" in result.err
    assert "--linux" in result.err


# --- The archive ---------------------------------------------------------------------------------


def test_links_stay_links(kit: Kit) -> None:
    archive = kit.file("root.tar", tar_of(SYSTEM))
    path, _ = from_root(kit, f"tar:{archive}")
    found = initrd(path)
    one, two = found["usr/bin/tool"], found["usr/bin/same"]
    assert one.number == two.number
    assert one.links == two.links == 2
    assert sorted((one.data, two.data)) == [b"", b"#!/bin/sh\n"], "the data is there once"
    assert found["bin"].data == b"usr/bin"
    assert found["etc/os-release"].data == b"../usr/lib/os-release"
    assert (found["etc/empty"].links, found["etc/empty"].data) == (1, b"")


def test_modes_and_owners_of_archives_are_kept(kit: Kit) -> None:
    info = tarfile.TarInfo()
    info.mode, info.uid, info.gid, info.size = 0o4711, 1000, 4_000_000_000, 3
    folder = tarfile.TarInfo()
    folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
    archive = archive_of({"srv": folder, "srv/set-id": info}, kit.folder / "root.tar")
    found = initrd(kit.build("x.efi", f"--initrd=tar:{archive}"))
    assert (found["srv/set-id"].mode, found["srv/set-id"].owner) == (
        stat.S_IFREG | 0o4711,
        (1000, 4_000_000_000),
    )
    assert found["srv"].mode == stat.S_IFDIR | 0o1777


def test_capabilities_are_lost_and_that_is_said(kit: Kit) -> None:
    info = tarfile.TarInfo()
    capability = struct.pack("<IIIII", 0x0200_0001, 1 << 13, 0, 0, 0).decode("latin-1")
    info.pax_headers = {"SCHILY.xattr.security.capability": capability}
    archive = archive_of({"usr/bin/ping": info}, kit.folder / "root.tar")
    result = kit.run(f"--initrd=tar:{archive}", "-o", kit.folder / "x.efi")
    assert (
        "an initrd stores no extended attributes: 1 files lose theirs (usr/bin/ping)" in result.err
    )


def test_times_stay_below_the_epoch(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {}
    for name, mtime in (("old", 50.75), ("new", 5000.0), ("before", -9.0)):
        info = members[f"srv/{name}"] = tarfile.TarInfo()
        info.mtime = mtime
    archive = archive_of(members, kit.folder / "root.tar")

    def times(*words: str) -> dict[str, int]:
        uki = kit.build("x.efi", f"--initrd=tar:{archive}", "--force", *words)
        return {name[4:]: entry.mtime for name, entry in initrd(uki).items() if name[:4] == "srv/"}

    assert times() == {"old": 50, "new": 5000, "before": 0}
    assert times("--source-date-epoch=100") == {"old": 50, "new": 100, "before": 0}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "60")
    assert times() == {"old": 50, "new": 60, "before": 0}
    assert times("--source-date-epoch=10") == {"old": 10, "new": 10, "before": 0}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "never")
    result = kit.run("-o", kit.folder / "y.efi")
    assert (result.code, "SOURCE_DATE_EPOCH is not a number" in result.err) == (2, True)


def test_a_folders_files_have_the_epochs_time_and_belong_to_root(kit: Kit, tmp_path: Path) -> None:
    folder = unpack(SYSTEM, tmp_path / "root")
    if os.geteuid() == 0:
        os.chown(folder / "usr/bin/tool", 1000, 1000)
    for words, time in (((), 0), (("--source-date-epoch=77",), 77)):
        path, _ = from_root(kit, folder, *words)
        assert {entry.mtime for entry in initrd(path).values()} == {time}
        assert {entry.owner for entry in initrd(path).values()} == {(0, 0)}


@pytest.mark.parametrize(("option", "level"), [(None, 9), ("zstd", 9), ("zstd:1", 1), ("none", 0)])
def test_compression_is_a_choice(kit: Kit, tmp_path: Path, option: str | None, level: int) -> None:
    folder = unpack({**SYSTEM, "usr/text": b"abcdefgh" * 40_000}, tmp_path / "root")
    words = () if option is None else (f"--initrd-compression={option}",)
    path, result = from_root(kit, folder, *words)
    assert result.code == 0, result.err
    packed = section(path, ".initrd")
    plain = packed if level == 0 else zstd.decompress(packed)
    assert entries(plain)["usr/text"].data == b"abcdefgh" * 40_000
    if level:
        assert len(packed) < 20_000
        parameters = zstd.get_frame_info(packed)
        assert parameters.decompressed_size is None, "written as a stream"


def test_twice_in_different_folders_the_same_bytes(
    tmp_path: Path, signing_pair: SigningPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = []
    for number, place in enumerate(("a", "another/much/longer/place")):
        other = make_kit(tmp_path / place, monkeypatch)
        items = dict(sorted(SYSTEM.items(), reverse=bool(number)))
        items["usr/bin/same"] = items.pop("usr/bin/same")
        folder = unpack(items, other.folder / "root")
        os.utime(folder / "usr/bin/tool", (number * 1000, number * 1000))
        words = (*signing(signing_pair), f"--pcr-private-key={signing_pair.key}", "--force")
        path, result = from_root(other, folder, *words)
        assert result.code == 0, result.err
        images.append(path.read_bytes())
    assert images[0] == images[1]


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    """What a tree consists of; hard links by the first of their names."""
    first: dict[int, str] = {}
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(root))
        content: bytes | str = b""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        same = first.setdefault(status.st_ino, name) if not path.is_dir() else name
        found[name] = (status.st_mode, status.st_uid, status.st_gid, same, content)
    return found


@pytest.mark.oracle("cpio")
@pytest.mark.oracle("zstd")
@pytest.mark.root
def test_unpacked_with_cpio_and_zstd_it_is_the_tree(kit: Kit, tmp_path: Path) -> None:
    folder = unpack(SYSTEM, tmp_path / "root")
    (folder / "usr/bin/tool").chmod(0o4755)
    (folder / "srv").mkdir(mode=0o700)
    (folder / "srv/naïve name\n").write_bytes(bytes(range(256)) * 9000)
    (folder / "var/tmp").mkdir(parents=True)
    (folder / "var/tmp").chmod(0o1777)
    (folder / "srv/abs").symlink_to("/nowhere/at/all")
    for name in ("x", "y"):
        (folder / f"etc/{name}").hardlink_to(folder / "srv/naïve name\n")
    path, _ = from_root(kit, folder)
    out = tmp_path / "out"
    out.mkdir()
    packed = kit.file("initrd.zst", section(path, ".initrd"))
    plain = subprocess.run(["zstd", "-dc", packed], capture_output=True, check=True, timeout=60)
    subprocess.run(
        ["cpio", "--extract", "--make-directories", "--quiet", "-H", "newc"],
        input=plain.stdout, cwd=out, check=True, timeout=60,
    )  # fmt: skip
    for root, extra in ((folder, KERNEL), (out, "init")):
        (root / extra).unlink()
    assert facts(out) == facts(folder)
