"""What a package says of itself: fields that rpm and dpkg have in common, checked and filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.build.uki_package import texts
from sysgraft.errors import FormatError, UsageError
from sysgraft.formats.os_release import parse as parse_os_release

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.build.uki_package.names import Version
    from sysgraft.build.uki_package.options import PackageOptions
    from sysgraft.image.uki_inspect import UkiInfo

SUMMARY: Final = "Unified kernel image for virtual machines"
LICENSE: Final = "GPL-2.0-only"
"""The kernel's; what else is in an initrd has to be said by whoever put it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The fields of the package with the UKI.

    Attributes:
        name: of the package.
        version: of the package.
        architecture: as the format calls it.
        kernel_version: of the UKI.
        summary: one line.
        description: some lines.
        maintainer: who looks after it; may be empty.
        vendor: who publishes it; may be empty.
        license: of all in it.
        url: where more is told; may be empty.
        requires: further packages it needs.
        recommends: further packages it goes well with.
        provides: further names it answers to.
        conflicts: packages it does not go with.
        standalone: whether no package with the kernel's modules is asked for.
    """

    name: str
    version: Version
    architecture: str
    kernel_version: str
    summary: str
    description: tuple[str, ...]
    maintainer: str
    vendor: str
    license: str
    url: str
    requires: tuple[str, ...]
    recommends: tuple[str, ...]
    provides: tuple[str, ...]
    conflicts: tuple[str, ...]
    standalone: bool


def facts_of(
    options: PackageOptions,
    info: UkiInfo,
    *,
    name: str,
    version: Version,
    architecture: str,
    kernel_version: str,
) -> Facts:
    """The fields of a package.

    Raises:
        UsageError: a text cannot stand in a package, or one that is needed is missing.
    """
    maintainer = texts.one_line(options.maintainer, "--maintainer")
    if options.format == "deb" and not maintainer:
        raise UsageError(
            "a Debian package names its maintainer",
            hint='state --maintainer "Name <address>"',
        )
    return Facts(
        name=name,
        version=version,
        architecture=architecture,
        kernel_version=kernel_version,
        summary=texts.one_line(options.summary, "--summary") or SUMMARY,
        description=tuple(_description(options, info, kernel_version)),
        maintainer=maintainer,
        vendor=texts.one_line(options.vendor, "--vendor"),
        license=texts.one_line(options.license, "--license") or LICENSE,
        url=texts.one_line(options.url, "--url"),
        requires=_relations(options.requires, "--depends"),
        recommends=_relations(options.recommends, "--recommends"),
        provides=_relations(options.provides, "--provides"),
        conflicts=_relations(options.conflicts, "--conflicts"),
        standalone=options.standalone,
    )


def _relations(given: Iterable[str], option: str) -> tuple[str, ...]:
    return tuple(texts.dependency(text, option) for text in given)


def _description(options: PackageOptions, info: UkiInfo, kernel_version: str) -> list[str]:
    if options.description.strip():
        return texts.some_lines(options.description, "--description")
    return [
        f"Linux {kernel_version}, initrd and command line in one EFI executable{_system(info)}.",
        "kernel-install puts it on the boot partition.",
    ]


def _system(info: UkiInfo) -> str:
    """What the UKI says it starts, where that is plain text."""
    text = next((one.text for one in info.sections if one.name == ".osrel"), None)
    try:
        name = parse_os_release((text or "").encode()).get("PRETTY_NAME", "")
    except FormatError:
        name = ""
    plain = name.isascii() and name.isprintable() and "%" not in name and len(name) < 100
    return f", for {name}" if name and plain else ""
