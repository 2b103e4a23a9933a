"""Several digests at once, in threads: equal to hashlib's, in order, whole, and small in memory."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.base.blob import BytesBlob, JoinedBlob, PaddedBlob
from sysgraft.base.progress import NoProgress
from sysgraft.errors import TruncatedError
from sysgraft.host import digests as module
from sysgraft.host.digests import CHUNK, digests, feed

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS_FROM: Final = 4 << 20
SIZES: Final = (
    *(0, 1, 1000),
    *(CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 5),
    *(THREADS_FROM - 1, THREADS_FROM, THREADS_FROM + 1, THREADS_FROM + CHUNK + 7),
)
DATA: Final = bytes(range(251)) * (max(SIZES) // 251 + 1)
ALGORITHMS: Final = ("sha1", "sha256", "sha384", "sha512")


@pytest.fixture(params=[1, 2, 8])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """As if the machine had this many processors."""
    count: int = request.param
    monkeypatch.setattr(module, "cores", lambda: count)
    return count


class Counter(NoProgress):
    """Sums up what progress is told."""

    amount = 0

    def advance(self, amount: int) -> None:
        self.amount += amount


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("size", SIZES)
def test_digests_are_those_of_hashlib(size: int) -> None:
    progress = Counter()
    data = DATA[:size]
    found = digests(BytesBlob(data), ALGORITHMS, progress)
    assert found == {name: hashlib.new(name, data).digest() for name in ALGORITHMS}
    assert progress.amount == size


def test_each_algorithm_is_used_once_in_the_order_given() -> None:
    found = digests(BytesBlob(b"abc"), ["sha512", "sha256", "sha512"])
    assert list(found) == ["sha512", "sha256"]
    assert digests(BytesBlob(b"abc"), []) == {}


@pytest.mark.parametrize("size", SIZES)
def test_everybody_gets_all_chunks_in_order(cores: int, size: int) -> None:
    names: set[str] = set()
    seen: list[list[bytes]] = [[] for _ in range(5)]

    def sink(number: int) -> Callable[[memoryview], object]:
        def take(chunk: memoryview) -> None:
            names.add(threading.current_thread().name)
            seen[number].append(bytes(chunk))

        return take

    own = [bytes(chunk) for chunk in feed(BytesBlob(DATA[:size]), [sink(n) for n in range(5)])]
    assert b"".join(own) == DATA[:size]
    assert seen == [own] * 5
    in_threads = threading.current_thread().name not in names
    assert not own or in_threads == (cores > 1 and size >= THREADS_FROM)


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("size", [10, THREADS_FROM + 3])
def test_without_sinks_the_caller_has_it_all(size: int) -> None:
    assert b"".join(map(bytes, feed(BytesBlob(DATA[:size]), []))) == DATA[:size]


class _Stop(Exception):  # noqa: N818  no error, only told apart
    pass


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("size", [2 * CHUNK, 6 * CHUNK])
@pytest.mark.parametrize("at", [0, 1, -1])
def test_what_a_sink_raises_comes_out(size: int, at: int) -> None:
    last = size // CHUNK - 1
    calls = []

    def sink(chunk: memoryview) -> None:
        calls.append(len(chunk))
        if len(calls) - 1 == (at if at >= 0 else last):
            raise _Stop

    blob = PaddedBlob(BytesBlob(b"x"), size)
    with pytest.raises(_Stop):
        for _ in feed(blob, [hashlib.sha256().update, sink]):
            pass
    assert len(calls) <= (at if at >= 0 else last) + 2


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("size", [2 * CHUNK, 6 * CHUNK])
def test_a_blob_that_ends_too_early_ends_it(size: int) -> None:
    class Shrinking(BytesBlob):
        def readinto_at(self, offset: int, view: memoryview) -> None:
            if offset >= CHUNK:
                raise TruncatedError("the file shrank")
            super().readinto_at(offset, view)

    with pytest.raises(TruncatedError, match="shrank"):
        digests(Shrinking(DATA[:size]), ALGORITHMS)


@pytest.mark.usefixtures("cores")
def test_no_thread_outlives_a_caller_that_stops() -> None:
    started = threading.active_count()
    for chunk in feed(PaddedBlob(BytesBlob(b"x"), 8 * CHUNK), [hashlib.sha512().update] * 3):
        assert len(chunk) == CHUNK
        break
    assert threading.active_count() == started


@pytest.mark.usefixtures("cores")
def test_memory_is_flat() -> None:
    blob = JoinedBlob([PaddedBlob(BytesBlob(b"x"), 64 << 20), BytesBlob(b"y")])
    tracemalloc.start()
    try:
        found = digests(blob, ALGORITHMS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20
    expected = hashlib.sha256(b"x" + bytes((1 << 20) - 1))
    for _ in range(63):
        expected.update(bytes(1 << 20))
    expected.update(b"y")
    assert found["sha256"] == expected.digest()
