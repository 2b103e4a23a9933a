"""Puts together what a boot measures: reads the files, has them hashed, gives `Boot` for each set.

One image with many sets of files beside it is the usual case: everything the sets have in common is
read and hashed once (`sysgraft.seal.hashing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.systemd import LATEST, OLDEST, check_release
from sysgraft.errors import LimitError, UsageError
from sysgraft.formats import pe, stub_archive, uki
from sysgraft.measure import cmdline, pcr11, sidecars
from sysgraft.measure.boot import KERNEL_LOADED_UNTIL, Addon, Boot, Packed, Program
from sysgraft.seal.addons import read_addons
from sysgraft.seal.entry_extras import pack_extras
from sysgraft.seal.image import read_executable, read_uki

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.measure.events import Event
    from sysgraft.measure.sidecars import Kind, Skipped
    from sysgraft.seal.addons import AddonFile
    from sysgraft.seal.firmware_keys import FirmwareKeys
    from sysgraft.seal.hashing import Digests, Hashing
    from sysgraft.seal.image import Executable, UkiImage
    from sysgraft.seal.material import Folder, Material, Source
    from sysgraft.seal.secure_boot import Verdict

MAX_LOADED: Final = (4 << 30) - 1
"""Bytes of all initrds together that a stub up to v257 can place: it wants them below 4 GiB and
stops the machine if they do not fit (``src/boot/util.c``, xmalloc_pages)."""
MUCH: Final = 400 << 20
"""Bytes of sidecars that some firmware has no memory for: it was seen to fail at 500 MB, and the
stub needs them twice while it packs them."""
_BELOW_4G_UNTIL: Final = 257
_IMPLIED: Final = range(OLDEST, 255)
"""Releases of systemd-boot that give an image its own command line, and measure it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the files do not say.

    Attributes:
        version: release of the stub; None for what the image says.
        profile: which one is chosen; None for what the boot entry says.
        cmdline: what the stub is given instead of the boot entry's; None for that.
        smbios: ``io.systemd.stub.kernel-cmdline-extra`` of the firmware.
        secure_boot: whether signatures are enforced; None: if the image is signed.
        systemd: release of the systemd in the initrd; None for that of the stub.
        hardware: which sections for certain hardware fit the machine, by name and number from 1.
    """

    version: int | None = None
    profile: int | None = None
    cmdline: str | None = None
    smbios: str | None = None
    secure_boot: bool | None = None
    systemd: int | None = None
    hardware: tuple[tuple[str, int], ...] = ()


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


@dataclass(frozen=True, slots=True)
class _Archive:
    kind: Kind
    event: str
    digests: Digests
    files: tuple[str, ...]


class FileSet:
    """One set of files beside the image, on its way to be hashed.

    Attributes:
        files: what it is made of.
        skipped: what the stub passes over.
    """

    def __init__(
        self, archives: list[_Archive], addons: list[tuple[AddonFile, Addon]], files: list[UsedFile]
    ) -> None:
        self.archives = archives
        self.addons = addons
        self.files = files
        self.skipped: tuple[Skipped, ...] = ()
        self.initrd: Digests | None = None
        self.verdicts: list[Verdict] = []


class Assembly:
    """Everything about one boot that does not depend on the set of files beside the image.

    Args:
        material: the files.
        settings: what they do not say.
        hashing: takes what has to be hashed.
        keys: the firmware's, where they are known: it refuses addons that they do not start.
        with_initrd: whether PCR 9 is wanted, for which the whole initrd is hashed.

    Attributes:
        version: release of the stub.
        systemd: release of the systemd in the initrd.
        secure_boot: whether signatures are taken to be enforced.
        uki: the image; None where only its sidecars are known.
        files: what is used beside the sets.
        notes: what a person should know.
    """

    def __init__(
        self,
        material: Material,
        settings: Settings,
        hashing: Hashing,
        *,
        keys: FirmwareKeys | None = None,
        with_initrd: bool = False,
    ) -> None:
        self._material = material
        self._keys = keys
        self._with_initrd = with_initrd
        self._settings = settings
        self._hashing = hashing
        self._hashed: dict[str, Digests] = {}
        self.files: list[UsedFile] = []
        self.notes: list[str] = list(material.notes)
        self._asked = material.profile if settings.profile is None else settings.profile
        if settings.version is not None:
            check_release(settings.version)
        self.uki = self._read_uki()
        self.profile = self.uki.profile if self.uki else 0
        self.version = self.uki.version if self.uki else self._version_alone()
        self.systemd = self.version if settings.systemd is None else settings.systemd
        self.secure_boot = self._is_secure()
        self._loader_files = [read_executable(each) for each in material.loaders]
        self._loaders = [self._program(each) for each in self._loader_files]
        self.files += [
            UsedFile("loader", each.name, each.label, each.blob.size, {})
            for each in material.loaders
        ]
        self._image = self._program(self.uki.executable) if self.uki else None
        self._kernel = self._loaded_kernel()
        self._sections = self._measured()
        self._global = self._global_set()
        self._extras = pack_extras(material.extras, self.version, hashing)
        self.files += [self._used("entry extra", each) for each in material.extras]

    # --- What is known at once -------------------------------------------------------------------

    def _read_uki(self) -> UkiImage | None:
        source = self._material.image
        if source is None:
            if self._asked:
                raise UsageError("--profile needs the image: it chooses its sections")
            return None
        version = self._settings.version
        found = read_uki(source, profile=self._asked, version=version)
        if self._asked and not cmdline.is_text(self._given() or "@", found.version):
            # The stub takes load options with a control character for binary: the @N goes too.
            self.notes.append("the command line has a control character: the stub ignores it all")
            found = read_uki(source, profile=0, version=version)
        self.files.append(UsedFile("uki", source.name, source.label, source.blob.size, {}))
        return found

    def _version_alone(self) -> int:
        if self._settings.version is None:
            raise UsageError(
                "without the image it is not known how its stub measures",
                hint=f"give the release of the stub, such as --stub-version {LATEST}",
            )
        return self._settings.version

    def _is_secure(self) -> bool:
        if self._settings.secure_boot is not None:
            return self._settings.secure_boot
        if self._keys is not None:
            return self._keys.variables.secure_boot
        return self.uki is None or self.uki.executable.is_signed

    def _loaded_kernel(self) -> Program | None:
        if self.uki is None or self.version > KERNEL_LOADED_UNTIL or self.secure_boot:
            return None
        return self._program(self.uki.kernel) if self.uki.kernel else None

    def _program(self, executable: Executable) -> Program:
        digests = self._hashing.executable(executable.blob, executable.covered)
        return Program(executable.name, digests)

    def _measured(self) -> tuple[pcr11.Measured, ...]:
        if self.uki is None:
            return ()
        chosen = dict(self._settings.hardware)
        counts: dict[str, int] = {}
        found = []
        for part in self.uki.parts:
            if part.name not in uki.MEASURED:
                continue
            counts[part.name] = number = counts.get(part.name, 0) + 1
            if part.name in uki.BY_HARDWARE and chosen.get(part.name) != number:
                continue
            found.append(pcr11.Measured(part.name, self._hashing.blob(part.content)))
        for name in uki.BY_HARDWARE:
            if counts.get(name) and name not in chosen:
                self.notes.append(
                    f"the image has sections {name} for certain hardware; PCR 11 is that of a "
                    "machine that none of them fits (--hardware chooses one)"
                )
        return pcr11.in_order(found, self.version)

    # --- Files beside the image ------------------------------------------------------------------

    def _global_set(self) -> FileSet:
        found = FileSet([], [], [])
        loader = self._material.loader
        for place in ("credentials", "extensions"):
            if place in loader:
                self._add_archives(found, place, loader[place])
        if "addons" in loader:
            self._add_addons(found, loader["addons"], is_global=True)
        self.files += found.files
        return found

    @property
    def banks(self) -> tuple[str, ...]:
        """The names of the hash algorithms."""
        return self._hashing.banks

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files in the folders for all images that the stub passes over."""
        return self._global.skipped

    def add_set(self, own: Folder | None = None) -> FileSet:
        """Take a set of files beside the image; None for the one it has.

        Raises:
            InputError: a file cannot be read.
            LimitError: the stub could not load it.
        """
        folder = self._material.own if own is None else own
        found = FileSet([], [], [])
        self._add_archives(found, "own", folder)
        self._add_addons(found, folder, is_global=False)
        self._check_size(found)
        if self._with_initrd and self.uki is not None:
            found.initrd = self._hash_initrd(self.uki, folder, found)
        return found

    def _hash_initrd(self, image: UkiImage, folder: Folder, own: FileSet) -> Digests | None:
        from sysgraft.seal.initrd import hash_initrd  # noqa: PLC0415  only for PCR 9

        beside = {"own": folder, **self._material.loader}
        addons = [file for file, _ in (*self._global.addons, *own.addons)]
        return hash_initrd(image, beside, addons, self._hashing)

    def _add_archives(self, to: FileSet, place: sidecars.Place, folder: Folder) -> None:
        for chosen in sidecars.choose(place, folder.entries, self.version):
            sources = [folder.files[name] for name in chosen.names]
            packed = [stub_archive.File(each.name, each.blob.size, each.label) for each in sources]
            digests = self._hashing.archive(
                stub_archive.pack(chosen.kind.folder, packed),
                {each.label: each.blob for each in sources},
            )
            to.archives.append(_Archive(chosen.kind, chosen.kind.event, digests, chosen.names))
            to.files += [self._used(chosen.kind.name, each) for each in sources]
        to.skipped += sidecars.skipped(place, folder.entries, self.version)

    def _used(self, role: str, source: Source) -> UsedFile:
        digests = self._hashed.get(source.label)
        if digests is None:
            digests = self._hashing.blob(source.blob, ("sha256",))
            self._hashed[source.label] = digests
        return UsedFile(role, source.name, source.label, source.blob.size, digests)

    def _add_addons(self, to: FileSet, folder: Folder, *, is_global: bool) -> None:
        uname = self.uki.text(".uname") if self.uki else None
        for file in read_addons(folder, self.version, uname, is_global=is_global):
            executable = file.executable
            if self._is_refused(file, to, is_global=is_global):
                continue
            addon = Addon(
                program=self._program(executable),
                is_global=is_global,
                cmdline=file.cmdline,
                parts={part.name: self._hashing.blob(part.content) for part in file.parts},
                ignored=file.ignored,
            )
            to.addons.append((file, addon))
            source = folder.files[executable.name]
            role = "global addon" if is_global else "addon"
            to.files.append(UsedFile(role, source.name, source.label, source.blob.size, {}))
            if file.by_hardware:
                self.notes.append(
                    f"the addon {executable.name} has devicetrees for certain hardware; PCR 12 is "
                    "that of a machine that none of them fits"
                )

    def _is_refused(self, file: AddonFile, to: FileSet, *, is_global: bool) -> bool:
        """Whether the firmware does not load an addon: it then is not measured either.

        Without the firmware's keys, what is unsigned is known to be refused by Secure Boot, and a
        signature is taken for a good one.
        """
        if self._keys is None:
            name = file.executable.name
            refused = self.secure_boot and not file.executable.is_signed
            if refused:
                self.notes.append(f"the addon {name} is unsigned: Secure Boot refuses it")
            return refused
        from sysgraft.seal.secure_boot import judge  # noqa: PLC0415  slow to import

        verdict = judge(self._keys, file.executable)
        to.verdicts.append(verdict)
        if verdict.refused:
            where = "loader/addons" if is_global else "beside the image"
            self.notes.append(
                f"the firmware refuses the addon {verdict.name} {where}: {verdict.refused}"
            )
        return bool(verdict.refused)

    def _check_size(self, own: FileSet) -> None:
        size = sum(each.size for each in (*own.files, *self._global.files))
        embedded = sum(part.content.size for part in self.uki.parts) if self.uki else 0
        if size + embedded > MAX_LOADED and self.version <= _BELOW_4G_UNTIL:
            raise LimitError(
                f"{size} bytes beside the image: its stub (systemd {self.version}) could not "
                f"load them, it has {MAX_LOADED} bytes for everything",
            )
        if size > MUCH:
            note = f"{size >> 20} MiB beside the image: not every firmware has memory for so much"
            if note not in self.notes:
                self.notes.append(note)

    # --- What came of it -------------------------------------------------------------------------

    def boot(self, own: FileSet) -> Boot:
        """The boot with a set of files, once everything is hashed."""
        addons = [addon for _, addon in (*self._global.addons, *own.addons)]
        passed = self._passed()
        _, custom = cmdline.split_profile(passed or "", self.version)
        return Boot(
            version=self.version,
            systemd=self.systemd,
            loaders=tuple(self._loaders),
            image=self._image,
            kernel=self._kernel,
            sections=self._sections,
            profile=self.profile,
            loader_options=self._loader_options(),
            options=cmdline.custom(
                custom if passed is not None else None,
                self.version,
                secure_boot=self.secure_boot,
                embedded=self.uki is not None and self.uki.has_cmdline,
            ),
            smbios=cmdline.from_smbios(self._settings.smbios, self.version),
            addons=tuple(addons),
            archives=_in_order((*self._global.archives, *own.archives)),
            entry_archives=self._extras.packed(),
        )

    def secure_boot_events(self, own: FileSet) -> tuple[Event, ...]:
        """What is measured into PCR 7, once everything is hashed.

        Raises:
            UnsupportedError: it cannot be known.
        """
        from sysgraft.seal.secure_boot import judge, predict  # noqa: PLC0415  slow to import

        if self._keys is None or self._image is None:
            raise UsageError("PCR 7 follows from the firmware's keys: give --efivars and the image")
        executables = [*self._loader_files, *([self.uki.executable] if self.uki else [])]
        programs = [*self._loaders, self._image]
        verdicts = [
            judge(self._keys, executable, program.digests)
            for executable, program in zip(executables, programs, strict=True)
        ]
        self.notes += [each.note for each in (*verdicts, *own.verdicts) if each.note]
        addons = (*self._global.verdicts, *own.verdicts)
        return predict(self._keys, verdicts, addons, self._hashing.banks)

    def kernel_events(self, own: FileSet) -> tuple[Event, ...]:
        """What Linux measures into PCR 9, once everything is hashed.

        Raises:
            UnsupportedError: it cannot be known.
        """
        from sysgraft.measure import pcr9  # noqa: PLC0415  only for PCR 9

        embedded = self.uki.text(".cmdline") if self.uki else None
        text = pcr9.final_cmdline(self.boot(own), embedded)
        return pcr9.predict(text, own.initrd, self._hashing.banks)

    def _passed(self) -> str | None:
        """The command line that the image is started with."""
        given = self._given()
        if given is not None:
            return given
        if self._material.is_own_entry and self._loader_release() in _IMPLIED and self.uki:
            embedded = self.uki.text(".cmdline")
            if embedded is not None and self._loader_release() == OLDEST:
                return embedded.removesuffix("\n")
            return None if embedded is None else cmdline.mangle(embedded, self._loader_release())
        return None

    def _given(self) -> str | None:
        """The command line that somebody wrote for this boot."""
        given = self._settings.cmdline
        return self._material.options if given is None else given

    def _loader_release(self) -> int:
        """The release of the systemd-boot that starts the image; 0 if it is started otherwise."""
        if not self._material.loaders:
            return 0
        blob = self._material.loaders[-1].blob
        found = uki.stub_of(blob, pe.parse(blob))
        return found.major if found and found.name == "systemd-boot" else 0

    def _loader_options(self) -> str | None:
        """What systemd-boot measures: the options of the boot entry, with the profile in front."""
        if not self._loader_release():
            return None
        selector = f"@{self._asked}" if self._asked else ""
        return " ".join(filter(None, (selector, self._passed()))) or None


def _in_order(archives: Sequence[_Archive]) -> tuple[Packed, ...]:
    ordered = (each for kind in sidecars.KINDS for each in archives if each.kind is kind)
    return tuple(Packed(e.kind, e.event, e.digests, e.files) for e in ordered)


def labels(files: Iterable[UsedFile]) -> Iterator[str]:
    """Where the files lie."""
    return (each.label for each in files)
