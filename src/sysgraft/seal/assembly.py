"""Puts together what a boot measures: reads the files, has them hashed, gives `Boot` for each set.

One image with many sets of files beside it is the usual case: everything the sets have in common is
read and hashed once (`sysgraft.seal.hashing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sysgraft.base.systemd import LATEST, check_release
from sysgraft.errors import LimitError, UsageError
from sysgraft.formats import uki
from sysgraft.measure import cmdline, pcr11, sidecars
from sysgraft.measure.boot import KERNEL_LOADED_UNTIL, Boot, Packed, Program
from sysgraft.seal.entry_extras import pack_extras
from sysgraft.seal.file_set import FileSet, Taker, UsedFile
from sysgraft.seal.image import read_executable, read_uki
from sysgraft.seal.start_options import start_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.measure.sidecars import Skipped
    from sysgraft.seal.file_set import Archive
    from sysgraft.seal.firmware_keys import FirmwareKeys
    from sysgraft.seal.hashing import Digests, Hashing
    from sysgraft.seal.image import Executable, UkiImage
    from sysgraft.seal.material import Folder, Material

MAX_LOADED: Final = (4 << 30) - 1
"""Bytes of all initrds together that a stub up to v257 can place: it wants them below 4 GiB and
stops the machine if they do not fit (``src/boot/util.c``, xmalloc_pages)."""
MUCH: Final = 400 << 20
"""Bytes of sidecars that some firmware has no memory for: it was seen to fail at 500 MB, and the
stub needs them twice while it packs them."""
_BELOW_4G_UNTIL: Final = 257
_SHOWN: Final = 3
_SIGNATURES: Final = ".pcrsig.json"
"""Lie beside the image and are meant for nobody but the initrd."""

Images: TypeAlias = "dict[tuple[str, int, int], UkiImage]"
"""Images that were read, by label, profile and release of the stub."""


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


class Assembly:
    """Everything about one boot that does not depend on the set of files beside the image.

    Args:
        material: the files.
        settings: what they do not say.
        hashing: takes what has to be hashed.
        keys: the firmware's, where they are known: it refuses addons that they do not start.
        with_initrd: whether PCR 9 is wanted, for which the whole initrd is hashed.
        with_digests: whether each file's own digest is wanted, for a report.
        images: those that were read for other assemblies, so that their contents are hashed once.

    Attributes:
        version: release of the stub.
        systemd: release of the systemd in the initrd.
        secure_boot: whether signatures are taken to be enforced.
        profile: the profile that is used.
        uki: the image; None where only its sidecars are known.
        executables: what the firmware loads before any addon: boot loaders, the image.
        programs: the same, as they are measured.
        common: the files for all images.
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
        with_digests: bool = True,
        images: Images | None = None,
    ) -> None:
        self._material = material
        self._settings = settings
        self._hashing = hashing
        self._with_initrd = with_initrd
        self._images = {} if images is None else images
        self.keys = keys
        self.files: list[UsedFile] = []
        self.notes: list[str] = list(material.notes)
        self._start = start_options(material, settings.profile, settings.cmdline)
        for release in (settings.version, settings.systemd):
            if release is not None:
                check_release(release)
        self.uki = self._read_uki()
        self.profile = self.uki.profile if self.uki else 0
        self.version = self.uki.version if self.uki else self._version_alone()
        self.systemd = self.version if settings.systemd is None else settings.systemd
        self.secure_boot = self._is_secure()
        self._taker = self._make_taker(with_digests=with_digests)
        self.executables = self._read_executables()
        self.programs = [self._program(each) for each in self.executables]
        self._kernel = self._loaded_kernel()
        self._sections = self._measured()
        self.common = self._common_files()
        # systemd-boot packs them; where it is not known which one, that of the stub is assumed.
        self._extras = pack_extras(material.extras, self._start.loader or self.version, hashing)
        self.files += [self._taker.used("entry extra", each) for each in material.extras]

    # --- What is known at once -------------------------------------------------------------------

    @property
    def banks(self) -> tuple[str, ...]:
        """The names of the hash algorithms."""
        return self._hashing.banks

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files in the folders for all images that the stub passes over."""
        return self.common.skipped

    def _read_uki(self) -> UkiImage | None:
        source = self._material.image
        if source is None:
            if self._start.profile:
                raise UsageError("--profile needs the image: it chooses its sections")
            return None
        version = self._settings.version
        found = read_uki(source, profile=self._start.profile, version=version)
        if self._start.is_ignored(found.version):
            self.notes.append("the command line has a control character: the stub ignores it all")
            found = read_uki(source, profile=0, version=version)
        self.files.append(UsedFile("uki", source.name, source.label, source.blob.size, {}))
        return self._images.setdefault((source.label, found.profile, found.version), found)

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
        if self.keys is not None:
            return self.keys.variables.secure_boot
        return self.uki is None or self.uki.executable.is_signed

    def _make_taker(self, *, with_digests: bool) -> Taker:
        return Taker(
            version=self.version,
            uname=self.uki.text(".uname") if self.uki else None,
            secure_boot=self.secure_boot,
            keys=self.keys,
            hashing=self._hashing,
            with_digests=with_digests,
            notes=self.notes,
        )

    def _read_executables(self) -> list[Executable]:
        loaders = self._material.loaders
        self.files += [UsedFile("loader", e.name, e.label, e.blob.size, {}) for e in loaders]
        found = [read_executable(each) for each in loaders]
        return [*found, self.uki.executable] if self.uki else found

    def _program(self, executable: Executable) -> Program:
        digests = self._hashing.executable(executable.blob, executable.covered)
        return Program(executable.name, digests)

    def _loaded_kernel(self) -> Program | None:
        if self.uki is None or self.version > KERNEL_LOADED_UNTIL or self.secure_boot:
            return None
        return self._program(self.uki.kernel) if self.uki.kernel else None

    def _measured(self) -> tuple[pcr11.Measured, ...]:
        """The sections that are measured; of those for certain hardware the ones that fit."""
        chosen = dict(self._settings.hardware)
        counts: dict[str, int] = {}
        found = []
        for part in self.uki.parts if self.uki else ():
            counts[part.name] = number = counts.get(part.name, 0) + 1
            fits = part.name not in uki.BY_HARDWARE or chosen.get(part.name) == number
            if part.name in uki.MEASURED and fits:
                found.append(pcr11.Measured(part.name, self._hashing.blob(part.content)))
        for name, number in chosen.items():
            if number > counts.get(name, 0):
                raise UsageError(f"the image has {counts.get(name, 0)} sections {name}")
        self.notes += [
            f"the image has sections {name} for certain hardware; PCR 11 is that of a machine "
            "that none of them fits (--hardware chooses one)"
            for name in uki.BY_HARDWARE
            if counts.get(name) and name not in chosen
        ]
        return pcr11.in_order(found, self.version)

    # --- Files beside the image ------------------------------------------------------------------

    def _common_files(self) -> FileSet:
        found = FileSet()
        loader = self._material.loader
        places: tuple[sidecars.Place, ...] = ("credentials", "extensions")
        for place in places:
            if place in loader:
                self._taker.add_archives(found, place, loader[place])
        if "addons" in loader:
            self._taker.add_addons(found, loader["addons"], is_global=True)
        self.files += found.files
        return found

    def add_set(self, own: Folder | None = None) -> FileSet:
        """Take a set of files beside the image; None for the one it has.

        Raises:
            InputError: a file cannot be read.
            LimitError: the stub could not load it.
        """
        folder = self._material.own if own is None else own
        found = FileSet()
        self._taker.add_archives(found, "own", folder)
        self._taker.add_addons(found, folder, is_global=False)
        self._check_size(found)
        beside = sorted(e.name for e in folder.entries if not e.name.endswith(_SIGNATURES))
        if beside and not found.files:
            names = ", ".join(beside[:_SHOWN])
            self.notes.append(f"nothing of what lies beside the image is measured: {names}")
        if self._with_initrd and self.uki is not None:
            found.initrd = self._hash_initrd(self.uki, folder, found)
        return found

    def _hash_initrd(self, image: UkiImage, folder: Folder, own: FileSet) -> Digests | None:
        from sysgraft.seal.initrd import hash_initrd  # noqa: PLC0415  only for PCR 9

        beside = {"own": folder, **self._material.loader}
        addons = [file for file, _ in (*self.common.addons, *own.addons)]
        return hash_initrd(image, beside, addons, self._hashing)

    def _check_size(self, own: FileSet) -> None:
        size = sum(each.size for each in (*own.files, *self.common.files))
        embedded = sum(part.content.size for part in self.uki.parts) if self.uki else 0
        if size + embedded > MAX_LOADED and self.version <= _BELOW_4G_UNTIL:
            raise LimitError(
                f"{size} bytes beside the image: its stub (systemd {self.version}) could not "
                f"load them, it has {MAX_LOADED} bytes for everything",
            )
        if size > MUCH:
            self.notes.append(
                f"{size >> 20} MiB beside the image: not every firmware has memory for so much"
            )

    # --- What came of it -------------------------------------------------------------------------

    def boot(self, own: FileSet) -> Boot:
        """The boot with a set of files, once everything is hashed."""
        passed = self._start.passed(self.uki)
        _, custom = cmdline.split_profile(passed or "", self.version)
        return Boot(
            version=self.version,
            systemd=self.systemd,
            loaders=tuple(self.programs[:-1] if self.uki else self.programs),
            image=self.programs[-1] if self.uki else None,
            kernel=self._kernel,
            sections=self._sections,
            profile=self.profile,
            loader_options=self._start.measured_by_loader(self.uki),
            options=cmdline.custom(
                custom if passed is not None else None,
                self.version,
                secure_boot=self.secure_boot,
                embedded=self.uki is not None and self.uki.has_cmdline,
            ),
            smbios=cmdline.from_smbios(self._settings.smbios, self.version),
            addons=tuple(addon for _, addon in (*self.common.addons, *own.addons)),
            archives=_in_order((*self.common.archives, *own.archives)),
            entry_archives=self._extras.packed(),
        )


def _in_order(archives: Sequence[Archive]) -> tuple[Packed, ...]:
    ordered = (each for kind in sidecars.KINDS for each in archives if each.kind is kind)
    return tuple(Packed(e.kind, e.kind.event, e.digests, e.files) for e in ordered)
