"""Work in pieces on all cores.

A `Crew` runs one function for every shard number in forked processes that share the parent's
open files and memory; hashing 4 KiB blocks in threads gains little, because the interpreter
lock changes hands at every block. Shards are handed out as workers become free, through a pipe
that is filled before the fork. A worker whose parent is gone ends after its shard. Where forking
is not safe (macOS) or not there, threads do the same work. It does not move large results:
workers write those to shared files.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from sysgraft.errors import SysgraftError, ToolError
from sysgraft.host.signals import default_in_child, held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn

# More workers than this add memory, not speed: the disk is the limit by then.
MAX_WORKERS: Final = 8
# All shard numbers, 4 bytes each, must fit into a pipe before anybody reads from it; POSIX
# promises 4096 bytes (PIPE_BUF), and Linux gives no less to a user over the pipe limits.
MAX_SHARDS: Final = 1024

# Bytes to read, hash and write at a time: larger buffers fall out of the processor's cache.
BUFFER: Final = 256 << 10
# Below this many bytes, starting workers takes longer than the work.
_WORTH_WORKERS: Final = 16 << 20
_LEAST_SHARD: Final = 1 << 20

_TOKEN: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<I")


def cores() -> int:
    """How many processors this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Shares(NamedTuple):
    """How bytes are shared out.

    Attributes:
        step: bytes per shard, the last one may have less.
        shards: how many there are.
        workers: processes that are worth starting.
    """

    step: int
    shards: int
    workers: int


def share_out(total: int, *, unit: int = BUFFER) -> Shares:
    """Cut `total` bytes into few enough shards that are multiples of `unit` and `BUFFER`."""
    wanted = max(_LEAST_SHARD, -(-total // MAX_SHARDS))
    step = -(-wanted // max(unit, BUFFER)) * max(unit, BUFFER)
    return Shares(step, -(-total // step), cores() if total >= _WORTH_WORKERS else 1)


class Crew:
    """Runs ``work(shard)`` for every shard; iterate over it for the results as they come.

    Args:
        work: called once per shard number, in some process; returns a small picklable result.
        shards: how many there are, at most `MAX_SHARDS`.
        workers: processes to use; 1 runs everything in the caller, at iteration.
    """

    def __init__(
        self,
        work: Callable[[int], object],
        shards: int,
        *,
        workers: int | None = None,
    ) -> None:
        if shards > MAX_SHARDS:
            raise ValueError(f"{shards} shards, at most {MAX_SHARDS} are possible")
        self._work = work
        self._shards = shards
        self._workers = max(1, min(workers or cores(), MAX_WORKERS, shards))
        self._children: dict[int, int] = {}

    def __enter__(self) -> Self:
        if self._workers > 1 and sys.platform == "linux":
            try:
                self._start()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        while self._children:
            fd, pid = self._children.popitem()
            os.close(fd)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _wait(pid)

    def __iter__(self) -> Iterator[tuple[int, object]]:
        """Each finished shard with its result, in the order they finish.

        Raises:
            SysgraftError: what a worker raised, or that one was killed.
            OSError: what a worker raised.
        """
        if self._children:
            return self._collect()
        if self._workers > 1:
            return self._threads()
        return ((shard, self._work(shard)) for shard in range(self._shards))

    def _threads(self) -> Iterator[tuple[int, object]]:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  only without fork

        with ThreadPoolExecutor(self._workers) as pool:
            yield from enumerate(pool.map(self._work, range(self._shards)))

    def _start(self) -> None:
        take, give = os.pipe()
        os.write(give, b"".join(_TOKEN.pack(shard) for shard in range(self._shards)))
        os.close(give)
        # What lives now is shared with the children; moving it out of the collector's sight
        # keeps their pages shared.
        gc.freeze()
        try:
            for _ in range(self._workers):
                self._hire(take)
        except OSError as error:
            raise ToolError(f"cannot start a worker process: {error.strerror or error}") from error
        finally:
            gc.unfreeze()
            os.close(take)

    def _hire(self, take: int) -> None:
        reader, writer = os.pipe()
        try:
            # A handler must not run in the child before it has its own, and not in the parent
            # before the child is on record.
            with held_back() as waiting:
                pid = os.fork()
                if pid == 0:
                    self._be_worker(take, reader, writer, waiting)
                self._children[reader] = pid
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def _be_worker(self, take: int, reader: int, writer: int, waiting: set[int]) -> NoReturn:
        """The child's whole life: it must never return into the parent's code."""
        status = 1
        try:
            default_in_child(waiting)
            gc.disable()
            # Only the parent may hold these: once it is gone, writing to it fails.
            for fd in (reader, *self._children):
                os.close(fd)
            while token := os.read(take, _TOKEN.size):
                (shard,) = _TOKEN.unpack(token)
                _send(writer, (shard, self._work(shard)))
            status = 0
        except (SysgraftError, OSError) as error:
            _send(writer, error)
        finally:
            os._exit(status)

    def _collect(self) -> Iterator[tuple[int, object]]:
        done = 0
        while self._children:
            for fd in _readable(self._children):
                message = _receive(fd)
                if message is None:
                    self._bury(fd)
                    continue
                done += 1
                yield message
        if done != self._shards:
            raise ToolError(f"worker processes ended after {done} of {self._shards} parts")

    def _bury(self, fd: int) -> None:
        pid = self._children.pop(fd)
        os.close(fd)
        _wait(pid)


def _wait(pid: int) -> None:
    """Wait for a child; where the caller ignores SIGCHLD, the system has buried it already."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _readable(descriptors: Iterable[int]) -> list[int]:
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll()]


def _send(fd: int, message: object) -> None:
    data = pickle.dumps(message)
    data = _LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


def _receive(fd: int) -> tuple[int, object] | None:
    """The next message of a worker, None at its end; raises what it raised."""
    head = _read_at_most(fd, _LENGTH.size)
    if not head:
        return None
    size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    body = _read_at_most(fd, size)
    if not size or len(body) != size:
        raise ToolError("a worker process ended in the middle of its answer")
    # Bytes from our own forked child, never from outside.
    message = pickle.loads(body)  # noqa: S301
    if isinstance(message, Exception):
        raise message
    return message  # type: ignore[no-any-return]  # what _be_worker sends


def _read_at_most(fd: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = os.read(fd, length - len(data))
        if not piece:
            break
        data += piece
    return data
