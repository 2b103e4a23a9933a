"""The firmware's own boot entries: found, added, tried once, put first, removed (UEFI 2.10 §3.1).

One thing at a time is written, and in an order in which the firmware finds a working list after
each: an entry before a list that names it, and out of the lists before it goes. Numbers that others
have taken are left alone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, OutputError
from sysgraft.formats import load_option
from sysgraft.formats.device_path import file_of, file_path, partition_of
from sysgraft.formats.efivar import GLOBAL_VARIABLE
from sysgraft.formats.load_option import ACTIVE, LAST_NUMBER, LoadOption, variable_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sysgraft.formats.device_path import Partition
    from sysgraft.host.efivars_changing import ChangingEfiVariables

ORDER: Final = "BootOrder"
NEXT: Final = "BootNext"
CURRENT: Final = "BootCurrent"


class FirmwareEntries:
    """The boot entries of a firmware.

    Args:
        variables: of it.
    """

    def __init__(self, variables: ChangingEfiVariables) -> None:
        self._variables = variables

    def all(self) -> Mapping[int, LoadOption]:
        """The entries by number; what is none is left out.

        Raises:
            InputError: the variables cannot be read.
        """
        found: dict[int, LoadOption] = {}
        for name in self._variables.names(GLOBAL_VARIABLE):
            number = load_option.number_of(name)
            if number is None:
                continue
            # Firmware and failed writes leave all kinds of things; others' are not ours to judge.
            with suppress(InputError):
                found[number] = load_option.parse(self._read(name) or b"")
        return found

    def numbers(self, name: str) -> tuple[int, ...]:
        """What `ORDER`, `NEXT` or `CURRENT` names."""
        return load_option.parse_numbers(self._read(name) or b"")

    def find(self, partition: Partition, path: str, data: bytes = b"") -> tuple[int, ...]:
        """The numbers of entries that start a file with that data, whatever they are called."""
        wanted = _folded(path)
        return tuple(
            number
            for number, option in self.all().items()
            if (found := partition_of(option.path)) is not None
            and found.uuid == partition.uuid
            and _folded(file_of(option.path)) == wanted
            and option.data == data
        )

    def add(self, title: str, partition: Partition, path: str, data: bytes = b"") -> int:
        """Have an entry for a file: its number. One there is, is taken; a new one is tried last.

        Where the firmware has no list it goes by rules of its own, and is not given one: then the
        new entry would be the first.

        Args:
            title: what the firmware's menu shows.
            partition: the file is on.
            path: of it there.
            data: what it is given.

        Raises:
            OutputError: it cannot be written, or there is no number left.
        """
        option = LoadOption(ACTIVE, title, file_path(partition, path), data)
        taken = self.all()
        same = self.find(partition, path, data)
        number = same[0] if same else self._free_number()
        if taken.get(number) != option:
            self._write(variable_name(number), load_option.serialise(option))
        order = self.numbers(ORDER)
        if order and number not in order:
            self._write(ORDER, load_option.serialise_numbers((*order, number)))
        return number

    def try_next(self, number: int) -> None:
        """Have an entry started at the next boot, and only then."""
        self._write(NEXT, load_option.serialise_numbers([number]))

    def cancel_next(self) -> None:
        """Have nothing started only once."""
        self._variables.remove(NEXT, GLOBAL_VARIABLE)

    def put_first(self, number: int) -> bool:
        """Have an entry tried before all others; whether it was not already."""
        order = self.numbers(ORDER)
        if order[:1] == (number,):
            return False
        rest = (each for each in order if each != number)
        self._write(ORDER, load_option.serialise_numbers((number, *rest)))
        return True

    def remove(self, numbers: Iterable[int]) -> None:
        """Take entries out of the lists, and then away."""
        gone = tuple(numbers)
        if set(self.numbers(NEXT)) & set(gone):
            self._variables.remove(NEXT, GLOBAL_VARIABLE)
        order = self.numbers(ORDER)
        if set(order) & set(gone):
            left = (each for each in order if each not in gone)
            self._write(ORDER, load_option.serialise_numbers(left))
        for number in gone:
            self._variables.remove(variable_name(number), GLOBAL_VARIABLE)

    def _free_number(self) -> int:
        """The lowest one that no entry has, and no list names."""
        taken = {load_option.number_of(name) for name in self._variables.names(GLOBAL_VARIABLE)}
        taken |= set(self.numbers(ORDER)) | set(self.numbers(NEXT))
        number = next((each for each in range(LAST_NUMBER + 1) if each not in taken), None)
        if number is None:
            raise OutputError("no number is left for a boot entry", file=self._variables.source)
        return number

    def _read(self, name: str) -> bytes | None:
        found = self._variables.read(name, GLOBAL_VARIABLE)
        return None if found is None else found.data

    def _write(self, name: str, data: bytes) -> None:
        self._variables.write(name, GLOBAL_VARIABLE, data)


def _folded(path: str) -> str:
    return path.replace("/", "\\").strip("\\").casefold()
