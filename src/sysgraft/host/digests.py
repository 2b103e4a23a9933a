"""Several digests of one thing at a time, on all cores, with the bytes read once.

Hashing large buffers releases the interpreter lock, so threads are enough, and they work on every
system. Memory is two buffers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.host.parallel import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress

CHUNK: Final = 1 << 20
"""Bytes read at a time."""
_WORTH_THREADS: Final = 4 << 20
_NO_PROGRESS: Final = NoProgress()

# The slowest first, so that no thread begins with it when the others are done.
_COST: Final = {"sha512": 0, "sha384": 1, "sha256": 2, "sha1": 3}


def digests(
    blob: Blob, algorithms: Iterable[str], progress: Progress = _NO_PROGRESS
) -> dict[str, bytes]:
    """Digests of all of `blob`, by algorithm.

    Args:
        blob: what is hashed.
        algorithms: names as in ``hashlib``.
        progress: told of the bytes read.
    """
    names = list(dict.fromkeys(algorithms))
    states = {name: hashlib.new(name) for name in names}
    updates = [states[name].update for name in sorted(names, key=lambda n: _COST.get(n, 0))]
    for _ in feed(blob, updates, progress):
        pass
    return {name: state.digest() for name, state in states.items()}


def feed(
    blob: Blob, sinks: Sequence[Callable[[memoryview], object]], progress: Progress = _NO_PROGRESS
) -> Iterator[memoryview]:
    """Give every chunk of `blob` to all sinks, each in a thread, and to the caller too.

    The caller has the chunk until it asks for the next one; sinks that release the interpreter
    lock work meanwhile. Each sink gets all chunks in their order, and none of them may be kept:
    their memory is used again. What a sink raises ends the iteration, a chunk later at most.

    Args:
        blob: what is read.
        sinks: called with each chunk.
        progress: told of the bytes of each chunk that the caller is done with.
    """
    if blob.size < _WORTH_THREADS or cores() == 1:
        yield from _one_by_one(blob, sinks, progress)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  only for large inputs

    with ThreadPoolExecutor(min(len(sinks), cores()) or 1) as pool:
        pending: list[Future[object]] = []
        for chunk in _chunks(blob):
            for future in pending:
                future.result()
            pending = [pool.submit(sink, chunk) for sink in sinks]
            yield chunk
            progress.advance(len(chunk))
        for future in pending:
            future.result()


def _one_by_one(
    blob: Blob, sinks: Sequence[Callable[[memoryview], object]], progress: Progress
) -> Iterator[memoryview]:
    for chunk in _chunks(blob):
        for sink in sinks:
            sink(chunk)
        yield chunk
        progress.advance(len(chunk))


def _chunks(blob: Blob) -> Iterator[memoryview]:
    """Chunks in two buffers that take turns: one is read while the other is still in use."""
    size = min(CHUNK, blob.size)
    buffers = [memoryview(bytearray(size)) for _ in range(2 if blob.size > CHUNK else 1)]
    for number, start in enumerate(range(0, blob.size, CHUNK)):
        view = buffers[number % 2][: min(CHUNK, blob.size - start)]
        blob.readinto_at(start, view)
        yield view
