"""Compressed extensions in a guest: its kernel decompresses them, its systemd-sysext merges one.

The guest is a whole Debian 13, whose Linux 6.12 knows LZ4 and zstd in EROFS.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import initrd
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.lab.options import Disk
from sysgraft.lab.report import Merged

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from sysgraft.sign.pair import SigningPair

pytestmark = pytest.mark.boot

CODECS: Final = ("lz4", "lz4hc", "zstd")
EXTENT: Final = 1 << 18

# Each image is a disk of its own, its first partition the file system. Everything is read in
# order, then the end of each file and a part from its middle, with the pages dropped in between.
READ: Final = r"""
number=0
for codec in lz4 lz4hc zstd; do
    mkdir "/run/$codec"
    mount -t erofs -o ro "/dev/disk/by-id/virtio-disk$number-part1" "/run/$codec"
    cd "/run/$codec/usr/share/packed"
    sha256sum * > "$SYSGRAFT_RESULTS/$codec"
    echo 3 > /proc/sys/vm/drop_caches
    for file in *; do
        tail -c 1000 "$file" | sha256sum
        tail -c +200001 "$file" | head -c 70000 | sha256sum
    done > "$SYSGRAFT_RESULTS/$codec-parts"
    cd /
    number=$((number + 1))
done
cd /usr/share/packed
sha256sum * > "$SYSGRAFT_RESULTS/merged"
systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/status"
journalctl --boot --dmesg --output=cat --grep='erofs' > "$SYSGRAFT_RESULTS/log"
exit 0
"""


def contents() -> dict[str, bytes]:
    """Files around the sizes of blocks and extents, of what gets smaller and what does not."""
    words = [b"%016x" % random.Random(n).getrandbits(64) for n in range(100)]
    text = b"".join(random.Random(1).choices(words, k=EXTENT // 4))
    noise = random.Random(2).randbytes(EXTENT)
    sizes = [4400, 8192, 8193, EXTENT - 1, EXTENT, EXTENT + 1, 3 * EXTENT + 4095]
    return {
        **{f"text-{size}": text[:size] for size in sizes},
        "mixed": text[:EXTENT] + noise + text[:100_000] + noise + text[7:] + b"end",
        "zeros": bytes(5_000_001),
        "noise": noise,
        "small": b"small",
        "empty": b"",
    }


def sums(found: bytes) -> dict[str, str]:
    """The digests that sha256sum printed, by file."""
    rows = (line.split() for line in found.decode().splitlines())
    return {name: digest for digest, name in rows}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_guest_reads_what_was_compressed_and_merges_it(
    lab: Lab, uki: BuildUki, keys: Keys, tmp_path: Path
) -> None:
    files = contents()
    tree = tmp_path / "tree/usr/share/packed"
    tree.mkdir(parents=True)
    for name, content in files.items():
        (tree / name).write_bytes(content)

    def build(name: str, compress: str, signing: SigningPair | None = None) -> str:
        options = BuildOptions(compress=compress)
        source = [str(tmp_path / "tree")]
        report = build_extension(
            name, source, output=str(tmp_path), signing=signing, options=options
        )
        assert report.content.packed_files == len(files) - 3
        return report.path

    certificate = (keys.folder / "extension.pem").read_bytes()
    trust = initrd(tmp_path, {"usr/lib/verity.d/extension.crt": certificate})
    report = lab.boot(
        READ,
        uki=uki(tmp_path / "full.efi", "debian", initrds=(trust,), signing=keys.pair("db")),
        extras=(build("packed", "zstd", keys.pair("extension")),),
        disks=tuple(Disk(build(codec, codec)) for codec in CODECS),
        secure_boot=str(keys.folder),
    )
    assert report.succeeded, report.serial
    assert report.guest is not None
    assert report.guest.sysext is not None
    assert Merged("/usr", ("packed",)) in report.guest.sysext
    assert report.script is not None
    found = report.script.files
    expected = {name: sha256(content) for name, content in files.items()}
    for name in (*CODECS, "merged"):
        assert sums(found[name]) == expected, name
    parts = [
        sha256(part)
        for _, content in sorted(files.items())
        for part in (content[-1000:], content[200_000:270_000])
    ]
    for codec in CODECS:
        assert [line.split()[0] for line in found[f"{codec}-parts"].decode().splitlines()] == parts
    status = json.loads(found["status"])
    assert {row["hierarchy"]: row["extensions"] for row in status}["/usr"] == ["packed"]
    assert "failed to decompress" not in found["log"].decode()
