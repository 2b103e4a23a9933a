"""Files in the making: without a name where the system can, else under a temporary one."""

from __future__ import annotations

import errno
import os
from typing import Final, NamedTuple

# Linux only: a file without a name in a folder's file system.
_UNNAMED: Final[int] = getattr(os, "O_TMPFILE", 0)
# How file systems and kernels without such files answer (open(2), O_TMPFILE).
_NO_UNNAMED: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


class Draft(NamedTuple):
    """A file in the making: its descriptor, and its temporary name if it has one."""

    fd: int
    temporary: str


def unnamed_draft(folder: str, mode: int) -> Draft | None:
    """A file without a name in `folder`; raises ``OSError``.

    None where the system has no files without a name, or none that can be given one.
    """
    if not _UNNAMED:
        return None
    try:
        fd = os.open(folder, _UNNAMED | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _NO_UNNAMED:
            return None
        raise
    if os.path.exists(_link_source(fd)):
        return Draft(fd, "")
    os.close(fd)
    return None


def named_draft(folder: str, mode: int) -> Draft:
    """A file under a temporary name in `folder`; raises ``OSError``."""
    name = temporary_name(folder)
    return Draft(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), name)


def temporary_name(folder: str) -> str:
    """A name in `folder` that nobody else takes."""
    return os.path.join(folder, f".sysgraft-{os.urandom(8).hex()}")


def _link_source(fd: int) -> str:
    # linkat(2) gives this as the way that needs no privilege.
    return f"/proc/self/fd/{fd}"


def link_draft(draft: Draft, name: str) -> None:
    """Give a draft a name that is free; raises ``OSError``."""
    if draft.temporary:
        os.link(draft.temporary, name)
        return
    # Only with a folder's descriptor does Python call linkat(2), which follows the link in /proc;
    # beside an absolute path any descriptor will do, it is not looked at.
    os.link(_link_source(draft.fd), name, src_dir_fd=draft.fd, follow_symlinks=True)
