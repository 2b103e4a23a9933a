r"""Boot loader entries of type #1, ``loader/entries/*.conf``, and the boot counters in file names.

UAPI.1, "Boot Loader Specification", as systemd-boot reads it (``src/boot/boot.c``,
``boot_entry_add_type1`` of v261; ``src/boot/efi-string.c``, ``line_get_key_value``): a key and its
value on each line, the last of equal keys counts, and only ``options``, ``initrd``, ``extra`` may
come several times. Older releases know fewer keys: ``uki`` and ``uki-url`` came with 258,
``profile`` with 259, ``extra`` with 261. systemd-boot reads whatever bytes there are, and so does
this. Entries are not ordered, files they name are not looked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from sysgraft.base.systemd import LATEST
from sysgraft.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE: Final = 1 << 20
"""Bytes of an entry: real ones are below 4 KiB, and systemd-boot reads up to 16 GiB."""

Kind: TypeAlias = Literal["linux", "efi", "uki", "uki-url"]

_SINGLE: Final = {
    b"title": "title",
    b"version": "version",
    b"sort-key": "sort_key",
    b"machine-id": "machine_id",
    b"linux": "linux",
    b"efi": "efi",
    b"uki": "uki",
    b"uki-url": "uki_url",
    b"devicetree": "devicetree",
}
_KNOWN: Final = frozenset({*_SINGLE, b"architecture", b"profile", b"initrd", b"options", b"extra"})
_KINDS: Final[tuple[Kind, ...]] = ("linux", "efi", "uki", "uki-url")
_LINE: Final = re.compile(rb"[^\n\r]+")
_BLANK: Final = b" \t"
_KEY_VALUE: Final = re.compile(rb"([^ \t]+)[ \t]+(.*)", re.DOTALL)
_QUOTES: Final = (b'"', b"'")
_SEPARATORS: Final = re.compile(r"[/\\]+")
_INT_MAX: Final = 2**31 - 1
_UINT_MAX: Final = 2**32 - 1
_UINT64_MAX: Final = 2**64 - 1
_DIGITS: Final = re.compile(r"[0-9]+")
# LEFT, or LEFT-DONE, and what follows.
_COUNTER: Final = re.compile(r"([0-9]+)(?:-([0-9]+))?(.*)", re.DOTALL)
_COUNTED: Final = frozenset({".efi", ".conf"})
# The release whose stub is the first to leave the counter out (``src/boot/util.c``,
# ``remove_boot_count``).
_UNCOUNTED_SINCE: Final = 255


class Entry(NamedTuple):
    """An entry; texts are empty where the key is missing.

    Attributes:
        title: for people.
        version: of what it starts.
        sort_key: for the order among entries.
        machine_id: of the installation.
        architectures: each one the entry is for. systemd-boot hides it unless all are its own.
        linux: path of the kernel, as it stands in the entry (see `efi_path`).
        efi: path of the EFI program.
        uki: path of the UKI.
        uki_url: where to load a UKI from; from ``:`` on relative to where systemd-boot came from.
        profile: which profile of the UKI.
        devicetree: path.
        initrds: paths, in order.
        options: the command line, all lines of it joined with a space.
        extras: paths of what the stub is given beside, in order.
        others: keys that systemd-boot does not know, with their values, in order.
        kinds: which of ``linux``, ``efi``, ``uki``, ``uki-url`` are there.
    """

    title: str = ""
    version: str = ""
    sort_key: str = ""
    machine_id: str = ""
    architectures: tuple[str, ...] = ()
    linux: str = ""
    efi: str = ""
    uki: str = ""
    uki_url: str = ""
    profile: int = 0
    devicetree: str = ""
    initrds: tuple[str, ...] = ()
    options: str = ""
    extras: tuple[str, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    kinds: tuple[Kind, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """How the entry is started; None where nothing or more than one thing is named.

        systemd-boot hides such entries (before 258 it took the last of ``linux`` and ``efi``).
        """
        return self.kinds[0] if len(self.kinds) == 1 else None


def parse(data: bytes) -> Entry:
    """Read an entry; whatever is not one is an empty entry.

    Raises:
        LimitError: more than `MAX_SIZE` bytes.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a boot loader entry of {len(data)} bytes; the limit is {MAX_SIZE}")
    values: dict[bytes, list[str]] = {}
    others: list[tuple[str, str]] = []
    for key, value in _pairs(data):
        if key in _KNOWN:
            values.setdefault(key, []).append(_text(value))
        else:
            others.append((_text(key), _text(value)))
    return Entry(
        **{name: values[key][-1] for key, name in _SINGLE.items() if key in values},
        architectures=tuple(values.get(b"architecture", ())),
        profile=_profile(values.get(b"profile", [])),
        initrds=tuple(values.get(b"initrd", ())),
        options=" ".join(values.get(b"options", ())),
        extras=tuple(values.get(b"extra", ())),
        others=tuple(others),
        kinds=tuple(kind for kind in _KINDS if kind.encode() in values),
    )


