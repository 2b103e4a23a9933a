"""A kernel that is to be installed, looked at before anything is written.

What the image is and is called, what goes with it, whether the options make sense of it, and
whether the firmware would start it and can be told to.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.base.systemd import LATEST
from sysgraft.errors import InputError, UsageError
from sysgraft.formats import bls
from sysgraft.formats.stub_folders import is_taken
from sysgraft.host.copying import seen
from sysgraft.kernel import default as starting
from sysgraft.kernel.classic import parts
from sysgraft.kernel.image import firmware_refusal, read_image, require_uki, require_version
from sysgraft.kernel.listing import Listing
from sysgraft.kernel.naming import ENTRY, UKI, UKIS, check_tries, kernel_name
from sysgraft.kernel.removal import old_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.progress import Progress
    from sysgraft.host.files import Seen
    from sysgraft.kernel.image import KernelImage
    from sysgraft.kernel.naming import KernelName
    from sysgraft.kernel.options import InstallOptions
    from sysgraft.kernel.partition import BootPartition


@dataclass(frozen=True, slots=True)
class Prepared:
    """A kernel that may be installed.

    Attributes:
        image: what it is.
        name: what it is called.
        is_uki: whether it is installed as one.
        beside: files that go beside a UKI, paths by name.
        parts: files of an entry of type #1, paths by name.
        seen: the image as it was when it was looked at.
    """

    image: KernelImage
    name: KernelName
    is_uki: bool
    beside: Mapping[str, str]
    parts: Mapping[str, str]
    seen: Seen

    @property
    def suffix(self) -> str:
        """Of what makes it an entry."""
        return UKI if self.is_uki else ENTRY

    @property
    def identifier(self) -> str:
        """What boot loaders will call it."""
        return self.name.file(self.suffix)

    @property
    def sources(self) -> tuple[str, ...]:
        """Every file that comes with it."""
        own = (self.image.path,) if self.is_uki else ()
        return (*own, *self.beside.values(), *self.parts.values())

    def folder(self, tries: int | None = None) -> str:
        """Where the stub looks beside the UKI."""
        path = f"{UKIS}/{self.name.file(UKI, tries)}"
        return bls.extra_folder(path, version=self.image.stub or LATEST)

    def check_unchanged(self) -> None:
        """Raise `InputError` if the image is another one by now."""
        if seen(self.image.path) != self.seen:
            raise InputError("it changed while it was being installed", file=self.image.path)


def prepare(
    partition: BootPartition, path: str, options: InstallOptions, progress: Progress | None
) -> Prepared:
    """Look at everything.

    Raises:
        UsageError: options exclude each other, or a name cannot be.
        InputError: the image is cut short, no UKI, or would not be started; or the firmware
            cannot be told.
        OutputError: the firmware's variables cannot be changed.
    """
    before = seen(path)
    image = read_image(path)
    is_uki = options.layout == "uki" or (options.layout == "auto" and image.is_uki)
    if is_uki or options.layout == "auto":
        require_uki(image)
    name = kernel_name(partition.token, require_version(options.version, image))
    found = Prepared(
        image=image,
        name=name,
        is_uki=is_uki,
        beside=_extras(path, options.extras) if is_uki else {},
        parts={} if is_uki else parts(path, options.initrds, name),
        seen=before,
    )
    _check_options(found, options)
    _check_firmware(partition, found, options)
    if is_uki and options.verify:
        _check_signature(partition, image, progress)
    return found


def _extras(image: str, more: tuple[str, ...]) -> dict[str, str]:
    """What goes beside the UKI: paths by name."""
    folder = f"{image}.extra.d"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    paths = [os.path.join(folder, name) for name in names if is_taken(name)]
    found: dict[str, str] = {}
    for path in (*paths, *more):
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


def _check_options(found: Prepared, options: InstallOptions) -> None:
    check_tries(options.tries)
    if options.keep is not None:
        old_kernels((), options.keep)
    if found.is_uki and (options.initrds or options.cmdline):
        raise UsageError("a UKI has its initrds and its command line in it")
    if not found.is_uki and (options.extras or options.boot_entry):
        raise UsageError("only a UKI has something beside it, or is started by firmware itself")
    if options.shim and not options.boot_entry:
        raise UsageError("--shim is for --boot-entry")
    if options.tries is not None:
        _check_tries(found, options)


def _check_tries(found: Prepared, options: InstallOptions) -> None:
    if options.boot_entry:
        raise UsageError("--tries is for what a boot loader starts, not for --boot-entry")
    if options.default == "now":
        raise UsageError("--tries and --default now: a default is started however often it fails")
    if found.beside and found.folder(options.tries) != found.folder():
        raise InputError(
            "while boots are counted its stub would not find what lies beside it: up to systemd "
            "254 the counter belongs to the folder's name, and later too if there is a + in the "
            "version",
            file=found.image.path,
            hint="go without --tries; --default once tries it as well",
        )


def _check_firmware(partition: BootPartition, found: Prepared, options: InstallOptions) -> None:
    if options.boot_entry or options.default != "keep":
        variables = starting.require_variables(partition)
        has_entry = any(each.numbers for each in Listing(partition).of(found.name))
        if options.default != "keep" and not (options.boot_entry or has_entry):
            starting.require_loader(variables)
    if options.boot_entry and partition.where is None:
        raise InputError(
            "it is no FAT partition of a GPT, from which firmware could start something",
            file=partition.place,
            hint="go without --boot-entry where a boot loader finds kernels itself",
        )
    if options.shim and partition.volume.find(options.shim) is None:
        raise InputError("there is no such file on the partition", file=options.shim)


def _check_signature(
    partition: BootPartition, image: KernelImage, progress: Progress | None
) -> None:
    reason = firmware_refusal(image, partition.variables, progress=progress)
    if reason:
        raise InputError(
            f"this firmware would not start it: {reason}",
            file=image.path,
            hint="sign it by a key that is in db (sysgraft uki sign); --no-verify installs it all "
            "the same",
        )
