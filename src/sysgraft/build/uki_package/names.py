"""Names and versions of packages: what rpm and dpkg allow, and what follows from the kernel's.

Sources: rpm-version(7) and the manual's "Spec file format" for rpm; Debian policy 5.6.1, 5.6.7 and
5.6.12, deb-version(7). What is allowed here is narrower: nothing that a macro processor, a shell or
FAT would take for something else is in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import UsageError

if TYPE_CHECKING:
    from sysgraft.build.uki_package.options import Format

RPM_ARCHITECTURES: Final = {"x86-64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}
DEB_ARCHITECTURES: Final = {"x86-64": "amd64", "arm64": "arm64", "riscv64": "riscv64"}
"""Those that UEFI starts and both formats have; 32-bit ones get no UKIs from distributions."""

MAX_KERNEL_VERSION: Final = 64
"""``uname -r`` has 64 characters (``__NEW_UTS_LEN`` in the kernel's utsname.h)."""

EXTRA_SUFFIXES: Final = (".addon.efi", ".sysext.raw", ".confext.raw")
"""Auxiliary resources of packages (UAPI.5, "Locations and Naming for UKI Auxiliary Resources")."""

_KERNEL_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~-]*")
_FILE_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~^-]*")
_ADDON_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_NAMES: Final = {
    "rpm": re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*"),
    "deb": re.compile(r"[a-z0-9][a-z0-9.+-]+"),
}
_VERSIONS: Final = {
    "rpm": re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~^]*"),
    "deb": re.compile(r"[0-9][0-9A-Za-z.+~-]*"),
}
_RELEASES: Final = {
    "rpm": re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_~^]*"),
    "deb": re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~]*"),
}


class Version(NamedTuple):
    """A package's version.

    Attributes:
        version: of what is packaged.
        release: of the packaging.
    """

    version: str
    release: str

    def __str__(self) -> str:
        """As both formats write it."""
        return f"{self.version}-{self.release}"


def check_kernel_version(text: str) -> str:
    """`text`, if it can be a kernel's release and a folder's name.

    Raises:
        UsageError: it cannot.
    """
    if not _KERNEL_VERSION.fullmatch(text) or len(text) > MAX_KERNEL_VERSION or ".." in text:
        raise UsageError(
            f"no kernel version for a package: {text!r}",
            hint="letters, digits and . + _ ~ - are allowed, at most 64",
        )
    return text


def check_file_name(text: str, what: str) -> str:
    """`text`, if it can be the name of a file in a package.

    Raises:
        UsageError: it cannot.
    """
    if not _FILE_NAME.fullmatch(text) or len(text) > 200 or text.endswith("."):
        raise UsageError(
            f"no name for {what} in a package: {text!r}",
            hint="letters, digits and . + _ ~ ^ - are allowed",
        )
    return text


def check_addon_name(text: str) -> str:
    """`text`, if it can be a part of a package's name; raises `UsageError` if not."""
    if not _ADDON_NAME.fullmatch(text):
        raise UsageError(
            f"no name for a package with an addon: {text!r}",
            hint="lower-case letters, digits and . + - are allowed",
        )
    return text


def package_name(given: str, kernel_version: str, form: Format) -> str:
    """The package's name: the given one, or what the field calls such packages.

    Fedora installs several versions of one name side by side, as ``installonlypkg(kernel)`` tells
    dnf. dpkg cannot, so that the kernel version is in the name there. It stands at the end: apt
    keeps packages called ``linux-…-KERNELVERSION`` for as long as that kernel runs
    (``APT::VersionedKernelPackages``).

    Raises:
        UsageError: the format does not allow it.
    """
    name = given or (f"linux-image-uki-{in_name(kernel_version)}" if form == "deb" else "")
    name = name or "kernel-uki-virt"
    if not _NAMES[form].fullmatch(name):
        raise UsageError(f"no name for a {form} package: {name!r}")
    return name


def addon_package_name(name: str, addon: str, kernel_version: str, form: Format) -> str:
    """The name of the package with an addon: ``kernel-uki-virt-addon-debug``.

    Where the kernel version ends the package's name, it does the addon's too.
    """
    end = f"-{in_name(kernel_version)}"
    if form == "deb" and name.endswith(end):
        return f"{name.removesuffix(end)}-addon-{addon}{end}"
    return f"{name}-addon-{addon}"


def in_name(kernel_version: str) -> str:
    """A kernel version as a part of a Debian package's name, where neither A nor _ is allowed."""
    return re.sub(r"[_~]", "-", kernel_version.lower())


def package_version(
    given: Version, kernel_version: str, form: Format, architecture: str
) -> Version:
    """The package's version: what is given, and the rest from the kernel's.

    Of ``6.19.8-200.fc43.x86_64`` rpm has version ``6.19.8`` and release ``200.fc43``. Of Debian's
    ``6.12.117+deb13-cloud-amd64`` the version is what is before the first hyphen, the revision 1.

    Raises:
        UsageError: it does not follow from the kernel's, or the format does not allow it.
    """
    split = from_kernel(kernel_version, form, architecture)
    version = Version(given.version or split.version, given.release or split.release)
    for part, patterns, option in (
        (version.version, _VERSIONS, "--version"),
        (version.release, _RELEASES, "--release"),
    ):
        if not part:
            raise UsageError(
                f"{option} does not follow from the kernel version {kernel_version}",
                hint=f"state {option}",
            )
        if not patterns[form].fullmatch(part):
            raise UsageError(f"{option} {part!r} is not possible in a {form} package")
    return version


def from_kernel(kernel_version: str, form: Format, architecture: str) -> Version:
    """What follows from a kernel's version; empty parts where nothing does."""
    version, _, rest = kernel_version.partition("-")
    if form == "deb":
        return Version(version if _VERSIONS["deb"].fullmatch(version) else "", "1")
    release = rest.removesuffix(f".{architecture}")
    if release == rest or not _RELEASES["rpm"].fullmatch(release):
        return Version("", "")
    return Version(version, release)
