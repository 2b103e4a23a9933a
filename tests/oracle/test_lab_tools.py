"""The lab's parts against the programs they talk to: swtpm, mtools, fsck.fat, sfdisk."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

from sysgraft.errors import ToolError
from sysgraft.lab import esp
from sysgraft.lab.tpm import Tpm, running_tpm

STARTUP = struct.pack(">HIIH", 0x8001, 12, 0x0144, 0)


def extend(pcr: int, digests: dict[int, bytes]) -> bytes:
    """TPM2_PCR_Extend with an empty password (part 3 §22.2)."""
    session = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
    values = b"".join(struct.pack(">H", number) + digest for number, digest in digests.items())
    body = struct.pack(">I", pcr) + session + struct.pack(">I", len(digests)) + values
    return struct.pack(">HII", 0x8002, 10 + len(body), 0x0182) + body


def tell(tpm: Tpm, *commands: bytes) -> None:
    """Send commands as a machine would, and then vanish."""
    with tpm._data_channel() as channel:
        for command in commands:
            channel.sendall(command)
            assert struct.unpack(">HII", channel.recv(4096)[:10])[2] == 0


@pytest.mark.oracle("swtpm")
def test_every_bank_of_a_tpm_is_read(tmp_path: Path) -> None:
    word = b"measured"
    digests = {
        number: hashlib.new(name, word).digest()
        for number, name in ((0x4, "sha1"), (0xB, "sha256"), (0xC, "sha384"), (0xD, "sha512"))
    }
    with running_tpm(str(tmp_path / "tpm"), str(tmp_path / "messages")) as tpm:
        tell(tpm, STARTUP, extend(13, digests), extend(23, {0xB: digests[0xB]}))
        first = tpm.read_pcrs()
        assert tpm.read_pcrs() == first
    assert list(first) == ["sha1", "sha256", "sha384", "sha512"]
    for bank, values in first.items():
        start = bytes(hashlib.new(bank).digest_size)
        expected = hashlib.new(bank, start + hashlib.new(bank, word).digest()).digest()
        assert list(values) == list(range(24))
        assert values[13] == expected
        assert values[17] == b"\xff" * len(start)
        assert values[23] == (expected if bank == "sha256" else start)
    assert tpm.process.status == 0  # it wrote its state and ended by itself


@pytest.mark.oracle("swtpm")
def test_a_tpm_keeps_its_state(tmp_path: Path) -> None:
    """TPM2_ReadClock tells how often it was started."""
    resets = []
    for _ in range(2):
        with running_tpm(str(tmp_path / "tpm"), str(tmp_path / "messages")) as tpm:
            tell(tpm, STARTUP)
            with tpm._data_channel() as channel:
                channel.sendall(struct.pack(">HII", 0x8001, 10, 0x0181))
                resets.append(struct.unpack_from(">I", channel.recv(4096), 26)[0])
    assert resets[1] == resets[0] + 1


@pytest.mark.oracle("swtpm")
def test_a_state_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tpm2-00.permall").write_bytes(b"no state" * 100)
    wrong = pytest.raises(ToolError, match="cannot use the TPM in this folder")
    with wrong, running_tpm(str(tmp_path), str(tmp_path / "messages")):
        pytest.fail("it cannot have started")


@pytest.mark.oracle("swtpm")
def test_a_tpm_that_dies_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    with running_tpm(str(tmp_path / "tpm"), str(tmp_path / "messages")) as tpm:
        tpm.process.kill()
        with pytest.raises(ToolError, match="swtpm ended by itself"):
            tpm.read_pcrs()


@pytest.mark.oracle("mcopy", "mformat", "mmd", "sfdisk", "fsck.fat")
@pytest.mark.parametrize("size", [0, 40 << 20, 300 << 20])
def test_an_esp_is_what_other_tools_read(size: int, tmp_path: Path) -> None:
    contents = {
        "EFI/BOOT/BOOTX64.EFI": size,
        "EFI/BOOT/BOOTX64.EFI.extra.d/A long name, with a comma.sysext.raw": 3,
        "top": 512,
    }
    files = []
    for number, (name, length) in enumerate(contents.items()):
        source = tmp_path / f"source-{number}"
        with source.open("wb") as file:
            file.truncate(length)
            file.write(bytes([number + 1]) * min(length, 100))
        files.append(esp.File(name, str(source)))
    image = tmp_path / "image, of a disk"
    esp.make_esp(str(image), files)
    table = json.loads(ask("sfdisk", "--json", str(image)))["partitiontable"]
    (partition,) = table["partitions"]
    assert partition["type"].lower() == str(esp.ESP_TYPE)
    start, length = partition["start"] * 512, partition["size"] * 512
    volume = tmp_path / "volume"
    with image.open("rb") as source_file, volume.open("wb") as out:
        source_file.seek(start)
        out.write(source_file.read(length))
    said = ask("fsck.fat", "-vn", str(volume))
    clusters = re.search(r"(\d+)/(\d+) clusters", said)
    assert clusters is not None
    assert int(clusters[2]) >= 65525  # with fewer, readers take it for FAT16
    for each in files:
        copy = tmp_path / "copy"
        ask("mcopy", "-n", "-o", "-i", str(volume), f"::{each.path}", str(copy))
        assert copy.read_bytes() == Path(each.source).read_bytes()
    again = tmp_path / "again"
    esp.make_esp(str(again), files)
    with image.open("rb") as one, again.open("rb") as two:
        assert one.read(34 * 512) == two.read(34 * 512)  # the firmware measures the table


def ask(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout
