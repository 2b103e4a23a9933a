"""The index: what it holds, that it depends on nothing else, and that it survives anything."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from firmware_kit import ARM64, FIRMWARE, RELEASE, module, write_firmware, write_kernel
from sysgraft.errors import FormatError, InputError, LimitError, UsageError
from sysgraft.firmware import index as index_module
from sysgraft.firmware.index import MAGIC, Index, parse_index, render_index
from sysgraft.firmware.make_index import make_index
from sysgraft.host.zstd import compress

if TYPE_CHECKING:
    from pathlib import Path


def of(root: Path, **more: object) -> Index:
    return make_index([str(root)], [str(root)], **more)  # type: ignore[arg-type]


def test_what_is_found(tmp_path: Path) -> None:
    write_kernel(tmp_path)
    write_firmware(tmp_path)
    (kernel,) = of(tmp_path).kernels
    assert (kernel.release, kernel.architecture) == (RELEASE, "x86-64")
    modules = {each.name: each for each in kernel.modules}
    assert modules["iwlwifi"].depends == ("cfg80211",)
    assert modules["cfg80211"].path.endswith(".ko.zst")
    assert modules["qla2xxx"].soft == ("scsi_transport_fc", "helper_late")
    assert modules["built"].firmware == ("built.bin",)
    assert modules["built"].path == ""
    entries = {each.path: each for each in of(tmp_path).entries}
    assert set(entries) == set(FIRMWARE)
    assert entries["ql2500_fw.bin"].target == "qlogic/current/fw.bin"
    assert entries["regulatory.db"].size == len("rules")


def test_the_files_of_depmod_add_to_what_modules_say(tmp_path: Path) -> None:
    folder = write_kernel(tmp_path)
    (folder / "modules.alias").write_text(
        "alias pci:v00008086d000051F1sv*sd*bc*sc*i* iwlwifi\nalias virtio:d9* virtio_net\n"
    )
    (folder / "modules.dep").write_text(
        "kernel/drivers/net/wireless/intel/iwlwifi/iwlwifi.ko: "
        "kernel/net/wireless/cfg80211.ko.zst\n"
        "kernel/drivers/net/virtio_net.ko.zst: kernel/lib/helper-late.ko.zst\n"
    )
    (folder / "modules.softdep").write_text("softdep i915 pre: helper-late\n")
    (folder / "modules.weakdep").write_text("weakdep i915 cfg80211\n")
    (kernel,) = make_index([str(folder)], []).kernels
    assert kernel.aliases == (("virtio:d9*", "virtio_net"),)
    assert kernel.depends == (("virtio_net", ("helper_late",)),)
    assert kernel.soft == (("i915", ("helper_late",)),)
    assert kernel.weak == (("i915", ("cfg80211",)),)


def test_the_same_trees_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        write_kernel(root)
        write_firmware(root)
    for path in other.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (0, 0))
    assert render_index(of(one)) == render_index(of(other))


def test_an_update_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_kernel(tmp_path)
    write_firmware(tmp_path)
    old = of(tmp_path)
    changed = folder / "kernel/net/wireless/cfg80211.ko.zst"
    status = changed.stat()
    changed.write_bytes(module([("firmware", "other.db")])[: status.st_size])
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))  # as it was, to look at it
    (folder / "kernel/lib/helper-late.ko.zst").unlink()
    (folder / "kernel/lib/new.ko").write_bytes(module([("alias", "new:*")]))
    (folder / "modules.softdep").write_text("softdep i915 pre: new\n")
    assert render_index(of(tmp_path, old=old)) == render_index(of(tmp_path))
    names = {each.name for each in of(tmp_path, old=old).kernels[0].modules}
    assert "new" in names
    assert "helper_late" not in names


def test_an_update_does_not_read_what_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kernel(tmp_path)
    old = make_index([str(tmp_path)], [])
    from sysgraft.firmware import index_kernel  # noqa: PLC0415  only to break it

    monkeypatch.setattr(index_kernel, "_module", lambda *_: pytest.fail("read again"))
    assert make_index([str(tmp_path)], [], old=old) == old


def test_digests(tmp_path: Path) -> None:
    write_kernel(tmp_path)
    write_firmware(tmp_path)
    entries = {each.path: each.sha256.hex() for each in of(tmp_path, digests=True).entries}
    assert entries["regulatory.db"] == hashlib.sha256(b"rules").hexdigest()
    assert entries["ql2500_fw.bin"] == ""
    assert len(entries["unused.bin"]) == 64


def test_later_trees_lie_over_earlier_ones(tmp_path: Path) -> None:
    for name, content in (("one", "a"), ("two", "bcd")):
        write_firmware(tmp_path / name, {"same.bin": content, f"{name}.bin": "x"})
    index = make_index([], [str(tmp_path / "one"), str(tmp_path / "two")])
    assert [(e.path, e.size, e.tree) for e in index.entries] == [
        ("one.bin", 1, 0),
        ("same.bin", 3, 1),
        ("two.bin", 1, 1),
    ]


def test_a_checkout_has_links_in_whence_only(tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit/a.bin").write_text("a")
    (tmp_path / "LICENCE.kit").write_text("terms")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("not firmware")
    (tmp_path / "WHENCE").write_text(
        "Driver: kit\nFile: kit/a.bin\nLink: kit/b.bin -> a.bin\nFile: ../x\n"
        "Licence: See LICENCE.kit for details.\n"
    )
    index = make_index([], [str(tmp_path)])
    assert [(e.path, e.target) for e in index.entries] == [
        ("LICENCE.kit", ""),
        ("WHENCE", ""),
        ("kit/a.bin", ""),
        ("kit/b.bin", "a.bin"),
    ]
    assert index.licenses[0].files == ("LICENCE.kit",)
    assert index.problems[0].startswith("WHENCE, line 4: ")


def test_metainfo_of_packages(tmp_path: Path) -> None:
    write_firmware(tmp_path)
    folder = tmp_path / "usr/share/metainfo"
    folder.mkdir(parents=True)
    (folder / "kit.metainfo.xml").write_text(
        '<component type="firmware"><name>firmware-kit</name><provides>'
        '<firmware type="runtime">unused.bin</firmware></provides></component>'
    )
    (folder / "bad.metainfo.xml").write_text("<component>")
    doc = tmp_path / "usr/share/doc/firmware-kit"
    doc.mkdir(parents=True)
    (doc / "copyright").write_text("terms")
    index = make_index([], [str(tmp_path)])
    assert [each.name for each in index.packages] == ["firmware-kit"]
    assert index.packages[0].copyright == "usr/share/doc/firmware-kit/copyright"
    assert index.problems[0].startswith("usr/share/metainfo/bad.metainfo.xml: damaged AppStream")


@pytest.mark.parametrize(
    "data",
    [b"", b"no ELF", b"\x7fELF\x02\x01\x01" + b"\xff" * 60, b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0\0"],
)
def test_modules_that_cannot_be_read_are_left_out(tmp_path: Path, data: bytes) -> None:
    folder = write_kernel(tmp_path)
    (folder / "kernel/bad.ko.xz").write_bytes(data)
    (kernel,) = make_index([str(tmp_path)], []).kernels
    assert len(kernel.problems) == 1
    assert kernel.problems[0].startswith("kernel/bad.ko.xz: ")
    assert "iwlwifi" in {each.name for each in kernel.modules}


def test_a_module_that_grows_is_a_problem_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_kernel(tmp_path)
    from sysgraft.firmware import index_kernel  # noqa: PLC0415  only to lower a limit

    monkeypatch.setattr(index_kernel, "MAX_PLAIN", 1 << 20)
    (folder / "kernel/bomb.ko.zst").write_bytes(b"".join(compress([bytes(64 << 20)], 3)))
    (kernel,) = make_index([str(tmp_path)], []).kernels
    assert len(kernel.problems) == 1


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = write_firmware(tmp_path)
    with open(os.fsencode(folder) + b"/\xff.bin", "wb") as file:
        file.write(b"x")
    index = make_index([], [str(tmp_path)])
    assert index.problems == ("\\xff.bin: not a UTF-8 name",)
    assert parse_index(render_index(index)) == index


def test_architecture_of_another_machine(tmp_path: Path) -> None:
    folder = tmp_path / "lib/modules/6.1"
    (folder / "kernel").mkdir(parents=True)
    (folder / "kernel/a.ko").write_bytes(module([], machine=ARM64))
    assert make_index([str(folder)], []).kernels[0].architecture == "arm64"


def test_what_is_no_tree(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kernel modules"):
        make_index([str(tmp_path)], [])
    with pytest.raises(InputError, match="no such folder"):
        make_index([], [str(tmp_path / "missing")])
    folder = write_kernel(tmp_path / "a")
    other = tmp_path / "b" / folder.name
    shutil.copytree(folder, other)
    with pytest.raises(UsageError, match="two kernels"):
        make_index([str(folder), str(other)], [])


def packed(value: object) -> bytes:
    return MAGIC + b"".join(compress([msgspec.msgpack.encode(value)], 3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a firmware index"),
        (b"sysgraft firmware index 9\n", "another version"),
        (MAGIC, "damaged|too early"),
        (MAGIC + b"\x28\xb5\x2f\xfd", "too early"),
        (packed([1]), "damaged firmware index"),
        (packed([[], [["../x", 1, "", 0, b""]], [], [], []]), "a file '../x'"),
        (packed([[], [["x", -1, "", 0, b""]], [], [], []]), "a file 'x'"),
    ],
)
def test_what_is_no_index(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_index(data)


def test_an_index_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "MAX_PLAIN", 1 << 20)
    with pytest.raises(LimitError):
        parse_index(MAGIC + b"".join(compress([bytes(16 << 20)], 3)))


def test_a_long_chain_of_dependencies(tmp_path: Path) -> None:
    """Each of many modules needs all before it, as ``modules.dep`` lists them."""
    names = [f"m{number}" for number in range(1500)]
    folder = tmp_path / "6.1"
    (folder / "kernel").mkdir(parents=True)
    for name, needed in zip(names, ["", *names], strict=False):
        (folder / f"kernel/{name}.ko").write_bytes(module([("depends", needed)]))
    lines = (
        f"kernel/{name}.ko: {' '.join(f'kernel/{n}.ko' for n in names[:number])}\n"
        for number, name in enumerate(names)
    )
    (folder / "modules.dep").write_text("".join(lines))
    began = time.process_time()
    (kernel,) = make_index([str(folder)], []).kernels
    assert kernel.depends == ()
    assert time.process_time() - began < 20
