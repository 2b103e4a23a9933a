"""A distribution's package with a UKI in it, like Fedora's kernel-uki-virt.

    options = PackageOptions(format="rpm", maintainer="Some Body <body@example.org>")
    report = package_uki("linux.efi", "out", options)

The UKI is packaged as it is: whoever signs it does so before. kernel-install puts it on the boot
partition when the package is installed, and takes it away again (`sysgraft.build.uki_package.
scripts`).
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.build.uki_package.contents import Item, contents_of, plugin_place
from sysgraft.build.uki_package.facts import LICENSE, facts_of
from sysgraft.build.uki_package.makers import (
    ARCHITECTURES,
    PROGRAMS,
    file_name,
    make_debs,
    make_rpms,
)
from sysgraft.build.uki_package.names import (
    Version,
    check_file_name,
    check_kernel_version,
    in_name,
    package_name,
    package_version,
)
from sysgraft.build.uki_package.options import BuiltPackage, PackageReport, SectionSize
from sysgraft.build.uki_package.scripts import Places
from sysgraft.build.uki_package.spec import can_be_version, is_of_kernel
from sysgraft.build.uki_package.staging import size_of, work_folder
from sysgraft.errors import FormatError, InputError, UsageError, in_file
from sysgraft.formats.uki import KNOWN
from sysgraft.host.copying import seen
from sysgraft.host.digests import feed
from sysgraft.host.files import OpenFile
from sysgraft.host.output import atomic_outputs
from sysgraft.host.tool_version import version_of
from sysgraft.image.initrd_sizes import uki_initrd_sizes
from sysgraft.image.uki_inspect import inspect_uki
from sysgraft.image.uki_structure import read_structure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.build.uki_package.contents import Content
    from sysgraft.build.uki_package.facts import Facts
    from sysgraft.build.uki_package.options import PackageOptions
    from sysgraft.image.initrd_sizes import InitrdSizes
    from sysgraft.image.uki_inspect import UkiInfo

MAX_EPOCH: Final = (1 << 32) - 1
"""Times in rpm's headers have 32 bits."""
_EFI: Final = ".efi"


def package_uki(
    path: str,
    output: str,
    options: PackageOptions,
    *,
    progress: Progress | None = None,
) -> PackageReport:
    """Make a package of a UKI, and one of each addon.

    Args:
        path: of the UKI.
        output: the folder for the packages; it is made if it is not there.
        options: see `PackageOptions`.
        progress: told how far it is.

    Raises:
        UsageError: a name, a version or a text is not possible in such a package.
        InputError: the UKI or a file beside it cannot be read, or is not what it has to be.
        ToolError: rpmbuild or dpkg-deb is missing, too old, or failed.
        OutputError: a package exists, or cannot be written.
    """
    tool = f"{PROGRAMS[options.format]} {version_of(PROGRAMS[options.format])}"
    job = _Job(path, options)
    epoch = _epoch(options.source_date_epoch)
    targets = [os.path.join(output, name) for name in job.file_names]
    with (
        atomic_outputs(targets, replace=options.replace, make_folders=True) as files,
        work_folder(2 * size_of(job.contents)) as work,
    ):
        make = make_debs if options.format == "deb" else make_rpms
        made = make(work, job.facts, job.contents, job.places, epoch)
        packages = [
            _publish(source, file, target, content, progress or NoProgress())
            for source, file, target, content in zip(
                made, files, targets, job.contents, strict=True
            )
        ]
    return job.report(packages, tool)


def _epoch(given: int | None) -> int:
    epoch = given or 0
    if epoch > MAX_EPOCH:
        raise UsageError(f"a source date epoch of {epoch} is not possible in a package")
    return epoch


def _publish(
    source: str, file: IO[bytes], target: str, content: Content, progress: Progress
) -> BuiltPackage:
    """Copy a package to its place."""
    import hashlib  # noqa: PLC0415

    digest = hashlib.sha256()
    with OpenFile(source) as blob:
        size = blob.size
        progress.start(f"writing {os.path.basename(target)}", size)
        for chunk in feed(blob, [digest.update], progress):
            file.write(chunk)
        progress.finish()
    places = tuple(sorted(item.place for item in content.items))
    return BuiltPackage(target, content.name, content.addon, size, digest.digest(), places)


