"""The temporary folder where a package's files are put as they will be installed."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError
from sysgraft.host.copying import copy_file
from sysgraft.host.files import cannot_write
from sysgraft.host.space import check_space
from sysgraft.host.spool import spool_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.build.uki_package.contents import Content, Item

_PLAIN_PATH: Final = re.compile(r"[0-9A-Za-z/._+~-]+")


@contextmanager
def work_folder(needed: int) -> Iterator[str]:
    """A new temporary folder with room for `needed` bytes; gone at the end.

    Raises:
        OutputError: it cannot be made, or the name of ``$TMPDIR`` means something to rpm.
    """
    base = os.path.realpath(spool_folder())
    if not _PLAIN_PATH.fullmatch(base):
        raise OutputError(
            "packages cannot be made in a folder of this name",
            file=base,
            hint="set TMPDIR to a path of letters, digits and . _ + ~ -",
        )
    check_space(base, needed)
    with tempfile.TemporaryDirectory(prefix="sysgraft-package-", dir=base) as work:
        yield work


def fill(root: str, contents: Iterable[Content], epoch: int) -> None:
    """Put the files of packages into a folder that stands for the root.

    Raises:
        InputError: one of them cannot be read, or changed since it was looked at.
        OutputError: the folder cannot be written.
    """
    items = [item for content in contents for item in content.items]
    try:
        os.mkdir(root)
        for item in items:
            _put(root + item.place, item)
        set_times(root, epoch)
    except OSError as error:
        raise cannot_write(error, root) from error


def _put(place: str, item: Item) -> None:
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if item.expected is not None:
        copy_file(item.source, item.expected, place, mode=item.mode)
        return
    write_text(place, item.text, item.mode)


def write_text(path: str, text: str, mode: int) -> None:
    """Write a small file of our own; raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        os.fchmod(descriptor, mode)


def set_times(root: str, epoch: int) -> None:
    """Give all below a folder one time, and folders the permissions they have in a system."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            os.utime(os.path.join(folder, name), (epoch, epoch))
        os.chmod(folder, 0o755)  # noqa: S103  as in the system they will be in
        os.utime(folder, (epoch, epoch))


def size_of(contents: Iterable[Content]) -> int:
    """Bytes of the files in packages."""
    return sum(
        item.expected.size if item.expected else len(item.text.encode())
        for content in contents
        for item in content.items
    )
