"""Event logs and components against systemd-pcrlock 257."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from sysgraft.formats import cel, eventlog, pcrlock, tpm_userspace_log
from sysgraft.formats.pcrlock import Record
from sysgraft.lab import answers
from sysgraft.measure.pcr import BANKS

if TYPE_CHECKING:
    from conftest import Debian13

pytestmark = pytest.mark.oracle("debian-13")

PCRLOCK: Final = "/usr/lib/systemd/systemd-pcrlock"
LAB: Final = Path(__file__).parents[1] / "assets/lab"
SHORT: Final = "--json=short"


def unordered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the digests of each record in one order."""
    return [
        {**each, "digests": sorted(each["digests"], key=lambda digest: str(digest["hashAlg"]))}
        for each in records
    ]


def theirs(debian13: Debian13, folder: Path, *argv: str) -> str:
    environment = {
        "SYSTEMD_MEASURE_LOG_FIRMWARE": "/mnt/in/firmware",
        "SYSTEMD_MEASURE_LOG_USERSPACE": "/mnt/in/userspace",
    }
    return debian13.run([PCRLOCK, *argv], binds={folder: "/mnt/in"}, env=environment).stdout


@pytest.mark.parametrize(
    "log", [LAB / "debian-257.log.xz", LAB.parent / "eventlog/ovmf-stub-257.bin.xz"]
)
def test_event_logs(debian13: Debian13, tmp_path: Path, log: Path) -> None:
    firmware = lzma.decompress(log.read_bytes())
    items, _ = answers.split(lzma.decompress((LAB / "debian-257.answers.xz").read_bytes()))
    userspace = items["userspace-log"]
    (tmp_path / "firmware").write_bytes(firmware)
    (tmp_path / "userspace").write_bytes(userspace)
    expected = json.loads(theirs(debian13, tmp_path, "cel", SHORT))
    ours = cel.render(eventlog.parse(firmware), tpm_userspace_log.parse(userspace))
    assert unordered(json.loads(ours)) == unordered(expected)
    assert len(expected) > 20


@pytest.mark.parametrize("pcrs", [(13,), (11, 13)])
def test_components(debian13: Debian13, tmp_path: Path, pcrs: tuple[int, ...]) -> None:
    (tmp_path / "data").write_bytes(b"what is measured")
    named = [f"--pcr={pcr}" for pcr in pcrs]
    text = theirs(debian13, tmp_path, "lock-raw", *named, SHORT, "/mnt/in/data", "--pcrlock=-")
    digests = {bank: hashlib.new(bank, b"what is measured").digest() for bank in BANKS}
    ours = tuple(Record(pcr, None, digests) for pcr in pcrs)
    assert pcrlock.parse(text.encode()) == ours
    assert pcrlock.render(ours) == text
