"""A kernel put on the boot partition: a UKI with what lies beside it, or kernel, initrds and entry.

Everything is looked at before anything is written: what the image is, whether the firmware takes
it, whether there is room for old and new at a time. Then what lies beside comes first, the kernel
itself last and whole (`sysgraft.node.esp_files`), and only then something leads to it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.progress import NoProgress
from sysgraft.errors import InputError, OutputError, UsageError
from sysgraft.formats import bls
from sysgraft.formats.load_option import variable_name
from sysgraft.formats.stub_folders import is_taken
from sysgraft.kernel import default as starting
from sysgraft.kernel.classic import entry_text, parts
from sysgraft.kernel.firmware_entries import FirmwareEntries
from sysgraft.kernel.image import firmware_refusal, read_image, require_uki, require_version
from sysgraft.kernel.listing import Listing
from sysgraft.kernel.naming import ENTRIES, ENTRY, UKI, UKIS, Layout, check_tries, kernel_name
from sysgraft.kernel.removal import old_kernels
from sysgraft.kernel.room import make_room, remove_old
from sysgraft.node.changes import Record
from sysgraft.node.esp_files import drop, put_file
from sysgraft.node.esp_sets import SetChange, change_sets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.progress import Progress
    from sysgraft.kernel.image import KernelImage
    from sysgraft.kernel.listing import Kernel
    from sysgraft.kernel.naming import KernelName
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.node.changes import Changes

_UNCOUNTED_SINCE: Final = 255
"""The first release whose stub leaves the boot counter out when it looks beside itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOptions:
    """How a kernel is installed.

    Attributes:
        version: of it; empty for what the image says.
        layout: ``uki`` in ``EFI/Linux``, ``bls`` for an entry of type #1; ``auto`` is what the
            image is.
        extras: files that go beside the UKI, besides those in the folder beside the image.
        initrds: of an entry of type #1, in order.
        cmdline: of an entry of type #1; empty for the system's (`sysgraft.kernel.classic`).
        tries: how often it may be tried before it counts as bad; None without counting.
        boot_entry: whether the firmware gets an entry for it.
        shim: path of shim on the partition, which such an entry starts instead and tells it.
        title: of entries; empty for what os-release says.
        default: whether it is started from now on, or once and then if it came up.
        keep: how many versions stay; None removes none.
        verify: whether an image is refused that the firmware would not start.
    """

    version: str = ""
    layout: Layout = "auto"
    extras: tuple[str, ...] = ()
    initrds: tuple[str, ...] = ()
    cmdline: str = ""
    tries: int | None = None
    boot_entry: bool = False
    shim: str = ""
    title: str = ""
    default: starting.When = "keep"
    keep: int | None = None
    verify: bool = True


class Installed(NamedTuple):
    """What came of it.

    Attributes:
        kernel: as it is now.
        changes: what was done.
    """

    kernel: Kernel
    changes: Changes


