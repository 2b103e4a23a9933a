"""The crew runs every shard once, and failures reach the caller whole."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import InputError, OutputError, ToolError
from sysgraft.host import parallel
from sysgraft.host.files import OpenFile, pwrite_all
from sysgraft.host.output import atomic_output
from sysgraft.host.parallel import BUFFER, MAX_SHARDS, Crew, share_out
from sysgraft.host.signals import Terminated, terminations_as_exceptions

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


@needs_fork
@pytest.mark.parametrize("length", [1, 3, 4, 5, 20])
def test_a_worker_killed_in_the_middle_of_an_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    def begin(fd: int, _: object) -> None:
        message = (100).to_bytes(4, "little") + b"the beginning of a pickle"
        os.write(fd, message[:length])
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(parallel, "_send", begin)
    with pytest.raises(ToolError, match="in the middle of its answer"):
        results(Crew(lambda n: n, 10, workers=2))


@needs_fork
def test_a_caller_that_ignores_its_children_gets_their_results() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert results(Crew(lambda n: n, 50, workers=3)) == [(n, n) for n in range(50)]
        with Crew(lambda n: n, 50, workers=2) as crew:
            next(iter(crew))
    finally:
        signal.signal(signal.SIGCHLD, before)


@needs_fork
@pytest.mark.parametrize("workers", [1, 3])
def test_what_the_system_says_arrives_as_it_said_it(workers: int) -> None:
    def work(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.bin")

    with pytest.raises(OSError, match="No space left") as caught:
        results(Crew(work, 20, workers=workers))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "a.bin")


@needs_fork
@pytest.mark.parametrize("workers", [1, 3])
def test_a_disk_that_is_full_for_a_worker_is_an_error_of_the_output(
    tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "out"
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(OutputError, match="cannot be written: No space left on device") as caught,
        atomic_output(path, replace=False),
    ):
        results(Crew(lambda n: pwrite_all(full.fileno(), n, b"x"), 20, workers=workers))
    assert caught.value.file == str(path)


@needs_fork
def test_workers_end_when_their_parent_is_killed() -> None:
    """The output is read to its end, which comes when the last worker has closed it."""
    code = """
import os, signal, time
from sysgraft.host.parallel import Crew
with Crew(lambda _: time.sleep(0.05), 1000, workers=4) as crew:
    for done in crew:
        print("started", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=10, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "started\n", "")


@needs_fork
def test_a_worker_that_cannot_be_started_leaves_no_other_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork, calls = os.fork, iter((True, False))

    def sometimes() -> int:
        if next(calls):
            return fork()
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", sometimes)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ToolError, match="cannot start a worker process"):
        results(Crew(lambda n: n, 10, workers=2))
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@needs_fork
def test_a_signal_to_a_worker_runs_nothing_of_the_parents() -> None:
    def work(_: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with terminations_as_exceptions(), pytest.raises(ToolError, match="worker processes ended"):
        results(Crew(work, 10, workers=2))


@needs_fork
def test_a_terminated_parent_leaves_no_process_behind() -> None:
    def work(shard: int) -> None:
        if shard == 3:
            os.kill(os.getppid(), signal.SIGTERM)

    with terminations_as_exceptions(), pytest.raises(Terminated):
        results(Crew(work, 1000, workers=2))
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
