"""The campaign of damaged files: a short one, what was found before, and that it finds defects.

The long one is run by hand, see fuzz/README.md; its figures are in docs/security/fuzzing.md.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "fuzz"))

import campaign  # noqa: E402  found by the line before
from mutate import Mutator  # noqa: E402
from sysgraft.errors import FormatError, SysgraftError  # noqa: E402
from targets import TARGETS, Target  # noqa: E402
from worker import Finding, Limits, Outcome  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

if sys.platform != "linux":
    pytest.skip("the campaign reads /proc", allow_module_level=True)

SOURCE: Final = os.path.join(ROOT, "src/sysgraft/")
ROOMS: Final = ("formats", "image", "measure", "seal", "transport", "sign/verify", "build/sources")
SLOW: Final = {"bombs", "uki-build", "squashfs"}
QUICK: Final = [each for each in TARGETS if each.name not in SLOW]
# Modules of these rooms that nothing from outside goes through, and why.
NOT_REACHED: Final = {
    "formats/cms_rules.py": "a table",
    "formats/erofs/cluster_index.py": "writes",
    "formats/erofs/clusters.py": "writes",
    "formats/erofs/compressor.py": "writes",
    "formats/erofs/dedupe.py": "writes",
    "formats/erofs/layout.py": "writes",
    "formats/erofs/metadata.py": "writes",
    "formats/erofs/packing.py": "writes",
    "formats/fat_layout.py": "writes",
    "formats/fat_names.py": "writes",
    "formats/fat_records.py": "writes",
    "formats/fat_tree.py": "writes",
    "formats/fat_writer.py": "writes",
    "formats/el_torito.py": "writes",
    "formats/iso9660_names.py": "writes",
    "formats/iso9660_records.py": "writes",
    "formats/iso9660_tree.py": "writes",
    "formats/iso9660_writer.py": "writes",
    "formats/rock_ridge.py": "writes",
    "formats/spdx.py": "writes",
    "formats/stub_folders.py": "names of files",
    "formats/erofs/nodes.py": "writes",
    "formats/erofs/writer.py": "writes",
    "seal/early/tree.py": "writes",
    "seal/pcrlock_files.py": "writes",
    "build/sources/directory.py": "a folder is not a file",
    "image/lint/folder.py": "likewise",
    "transport/authorities.py": "OpenSSL reads",
}


# --- The short campaign --------------------------------------------------------------------------


def shown(report: campaign.Report) -> str:
    return "\n".join(
        f"{name}:{report.seed}:{found.number} {found.key}\n{found.text}"
        for name, found in report.findings
    )


def test_a_short_campaign_finds_nothing() -> None:
    report = campaign.run(QUICK, inputs=1500, seed=20)
    assert not report.findings, shown(report)
    assert report.inputs > 1400
    assert report.outcomes.keys() == {each.name for each in QUICK}


def test_what_was_found_before_is_read_or_refused() -> None:
    report = campaign.replay(TARGETS, campaign.CORPUS, Limits())
    assert not report.findings, shown(report)
    assert report.inputs == sum(len(files) for _, _, files in os.walk(campaign.CORPUS))
    assert set(os.listdir(campaign.CORPUS)) == report.outcomes.keys()


def test_every_parser_is_a_target() -> None:
    reached: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        # Bodies of modules and classes run at import, and do not count.
        if event == "call" and code.co_flags & 1 and code.co_filename.startswith(SOURCE):
            reached.add(code.co_filename.removeprefix(SOURCE))

    for target in QUICK:
        mutator = campaign.mutator_of(target)
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            for number in range(len(target.seeds()) + 1):
                try:
                    target.read(mutator.make(5, number))
                except SysgraftError:
                    continue
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    there = {
        os.path.join(folder, name).removeprefix(SOURCE)
        for room in ROOMS
        for folder, _, names in os.walk(SOURCE + room)
        for name in names
        if name.endswith(".py") and name != "__init__.py"
    }
    assert there - reached <= NOT_REACHED.keys()
    assert NOT_REACHED.keys() <= there


@pytest.mark.parametrize("target", QUICK, ids=lambda each: each.name)
def test_each_target_takes_one_of_its_seeds(target: Target) -> None:
    good = 0
    for data in target.seeds():
        try:
            good += target.read(data) is not False
        except SysgraftError:
            continue
    # No volume can be enrolled by these files, no policies are signed for that partition, and an
    # image that others signed, or with another type of partitions, does not verify.
    assert good or target.name in {
        "pcr-enroll", "pcr-plan", "ext-verify-foreign", "ext-verify-usr",
    }  # fmt: skip


# --- Inputs --------------------------------------------------------------------------------------


def test_inputs_are_the_same_every_time_and_differ_by_number_and_seed() -> None:
    seeds = [bytes(range(256)) * 9, b"key = 17, other = {}\n" * 8]
    one, two = (Mutator("x", seeds, tokens=(b"word",)) for _ in range(2))
    made = [one.make(3, number) for number in range(600)]
    assert made == [two.make(3, number) for number in range(600)]
    assert made[:2] == seeds
    assert len(set(made)) > 500
    assert made[2:] != [one.make(4, number) for number in range(2, 600)]
    assert made[2:] != [Mutator("y", seeds).make(3, number) for number in range(2, 600)]
    assert max(map(len, made)) <= 2 * max(map(len, seeds)) + (64 << 10)


def test_seeds_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib, sys; sys.path[:0] = sys.argv[1:]; from targets import TARGETS\n"
        "for each in TARGETS: print(each.name, hashlib.sha256(b''.join(each.seeds())).hexdigest())"
    )
    folders = (os.path.join(ROOT, "fuzz"), os.path.join(ROOT, "tests"))
    command = [sys.executable, "-c", code, *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    here = [f"{each.name} {hashlib.sha256(b''.join(each.seeds())).hexdigest()}" for each in TARGETS]
    assert done.stdout.splitlines() == here


# --- Planted defects -----------------------------------------------------------------------------

TIGHT: Final = Limits(seconds=0.5, memory=64 << 20)
PATIENT: Final = Limits(seconds=20, memory=64 << 20)


def planted(what: Any, name: str = "planted") -> Target:
    """A target that refuses everything but what it is planted in: inputs with an ``x`` at first."""

    def read(data: bytes) -> object:
        if data[:1] == b"x":
            return what()
        raise FormatError("no x")

    return Target(name=name, seeds=lambda: (b"no x", b"x" + bytes(9)), read=read)


def outcome_of(what: Any, limits: Limits = PATIENT) -> Outcome:
    return campaign.run_target(planted(what), 12, 1, 1, limits)


def only_finding(what: Any, limits: Limits) -> Finding:
    outcome = outcome_of(what, limits)
    assert outcome.inputs == 12, "the campaign goes on behind a defect"
    assert len(outcome.findings) == 1, [each.key for each in outcome.findings]
    found = outcome.findings[0]
    assert found.number == 1
    assert outcome.counts[found.key] >= 1
    return found


def address_space(size: int) -> None:
    """Take it, and give it back; Python's own may come from a heap that is there already."""
    mmap.mmap(-1, size).close()


