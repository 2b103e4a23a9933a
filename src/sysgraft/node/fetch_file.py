"""A file on its way into a folder: hashed, counted and held to a limit while it comes.

Where the system can, it has no name until it is whole, so that a machine that loses its power
finds nothing of it. It is not given its final name here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError, OutputError
from sysgraft.host.drafts import Draft, link_draft, named_draft, temporary_name, unnamed_draft
from sysgraft.host.files import cannot_write, pread_into, pwrite_all
from sysgraft.host.space import check_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.progress import Progress

_MODE: Final = 0o644
_MODE_ON_THE_WAY: Final = 0o600


@contextlib.contextmanager
def incoming(folder: str, limit: int, progress: Progress) -> Iterator[Incoming]:
    """A new file in `folder`, which goes at the end unless somebody has moved it away.

    Args:
        folder: where it comes to lie.
        limit: bytes it may have.
        progress: told of what comes.

    Raises:
        OutputError: nothing can be written there.
    """
    try:
        draft = unnamed_draft(folder, _MODE_ON_THE_WAY) or named_draft(folder, _MODE_ON_THE_WAY)
    except OSError as error:
        raise cannot_write(error, folder) from error
    file = Incoming(draft, folder, limit, progress)
    try:
        yield file
    finally:
        file.remove()


class Incoming:
    """A file that grows; also a store for a `Download`, and a sink for `fetch_file`.

    Attributes:
        folder: where it lies.
        limit: bytes it may have.
        progress: told of what comes.
        label: what is happening, for `progress`.
        size: bytes so far.
    """

    def __init__(self, draft: Draft, folder: str, limit: int, progress: Progress) -> None:
        self.folder = folder
        self.limit = limit
        self.progress = progress
        self.label = "Fetching"
        self.size = 0
        self._draft = draft
        self._path = draft.temporary
        self._state = hashlib.sha256()

    def begin(self, total: int | None) -> None:
        """From the front; `total` bytes are announced, None where nobody knows.

        Raises:
            LimitError: that is more than it may have.
            OutputError: so much does not fit into the file system.
        """
        if self.size:
            os.ftruncate(self._draft.fd, 0)
            self.size = 0
            self._state = hashlib.sha256()
        if total is not None:
            self.check_fits(total)
        self.progress.start(self.label, total or 0)

    def check_fits(self, size: int) -> None:
        """Raise unless `size` bytes are allowed, and free in the file system; see `begin`."""
        self._check_limit(size)
        check_space(self.folder, size)

    def _check_limit(self, size: int) -> None:
        if size > self.limit:
            raise LimitError(f"it has more than {self.limit} bytes, which is the most allowed here")

    def add(self, data: bytes) -> None:
        """The next bytes; raises as `begin`."""
        self._check_limit(self.size + len(data))
        try:
            pwrite_all(self._draft.fd, self.size, data)
        except OutputError as error:
            error.file = self.folder
            raise
        self._state.update(data)
        self.size += len(data)
        self.progress.advance(len(data))

    def write(self, offset: int, data: bytes) -> None:
        """See `Store.write`; bytes come in their order."""
        if offset != self.size:
            raise ValueError(f"bytes at {offset}, those at {self.size} come next")
        self.add(data)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Store.readinto_at`."""
        if pread_into(self._draft.fd, offset, view) != len(view):
            raise ValueError(f"no {len(view)} bytes at {offset}")

    @property
    def digest(self) -> str:
        """SHA-256 of what has come, in hexadecimal."""
        return self._state.hexdigest()

    def finish(self) -> str:
        """All of it is on the disk and has a name; that path.

        Raises:
            OutputError: that failed.
        """
        self.progress.finish()
        try:
            os.fchmod(self._draft.fd, _MODE)
            os.fsync(self._draft.fd)
            if not self._path:
                self._path = temporary_name(self.folder)
                link_draft(self._draft, self._path)
        except OSError as error:
            raise cannot_write(error, self.folder) from error
        return self._path

    def remove(self) -> None:
        """Close it; what still has the temporary name goes."""
        os.close(self._draft.fd)
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