def install(
    partition: BootPartition,
    image: str,
    options: InstallOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Installed:
    """Install a kernel, or replace the same version of it.

    Raises:
        UsageError: options exclude each other, or a name cannot be.
        InputError: the image is cut short, no UKI, or would not be started.
        OutputError: there is no room, or something cannot be written.
    """
    work = _Install(partition, read_image(image), options or InstallOptions())
    work.check(progress)
    with partition.changing() as notes:
        return work.carry_out(progress or NoProgress(), notes)


class _Install:
    """One installation."""

    def __init__(
        self, partition: BootPartition, image: KernelImage, options: InstallOptions
    ) -> None:
        self._partition = partition
        self._image = image
        self._options = options
        self._record = Record()
        self._is_uki = options.layout == "uki" or (options.layout == "auto" and image.is_uki)
        if self._is_uki or options.layout == "auto":
            require_uki(image)
        self._name: KernelName = kernel_name(
            partition.token, require_version(options.version, image)
        )
        self._beside = self._extras() if self._is_uki else {}
        self._parts: Mapping[str, str] = (
            {} if self._is_uki else parts(image.path, options.initrds, self._name)
        )

    # --- Before -----------------------------------------------------------------------------------

    def check(self, progress: Progress | None) -> None:
        """Refuse what would not do, before anything is written."""
        options = self._options
        check_tries(options.tries)
        self._check_options()
        if options.boot_entry or options.default != "keep":
            variables = starting.require_variables(self._partition)
            has_entry = any(each.numbers for each in Listing(self._partition).of(self._name))
            if options.default != "keep" and not (options.boot_entry or has_entry):
                starting.require_loader(variables)
        if options.boot_entry and self._partition.where is None:
            raise InputError(
                "nobody can tell which partition of which disk it is",
                file=self._partition.place,
                hint="go without --boot-entry where a boot loader finds kernels itself",
            )
        if self._is_uki and options.verify:
            self._check_signature(progress)

    def _check_options(self) -> None:
        options = self._options
        if self._is_uki and (options.initrds or options.cmdline):
            raise UsageError("a UKI has its initrds and its command line in it")
        if not self._is_uki and (options.extras or options.boot_entry):
            raise UsageError("only a UKI has something beside it, or is started by firmware itself")
        if options.tries is not None and options.boot_entry:
            raise UsageError("--tries is for what a boot loader starts, not for --boot-entry")
        if options.shim and not options.boot_entry:
            raise UsageError("--shim is for --boot-entry")
        if options.keep is not None:
            old_kernels((), options.keep)
        is_counted = options.tries is not None and 0 < self._image.stub < _UNCOUNTED_SINCE
        if is_counted and self._beside:
            raise InputError(
                f"its stub, of systemd {self._image.stub}, looks beside it by its name with the "
                f"boot counter, which goes when it has come up",
                file=self._image.path,
                hint=f"use the stub of systemd {_UNCOUNTED_SINCE} or newer, or go without tries",
            )

    def _check_signature(self, progress: Progress | None) -> None:
        reason = firmware_refusal(self._image, self._partition.variables, progress=progress)
        if reason:
            raise InputError(
                f"this firmware would not start it: {reason}",
                file=self._image.path,
                hint="sign it by a key that is in db (sysgraft uki sign); --no-verify installs it "
                "all the same",
            )

    def _extras(self) -> dict[str, str]:
        """What goes beside the UKI: paths by name."""
        folder = f"{self._image.path}.extra.d"
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        paths = [os.path.join(folder, name) for name in names if is_taken(name)]
        found: dict[str, str] = {}
        for path in (*paths, *self._options.extras):
            name = os.path.basename(path)
            if not is_taken(name) or not os.path.isfile(path):
                raise InputError(
                    "it is nothing that lies beside a UKI",
                    file=path,
                    hint="that are files *.addon.efi, *.raw, *.cred and *.pcrsig.json",
                )
            if name.casefold() in {each.casefold() for each in found}:
                raise UsageError(f"two files of the name {name} are to go beside it")
            found[name] = path
        return found

    # --- Doing it ---------------------------------------------------------------------------------

    def carry_out(self, progress: Progress, notes: tuple[str, ...]) -> Installed:
        """Write it, and see to what leads to it."""
        self._record.note(*notes)
        keep, name = self._options.keep, self._name
        make_room(self._partition, self._sources(), name, keep=keep, record=self._record)
        self._keep_running()
        progress.start(f"Installing {self._name.stem}", self._image.size)
        path = self._write_uki(progress) if self._is_uki else self._write_entry()
        progress.finish()
        self._record.add("installed", self._name.stem, file=path)
        for each in self._others_of_this_name(path):
            self._record.note(*drop(self._partition.place, each.file))
            self._record.add("removed", each.name, file=each.file)
        if self._options.boot_entry:
            self._add_boot_entry(path)
        if self._partition.variables is not None:
            starting.choose(
                self._partition.variables,
                Listing(self._partition),
                self._listed(path),
                self._options.default,
                self._record,
            )
        if keep is not None:
            remove_old(self._partition, name, keep, self._record)
        return Installed(self._listed(path), self._record.done())

    def _keep_running(self) -> None:
        """Before a boot loader can see a newer one: what runs is the default during a trial."""
        variables = self._partition.variables
        if self._options.default == "once" and variables is not None:
            starting.keep_running(variables, Listing(self._partition), self._record)

    def _write_uki(self, progress: Progress) -> str:
        path = f"{UKIS}/{self._name.file(UKI, self._options.tries)}"
        if self._beside:
            change = SetChange(bls.extra_folder(f"{UKIS}/{self._name.file(UKI)}"), self._beside)
            place, grow = self._partition.place, self._partition.grow
            self._record.note(*change_sets(place, [change], grow=grow))
        self._put(path, self._image.path, progress)
        return path

    def _write_entry(self) -> str:
        path = f"{ENTRIES}/{self._name.file(ENTRY, self._options.tries)}"
        old = self._partition.volume.entries(self._name.folder)
        drop_names = frozenset(each.name for each in old) - set(self._parts)
        change = SetChange(self._name.folder, self._parts, drop_names)
        self._record.note(*change_sets(self._partition.place, [change], grow=self._partition.grow))
        text = entry_text(
            self._partition.root,
            self._name,
            list(self._parts),
            title=self._options.title,
            cmdline=self._options.cmdline,
        )
        self._put(path, text.encode(), None)
        return path

    def _put(self, path: str, source: str | bytes, progress: Progress | None) -> None:
        place, grow = self._partition.place, self._partition.grow
        self._record.note(*put_file(place, path, source, grow=grow, progress=progress))

    def _listed(self, path: str) -> Kernel:
        found = (each for each in Listing(self._partition).kernels if each.file == path)
        kernel = next(found, None)
        if kernel is None:
            raise OutputError("it was written, and is not there", file=path)
        return kernel

    def _others_of_this_name(self, path: str) -> list[Kernel]:
        """The same kernel with another counter: a boot loader would show both."""
        kind = "uki" if self._is_uki else "entry"
        found = Listing(self._partition).of(self._name)
        return [each for each in found if each.file != path and each.kind == kind]

    def _add_boot_entry(self, path: str) -> None:
        variables = starting.require_variables(self._partition)
        where = self._partition.where
        if where is None:  # was asked for before
            raise OutputError("it is on no partition", file=path)
        program, data = path, b""
        if self._options.shim:
            told = "\\" + path.replace("/", "\\")
            program, data = self._options.shim, told.encode("utf-16-le") + b"\0\0"
        number = FirmwareEntries(variables).add(self._title(), where, program, data)
        self._record.add("boot entry", self._name.stem, where=variable_name(number))

    def _title(self) -> str:
        return self._options.title or self._name.stem

    def _sources(self) -> tuple[str, ...]:
        own = (self._image.path,) if self._is_uki else ()
        return (*own, *self._beside.values(), *self._parts.values())