def _pairs(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values, up to a NUL; lines that are no pair, or comments, are passed over."""
    for match in _LINE.finditer(data.partition(b"\0")[0]):
        line = match.group().strip(_BLANK)
        pair = _KEY_VALUE.fullmatch(line)
        if pair is None or line.startswith(b"#"):
            continue
        key, value = pair.groups()
        # A quote alone is both the first and the last.
        if value.startswith(_QUOTES) and value[-1:] == value[:1]:
            value = value[1:-1]
        yield key, value


def _profile(values: list[str]) -> int:
    """The last that is a number counts."""
    numbers = [_number(value, _UINT_MAX) for value in values]
    return next((number for number in reversed(numbers) if number is not None), 0)


def _number(text: str, most: int) -> int | None:
    """A number in decimal digits of any length; None if it is none, or more than `most`."""
    digits = text.lstrip("0") or "0"
    if not _DIGITS.fullmatch(text) or len(digits) > 20 or int(digits) > most:
        return None
    return int(digits)


def efi_path(path: str) -> str:
    r"""A path of an entry as firmware gets it: both slashes become one ``\``, however many."""
    return _SEPARATORS.sub(r"\\", path)


def is_entry_name(name: str) -> bool:
    """Whether systemd-boot takes a file of this name for an entry (``valid_type1_filename``)."""
    lower = name.lower()
    return lower.endswith(".conf") and not lower.startswith((".", "auto-"))


# --- Text ----------------------------------------------------------------------------------------


def _text(value: bytes) -> str:
    """UTF-8 as systemd-boot makes UCS-2 of it (``xstrn8_to_16``).

    Characters that UCS-2 has not, and what is no UTF-8, are left out; overlong forms are read.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "".join(_characters(value))
    return "".join(c for c in text if c <= "\uffff" and not "\ud800" <= c <= "\udfff").partition(
        "\0"
    )[0]


def _characters(value: bytes) -> Iterator[str]:
    position = 0
    while position < len(value):
        length, code = _lead(value[position])
        rest = value[position + 1 : position + length]
        position += length
        if len(rest) == length - 1 and all(byte & 0xC0 == 0x80 for byte in rest):
            for byte in rest:
                code = code << 6 | byte & 0x3F
            if code <= 0xFFFF:
                yield chr(code)


def _lead(byte: int) -> tuple[int, int]:
    """How many bytes a character has, up to six, and the bits of the first one."""
    if byte < 0x80:
        return 1, byte
    for length in range(2, 7):
        if byte >> (7 - length) == (1 << length + 1) - 2:
            return length, byte & (1 << 7 - length) - 1
    return 1, 0x1_0000  # no first byte


# --- Boot counters -------------------------------------------------------------------------------


class Counted(NamedTuple):
    """A file name taken apart.

    Attributes:
        name: without the counter.
        left: attempts that are left; None where there is no counter.
        done: attempts that were made; None likewise.
    """

    name: str
    left: int | None = None
    done: int | None = None


def split_counter(name: str) -> Counted:
    """Take the boot counter out of a file name, ``NAME+LEFT[-DONE]`` with ``.efi`` or ``.conf``.

    As systemd-boot (``boot_entry_parse_tries``): behind the last ``+``, and nothing else there.
    """
    stem, plus, tail = name.rpartition("+")
    match = _COUNTER.fullmatch(tail) if plus else None
    if match is None or not match[3].isascii() or match[3].lower() not in _COUNTED:
        return Counted(name)
    left, done = _number(match[1], _INT_MAX), _number(match[2] or "0", _INT_MAX)
    if left is None or done is None:
        return Counted(name)
    return Counted(stem + match[3].lower(), left, done)


def extra_folder(path: str, *, version: int = LATEST) -> str:
    """The folder where the stub looks for what belongs to a UKI (``get_extra_dir``).

    The stub has a rule of its own: the first ``+`` of the whole path counts, folders included, and
    it is a counter if a dot or the end follows.

    Args:
        path: of the UKI, as firmware names it.
        version: of systemd; before 255 the counter stays.
    """
    folder = f"{path}.extra.d"
    stem, plus, tail = path.partition("+")
    match = _COUNTER.fullmatch(tail) if plus and version >= _UNCOUNTED_SINCE else None
    if match is None or match[3][:1] not in ("", "."):
        return folder
    if None in (_number(match[1], _UINT64_MAX), _number(match[2] or "0", _UINT64_MAX)):
        return folder
    return f"{stem}{match[3]}.extra.d"
