"""Whatever an image holds, ``ext lint`` gives a report or an error of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command import sysgraft
from lint_kit import (
    EVERYTHING,
    KERNEL,
    RELOADED,
    Maker,
    link,
    lint,
)
from sysgraft.errors import SysgraftError

if TYPE_CHECKING:
    from pathlib import Path

    from lint_kit import Content


class Pair:
    """A good image, and one to be changed."""

    def __init__(self, folder: Path) -> None:
        self.good = Maker(folder).image("good", {"usr/lib/firmware/a.bin": b"b"})
        self.other = Maker(folder).image("other", EVERYTHING, release=RELOADED)
        self.data = self.other.read_bytes()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("hostile"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_image_gives_a_report_or_an_error(pair: Pair, data: st.DataObject) -> None:
    changed = bytearray(pair.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 9))
        part = data.draw(st.binary(min_size=1, max_size=8))
        changed[at : at + len(part)] = part
    pair.other.write_bytes(changed)
    try:
        report = lint(pair.good, pair.other)
    except SysgraftError:
        return
    assert report.merges
    assert {each.file for merge in report.merges for each in merge.fates} <= set(report.images)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_truncated_image_never_ends_in_a_traceback(pair: Pair, data: st.DataObject) -> None:
    pair.other.write_bytes(pair.data[: data.draw(st.integers(0, len(pair.data)))])
    assert sysgraft("ext", "lint", pair.good, pair.other).code in (0, 1, 2)


PATHS = st.lists(
    st.sampled_from(
        ["usr", "lib", "modules", KERNEL, "firmware", "systemd", "system", "x.ko", "a"]
    ),
    min_size=1,
    max_size=6,
).map("/".join)
CONTENTS = st.binary(max_size=30) | st.text("/.abusr", min_size=1, max_size=12).map(link)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(PATHS, CONTENTS, max_size=8), st.dictionaries(PATHS, CONTENTS, max_size=8))
def test_any_two_trees(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, Content], two: dict[str, Content]
) -> None:
    make = Maker(tmp_path_factory.getbasetemp())
    images = [
        make.image(name, {path: each for path, each in files.items() if is_possible(path, files)})
        for name, files in (("one", one), ("two", two))
    ]
    report = lint(*images)
    assert all(each.count >= len(each.paths) for each in report.findings)
    swapped = lint(*reversed(images))
    assert swapped.findings == report.findings


def is_possible(path: str, files: dict[str, Content]) -> bool:
    """Whether nothing above a path is a file, and the release file has room."""
    parts = path.split("/")
    above = {"/".join(parts[:end]) for end in range(1, len(parts))}
    return not above & files.keys() and path not in ("usr", "usr/lib")
