"""The floor: the least work any tool has to do, in a fresh Python process.

    python benchmarks/floor.py [--one] SOURCE [OUTPUT]

Reads every byte below SOURCE (a folder or a file) and takes SHA-256 over it, on all cores; with
OUTPUT every byte is also written once. With ``--one`` SOURCE is a file, and one digest is taken of
it from beginning to end, as a signature needs it, which only one core can do. It builds nothing
and keeps nothing.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

PIECE: Final = 8 << 20


class Piece(NamedTuple):
    """Bytes ``[start, start + size)`` of a file, written to `target`."""

    path: str
    start: int
    size: int
    target: int


def main(source: Path, output: Path | None) -> None:
    pieces = list(cut(source))
    if output is not None:
        with output.open("wb") as file:
            file.truncate(sum(piece.size for piece in pieces))
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("fork")
    shares = [pieces[number::cores] for number in range(cores)]
    workers = [context.Process(target=work, args=(share, output)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            sys.exit(worker.exitcode)


def one_digest(source: Path) -> None:
    """A single SHA-256 over a file."""
    buffer = memoryview(bytearray(1 << 18))
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])


def cut(source: Path) -> list[Piece]:
    """All of `source` in pieces of a size that spreads evenly."""
    if source.is_file():
        paths = [source]
    else:
        paths = [path for path in sorted(source.rglob("*")) if is_plain(path)]
    pieces: list[Piece] = []
    target = 0
    for path in paths:
        size = path.stat().st_size
        for start in range(0, size, PIECE):
            part = min(PIECE, size - start)
            pieces.append(Piece(str(path), start, part, target))
            target += part
    return sorted(pieces, key=lambda piece: -piece.size)


def is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def work(pieces: list[Piece], output: Path | None) -> None:
    """Hash, and write, one core's share."""
    buffer = memoryview(bytearray(PIECE))
    target = os.open(output, os.O_WRONLY) if output is not None else -1
    digest = hashlib.sha256()
    for piece in pieces:
        with open(piece.path, "rb", buffering=0) as file:
            file.seek(piece.start)
            count = file.readinto(buffer[: piece.size])
        if count != piece.size:
            sys.exit(f"{piece.path} changed")
        digest.update(buffer[:count])
        if target >= 0:
            os.pwrite(target, buffer[:count], piece.target)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"] and len(sys.argv) == 3:
        one_digest(Path(sys.argv[2]))
        sys.exit()
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else None)
