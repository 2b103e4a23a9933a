"""What is known of a start: which image it was, for which architecture, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from executables import make_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.formats import bls
from sysgraft.seal.binding import Binding
from sysgraft.seal.entry_architecture import is_shown
from sysgraft.seal.esp_material import entries
from sysgraft.seal.plan_entries import PlanEntry
from sysgraft.seal.plan_signatures import Answer
from sysgraft.seal.plan_start import is_image_known
from sysgraft.seal.plan_status import Question, status_of
from sysgraft.seal.volume import open_volume
from uki_kit import make_stub

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "EFI/Linux/os.efi"
CONFIG = PlanEntry("t", "loader/entries/t.conf", is_config=True)
OWN = PlanEntry("os", IMAGE, is_config=False)
SECOND = PlanEntry("os", IMAGE, is_config=False, profile=1)


@pytest.mark.parametrize(
    ("entry", "image", "version", "has_loader", "expected"),
    [
        (CONFIG, "images/os.efi", 257, True, True),
        (CONFIG, IMAGE, 256, True, False),
        (CONFIG, IMAGE, 256, False, False),
        (OWN, IMAGE, 256, True, True),
        (OWN, IMAGE, 252, False, True),
        (SECOND, IMAGE, 256, True, False),
        (SECOND, IMAGE, 257, True, True),
        (OWN, "EFI/Linux/ö.efi", 262, True, False),
    ],
)
def test_which_image_was_started_is_known_as_far_as_the_script_can_tell(
    entry: PlanEntry, image: str, version: int, *, has_loader: bool, expected: bool
) -> None:
    assert is_image_known(entry, image, version=version, has_loader=has_loader) is expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), True),
        (("x64",), True),
        (("X64",), True),
        (("x86-64",), False),
        (("aa64",), False),
        (("x64", "aa64"), False),
    ],
)
def test_an_entry_is_hidden_unless_every_architecture_is_the_own_one(
    names: tuple[str, ...], *, expected: bool
) -> None:
    settings = bls.Entry(architectures=names)
    assert is_shown(settings, BytesBlob(make_pe())) is expected
    assert is_shown(settings, BytesBlob(b"no program"))


def test_entries_that_the_boot_loader_does_not_show_are_none(tmp_path: Path) -> None:
    (tmp_path / "loader/entries").mkdir(parents=True)
    (tmp_path / "os.efi").write_bytes(make_stub("262"))
    for name, more in (
        ("good.conf", "architecture x64\n"),
        ("auto-x.conf", ""),
        (".hidden.conf", ""),
        ("other.conf", "architecture aa64\n"),
    ):
        (tmp_path / "loader/entries" / name).write_text(f"uki /os.efi\n{more}")
    assert [each.name for each in entries(open_volume(str(tmp_path)))] == ["good"]


def _question(phase: str, answer: Answer) -> Question:
    return Question(Binding("b", "sha256", (11,), None), phase, b"", answer)


GOOD, DOUBT, BAD = Answer(""), Answer("doubt", "", is_unknown=True), Answer("bad")


@pytest.mark.parametrize(
    ("answers", "every", "one"),
    [
        ([], "signed", "signed"),
        ([("a", GOOD), ("a", BAD)], "unsigned", "signed"),
        ([("a", GOOD), ("a", DOUBT)], "unknown", "signed"),
        ([("a", DOUBT), ("a", BAD)], "unsigned", "unknown"),
        ([("a", GOOD), ("b", BAD)], "unsigned", "unsigned"),
        ([("a", GOOD), ("a", BAD), ("b", BAD), ("b", GOOD)], "unsigned", "signed"),
    ],
)
def test_one_token_of_a_volume_is_enough_but_at_every_phase(
    answers: list[tuple[str, Answer]], every: str, one: str
) -> None:
    questions = [_question(*each) for each in answers]
    assert status_of(questions, one_is_enough=False) == every
    assert status_of(questions, one_is_enough=True) == one
