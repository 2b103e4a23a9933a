"""A kernel put on the boot partition: a UKI with what lies beside it, or kernel, initrds and entry.

Everything is looked at before anything is written: what the image is, whether the firmware takes
it, whether there is room for old and new at a time. Then what lies beside comes first, the kernel
itself last and whole (`sysgraft.node.esp_files`), and only then something leads to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.progress import NoProgress
from sysgraft.errors import OutputError, SysgraftError
from sysgraft.formats.efivar import text_data
from sysgraft.formats.load_option import variable_name
from sysgraft.formats.stub_folders import is_taken
from sysgraft.kernel import default as starting
from sysgraft.kernel import loader
from sysgraft.kernel.classic import entry_text
from sysgraft.kernel.firmware_entries import FirmwareEntries
from sysgraft.kernel.listing import Listing
from sysgraft.kernel.naming import ENTRIES, ENTRY, UKI, UKIS
from sysgraft.kernel.options import InstallOptions
from sysgraft.kernel.prepare import prepare
from sysgraft.kernel.room import make_room, remove_old
from sysgraft.node.changes import Record
from sysgraft.node.esp_files import drop, put_file
from sysgraft.node.esp_sets import SetChange, change_sets

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.progress import Progress
    from sysgraft.kernel.listing import Kernel
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.kernel.prepare import Prepared
    from sysgraft.node.changes import Changes


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
    options = options or InstallOptions()
    work = _Install(partition, prepare(partition, image, options, progress), options)
    with partition.changing() as notes:
        return work.carry_out(progress or NoProgress(), notes)


class _Install:
    """One installation."""

    def __init__(
        self, partition: BootPartition, prepared: Prepared, options: InstallOptions
    ) -> None:
        self._partition = partition
        self._prepared = prepared
        self._name = prepared.name
        self._options = options
        self._when = options.default
        self._record = Record()

    def carry_out(self, progress: Progress, notes: tuple[str, ...]) -> Installed:
        """Write it, and see to what leads to it."""
        self._record.note(*notes)
        keep, name = self._options.keep, self._name
        make_room(self._partition, self._prepared.sources, name, keep=keep, record=self._record)
        before = self._keep_running()
        progress.start(f"Installing {self._name.stem}", self._prepared.image.size)
        try:
            path = self._write_uki(progress) if self._prepared.is_uki else self._write_entry()
        except SysgraftError:
            # A boot loader that sees the new one already has to know what runs.
            if not self._others_of_this_name(""):
                self._restore_default(before)
            raise
        progress.finish()
        self._record.add("installed", self._name.stem, file=path)
        for each in self._others_of_this_name(path):
            self._drop(each)
        if self._options.boot_entry:
            self._add_boot_entry(path)
        if self._partition.variables is not None:
            starting.choose(
                self._partition.variables,
                Listing(self._partition),
                self._listed(path),
                self._when,
                self._record,
            )
        if keep is not None:
            remove_old(self._partition, name, keep, self._record)
        return Installed(self._listed(path), self._record.done())

    def _keep_running(self) -> str | None:
        """Before a boot loader can see a newer one: what runs is the default during a trial.

        Gives what was the default before; None if it is not another one now.
        """
        variables = self._partition.variables
        if self._when != "once" or variables is None:
            return None
        listing = Listing(self._partition)
        identifier = self._prepared.identifier
        if starting.is_alone(listing, identifier, self._record):
            self._when = "keep"
            return None
        before = loader.read(variables, loader.DEFAULT)
        starting.keep_running(variables, listing, identifier, self._record)
        return None if loader.read(variables, loader.DEFAULT) == before else before

    def _restore_default(self, before: str | None) -> None:
        variables = self._partition.variables
        if before is None or variables is None:
            return
        if before:
            loader.write(variables, loader.DEFAULT, before)
        else:
            loader.remove(variables, loader.DEFAULT)

    def _write_uki(self, progress: Progress) -> str:
        path = f"{UKIS}/{self._name.file(UKI, self._options.tries)}"
        self._tell_of_stale()
        if self._prepared.beside:
            change = SetChange(self._prepared.folder(), self._prepared.beside)
            place, grow = self._partition.place, self._partition.grow
            self._record.note(*change_sets(place, [change], grow=grow))
        self._put(path, self._prepared.image.path, progress, self._prepared.check_unchanged)
        return path

    def _tell_of_stale(self) -> None:
        """Files beside an earlier build stay: others may have put them there."""
        folder = self._prepared.folder()
        entries = self._partition.volume.entries(folder)
        left = sorted(
            {each.name for each in entries if is_taken(each.name)} - set(self._prepared.beside)
        )
        if left:
            self._record.note(f"{folder}: {', '.join(left)} stays beside it")

    def _write_entry(self) -> str:
        path = f"{ENTRIES}/{self._name.file(ENTRY, self._options.tries)}"
        old = self._partition.volume.entries(self._name.folder)
        drop_names = frozenset(each.name for each in old) - set(self._prepared.parts)
        change = SetChange(self._name.folder, self._prepared.parts, drop_names)
        self._record.note(*change_sets(self._partition.place, [change], grow=self._partition.grow))
        text = entry_text(
            self._partition.root,
            self._name,
            list(self._prepared.parts),
            title=self._options.title,
            cmdline=self._options.cmdline,
        )
        self._put(path, text.encode())
        return path

    def _put(
        self,
        path: str,
        source: str | bytes,
        progress: Progress | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        place, grow = self._partition.place, self._partition.grow
        notes = put_file(place, path, source, grow=grow, check=check, progress=progress)
        self._record.note(*notes)

    def _listed(self, path: str) -> Kernel:
        found = (each for each in Listing(self._partition).kernels if each.file == path)
        kernel = next(found, None)
        if kernel is None:
            raise OutputError("it was written, and is not there", file=path)
        return kernel

    def _others_of_this_name(self, path: str) -> list[Kernel]:
        """The same kernel with another counter: a boot loader would show both."""
        kind = "uki" if self._prepared.is_uki else "entry"
        found = Listing(self._partition).of(self._name)
        return [each for each in found if each.file != path and each.kind == kind]

    def _drop(self, other: Kernel) -> None:
        """Take one with another counter away; the firmware's entries lead to it by its name."""
        if other.numbers and self._partition.variables is not None:
            FirmwareEntries(self._partition.variables).remove(other.numbers)
        self._record.note(*drop(self._partition.place, other.file))
        self._record.add("removed", other.name, file=other.file)

    def _add_boot_entry(self, path: str) -> None:
        variables = starting.require_variables(self._partition)
        where = self._partition.where
        if where is None:  # was asked for before
            raise OutputError("it is on no partition", file=path)
        program, data = path, b""
        if self._options.shim:
            told = "\\" + path.replace("/", "\\")
            program, data = self._options.shim, text_data(told)
        number = FirmwareEntries(variables).add(self._title(), where, program, data)
        self._record.add("boot entry", self._name.stem, where=variable_name(number))

    def _title(self) -> str:
        return self._options.title or self._name.stem
