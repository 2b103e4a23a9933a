"""The files beside an image, or for all images, that its stub takes: archives and addons.

They are read and handed over to be hashed; `sysgraft.seal.assembly` makes boots of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.formats import stub_archive
from sysgraft.measure import sidecars
from sysgraft.measure.boot import Addon, Program
from sysgraft.seal.addons import read_addons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.measure.sidecars import Kind, Skipped
    from sysgraft.seal.addons import AddonFile
    from sysgraft.seal.firmware_keys import FirmwareKeys
    from sysgraft.seal.hashing import Digests, Hashing
    from sysgraft.seal.material import Folder, Source
    from sysgraft.seal.secure_boot import Verdict


@dataclass(frozen=True, slots=True)
class UsedFile:
    """A file that a prediction rests on.

    Attributes:
        role: what it is to the boot: ``uki``, ``loader``, ``addon`` or the name of an archive.
        name: as the stub sees it.
        label: where it lies.
        size: bytes.
        sha256: of its content; empty until everything is hashed, and for executables, of which
            the sections and the Authenticode digest are known.
    """

    role: str
    name: str
    label: str
    size: int
    sha256: Mapping[str, bytes]


class Archive(NamedTuple):
    """An archive on its way to be hashed."""

    kind: Kind
    digests: Digests
    files: tuple[str, ...]


@dataclass(slots=True)
class FileSet:
    """Files that the stub takes, on their way to be hashed.

    Attributes:
        archives: what it packs of them.
        addons: each with what it does; those that the firmware refuses are not among them.
        files: what it is made of.
        skipped: what the stub passes over.
        verdicts: what the firmware makes of each addon, where its keys are known.
        initrd: digests of the whole initrd, where it is wanted.
    """

    archives: list[Archive] = field(default_factory=list)
    addons: list[tuple[AddonFile, Addon]] = field(default_factory=list)
    files: list[UsedFile] = field(default_factory=list)
    skipped: tuple[Skipped, ...] = ()
    verdicts: list[Verdict] = field(default_factory=list)
    initrd: Digests | None = None


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes files as one stub does on one firmware.

    Attributes:
        version: release of the stub.
        uname: the kernel's release, None if the image does not say.
        secure_boot: whether signatures are enforced.
        keys: the firmware's, where they are known.
        hashing: takes what has to be hashed.
        with_digests: whether each file's own digest is wanted, for a report.
        notes: gets what a person should know.
    """

    version: int
    uname: str | None
    secure_boot: bool
    keys: FirmwareKeys | None
    hashing: Hashing
    with_digests: bool
    notes: list[str]

    def add_archives(self, to: FileSet, place: sidecars.Place, folder: Folder) -> None:
        """Pack what the stub packs of a folder.

        Raises:
            LimitError: a file is too large for the format.
        """
        for chosen in sidecars.choose(place, folder.entries, self.version):
            sources = [folder.files[name] for name in chosen.names]
            packed = [stub_archive.File(each.name, each.blob.size, each.label) for each in sources]
            digests = self.hashing.archive(
                stub_archive.pack(chosen.kind.folder, packed),
                {each.label: each.blob for each in sources},
            )
            to.archives.append(Archive(chosen.kind, digests, chosen.names))
            to.files += [self.used(chosen.kind.name, each) for each in sources]
        to.skipped += sidecars.skipped(place, folder.entries, self.version)

    def used(self, role: str, source: Source) -> UsedFile:
        """A file for the report, with its digest if that is wanted."""
        digests: Digests = {}
        if self.with_digests:
            digests = self.hashing.blob(source.blob, ("sha256",), key=source.label)
        return UsedFile(role, source.name, source.label, source.blob.size, digests)

    def add_addons(self, to: FileSet, folder: Folder, *, is_global: bool) -> None:
        """Load what the stub loads of a folder.

        Raises:
            InputError: an addon is no executable.
        """
        for file in read_addons(folder, self.version, self.uname, is_global=is_global):
            if self._is_refused(file, to, is_global=is_global):
                continue
            to.addons.append((file, self._addon(file, is_global=is_global)))
            source = folder.files[file.executable.name]
            role = "global addon" if is_global else "addon"
            to.files.append(UsedFile(role, source.name, source.label, source.blob.size, {}))
            if file.by_hardware:
                self.notes.append(
                    f"the addon {source.name} has devicetrees for certain hardware; PCR 12 is "
                    "that of a machine that none of them fits"
                )

    def _addon(self, file: AddonFile, *, is_global: bool) -> Addon:
        executable = file.executable
        digests = self.hashing.executable(executable.blob, executable.covered)
        return Addon(
            program=Program(executable.name, digests),
            is_global=is_global,
            cmdline=file.cmdline,
            parts={part.name: self.hashing.blob(part.content) for part in file.parts},
            ignored=file.ignored,
        )

    def _is_refused(self, file: AddonFile, to: FileSet, *, is_global: bool) -> bool:
        """Whether the firmware does not load an addon: it then is not measured either.

        Without the firmware's keys, what is unsigned is known to be refused by Secure Boot, and a
        signature is taken for a good one.
        """
        if self.keys is None:
            name = file.executable.name
            refused = self.secure_boot and not file.executable.is_signed
            if refused:
                self.notes.append(f"the addon {name} is unsigned: Secure Boot refuses it")
            return refused
        from sysgraft.seal.secure_boot import judge  # noqa: PLC0415  slow to import

        verdict = judge(self.keys, file.executable)
        to.verdicts.append(verdict)
        if verdict.refused:
            where = "loader/addons" if is_global else "beside the image"
            self.notes.append(
                f"the firmware refuses the addon {verdict.name} {where}: {verdict.refused}"
            )
        return bool(verdict.refused)
