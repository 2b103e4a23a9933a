"""Kernel modules against the target's kernels: built for them, signed for them, complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import InputError
from sysgraft.formats import modinfo
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.x509 import serial_text
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.kernels import is_module, read_module, split_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.base.tree import Inode
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.kernels import Kernel, Module
    from sysgraft.image.lint.scene import Scene, Subject


def modules_of(subject: Subject) -> Iterator[tuple[str, bytes, Inode]]:
    """The modules of an extension: the kernel's release, the path, the file."""
    for path, inode in subject.tree.items():
        split = split_path(path)
        if split is not None and inode.is_file and is_module(split[1]):
            yield split[0].decode("utf-8", "backslashreplace"), path, inode


def check(scene: Scene) -> Iterator[Finding]:
    """Every module of every system extension."""
    names: dict[str, set[bytes]] = {}
    for subject in scene.of(Kind.SYSEXT):
        for release, path, _ in modules_of(subject):
            names.setdefault(release, set()).add(_name(path))
    for subject in scene.of(Kind.SYSEXT):
        for release, path, inode in modules_of(subject):
            module = _read(scene, subject, path, inode)
            for finding in _judge(module, release, scene.kernels, names[release]):
                yield found(*finding, subject.file, path=path)


def _name(path: bytes) -> bytes:
    return modinfo.module_name(path.rpartition(b"/")[2]) or b""


def _read(scene: Scene, subject: Subject, path: bytes, inode: Inode) -> Module | None:
    try:
        return read_module(inode, scene.contents)
    except InputError as error:
        scene.contents.give_up(subject.file, path, error.message)
        return None


def _judge(
    module: Module | None,
    release: str,
    kernels: Mapping[str, Kernel] | None,
    names: set[bytes],
) -> Iterator[tuple[str, str]]:
    """Names of findings, each with what is wrong."""
    if kernels is not None and release not in kernels:
        listed = ", ".join(sorted(kernels))
        yield "module-kernel", f"it is for the kernel {release}, the target has {listed}"
        return
    if module is None:
        return
    kernel = kernels[release] if kernels is not None else None
    yield from _vermagic(module, release, kernel)
    if kernel is not None:
        yield from _signature(module, kernel)
        yield from _dependencies(module, kernel, names)


def _vermagic(module: Module, release: str, kernel: Kernel | None) -> Iterator[tuple[str, str]]:
    magic = module.info.vermagic.strip()
    if kernel is not None and kernel.magics:
        if not any(modinfo.fits(magic, each.strip()) for each in kernel.magics):
            wanted = " or ".join(sorted(each.strip() for each in kernel.magics))
            yield "module-vermagic", f"it is built for {magic!r}, the kernel's are for {wanted!r}"
    elif "modversions" not in magic.split() and magic.split()[:1] != [release]:
        yield "module-vermagic", f"it is built for {magic!r} and lies in the folder of {release}"


def _signature(module: Module, kernel: Kernel) -> Iterator[tuple[str, str]]:
    if not kernel.are_signed:
        return
    if not module.is_signed:
        yield (
            "module-unsigned",
            "it is not signed, the kernel's own modules are: locked down, the kernel refuses it",
        )
    elif module.signature is None:
        yield "module-signer", "its signature is of a kind that is not read here"
    elif kernel.signers and module.signature.key_id not in kernel.signers:
        issuer, serial = module.signature.key_id
        who = f"{issuer}, serial {serial_text(serial).upper()}"
        yield "module-signer", f"it is signed by another key than the kernel's modules: {who}"


def _dependencies(module: Module, kernel: Kernel, names: set[bytes]) -> Iterator[tuple[str, str]]:
    known = kernel.names | names
    missing = [
        each for each in module.info.depends if each.encode().replace(b"-", b"_") not in known
    ]
    if missing:
        listed = ", ".join(missing)
        yield "module-depends", f"it needs {listed}, which neither set nor kernel has"