class _Job:
    """A UKI that was looked at, and what the packages will be."""

    def __init__(self, path: str, options: PackageOptions) -> None:
        self._options = options
        self.expected = seen(path)
        self.info = _whole_uki(path)
        version = _kernel_version(self.info, options.kernel_version)
        architecture = _architecture(self.info, options)
        name = package_name(options.name, version, options.format)
        self.places = Places(
            version,
            _uki_name(options.file_name),
            plugin_place(91, name, version),
            plugin_place(0, name, version),
        )
        self.facts: Facts = facts_of(
            options,
            self.info,
            name=name,
            version=package_version(
                Version(options.version, options.release), version, options.format, architecture
            ),
            architecture=architecture,
            kernel_version=version,
        )
        uki = Item(self.places.uki, source=path, expected=self.expected)
        self.contents = contents_of(uki, name, self.places, options, self.info)

    @property
    def file_names(self) -> list[str]:
        """Of the packages."""
        form = self._options.format
        return [file_name(content, self.facts, form) for content in self.contents]

    def report(self, packages: Sequence[BuiltPackage], tool: str) -> PackageReport:
        """What was made."""
        initrds, trouble = _initrds(self.info.file)
        return PackageReport(
            packages=tuple(packages),
            format=self._options.format,
            kernel_version=self.places.kernel_version,
            version=self.facts.version.version,
            release=self.facts.version.release,
            architecture=self.facts.architecture,
            tool=tool,
            signed=bool(self.info.signatures),
            uki_size=self.info.size,
            sections=tuple(
                SectionSize(one.name, one.profile, one.size)
                for one in self.info.sections
                if one.name in KNOWN
            ),
            initrds=initrds,
            notes=(*self._notes(), *trouble),
        )

    def _notes(self) -> Iterator[str]:
        """What a person should know."""
        yield from self._unsigned()
        version, options = self.places.kernel_version, self._options
        if options.format == "deb" and not options.copyright:
            yield "there is no copyright file, which Debian's policy asks for: --copyright"
        if options.format == "rpm" and not options.license:
            yield (
                f"the license is stated as {LICENSE}, the kernel's; "
                "say with --license what the initrd holds beside it"
            )
        if options.format == "rpm" and not can_be_version(version):
            yield (
                f"rpm cannot compare with {version}, which has more than one hyphen: the package "
                "neither says that it is that kernel nor asks for its modules"
            )
        if options.format == "rpm" and not is_of_kernel(self.facts):
            yield (
                f"version and release are not those of the kernel {version}: a newer package "
                "replaces this one, and its UKI, where dnf keeps several kernels side by side"
            )
        if options.format == "deb" and in_name(version) != version:
            yield (
                f"{version} is {in_name(version)} in the names of Debian packages: a kernel whose "
                "version differs in that alone needs another --name"
            )

    def _unsigned(self) -> Iterator[str]:
        """What will not come into force with Secure Boot on."""
        if not self.info.signatures:
            yield "the UKI has no signature: with Secure Boot on, firmware will not start it"
        for content in self.contents:
            for item in content.items:
                if item.is_unsigned:
                    yield f"{item.source} has no signature: with Secure Boot on, it does not count"


def _whole_uki(path: str) -> UkiInfo:
    """What the UKI is, once its structure is known to be whole."""
    with OpenFile(path) as blob, in_file(path):
        read_structure(blob)
    info = inspect_uki(path)
    if info.kind != "uki":
        raise InputError(f"no UKI, but: {info.kind}", file=path)
    if info.problems:
        raise FormatError(info.problems[0], file=path)
    return info


def _kernel_version(info: UkiInfo, given: str) -> str:
    """What the UKI says, or the caller."""
    said = (info.uname or "").strip()
    if given and said and given != said:
        raise UsageError(
            f"--kernel-version says {given}, the UKI {info.file} says {said}",
            hint="leave --kernel-version out: the UKI's own is taken",
        )
    if not given and not said:
        raise UsageError(
            f"{info.file} does not say its kernel version (.uname)",
            hint="state --kernel-version, as uname -r says it under this kernel",
        )
    return check_kernel_version(given or said)


def _architecture(info: UkiInfo, options: PackageOptions) -> str:
    known = ARCHITECTURES[options.format]
    name = known.get(info.architecture or "")
    if name is None:
        raise InputError(
            f"a UKI for {info.architecture or 'an unknown architecture'} is not packaged",
            file=info.file,
            hint=f"packages are made for {', '.join(known)}",
        )
    return name


def _uki_name(name: str) -> str:
    check_file_name(name, "a UKI")
    if not name.endswith(_EFI) or name.endswith(".addon.efi"):
        raise UsageError(
            f"a UKI in a package is called NAME.efi, not {name}",
            hint="kernel-install takes nothing else for a UKI",
        )
    return name


def _initrds(path: str) -> tuple[tuple[InitrdSizes, ...], list[str]]:
    """What takes the room in the initrds, or why that cannot be told."""
    try:
        return uki_initrd_sizes(path), []
    except FormatError as error:
        return (), [f"what is in the initrd cannot be told: {error.message}"]
