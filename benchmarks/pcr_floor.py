"""What the PCR benchmarks are held against: the least work, and the work without sharing.

    python benchmarks/pcr_floor.py sets|naive KEY FILE...
    python benchmarks/pcr_floor.py files|cores FILE...

``sets`` takes SHA-256 of an archive of every subset of the files: each set continues from a copy of
the state of the set without its last file, on all cores; then it signs four digests for every set
with the RSA key, on all cores. ``naive`` hashes every archive from its beginning and signs, one
after the other. Both read every file once. ``files`` takes one SHA-256 of each file, one after the
other; ``cores`` takes them at the same time. Heads of archives are bytes of about their length, and
nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
import sys
from itertools import combinations
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final

from floor import one_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

PHASES: Final = 4
HEAD: Final = bytes(140)
FIRST_HEAD: Final = bytes(400)


# --- Hashing -------------------------------------------------------------------------------------


class Tree:
    """All subsets of the files, each one step behind another, hashed by threads."""

    def __init__(self, contents: list[bytes]) -> None:
        self._contents = contents
        start = hashlib.sha256(FIRST_HEAD)
        self._waiting = [(start, number) for number in range(len(contents))]
        self._left = (1 << len(contents)) - 1
        self._lock = Lock()
        self.digests = [start.digest()]

    def run(self) -> None:
        """Hash them all; the digests are there then."""
        threads = [Thread(target=self._work) for _ in range(os.cpu_count() or 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        while self._left > 0:
            with self._lock:
                if not self._waiting:
                    continue
                parent, number = self._waiting.pop(0)
            # One call for all of the content: it runs without the interpreter's lock.
            state = parent.copy()
            state.update(HEAD)
            state.update(self._contents[number])
            digest = state.digest()
            with self._lock:
                self._waiting += [(state, n) for n in range(number + 1, len(self._contents))]
                self._left -= 1
                self.digests.append(digest)


def each_whole(contents: list[bytes]) -> Iterator[bytes]:
    """Digests of all archives, each hashed from its beginning."""
    for count in range(len(contents) + 1):
        for chosen in combinations(contents, count):
            state = hashlib.sha256(FIRST_HEAD)
            for content in chosen:
                state.update(HEAD)
                state.update(content)
            yield state.digest()


# --- Signing -------------------------------------------------------------------------------------


def sign(key_pem: bytes, digests: list[bytes]) -> None:
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415  not all need it
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415

    key = serialization.load_pem_private_key(key_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    how, over = padding.PKCS1v15(), hashes.SHA256()
    for digest in digests:
        for phase in range(PHASES):
            key.sign(bytes([phase]) + digest, how, over)


def sign_on_all_cores(key_pem: bytes, digests: list[bytes]) -> None:
    cores = os.cpu_count() or 1
    children = []
    for number in range(cores):
        pid = os.fork()
        if pid == 0:
            sign(key_pem, digests[number::cores])
            os._exit(0)
        children.append(pid)
    if any(os.waitpid(pid, 0)[1] for pid in children):
        sys.exit("a worker failed")


def main(how: str, words: list[str]) -> None:
    paths = [Path(word) for word in words]
    if how == "files":
        for path in paths:
            one_digest(path)
    elif how == "cores":
        threads = [Thread(target=one_digest, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    elif how in ("sets", "naive"):
        key_pem, *contents = [path.read_bytes() for path in paths]
        if how == "sets":
            tree = Tree(contents)
            tree.run()
            sign_on_all_cores(key_pem, tree.digests)
        else:
            sign(key_pem, list(each_whole(contents)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 2 else "", sys.argv[2:])
