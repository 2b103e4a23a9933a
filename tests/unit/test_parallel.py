"""The crew runs every shard once, and failures reach the caller whole."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import InputError, ToolError
from sysgraft.host.files import OpenFile
from sysgraft.host.parallel import BUFFER, MAX_SHARDS, Crew, share_out

if TYPE_CHECKING:
    from pathlib import Path

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="workers are threads elsewhere")


def results(crew: Crew) -> list[tuple[int, object]]:
    with crew:
        return sorted(crew, key=lambda pair: pair[0])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_shard_runs_exactly_once(workers: int) -> None:
    assert results(Crew(lambda n: n * n, 100, workers=workers)) == [(n, n * n) for n in range(100)]


def test_threads_do_the_same_where_forking_is_not_safe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each thread reads many files; none may close what another has open."""
    monkeypatch.setattr(sys, "platform", "darwin")
    blobs = []
    for number in range(80):
        (tmp_path / str(number)).write_bytes(b"%d" % number * 5000)
        blobs.append(OpenFile(tmp_path / str(number)))

    def work(shard: int) -> bool:
        order = blobs[shard % 80 :] + blobs[: shard % 80]
        return all(
            blob.read_at(0, blob.size) == os.path.basename(blob.path).encode() * 5000
            for blob in order
        )

    descriptors = len(os.listdir("/dev/fd"))
    assert results(Crew(work, 24, workers=4)) == [(shard, True) for shard in range(24)]
    assert len(os.listdir("/dev/fd")) == descriptors, "the threads' files are closed with them"
    for blob in blobs:
        blob.close()


@needs_fork
def test_shards_run_in_other_processes() -> None:
    pids = {pid for _, pid in results(Crew(lambda _: os.getpid(), 50, workers=2))}
    assert os.getpid() not in pids


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_keeps_its_file_and_hint(workers: int) -> None:
    def work(shard: int) -> None:
        if shard == 7:
            raise InputError("no", hint="do this", file="a.bin")

    with pytest.raises(InputError, match=r"a\.bin: no") as caught:
        results(Crew(work, 20, workers=workers))
    assert caught.value.hint == "do this"


@needs_fork
def test_a_killed_worker_is_an_error_not_a_missing_result() -> None:
    def work(shard: int) -> None:
        if shard == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ToolError, match="worker processes ended"):
        results(Crew(work, 10, workers=2))


@needs_fork
def test_leaving_early_leaves_no_process_behind() -> None:
    with Crew(lambda n: n, 50, workers=2) as crew:
        next(iter(crew))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_shard_sizes_are_multiples_and_few() -> None:
    small = share_out(10)
    assert (small.shards, small.workers) == (1, 1)
    for total in (10**7, 10**9, 10**13):
        shares = share_out(total, unit=65536)
        assert shares.step % BUFFER == shares.step % 65536 == 0
        assert shares.shards <= MAX_SHARDS
        assert (shares.shards - 1) * shares.step < total <= shares.shards * shares.step
