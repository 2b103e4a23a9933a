"""The process that reads a squashfs image for `sysgraft.host.squashfs`.

It gets no path and no descriptor of the image: whatever it wants to read it asks its parent for.
Its memory and its time are limited before the library that knows the format is loaded. Messages go
through its standard input and output:

    length (4 bytes, big-endian), kind (1 byte), content

The parent asks with ``Q``: JSON with ``op`` (``list`` or ``read``), ``ref`` and, to read,
``offset`` and ``length``. The answer is ``J`` (JSON), ``D`` (bytes) or ``E`` (JSON: ``kind``,
``message``). In between ``N`` (offset in 8 bytes, length in 4) asks for bytes of the image, which
come as ``D``. A ``ref`` is squashfs' own inode reference.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import struct
from typing import Final, NoReturn

from sysgraft.host.squashfs_image import Damaged, NotHandled, SquashfsImage

MAX_MEMORY: Final = 1 << 30
"""Bytes of address space: a listing of half a million files takes less than half of it."""

MAX_CPU_SECONDS: Final = 300
"""Processor time in all: enough for some 15 GB of xz."""

MAX_NEED: Final = 1 << 21
"""Bytes of the image asked for at once: a block has 1 MiB at most."""

_WINDOW: Final = 1 << 16
_HEAD: Final = struct.Struct(">I1s")
_NEED: Final = struct.Struct(">QI")


class Channel:
    """Messages to and from the parent."""

    def __init__(self, reader: io.RawIOBase, writer: io.RawIOBase) -> None:
        self._reader = io.BufferedReader(reader)
        self._writer = writer

    def receive(self) -> tuple[bytes, bytes]:
        """The next message; the process ends when the parent is done with it."""
        head = self._reader.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise SystemExit(0)
        length, kind = _HEAD.unpack(head)
        return kind, self._reader.read(length)

    def send(self, kind: bytes, content: bytes) -> None:
        """One message."""
        data = memoryview(_HEAD.pack(len(content), kind) + content)
        while data:
            data = data[self._writer.write(data) or 0 :]

    def need(self, offset: int, length: int) -> bytes:
        """Bytes of the image, from the parent."""
        self.send(b"N", _NEED.pack(offset, length))
        return self.receive()[1]


class RemoteFile:
    """What the library takes for the image's file."""

    def __init__(self, channel: Channel, size: int) -> None:
        self._channel = channel
        self._size = size
        self._position = 0
        self._start = 0
        self._window = b""

    def seek(self, position: int) -> int:
        """Only from the beginning."""
        self._position = position
        return position

    def read(self, length: int) -> bytes:
        """Fewer bytes only at the end."""
        if length > MAX_NEED:
            raise Damaged(f"a part of {length} bytes")
        start = self._position
        end = min(start + length, self._size)
        if end <= start:
            return b""
        if start < self._start or end > self._start + len(self._window):
            more = min(max(end - start, _WINDOW), self._size - start)
            self._start, self._window = start, self._channel.need(start, more)
        self._position = end
        return self._window[start - self._start : end - self._start]

    def close(self) -> None:
        """The parent has the file."""


def serve(channel: Channel) -> NoReturn:
    """Answer until the parent is done."""
    image: SquashfsImage | None = None
    while True:
        _, content = channel.receive()
        question = json.loads(content)
        try:
            if image is None:
                image = SquashfsImage(RemoteFile(channel, question["size"]))
            if question["op"] == "read":
                data = image.read(question["ref"], question["offset"], question["length"])
                channel.send(b"D", data)
            else:
                channel.send(b"J", json.dumps(image.listing(question["ref"])).encode())
        except Exception as error:  # noqa: BLE001  whatever the library makes of what it reads
            channel.send(b"E", json.dumps(_described_error(error)).encode())


def _described_error(error: Exception) -> dict[str, str]:
    kind = "damaged"
    if isinstance(error, MemoryError):
        kind = "memory"
    elif isinstance(error, (NotHandled, ImportError)):
        kind = "unsupported"
    ours = isinstance(error, (Damaged, NotHandled, ImportError))
    return {"kind": kind, "message": str(error)[:200] if ours else type(error).__name__}


def limit_resources() -> None:
    """Bound memory, processor time and files, where the system can."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:
        return
    wanted = (
        ("RLIMIT_AS", MAX_MEMORY),
        ("RLIMIT_CPU", MAX_CPU_SECONDS),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CORE", 0),
    )
    for name, value in wanted:
        with contextlib.suppress(AttributeError, ValueError, OSError):
            number = getattr(resource, name)
            _, hard = resource.getrlimit(number)
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (most, most))


if __name__ == "__main__":
    limit_resources()
    # Whatever the library prints must not get between the messages.
    own = os.dup(1)
    os.dup2(2, 1)
    serve(Channel(io.FileIO(0), io.FileIO(own, "w")))
