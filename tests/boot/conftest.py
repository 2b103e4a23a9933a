"""What the tests that boot a virtual machine may count on: guests, UKIs made of them, keys.

``@pytest.mark.boot`` leaves a test out where the lab cannot run, as ``oracle`` and ``root`` do. The
guests are made at their first use, which takes a few minutes once and needs root; elsewhere those
that root has made are used (``$XDG_CACHE_HOME``).
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

import pytest

from conftest import IN_CI, missing_tool
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.keyset import KeySetOptions, generate_keys
from sysgraft.build.uki.build import build_uki
from sysgraft.build.uki.options import UkiOptions
from sysgraft.errors import ToolError
from sysgraft.formats import cpio
from sysgraft.lab import recipe
from sysgraft.lab.guests import Guests, find_guests, make_guests
from sysgraft.lab.machine import MACHINES, find_firmware
from sysgraft.lab.options import LabOptions
from sysgraft.lab.run import run_lab
from sysgraft.sign.pair import SigningPair, load_pair

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from stubs import Stub
    from sysgraft.lab.report import LabReport

GuestName = Literal["small", "debian"]

TOOLS: Final = ("qemu-system-x86_64", "swtpm", "mformat", "mcopy")
# Many times what a boot takes: it is for a machine that stands still, not for a slow one.
PATIENCE: Final = 600.0
# Linux changes its own code while it runs; emulated processors may see half of a change by another.
CPUS: Final = 1
# An emulated timer is late on a busy machine; Linux would take it for broken, and stand still.
CMDLINE: Final = f"{recipe.CMDLINE} no_timer_check"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out, or fail it in CI, when the lab cannot run here."""
    if item.get_closest_marker("boot") is None:
        return
    missing = [reason for reason in (*map(missing_tool, TOOLS), missing_firmware()) if reason]
    if missing and IN_CI:
        pytest.fail(f"required in CI: {'; '.join(missing)}", pytrace=False)
    if missing:
        pytest.skip("; ".join(missing))


@functools.cache
def missing_firmware() -> str:
    """Why there is no firmware to boot with, or an empty string."""
    try:
        for secure in (False, True):
            find_firmware(MACHINES["x86-64"], secure=secure)
    except ToolError as error:
        return f"{error} ({error.hint})"
    return ""


@pytest.fixture(scope="session")
def guests() -> Guests:
    """The lab's guests."""
    found = find_guests()
    if found is None and (os.geteuid() != 0 or missing_tool("debootstrap")):
        pytest.skip("the lab's guests are missing; root makes them with `sysgraft lab guest`")
    return found or make_guests()


# --- UKIs ----------------------------------------------------------------------------------------


def initrd(
    folder: Path,
    files: Mapping[str, bytes],
    name: str = "more.cpio",
    *,
    executable: Collection[str] = (),
    links: Mapping[str, bytes] | None = None,
) -> str:
    """An initrd to add to a guest's: its path."""
    tree = {b"": Inode(mode=0o40755)}
    for path in (*files, *(links or ())):
        parts = path.encode().split(b"/")
        for depth in range(1, len(parts)):
            tree.setdefault(b"/".join(parts[:depth]), Inode(mode=0o40755))
    for path, target in (links or {}).items():
        tree[path.encode()] = Inode(mode=0o120777, target=target)
    for path, data in files.items():
        mode = 0o100755 if path in executable else 0o100644
        tree[path.encode()] = Inode(mode=mode, content=BytesBlob(data))
    place = folder / name
    place.write_bytes(b"".join(cpio.plan(tree).chunks()))
    return str(place)


class BuildUki(Protocol):
    """Makes a UKI of a guest, on systemd 257's stub or another one."""

    def __call__(
        self,
        path: Path,
        guest: GuestName = "small",
        *,
        initrds: tuple[str, ...] = (),
        cmdline: str = CMDLINE,
        signing: SigningPair | None = None,
        stub: str | Path = "",
        uname: str | None = None,
    ) -> str:
        """The path, once it is there."""


@pytest.fixture(scope="session")
def uki(guests: Guests) -> BuildUki:
    """Makes UKIs of the guests."""

    def build(
        path: Path,
        guest: GuestName = "small",
        *,
        initrds: tuple[str, ...] = (),
        cmdline: str = CMDLINE,
        signing: SigningPair | None = None,
        stub: str | Path = "",
        uname: str | None = None,
    ) -> str:
        options = UkiOptions(
            linux=guests.path("vmlinuz"),
            initrds=(guests.path(f"{guest}.cpio.zst"), *initrds),
            cmdline=cmdline,
            os_release=f"@{guests.path('os-release')}",
            uname=guests.kernel if uname is None else uname,
            stub=str(stub or guests.path("linuxx64.efi.stub")),
        )
        build_uki(options, path, signing=signing)
        return str(path)

    return build


def build_addon(path: Path, stub: Stub, cmdline: str) -> str:
    """An addon with a command line, on a release's own stub; the path, once it is there."""
    assert stub.addon, f"systemd {stub.version} has no stub of addons"
    options = UkiOptions(cmdline=cmdline, os_release="", uname="", stub=str(stub.addon))
    build_uki(options, path)
    return str(path)


# --- Keys ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keys:
    """A key set.

    Attributes:
        folder: as ``keys generate`` writes it.
    """

    folder: Path

    def pair(self, name: str) -> SigningPair:
        """One of its keys with its certificate: PK, KEK, db, extension."""
        return load_pair(str(self.folder / f"{name}.key"), str(self.folder / f"{name}.pem"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The keys that are enrolled."""
    return _new_keys(tmp_path_factory, "ours")


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys that nobody trusts."""
    return _new_keys(tmp_path_factory, "theirs")


def _new_keys(factory: pytest.TempPathFactory, name: str) -> Keys:
    folder = factory.mktemp(name) / "keys"
    generate_keys(name, str(folder), KeySetOptions(extension_key=True))
    return Keys(folder)


# --- Booting -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lab:
    """Boots, with patience."""

    folder: Path
    _count: list[int] = field(default_factory=list)

    def script(self, text: str) -> str:
        """A file with a script."""
        self._count.append(1)
        path = self.folder / f"script-{len(self._count)}"
        path.write_text(text)
        return str(path)

    def boot(self, script: str = "", **options: object) -> LabReport:
        """Boot once; the script is given as text."""
        settings = {"timeout": PATIENCE, "cpus": CPUS, **options}
        if script:
            settings["script"] = self.script(script)
        return run_lab(LabOptions(**settings))  # type: ignore[arg-type]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Boots; scripts go to the test's folder."""
    return Lab(tmp_path)
