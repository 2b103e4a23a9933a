"""Replayed logs against tpm2-tools, canonical event logs against systemd-pcrlock."""

from __future__ import annotations

import json
import lzma
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import log_kit
from command import sysgraft
from log_kit import make_log, record, write
from sysgraft.formats.eventlog import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conftest import DebianSid

ASSETS = Path(__file__).parents[1] / "assets/eventlog"


def real() -> bytes:
    return lzma.decompress((ASSETS / "ovmf-stub-257.bin.xz").read_bytes())


def made() -> bytes:
    banks = ("sha1", "sha256", "sha384", "sha512")
    return make_log(
        [
            Event(pcr, 13, log_kit.hashed(bytes([pcr]), banks), f"event {pcr}".encode())
            for pcr in range(16)
        ],
        banks,
    )


LOGS: Mapping[str, Callable[[], bytes]] = {"real": real, "made": made}


@pytest.mark.oracle("tpm2_eventlog")
@pytest.mark.parametrize("name", LOGS)
def test_the_values_are_those_of_tpm2_tools(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, "log", LOGS[name]())
    done = subprocess.run(
        ["tpm2_eventlog", path], capture_output=True, check=True, timeout=60, text=True
    )
    _, _, pcrs = done.stdout.partition("\npcrs:\n")
    banks = re.split(r"^ +(\w+):\n", pcrs, flags=re.MULTILINE)[1:]
    theirs = {
        (bank, int(pcr)): value
        for bank, lines in zip(banks[::2], banks[1::2], strict=True)
        for pcr, value in re.findall(r"(\d+) +: 0x(\w+)", lines)
    }
    ours = sysgraft("pcr", "replay", path, "--json").document["values"]
    assert {(each["bank"], each["pcr"]): each["value"] for each in ours} == theirs


def test_the_values_are_those_the_tpm_had(tmp_path: Path) -> None:
    path = write(tmp_path, "log", real())
    result = sysgraft("pcr", "replay", path, "--values", ASSETS / "ovmf-stub-257.pcrs.json")
    assert result.code == 0, result.out


@pytest.mark.oracle("debian-sid")
@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("with_userspace", [False, True])
def test_the_canonical_log_is_that_of_pcrlock(
    name: str, with_userspace: bool, tmp_path: Path, debian_sid: DebianSid
) -> None:
    path = write(tmp_path, "log", LOGS[name]())
    records = record(11, "enter-initrd") + record(15, "machine-id:1", "machine-id")
    more = []
    if with_userspace:
        more = ["--userspace-log", str(write(tmp_path, "userspace", records))]
    done = debian_sid.run(
        ["/usr/lib/systemd/systemd-pcrlock", "cel"],
        binds={tmp_path: "/mnt/log"},
        env={
            "SYSTEMD_MEASURE_LOG_FIRMWARE": "/mnt/log/log",
            "SYSTEMD_MEASURE_LOG_USERSPACE": "/mnt/log/userspace",
        },
    )
    for command in ("replay", "explain"):
        ours = sysgraft("pcr", command, path, "--cel", *more)
        assert ours.code == 0, ours.err
        assert simplified(json.loads(ours.out)) == simplified(json.loads(done.stdout))


def simplified(document: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the order of the digests."""
    return [
        {**each, "digests": sorted(each["digests"], key=lambda one: str(one["hashAlg"]))}
        for each in document
    ]