def spin() -> None:
    while True:
        pass


def deaf() -> None:
    """In C for seconds, where no signal handler of Python's is called."""
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 40_000_000)


def swallow() -> None:
    """Takes memory, and takes its lack for granted."""
    try:
        address_space(70 << 20)
    except MemoryError:
        raise FormatError("too large") from None


def exhaust() -> None:
    list(iter(lambda: bytearray(300 << 20), None))


def deep() -> int:
    return deep() + 1


def leave() -> None:
    sys.exit(0)


def vanish() -> None:
    os.kill(os.getpid(), 11)


def talk() -> None:
    raise FormatError("x" * 100_000)


@pytest.mark.parametrize(
    ("what", "kind", "error"),
    [
        (lambda: {"a": 1}["b"], "exception", "KeyError"),
        (lambda: int("x"), "exception", "ValueError"),
        (deep, "exception", "RecursionError"),
        (leave, "exception", "SystemExit"),
        (spin, "hang", "Late"),
        (exhaust, "memory", "MemoryError"),
        (swallow, "memory", "too much"),
        (vanish, "crash", "SIGSEGV"),
        (talk, "message", "FormatError"),
    ],
)
def test_a_planted_defect_is_found(what: Any, kind: str, error: str) -> None:
    found = only_finding(what, TIGHT if kind == "hang" else PATIENT)
    assert (found.kind, found.error) == (kind, error)


def test_a_reader_that_no_signal_reaches_is_ended_and_says_where_it_was() -> None:
    start = time.monotonic()
    outcome = campaign.run_target(planted(deaf), 2, 1, 1, TIGHT)
    (found,) = outcome.findings
    assert found.kind == "hang"
    assert "deaf" in found.text
    assert time.monotonic() - start < 20


def test_what_is_allowed_is_no_finding() -> None:
    def take() -> None:
        address_space(40 << 20)
        time.sleep(0.01)

    outcome = outcome_of(take)
    assert not outcome.findings
    assert outcome.accepted >= 1
    assert outcome.memory >= 40 << 20
    assert outcome.slowest >= 0.01


def test_a_finding_is_kept_made_smaller_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = planted(lambda: ctypes.c_int(1).nothing, "planted-attribute")  # type: ignore[attr-defined]
    monkeypatch.setattr(campaign, "TARGETS", (target,))
    words = ["--inputs", "40", "--findings", str(tmp_path), "--json", str(tmp_path / "figures")]
    assert campaign.main(words) == 1
    (small,) = (tmp_path / "planted-attribute").glob("*.small")
    assert small.read_bytes() == b"x"
    assert small.with_suffix(".whole").read_bytes() == b"x" + bytes(9)
    text = small.with_suffix(".txt").read_text()
    assert "--again planted-attribute:1:1" in text
    assert "AttributeError" in text
    assert "AttributeError" in capsys.readouterr().out
    with pytest.raises(AttributeError):
        campaign.main(["--again", "planted-attribute:1:1"])
    assert '"AttributeError"' in (tmp_path / "figures").read_text()


def test_several_processes_read_the_same_inputs() -> None:
    target = next(each for each in TARGETS if each.name == "versions")
    one, two = (campaign.run_target(target, 300, 1, jobs, Limits()) for jobs in (1, 2))
    assert (one.inputs, one.accepted) == (two.inputs, two.accepted) == (300, 300)
