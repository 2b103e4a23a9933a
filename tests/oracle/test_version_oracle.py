"""The order of versions, compared with ``systemd-analyze compare-versions``."""

from __future__ import annotations

import random
import subprocess

import pytest

from sysgraft.base.version import compare

ALPHABET = "0012a9zAB~-^.._+"
# Exit codes of the program: 12 "<", 0 "==", 11 ">".
SIGN = {12: -1, 0: 0, 11: 1}


def related_pair(rng: random.Random) -> tuple[str, str]:
    """Two strings that share a beginning, so that the comparison gets past the first character."""
    stem, first, second = (
        "".join(rng.choices(ALPHABET, k=rng.randint(0, longest))) for longest in (5, 4, 4)
    )
    return stem + first, stem + second


@pytest.mark.oracle("systemd-analyze")
def test_random_pairs_compare_as_systemd_compares_them() -> None:
    rng = random.Random(20240229)
    wrong = []
    for left, right in (related_pair(rng) for _ in range(300)):
        # A leading dash would be an option.
        argv = ["systemd-analyze", "compare-versions", "--", left, right]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert done.returncode in SIGN, (left, right, done.stderr)
        if SIGN[done.returncode] != compare(left, right):
            wrong.append((left, right, SIGN[done.returncode]))
    assert wrong == []
