"""Kernel modules, compared with kmod: what modinfo prints, and what depmod writes."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from conftest import KERNEL_MODULES
from lint_kit import Maker, codes, lint, running
from sysgraft.formats import modinfo, modules_dep
from sysgraft.formats.x509 import serial_text
from sysgraft.image.lint.folder import read_folder
from sysgraft.image.lint.kernels import is_module, read_kernels, read_module
from sysgraft.image.lint.lint import LintOptions
from sysgraft.image.lint.scene import Contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sysgraft.formats.module_signature import ModuleSignature
    from sysgraft.image.lint.kernels import Module

pytestmark = [pytest.mark.oracle("kernel-modules"), pytest.mark.oracle("modinfo")]

RELEASES: Final = KERNEL_MODULES / "usr/lib/modules"
RELOADED: Final = "ID=_any\nARCHITECTURE=x86-64\nEXTENSION_RELOAD_MANAGER=1\n"


def kernel() -> Path:
    """The folder of the kernel."""
    (folder,) = RELEASES.iterdir()
    return folder


def modules() -> Iterator[tuple[Path, Module]]:
    """Every module of it."""
    contents = Contents()
    for path, inode in read_folder(str(kernel()), prefix=b"k").items():
        if is_module(path):
            yield kernel() / path[2:].decode(), read_module(inode, contents)


def of_modinfo(paths: list[Path], field: str) -> list[str]:
    """What modinfo says of one field of each module."""
    said = []
    for path in paths:
        done = subprocess.run(["modinfo", "-F", field, path], capture_output=True, check=True)
        said.append(done.stdout.decode())
    return said


def test_every_module_says_what_modinfo_prints() -> None:
    found = dict(modules())
    assert len(found) > 1000
    with_firmware = [path for path, each in found.items() if each.info.firmware]
    assert with_firmware
    chosen = [*list(found)[::12], *with_firmware]
    lines: dict[str, Callable[[Module], Sequence[str]]] = {
        "vermagic": lambda each: [each.info.vermagic],
        "name": lambda each: [each.info.name],
        "depends": lambda each: [",".join(each.info.depends)],
        "alias": lambda each: each.info.values("alias"),
        "firmware": lambda each: each.info.firmware,
        "sig_hashalgo": lambda each: [signed(each).digest],
        "signer": lambda each: [signed(each).issuer.removeprefix("CN=")],
        "sig_key": lambda each: [key_text(signed(each).serial)],
    }
    for field, ours in lines.items():
        said = of_modinfo(chosen, field)
        told = ["".join(f"{line}\n" for line in ours(found[path])) for path in chosen]
        assert told == said, field


def signed(module: Module) -> ModuleSignature:
    assert module.signature is not None
    return module.signature


def key_text(serial: int) -> str:
    digits = serial_text(serial).upper()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


@pytest.mark.oracle("depmod")
def test_the_index_lists_what_depmod_lists(tmp_path: Path) -> None:
    folder = tmp_path / "lib/modules/6.0"
    shutil.copytree(kernel() / "kernel/drivers", folder / "kernel/drivers")
    subprocess.run(["depmod", "-b", tmp_path, "6.0"], check=True)
    listed = modules_dep.listed((folder / "modules.dep").read_bytes())
    files = read_folder(str(folder), prefix=b"k")
    assert listed == {path[2:] for path in files if is_module(path)}
    assert len(listed) > 200


def test_a_kernels_own_modules_are_no_finding(tmp_path: Path) -> None:
    """An extension with modules of the very kernel, then with one byte of its vermagic changed."""
    release = kernel().name
    place = f"usr/lib/modules/{release}/kernel/drivers/net"
    data = (kernel() / "kernel/drivers/net/dummy.ko.xz").read_bytes()
    options = LintOptions(kernel_tree=str(KERNEL_MODULES))
    again = running("udevadm trigger", "depmod -a")
    make = Maker(tmp_path)
    image = make.image("a", {f"{place}/dummy.ko.xz": data, **again}, release=RELOADED)
    assert codes(lint(image, options=options)) == {}
    plain = subprocess.run(["xz", "-dc"], input=data, capture_output=True, check=True).stdout
    other = plain.replace(b"SMP preempt", b"SMP prompted"[:11])
    image = make.image("b", {f"{place}/dummy.ko": other, **again}, release=RELOADED)
    assert codes(lint(image, options=options)) == {"module-vermagic": [f"/{place}/dummy.ko"]}
    unsigned = plain[: plain.rindex(b"~Module signature")]
    image = make.image("c", {f"{place}/dummy.ko": unsigned, **again}, release=RELOADED)
    assert codes(lint(image, options=options)) == {"module-unsigned": [f"/{place}/dummy.ko"]}


def test_a_kernel_is_known_by_a_few_of_its_modules() -> None:
    found = read_kernels(str(kernel()), Contents())[kernel().name]
    assert found.are_signed
    assert len(found.signers) == len(found.magics) == 1
    every = list(modules())
    assert {each.info.vermagic for _, each in every} == found.magics
    assert {each.signature.key_id for _, each in every if each.signature} == found.signers
    names = {modinfo.module_name(path.name.encode()) for path, _ in every}
    assert names <= found.names
    builtin = (kernel() / "modules.builtin").read_bytes().split()
    assert builtin
    assert {modinfo.module_name(path.rpartition(b"/")[2]) for path in builtin} <= found.names


@pytest.mark.oracle("depmod")
@pytest.mark.oracle("modprobe")
@pytest.mark.parametrize("index", ["own", "whole", "none"])
def test_modprobe_finds_what_is_not_hidden(tmp_path: Path, index: str) -> None:
    """A base with the drivers of one folder, an extension with those of another."""
    release = kernel().name
    base, extension, merged = (tmp_path / name for name in ("base", "extension", "merged"))
    for root, folder in ((base, "net"), (extension, "char")):
        place = root / f"usr/lib/modules/{release}/kernel/drivers/{folder}"
        shutil.copytree(kernel() / f"kernel/drivers/{folder}", place)
    depmod(base, release)
    if index == "whole":
        shutil.copytree(base, merged)
        shutil.copytree(extension, merged, dirs_exist_ok=True)
        depmod(merged, release)
        for path in (merged / f"usr/lib/modules/{release}").glob("modules.*"):
            shutil.copy(path, extension / f"usr/lib/modules/{release}")
    elif index == "own":
        depmod(extension, release)
    files = {path: path.read_bytes() for path in extension.rglob("*") if path.is_file()}
    image = Maker(tmp_path).image(
        "a", {str(path.relative_to(extension)): data for path, data in files.items()}
    )
    found = codes(lint(image, options=LintOptions(host_root=str(base))))
    shutil.copytree(base, merged, dirs_exist_ok=True)
    shutil.copytree(extension, merged, dirs_exist_ok=True)
    missing = {f"/{path.relative_to(merged)}" for path in unknown_modules(merged, release)}
    assert missing == {*found.get("modules-hidden", ()), *found.get("modules-unindexed", ())}
    assert bool(missing) is (index != "whole")


def depmod(root: Path, release: str) -> None:
    subprocess.run(["depmod", "-b", root / "usr", release], check=True, capture_output=True)


def unknown_modules(root: Path, release: str) -> Iterator[Path]:
    """The modules that modprobe does not find by their names."""
    for path in (root / f"usr/lib/modules/{release}").rglob("*.ko*"):
        words = ["modprobe", "-d", str(root / "usr"), "-S", release, "--show-depends"]
        name = path.name.partition(".")[0]
        done = subprocess.run([*words, name], capture_output=True, check=False)
        if done.returncode:
            yield path
