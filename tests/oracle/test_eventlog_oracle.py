"""TPM event logs against tpm2-tools and systemd-pcrlock."""

from __future__ import annotations

import json
import lzma
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sysgraft.formats import eventlog

if TYPE_CHECKING:
    from conftest import Debian13

ASSET = Path(__file__).parents[1] / "assets/eventlog/ovmf-stub-257.bin.xz"


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(lzma.decompress(ASSET.read_bytes()))
    return path


@pytest.mark.oracle("tpm2_eventlog")
def test_tpm2_tools_sees_the_same_events_and_pcrs(log_file: Path) -> None:
    done = subprocess.run(
        ["tpm2_eventlog", log_file], capture_output=True, check=True, timeout=60, text=True
    )
    told, _, pcrs = done.stdout.partition("\npcrs:\n")
    log = eventlog.parse(log_file.read_bytes())
    listed = re.findall(r"EventNum: (\d+)\n +PCRIndex: (\d+)\n +EventType: (\w+)\n", told)
    assert listed == [
        (str(number), str(event.pcr), event.type_name) for number, event in enumerate(log.events)
    ]
    digests = re.findall(r'AlgorithmId: (\w+)\n +Digest: "(\w+)"', told)
    assert digests == [
        (name, digest.hex()) for event in log.events[1:] for name, digest in event.digests.items()
    ]
    sizes = [int(size) for size in re.findall(r"EventSize: (\d+)\n", told)]
    assert sizes == [len(event.data) for event in log.events]
    banks = re.split(r"^ +(\w+):\n", pcrs, flags=re.MULTILINE)[1:]
    assert tuple(banks[::2]) == log.banks
    for bank, lines in zip(banks[::2], banks[1::2], strict=True):
        values = {int(n): bytes.fromhex(v) for n, v in re.findall(r"(\d+) +: 0x(\w+)", lines)}
        assert values == eventlog.replay(log, bank)


@pytest.mark.oracle("debian-13")
def test_pcrlock_sees_the_same_events(log_file: Path, debian13: Debian13) -> None:
    done = debian13.run(
        ["/usr/lib/systemd/systemd-pcrlock", "cel"],
        binds={log_file.parent: "/mnt/log"},
        env={
            "SYSTEMD_MEASURE_LOG_FIRMWARE": "/mnt/log/log",
            "SYSTEMD_MEASURE_LOG_USERSPACE": "/mnt/log/none",
        },
    )
    log = eventlog.parse(log_file.read_bytes())
    theirs = [
        (
            record["pcr"],
            {each["hashAlg"]: each["digest"] for each in record["digests"]},
            record["content"]["event_type"],
            record["content"]["event_data"],
        )
        for record in json.loads(done.stdout)
    ]
    assert theirs == [
        (
            event.pcr,
            {name: digest.hex() for name, digest in event.digests.items()},
            event.type_name,
            event.data.hex(),
        )
        for event in log.events
        if event.is_measured
    ]
