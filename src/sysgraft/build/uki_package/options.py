"""What a package is to be like, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from sysgraft.image.initrd_sizes import InitrdSizes

Format = Literal["rpm", "deb"]

FILE_NAME = "vmlinuz-virt.efi"
"""What Fedora calls the UKI of kernel-uki-virt."""


class Addon(NamedTuple):
    """A file that is in a package of its own, for those who want it.

    Attributes:
        name: what the package is told apart by; several files may share one.
        path: the file.
    """

    name: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageOptions:
    """What a package is to be like; what is empty is taken from the UKI or from the field's use.

    Attributes:
        format: which packages.
        name: of the package.
        version: of the package.
        release: rpm's release, Debian's revision.
        kernel_version: what ``uname -r`` says under this kernel.
        file_name: of the UKI in its folder.
        extras: files that go with the UKI, in its ``.extra.d`` folder.
        addons: files in packages of their own.
        kernel_files: further files of the kernel, beside the UKI: ``System.map``, ``config``…
        standalone: whether no package with the kernel's modules is asked for.
        requires: further packages it needs, as the format writes them.
        recommends: further packages it goes well with.
        provides: further names it answers to.
        conflicts: packages it does not go with.
        maintainer: who looks after the package, ``Name <address>``.
        vendor: who publishes it (rpm).
        license: of all that is in it (rpm).
        url: where more is told.
        summary: one line.
        description: some lines.
        copyright: a file that tells whose work it is and on what terms.
        source_date_epoch: the time of everything in it; None for 0.
        replace: whether existing packages are replaced.
    """

    format: Format
    name: str = ""
    version: str = ""
    release: str = ""
    kernel_version: str = ""
    file_name: str = FILE_NAME
    extras: tuple[str, ...] = ()
    addons: tuple[Addon, ...] = ()
    kernel_files: tuple[str, ...] = ()
    standalone: bool = False
    requires: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    maintainer: str = ""
    vendor: str = ""
    license: str = ""
    url: str = ""
    summary: str = ""
    description: str = ""
    copyright: str = ""
    source_date_epoch: int | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class BuiltPackage:
    """A package that was written.

    Attributes:
        path: of the package.
        name: of the package.
        addon: which addon it is; empty for the UKI itself.
        size: bytes.
        sha256: of the package.
        files: what it installs, absolute paths.
    """

    path: str
    name: str
    addon: str
    size: int
    sha256: bytes
    files: tuple[str, ...]


class SectionSize(NamedTuple):
    """A section of the UKI.

    Attributes:
        name: with its dot.
        profile: which profile it belongs to; None for the base.
        size: bytes of its content.
    """

    name: str
    profile: int | None
    size: int


@dataclass(frozen=True, slots=True)
class PackageReport:
    """What was made.

    Attributes:
        packages: the UKI's first, then those of addons.
        format: which packages.
        kernel_version: see `PackageOptions`.
        version: of the packages.
        release: likewise.
        architecture: as the format calls it.
        tool: which program wrote them, with its version; the same one writes the same bytes.
        signed: whether the UKI has a signature for Secure Boot; nothing is said of its worth.
        uki_size: bytes of the UKI.
        sections: of the UKI.
        initrds: what takes the room in them; empty if one of them cannot be read.
        notes: what a person should know.
    """

    packages: tuple[BuiltPackage, ...]
    format: Format
    kernel_version: str
    version: str
    release: str
    architecture: str
    tool: str
    signed: bool
    uki_size: int
    sections: tuple[SectionSize, ...]
    initrds: tuple[InitrdSizes, ...]
    notes: tuple[str, ...]
