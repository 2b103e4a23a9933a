"""Makes the guests after the recipe: debootstrap, a kernel, the two initrds, a UKI of each.

Programs of the new root file system run in it by chroot. The kernel's package is unpacked and not
installed: its own initrd is not wanted. Nothing is started, and nothing stays mounted.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import BytesBlob, chunks
from sysgraft.base.tree import Inode
from sysgraft.build.rootfs import open_rootfs, pack
from sysgraft.build.sources.model import Options, Workspace
from sysgraft.build.sources.spec import SourceSpec
from sysgraft.build.uki.build import build_uki
from sysgraft.build.uki.options import UkiOptions
from sysgraft.errors import InputError, ToolError
from sysgraft.formats import cpio
from sysgraft.host.files import close_files
from sysgraft.host.run import locate, run
from sysgraft.host.spool import Spool
from sysgraft.host.zstd import compress
from sysgraft.lab import modules, recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.base.tree import MutableTree

_DEBOOTSTRAP_SECONDS: Final = 3600.0
_DOWNLOAD_SECONDS: Final = 1800.0
_STEPS: Final = 5
_STUBS: Final = ("linuxx64.efi.stub", "addonx64.efi.stub", "systemd-bootx64.efi")
_KERNEL_NAME: Final = re.compile(r"linux-image-[0-9][A-Za-z0-9.+~-]*")


def cook(work: str, output: str, *, mirror: str, progress: Progress) -> dict[str, object]:
    """Make all files of the guests but the manifest; gives what goes into that.

    Args:
        work: an empty folder for the root file systems.
        output: where the files go.
        mirror: where packages come from.
        progress: told of each step.
    """
    progress.start("making the guests", _STEPS)
    root = os.path.join(work, "root")
    _bootstrap(root, mirror)
    progress.advance(1)
    kernel = _fetch_kernel(root)
    packages = {**_packages(root), recipe.KERNEL_PACKAGE: kernel.version}
    progress.advance(1)
    _copy_boot_files(root, kernel, output)
    _make_small(root, kernel, os.path.join(output, "small.cpio.zst"))
    progress.advance(1)
    _settle(root, kernel)
    _make_large(root, os.path.join(output, "debian.cpio.zst"))
    progress.advance(1)
    for name in ("small", "debian"):
        _make_uki(output, name, kernel)
    progress.advance(1)
    progress.finish()
    return {
        "suite": recipe.SUITE,
        "kernel": kernel.release,
        "cmdline": recipe.CMDLINE,
        "packages": packages,
    }


def _bootstrap(root: str, mirror: str) -> None:
    locate("debootstrap")
    if not os.path.isfile(recipe.KEYRING):
        raise ToolError(
            f"Debian's keys are not installed: {recipe.KEYRING} is missing",
            hint="on Debian they are in the package debian-archive-keyring",
        )
    # In a mount namespace of its own: however it ends, /proc and /sys are not mounted in the folder
    # when that is removed.
    done = run(
        ["unshare", "--mount", *_debootstrap(root, mirror)],
        timeout=_DEBOOTSTRAP_SECONDS,
        env={"DEBIAN_FRONTEND": "noninteractive"},
        check=False,
    )
    if done.returncode:
        # It says on its standard output what went wrong.
        lines = [*done.stdout.decode(errors="replace").splitlines(), *done.stderr.splitlines()]
        said = "; ".join(line.strip() for line in lines[-5:] if line.strip())
        raise ToolError(
            f"debootstrap failed: {said or 'without a message'}",
            hint="is the mirror reachable? --mirror names another one",
        )
    # In a second step: debootstrap itself cannot configure systemd-container. Nothing may start.
    policy = os.path.join(root, "usr/sbin/policy-rc.d")
    _write(policy, [b"#!/bin/sh\nexit 101\n"])
    os.chmod(policy, 0o755)  # noqa: S103  a program
    argv = ["apt-get", "install", "-qy", "--no-install-recommends", *recipe.PACKAGES]
    _inside(root, *argv, timeout=_DOWNLOAD_SECONDS)
    os.unlink(policy)


def _debootstrap(root: str, mirror: str) -> list[str]:
    """Its command line. By itself it goes on without a signature where there are no keys."""
    verified = ("--force-check-gpg", f"--keyring={recipe.KEYRING}")
    return ["debootstrap", "--variant=minbase", *verified, recipe.SUITE, root, mirror]


def _inside(root: str, *argv: str, timeout: float = 120.0) -> str:
    """What a program of the new system prints."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {
        "PATH": path,
        "HOME": "/",
        "TMPDIR": "/tmp",  # noqa: S108  of that root
        "DEBIAN_FRONTEND": "noninteractive",
    }
    words = [locate("chroot"), root, *argv]
    return run(words, env=environment, timeout=timeout).stdout.decode(errors="replace")


# --- The kernel ----------------------------------------------------------------------------------


class _Kernel(NamedTuple):
    """The kernel's package, unpacked.

    Attributes:
        folder: where.
        release: as ``uname -r`` tells it.
        version: of the package.
    """

    folder: str
    release: str
    version: str

    def path(self, *parts: str) -> str:
        """A file of it."""
        return os.path.join(self.folder, *parts)

    @property
    def modules(self) -> str:
        """The folder of its modules."""
        return self.path("usr/lib/modules", self.release)


