"""The kernels on a boot partition: UKIs in ``EFI/Linux`` and entries of type #1, of all tokens.

Which of them runs is told by the boot loader or the stub (`sysgraft.kernel.loader`), else by the
version of the running kernel. Which one is next is told by the variables of the loader, and by the
firmware's own list if that started the running one itself. What a loader would choose without any
of that is not told.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from sysgraft.base import version
from sysgraft.errors import InputError
from sysgraft.formats import bls, pe, uki
from sysgraft.formats.device_path import file_of, partition_of
from sysgraft.kernel import loader
from sysgraft.kernel.firmware_entries import CURRENT, NEXT, ORDER, FirmwareEntries
from sysgraft.kernel.marking import meant, shared
from sysgraft.kernel.naming import ENTRIES, ENTRY, UKI, UKIS, KernelName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.formats.device_path import Partition
    from sysgraft.formats.load_option import LoadOption
    from sysgraft.host.efivars_changing import ChangingEfiVariables
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.seal.volume import Volume

Kind = Literal["uki", "entry"]


class Kernel(NamedTuple):
    """A kernel that can be booted.

    Attributes:
        kind: a UKI that is an entry by itself, or an entry of type #1.
        file: path of what makes it an entry, on the boot partition.
        name: of its file without counter and suffix.
        token: entry token; empty if it cannot be told from the version.
        version: of the kernel; empty if nothing tells it.
        left: tries that are left; None without counting.
        done: tries that were made.
        files: paths of all that it consists of, with sizes in bytes.
        proven: whether the kernel itself, or its entry, says the version that is in its name.
        booted: whether it runs.
        default: whether it is what the loader or firmware starts by itself, where that is set.
        once: whether it is what is started next, once.
        numbers: of the firmware's entries that start it.
        users: other entries that need a file of it.
    """

    kind: Kind
    file: str
    name: str
    token: str
    version: str
    left: int | None
    done: int | None
    files: Mapping[str, int]
    proven: bool = False
    booted: bool = False
    default: bool = False
    once: bool = False
    numbers: tuple[int, ...] = ()
    users: tuple[str, ...] = ()

    @property
    def identifier(self) -> str:
        """What the boot loader calls it: the name of its file without the counter."""
        return self.name + (UKI if self.kind == "uki" else ENTRY)

    @property
    def size(self) -> int:
        """Bytes of all it consists of."""
        return sum(self.files.values())

    @property
    def is_bad(self) -> bool:
        """Whether it was tried as often as it may be, and never came up."""
        return self.left == 0


class Listing:
    """The kernels of a boot partition, as they are now.

    Args:
        partition: it.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, partition: BootPartition) -> None:
        self._partition = partition
        self._volume: Volume = partition.volume
        self.notes: list[str] = []

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """All of them, the newest version first, own and others'."""
        found = sorted((*self._ukis(), *self._entries()), key=lambda each: each.file)
        found.sort(key=lambda each: version.key(each.version), reverse=True)
        return tuple(shared([self._marked(each) for each in self._with_booted(found)]))

    def own(self, token: str) -> tuple[Kernel, ...]:
        """Those of a token, as far as that is certain: what may go when nobody looks."""
        wanted = token.casefold()
        return tuple(e for e in self.kernels if e.proven and e.token.casefold() == wanted)

    def of(self, name: KernelName) -> tuple[Kernel, ...]:
        """Those of one version, whatever counters they have."""
        return tuple(each for each in self.kernels if each.name.casefold() == name.stem.casefold())

    # --- Files ------------------------------------------------------------------------------------

    def _ukis(self) -> Iterator[Kernel]:
        for each in self._volume.entries(UKIS):
            if each.is_folder or not each.name.lower().endswith(UKI):
                continue
            path = f"{UKIS}/{each.name}"
            counted = bls.split_counter(each.name)
            name = counted.name[: -len(UKI)]
            token, release, proven = self._split(name, self._uname(path))
            # The folder is the same whatever the counter is.
            files = dict(self._sizes(path, bls.extra_folder(f"{UKIS}/{name}{UKI}")))
            counts = counted.left, counted.done
            yield Kernel("uki", path, name, token, release, *counts, files, proven)

    def _entries(self) -> Iterator[Kernel]:
        for each in self._volume.entries(ENTRIES):
            if each.is_folder or not bls.is_entry_name(each.name):
                continue
            path = f"{ENTRIES}/{each.name}"
            counted = bls.split_counter(each.name)
            name = counted.name[: -len(ENTRY)]
            settings = self._settings(path)
            token, release, proven = self._split(name, settings.version)
            image = (settings.linux or settings.efi or settings.uki).strip("/\\")
            parts = [path, image, *(e.strip("/\\") for e in settings.initrds)]
            files = dict(self._sizes(*filter(None, parts), *_extra(image)))
            counts = counted.left, counted.done
            yield Kernel("entry", path, name, token, release, *counts, files, proven)

    def _settings(self, path: str) -> bls.Entry:
        try:
            blob = self._volume.open(path)
            return bls.parse(blob.read_at(0, min(blob.size, bls.MAX_SIZE)))
        except InputError as error:
            self.notes.append(f"{path}: {error}")
            return bls.Entry()

    def _uname(self, path: str) -> str:
        """The version that a UKI says it has; empty if it says none."""
        try:
            blob = self._volume.open(path)
            section = pe.parse(blob).find(".uname")
            return uki.read_text(blob, section).strip() if section else ""
        except InputError as error:
            self.notes.append(f"{path}: no boot loader would start it: {error}")
            return ""

    def _split(self, name: str, release: str) -> tuple[str, str, bool]:
        """Token and version in a name, by what the kernel says of itself, else by our own token.

        The latter is a guess: a token may begin with another one.
        """
        if release and name.endswith(f"-{release}"):
            return name[: -len(release) - 1], release, True
        token = self._own_token
        if token and name.casefold().startswith(f"{token}-".casefold()):
            return token, name[len(token) + 1 :], False
        return "", release, False

    @cached_property
    def _own_token(self) -> str:
        try:
            return self._partition.token
        except InputError:
            return ""

    def _sizes(self, *paths: str) -> Iterator[tuple[str, int]]:
        """Each file there is, and each file in each folder."""
        for path in paths:
            try:
                inside = [e for e in self._volume.entries(path) if not e.is_folder]
            except InputError:
                inside = []
            for place in [f"{path}/{each.name}" for each in inside] or [path]:
                try:
                    yield place, self._volume.open(place).size
                except InputError:
                    continue

    # --- What boots -------------------------------------------------------------------------------

    def _marked(self, kernel: Kernel) -> Kernel:
        numbers = tuple(n for n, path in self._firmware_files.items() if path == _path(kernel))
        default = kernel.default
        if self._is_started_by_firmware:
            default = self._order[:1] != () and self._order[0] in numbers
        once = kernel.once or bool(set(self._next) & set(numbers))
        return kernel._replace(default=default, once=once, numbers=numbers)

    def _with_booted(self, kernels: Sequence[Kernel]) -> Iterator[Kernel]:
        """With what the loader tells; what runs is told by the version where that is nothing."""
        default = meant(kernels, self._default)
        once = meant(kernels, self._once)
        told = meant(kernels, self._running, whole=False)
        release = self._partition.running_version
        for each in kernels:
            booted = each in told if told else bool(release) and each.version == release
            yield each._replace(booted=booted, default=each in default, once=each in once)

    @cached_property
    def _running(self) -> str:
        variables = self._partition.variables
        return loader.running(variables) if variables else ""

    @cached_property
    def _default(self) -> str:
        own = self._variable(loader.DEFAULT)
        return own or loader.configured(self._partition.esp_volume)

    @cached_property
    def _once(self) -> str:
        return self._variable(loader.ONCE)

    @cached_property
    def _is_started_by_firmware(self) -> bool:
        """Whether no boot loader started what runs."""
        return bool(self._current) and not self._variable(loader.INFO)

    def _variable(self, name: str) -> str:
        variables = self._partition.variables
        return loader.read(variables, name) if variables else ""

    @cached_property
    def _firmware(self) -> FirmwareEntries | None:
        variables: ChangingEfiVariables | None = self._partition.variables
        return FirmwareEntries(variables) if variables else None

    @cached_property
    def _firmware_files(self) -> dict[int, str]:
        """What each of the firmware's entries starts on this partition."""
        entries = self._firmware.all() if self._firmware else {}
        where = self._partition.where if entries else None
        return {number: _started(option, where) for number, option in entries.items()}

    @cached_property
    def _order(self) -> tuple[int, ...]:
        return self._firmware.numbers(ORDER) if self._firmware else ()

    @cached_property
    def _next(self) -> tuple[int, ...]:
        return self._firmware.numbers(NEXT) if self._firmware else ()

    @cached_property
    def _current(self) -> tuple[int, ...]:
        return self._firmware.numbers(CURRENT) if self._firmware else ()


def _extra(image: str) -> tuple[str, ...]:
    return (bls.extra_folder(image),) if image.lower().endswith(UKI) else ()


def _path(kernel: Kernel) -> str:
    return kernel.file.replace("/", "\\").casefold()


def _started(option: LoadOption, where: Partition | None) -> str:
    """The file an entry starts, or has the loader it names start; empty if it is elsewhere."""
    found = partition_of(option.path)
    if found is None or where is None or found.uuid != where.uuid:
        return ""
    path = option.told if option.told.lower().endswith(UKI) else file_of(option.path)
    return path.strip("\\").casefold()
