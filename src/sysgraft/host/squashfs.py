"""A squashfs image, read by a process of its own (`sysgraft.host.squashfs_child`).

The library that knows the format is optional, is not made for hostile images, and is not loaded
here. It runs in a child with limited memory and time that sees of this machine what it is sent:
the bytes of the image it asks for. What it answers is checked as if the image itself had said it.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import threading
import weakref
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, NoReturn

import msgspec

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.host.run import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob

LIBRARY: Final = "PySquashfsImage"

MAX_ANSWER: Final = 64 << 20
"""Bytes of one answer: a directory of 200,000 files with long names."""

ROOT: Final = -1
"""The reference that means the root directory; 0 is that of the first inode."""

MAX_READ: Final = 1 << 20
"""Bytes of content asked for at once."""

MAX_SECONDS: Final = 60.0
"""For one answer, what is read of the image in between included."""

_MAX_NEED: Final = 1 << 21
_HEAD: Final = struct.Struct(">I1s")
_NEED: Final = struct.Struct(">QI")
# Modules come from where this process has them, and never from the current folder (-P).
_ARGV: Final = ("-P", "-m", "sysgraft.host.squashfs_child")


class DiskInode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An inode as the image has it; strings hold bytes (Latin-1)."""

    ref: int
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    target: str
    device: int
    xattrs: list[tuple[str, str]]
    name: str = ""


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An inode and, of a directory, what is in it."""

    inode: DiskInode
    entries: list[DiskInode]


class _Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["damaged", "unsupported", "memory"]
    message: str


class SquashfsProcess:
    """The child and the conversation with it; it ends with this object.

    A forked worker that reads starts a child of its own: two cannot speak to one.

    Args:
        blob: the image.
        argv: what runs, for tests.

    Raises:
        UnsupportedError: the library is not installed, or no process can be started.
    """

    def __init__(self, blob: Blob, argv: Sequence[str] | None = None) -> None:
        if argv is None and find_spec(LIBRARY) is None:
            raise UnsupportedError(
                f"reading squashfs takes the Python module {LIBRARY}"
                " (pip install 'sysgraft[squashfs]')",
            )
        self._blob = blob
        self._argv = argv or (sys.executable, *_ARGV)
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._deadline = 0.0
        self._owner = os.getpid()
        self._process = _start(self._argv)
        # A forked worker inherits this object, and must not end what is its parent's.
        self._end = weakref.finalize(self, _end, self._process, self._owner)

    def listing(self, ref: int) -> Listing:
        """The inode `ref` and what is in it.

        Raises:
            FormatError: the image makes no sense, or the child broke off.
            LimitError: it took too much memory or time.
        """
        kind, content = self._ask({"op": "list", "ref": ref, "size": self._blob.size})
        try:
            if kind != b"J":
                raise msgspec.ValidationError(kind)
            return msgspec.json.decode(content, type=Listing)
        except (msgspec.MsgspecError, ValueError):
            self._refuse()

    def read(self, ref: int, offset: int, length: int) -> bytes:
        """At most `MAX_READ` bytes of a file's content; raises as `listing`."""
        question = {"op": "read", "ref": ref, "offset": offset, "length": length}
        kind, content = self._ask({**question, "size": self._blob.size})
        if kind != b"D" or len(content) != length:
            self._refuse()
        return content

    def close(self) -> None:
        """End the child."""
        self._end()

    def _ask(self, question: dict[str, object]) -> tuple[bytes, bytes]:
        with self._lock:
            if self._owner != os.getpid():
                self._begin()
            return self._conversation(question)

    def _conversation(self, question: dict[str, object]) -> tuple[bytes, bytes]:
        if not self._end.alive:
            raise FormatError("the reader of the squashfs file system has ended")
        self._deadline = monotonic() + MAX_SECONDS
        try:
            kind, content = self._answer(question)
        except BaseException:
            # In the middle of a conversation nothing that comes later could be told apart.
            self.close()
            raise
        if kind == b"E":
            self._raise(content)
        return kind, content

    def _answer(self, question: dict[str, object]) -> tuple[bytes, bytes]:
        self._send(b"Q", msgspec.json.encode(question))
        while True:
            kind, content = self._receive()
            if kind != b"N":
                return kind, content
            self._send(b"D", self._needed(content))

    def _raise(self, content: bytes) -> NoReturn:
        try:
            failure = msgspec.json.decode(content, type=_Failure)
        except (msgspec.MsgspecError, ValueError):
            self._refuse()
        message = printable(failure.message.encode("utf-8", "replace"))
        if failure.kind == "unsupported":
            raise UnsupportedError(message)
        if failure.kind == "memory":
            raise LimitError("the squashfs file system takes too much memory to read")
        raise FormatError(f"the squashfs file system is damaged: {message}")

    def _needed(self, content: bytes) -> bytes:
        if len(content) != _NEED.size:
            self._refuse()
        offset, length = _NEED.unpack(content)
        if length > _MAX_NEED or offset + length > self._blob.size:
            self._refuse()
        return self._blob.read_at(offset, length)

    def _refuse(self) -> NoReturn:
        self.close()
        raise FormatError("the reader of the squashfs file system answered nonsense")

    def _send(self, kind: bytes, content: bytes) -> None:
        view = memoryview(_HEAD.pack(len(content), kind) + content)
        fd = _fileno(self._process.stdin)
        try:
            while view:
                self._wait(fd, writing=True)
                view = view[os.write(fd, view) :]
        except BrokenPipeError:
            self._broke_off()

    def _receive(self) -> tuple[bytes, bytes]:
        length, kind = _HEAD.unpack(self._exactly(_HEAD.size))
        if length > MAX_ANSWER:
            raise LimitError(f"a directory of the squashfs takes {length} bytes to list")
        return kind, self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        fd = _fileno(self._process.stdout)
        data = bytearray()
        while len(data) < length:
            self._wait(fd, writing=False)
            piece = os.read(fd, min(length - len(data), 1 << 20))
            if not piece:
                self._broke_off()
            data += piece
        return bytes(data)

    def _wait(self, fd: int, *, writing: bool) -> None:
        left = max(0.0, self._deadline - monotonic())
        ready = select.poll()
        ready.register(fd, select.POLLOUT if writing else select.POLLIN)
        if not ready.poll(left * 1000):
            raise LimitError(
                f"reading the squashfs file system takes longer than {MAX_SECONDS:g} seconds",
            )

    def _broke_off(self) -> NoReturn:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        status = self._process.returncode
        raise FormatError(f"the reader of the squashfs file system broke off (status {status})")


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(  # noqa: S603  this interpreter and a module of ours
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise UnsupportedError(f"no process can be started to read squashfs: {error}") from error
    os.set_blocking(_fileno(process.stdin), False)  # a child that reads nothing must not hold us
    return process


def _fileno(pipe: object) -> int:
    number: int = pipe.fileno()  # type: ignore[attr-defined]
    return number


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()