def _fetch_kernel(root: str) -> _Kernel:
    """Unpack it below the ``/tmp`` of the root, where its own programs can be used for that."""
    about = _inside(root, "apt-cache", "show", "--no-all-versions", recipe.KERNEL_PACKAGE)
    name = _KERNEL_NAME.search(about.partition("Depends:")[2])
    if name is None:
        raise InputError(f"Debian's {recipe.KERNEL_PACKAGE} names no kernel")
    release = name[0].removeprefix("linux-image-")
    script = f"""\
set -eu
cd /tmp
apt-get download {name[0]} >&2
mv linux-image-*.deb kernel.deb
dpkg-deb -x kernel.deb kernel
ln -s usr/lib kernel/lib
depmod -b /tmp/kernel {release}
dpkg-deb -f kernel.deb Version
"""
    version = _inside(root, "sh", "-c", script, timeout=_DOWNLOAD_SECONDS).strip()
    return _Kernel(os.path.join(root, "tmp/kernel"), release, version)


def _needed_modules(kernel: _Kernel, names: Sequence[str]) -> list[str]:
    texts = []
    for name in ("modules.dep", "modules.builtin"):
        with open(os.path.join(kernel.modules, name), encoding="utf-8") as file:
            texts.append(file.read())
    return modules.needed(texts[0], texts[1], names)


def _module(kernel: _Kernel, path: str) -> tuple[str, bytes]:
    """A module's path without compression, and its content: quicker to load, smaller in zstd."""
    with open(os.path.join(kernel.modules, path), "rb") as file:
        data = file.read()
    if path.endswith(".xz"):
        return path.removesuffix(".xz"), lzma.decompress(data)
    return path, data


def _copy_boot_files(root: str, kernel: _Kernel, output: str) -> None:
    shutil.copyfile(
        kernel.path("boot", f"vmlinuz-{kernel.release}"), os.path.join(output, "vmlinuz")
    )
    shutil.copyfile(os.path.join(root, "usr/lib/os-release"), os.path.join(output, "os-release"))
    for name in _STUBS:
        source = os.path.join(root, "usr/lib/systemd/boot/efi", name)
        shutil.copyfile(source, os.path.join(output, name))


# --- The small guest -----------------------------------------------------------------------------


def _make_small(root: str, kernel: _Kernel, path: str) -> None:
    with open(os.path.join(root, "usr/bin/busybox"), "rb") as file:
        busybox = file.read()
    tree: MutableTree = {b"": Inode(mode=stat.S_IFDIR | 0o755)}
    _add(tree, "bin/busybox", busybox, 0o755)
    _add(tree, "init", recipe.asset("small_init.sh"), 0o755)
    order = []
    for each in _needed_modules(kernel, recipe.SMALL_MODULES):
        name, data = _module(kernel, each)
        order.append(os.path.basename(name))
        _add(tree, f"lib/modules/{order[-1]}", data, 0o644)
    _add(tree, "lib/modules/order", "".join(f"{name}\n" for name in order).encode(), 0o644)
    _write(path, compress(cpio.plan(tree).chunks(), recipe.LEVEL))


def _add(tree: MutableTree, path: str, data: bytes, mode: int) -> None:
    folder = os.path.dirname(path)
    while folder:
        tree.setdefault(folder.encode(), Inode(mode=stat.S_IFDIR | 0o755))
        folder = os.path.dirname(folder)
    tree[path.encode()] = Inode(mode=stat.S_IFREG | mode, content=BytesBlob(data))


# --- The large guest -----------------------------------------------------------------------------


def _settle(root: str, kernel: _Kernel) -> None:
    """Settings, modules, and what is not needed taken away."""
    _inside(root, "rm", "-rf", "--", "/var/lib/extensions", "/var/lib/confexts")
    for path, text in recipe.FILES.items():
        _write(_below(root, path), [text.encode()])
    for path, target in recipe.LINKS.items():
        os.symlink(target, _below(root, path))
    folder = f"usr/lib/modules/{kernel.release}"
    for each in _needed_modules(kernel, recipe.MODULES):
        name, data = _module(kernel, each)
        _write(_below(root, f"{folder}/{name}"), [data])
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(os.path.join(kernel.modules, name), _below(root, f"{folder}/{name}"))
    _inside(root, "depmod", kernel.release)
    for name in ("etc/.updated", "var/.updated"):
        # So that systemd does not think /usr is newer than what is derived from it.
        _write(_below(root, name), [b""])


def _below(root: str, path: str) -> str:
    """A place for a new file; whatever has the name goes."""
    place = os.path.join(root, path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.lexists(place):
        os.unlink(place)
    return place


def _make_large(root: str, path: str) -> None:
    with Spool() as spool, ExitStack() as stack:
        workspace = Workspace(
            options=Options(
                kind="root",
                layers="all",
                whiteouts="drop",
                owner="keep",
                excludes=recipe.LEFT_OUT,
            ),
            spool=spool,
            kept_prefixes=(b"",),
        )
        rootfs = open_rootfs(SourceSpec("dir", root), workspace, stack)
        packed = pack(rootfs, workspace, level=recipe.LEVEL)
        _write(path, chunks(packed))
        close_files()


def _packages(root: str) -> dict[str, str]:
    lines = _inside(root, "dpkg-query", "-W", "-f", "${Package} ${Version}\\n").splitlines()
    return {name: version for name, _, version in (line.partition(" ") for line in lines)}


def _make_uki(output: str, name: str, kernel: _Kernel) -> None:
    options = UkiOptions(
        linux=os.path.join(output, "vmlinuz"),
        initrds=(os.path.join(output, f"{name}.cpio.zst"),),
        cmdline=recipe.CMDLINE,
        os_release=f"@{os.path.join(output, 'os-release')}",
        uname=kernel.release,
        stub=os.path.join(output, "linuxx64.efi.stub"),
    )
    build_uki(options, os.path.join(output, f"{name}.efi"))


def _write(path: str, pieces: Iterable[bytes]) -> None:
    with open(path, "wb") as file:
        file.writelines(pieces)
