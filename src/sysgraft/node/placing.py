"""What lies on the EFI system partition beside boot images, where the stub finds and measures it.

Placing copies a file, with its signed policy if it has one, into the sets of the boot entries that
are meant; taking off removes both. What is for all entries goes to the folder that all images'
stubs look into, where they do, and else into each entry's own.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError
from sysgraft.formats.stub_folders import EXTENSIONS, GLOBAL, POLICY, global_folder
from sysgraft.host.remounting import writable
from sysgraft.node.esp import Esp
from sysgraft.node.esp_sets import SetChange, change_sets
from sysgraft.node.layout import COMMON, ROLES
from sysgraft.node.store import extension_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.node.changes import Record
    from sysgraft.node.esp import BootImage
    from sysgraft.node.node import Node
    from sysgraft.node.store import Store


_ON_FAT: Final = re.compile(r"[A-Za-z0-9_.+~^@#%=-]{1,250}")
"""Names of files: systemd-stub passes over what is not ASCII, and FAT over more than that."""


class Placed(NamedTuple):
    """A file on the partition that belongs to boot images.

    Attributes:
        file: its name.
        where: the boot entry; `COMMON` for all.
        folder: of the set, a path on the partition.
        size: in bytes.
    """

    file: str
    where: str
    folder: str
    size: int


def policy_file(name: str) -> str:
    """The name of an extension's signed policy."""
    return f"{name}{POLICY}"


def placed(esp: Esp) -> tuple[Placed, ...]:
    """Everything on the partition that belongs to boot images, signed policies left out."""
    return tuple(sorted(_placed(esp)))


def _placed(esp: Esp) -> Iterator[Placed]:
    sets = [(each.name, each.folder) for each in esp.images]
    for where, folder in [*sets, *((COMMON, folder) for folder in GLOBAL)]:
        for file, size in esp.files(folder).items():
            if not file.endswith(POLICY):
                yield Placed(file, where, folder, size)


def check_name(file: str) -> None:
    """Refuse a name that FAT cannot hold, or that no stub would take.

    Raises:
        InputError: it is one.
    """
    if not _ON_FAT.fullmatch(file):
        raise InputError(
            "the EFI system partition cannot hold a file of this name, or no stub would take it",
            file=file,
            hint="names there have ASCII letters, digits and _ . + - ~ ^ @ # % = only",
        )


def folders_for(node: Node, esp: Esp, file: str, profiles: Sequence[str]) -> dict[str, str]:
    """The sets that a file goes to: names of entries by path, in the order of `profiles`.

    Raises:
        InputError: there is no such boot entry.
    """
    found: dict[str, str] = {}
    for profile in profiles:
        if profile == COMMON:
            found |= _common(esp, file)
            continue
        meant = [each for each in esp.images if profile in (each.name, node.role_of(each.name))]
        if not meant:
            raise _no_entry(esp, profile)
        found |= {each.folder: each.name for each in meant}
    return found


def _common(esp: Esp, file: str) -> dict[str, str]:
    if not esp.images:
        raise InputError("it has no UKI at all", file=esp.place)
    folder = global_folder(file)
    if folder != EXTENSIONS or esp.takes_global_extensions:
        return {folder: COMMON}
    return {each.folder: each.name for each in esp.images}


def _no_entry(esp: Esp, profile: str) -> InputError:
    listed = ", ".join(each.name for each in esp.images) or "none"
    what = f"an entry for {profile}" if profile in ROLES else f"a boot entry {profile}"
    return InputError(f"it has no UKI that is {what}", file=esp.place, hint=f"there are: {listed}")


def place(node: Node, store: Store, file: str, *, name: str, profiles: Sequence[str]) -> SetPlan:
    """The changes that place a file of the store; `carry_out` makes them.

    Raises:
        InputError: there is no such boot entry, or no partition.
    """
    esp = Esp(node)
    check_name(file)
    files = {file: store.path(file)}
    policy = store.path(policy_file(name))
    if os.path.isfile(policy):
        files[policy_file(name)] = policy
    folders = folders_for(node, esp, file, profiles)
    changes = [SetChange(folder, files) for folder in folders if _differs(esp, folder, files)]
    for change in changes:
        _check_twins(esp, change)
    return SetPlan(esp, tuple(changes), folders)


def take_off(node: Node, file: str, *, name: str, profiles: Sequence[str] = ()) -> SetPlan:
    """The changes that remove a file from the sets of these profiles; from all sets without any.

    Raises:
        InputError: there is no such boot entry, or no partition.
    """
    esp = Esp(node)
    if profiles:
        folders = folders_for(node, esp, file, profiles)
    else:
        folders = {each.folder: each.where for each in placed(esp) if each.file == file}
    gone = frozenset({file, policy_file(name)})
    changes = [SetChange(f, {}, gone) for f in folders if file in esp.files(f)]
    return SetPlan(esp, tuple(changes), folders)


class SetPlan(NamedTuple):
    """Changes of sets that are to be made.

    Attributes:
        esp: the partition.
        changes: of its sets.
        where: names of entries by path of their set.
    """

    esp: Esp
    changes: tuple[SetChange, ...]
    where: Mapping[str, str]


def swap(esp: Esp, image: BootImage, put: Mapping[str, str], gone: Sequence[str]) -> SetPlan:
    """The change of one entry's set: files that come, and files that go with their policies."""
    drop = {*gone, *(policy_file(extension_name(each)) for each in gone)} - put.keys()
    changes = [SetChange(image.folder, dict(put), frozenset(drop))]
    for name in put:
        check_name(name)
    _check_twins(esp, changes[0])
    there = esp.files(image.folder)
    is_change = bool(drop & there.keys()) or _differs(esp, image.folder, put)
    return SetPlan(esp, tuple(changes if is_change else []), {image.folder: image.name})


def carry_out(plans: Sequence[SetPlan], record: Record, *, what: str, name: str) -> None:
    """Make the changes; the partition is writable meanwhile only.

    Raises:
        OutputError: it cannot be written, or has no room.
    """
    changes = [change for plan in plans for change in plan.changes]
    if not changes:
        return
    esp = plans[0].esp
    with writable(esp.place):
        record.note(*change_sets(esp.place, changes, grow=esp.grow))
    where = {folder: each for plan in plans for folder, each in plan.where.items()}
    for change in changes:
        file = _main(change)
        called = name or extension_name(file)
        record.add(what, called, where[change.folder], f"{change.folder}/{file}")


def _main(change: SetChange) -> str:
    """The file that a change is about."""
    names = [each for each in (*change.put, *change.drop) if not each.endswith(POLICY)]
    return names[0] if names else ""


def _check_twins(esp: Esp, change: SetChange) -> None:
    """FAT does not tell names apart by case."""
    there = {name.lower(): name for name in esp.files(change.folder) if name not in change.drop}
    for name in change.put:
        twin = there.get(name.lower(), name)
        if twin != name:
            raise InputError(
                f"{name} and {twin} would be one file there",
                file=os.path.join(esp.place, change.folder),
            )


def _differs(esp: Esp, folder: str, files: Mapping[str, str]) -> bool:
    """Whether a set lacks one of the files, or has another content under its name."""
    there = esp.files(folder)
    for name, source in files.items():
        path = os.path.join(esp.place, folder, name)
        if name not in there or not _same(source, path):
            return True
    return False


def _same(one: str, other: str) -> bool:
    import filecmp  # noqa: PLC0415  rarely asked

    return filecmp.cmp(one, other, shallow=False)
