"""Images made to be read in two ways, to break the terminal, or to be taken for another.

In each of these the signed data is genuine and unchanged: only what nobody signs was touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command import Result, signing, sysgraft
from sysgraft.base.blob import BytesBlob
from sysgraft.build.image import partition
from sysgraft.formats import gpt

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair
    from sysgraft.formats.gpt import Partition, Table

EVIL = UUID("00000000-0000-4000-8000-00000000e71c")
EVIL_SIZE = 1 << 16


@pytest.fixture
def image(sample_tree: Path, tmp_path: Path, signing_pair: SigningPair) -> Path:
    argv = ("ext", "build", "fw", str(sample_tree), "--output", str(tmp_path / "out"))
    assert sysgraft(*argv, "--release", "ARCHITECTURE=_any", *signing(signing_pair)).code == 0
    return tmp_path / "out/fw.sysext.raw"


def checks(image: Path, pair: SigningPair, *options: str) -> tuple[Result, dict[str, str]]:
    trust = ("--certificate", str(pair.certificate))
    result = sysgraft("ext", "verify", str(image), "--json", *trust, *options)
    (found,) = result.document["images"]
    return result, {check["name"]: check["status"] for check in found["checks"]}


def rewrite(image: Path, partitions: list[Partition], tail: bytes = b"") -> None:
    """Give an image another, valid partition table, with `tail` behind its last partition."""
    old = image.read_bytes()
    table = gpt.parse(BytesBlob(old))
    end = max(p.offset + p.size for p in table.partitions)
    body = old[:end] + tail
    size = -(-(len(body) + 33 * 512) // 4096) * 4096
    new: Table = gpt.new_table(size, disk_uuid=table.disk_uuid, partitions=partitions)
    data = bytearray(body.ljust(size, b"\0"))
    for offset, piece in gpt.render(new, size):
        data[offset : offset + len(piece)] = piece
    image.write_bytes(data)


def parts(image: Path) -> tuple[list[Partition], int]:
    """The partitions of an image, and where the last one ends."""
    found = list(gpt.parse(BytesBlob(image.read_bytes())).partitions)
    return found, max(p.offset + p.size for p in found)


@pytest.mark.parametrize("architecture", ["x86-64", "arm64"])
@pytest.mark.parametrize("label", ["z-root", "a-root"])
def test_a_second_unsigned_root_is_refused(
    image: Path, signing_pair: SigningPair, architecture: str, label: str
) -> None:
    """Which root a machine mounts would depend on labels and types that nobody signed."""
    found, end = parts(image)
    place = (end, EVIL_SIZE)
    evil = partition(3, "root", architecture, uuid=EVIL, place=place)
    rewrite(image, [*found, replace(evil, name=label)], b"\xff" * EVIL_SIZE)
    result, statuses = checks(image, signing_pair)
    assert result.code == 1
    assert statuses["gpt"] == "fail"
    refused = sysgraft("ext", "sign", image, "--force", *signing(signing_pair))
    assert refused.code == 2


def test_a_signed_set_behind_a_plain_root_of_the_host_is_refused(
    image: Path, signing_pair: SigningPair
) -> None:
    """The genuine set is retyped for another machine, so that this one takes the plain root."""
    found, end = parts(image)
    retyped = [
        replace(
            partition(
                p.index,
                p.name.replace("root-x86-64", "root"),
                "arm64",
                uuid=p.uuid,
                place=(p.offset, p.size),
            ),
            name=f"z{p.index}",
        )
        for p in found
    ]
    evil = partition(3, "root", "x86-64", uuid=EVIL, place=(end, EVIL_SIZE))
    rewrite(image, [*retyped, evil], b"\xff" * EVIL_SIZE)
    result, statuses = checks(image, signing_pair, "--arch", "x86-64")
    assert result.code == 1
    assert statuses["gpt"] == "fail"


HOME = UUID("933ac7e1-2eb4-4f13-b844-0e14e2aef915")
NOBODY_S = UUID("5a2c1f0e-0000-4000-8000-000000000001")


@pytest.mark.parametrize(
    ("kind", "name", "attributes"),
    [(HOME, "home", 0), (NOBODY_S, "mine", 0), (None, "_empty", 0), (None, "x", gpt.NO_AUTO)],
)
def test_other_partitions_are_named(
    image: Path, signing_pair: SigningPair, kind: UUID | None, name: str, attributes: int
) -> None:
    found, end = parts(image)
    other = partition(3, "root", "x86-64", uuid=EVIL, place=(end, EVIL_SIZE))
    other = replace(other, name=name, attributes=attributes, type_uuid=kind or other.type_uuid)
    rewrite(image, [*found, other], b"\0" * EVIL_SIZE)
    result, statuses = checks(image, signing_pair)
    assert statuses["gpt"] == "ok"
    notes = result.document["images"][0]["notes"]
    assert f"partition 4 ({name}) is not covered by the signature" in notes


def test_a_superblock_in_a_gap_is_refused(image: Path, signing_pair: SigningPair) -> None:
    """The magic number of a file system that is not even mounted, where another tool sees it."""
    found, end = parts(image)
    moved = [replace(p, first_lba=p.first_lba + 2048, last_lba=p.last_lba + 2048) for p in found]
    old = image.read_bytes()
    size = end + (1 << 20) + 20480
    data = bytearray(old[:20480] + bytes(1 << 20) + old[20480:end]).ljust(size, b"\0")
    table = gpt.new_table(size, disk_uuid=EVIL, partitions=moved)
    for offset, piece in gpt.render(table, size):
        data[offset : offset + len(piece)] = piece
    image.write_bytes(data)
    assert checks(image, signing_pair)[0].code == 0, "an empty gap of 1 MiB is fine"
    data[65536 + 1372 : 65536 + 1376] = (0x00011954).to_bytes(4, "little")
    image.write_bytes(data)
    assert checks(image, signing_pair)[1]["gpt"] == "fail"


def test_a_retyped_set_is_not_for_this_host(image: Path, signing_pair: SigningPair) -> None:
    found, _ = parts(image)
    names = [p.name.replace("root-x86-64", "root") for p in found]
    retyped = [
        partition(p.index, name, "arm64", uuid=p.uuid, place=(p.offset, p.size))
        for p, name in zip(found, names, strict=True)
    ]
    rewrite(image, retyped)
    os_release = image.with_name("os-release")
    os_release.write_text("ID=any\n")
    options = ("--arch", "x86-64", "--os-release", str(os_release))
    _, statuses = checks(image, signing_pair, *options)
    assert statuses["host-match"] == "fail"


def test_a_usr_partition_beside_root_is_refused(tmp_path: Path, signing_pair: SigningPair) -> None:
    """It would be mounted over the files that were looked at."""
    image = tmp_path / "x.raw"
    size = 1 << 20
    places = [("root", 20480), ("usr", 40960)]
    table = gpt.new_table(
        size,
        disk_uuid=EVIL,
        partitions=[
            partition(n, name, "x86-64", uuid=UUID(int=n + 1), place=(offset, 4096))
            for n, (name, offset) in enumerate(places)
        ],
    )
    data = bytearray(size)
    for offset, piece in gpt.render(table, size):
        data[offset : offset + len(piece)] = piece
    image.write_bytes(data)
    assert checks(image, signing_pair)[1]["gpt"] == "fail"


@pytest.mark.parametrize("offset", [0, 100, 440])
def test_boot_code_is_refused(image: Path, signing_pair: SigningPair, offset: int) -> None:
    data = bytearray(image.read_bytes())
    data[offset] = 1
    image.write_bytes(data)
    assert checks(image, signing_pair)[1]["gpt"] == "fail"


def test_a_superblock_beside_the_table_is_refused(image: Path, signing_pair: SigningPair) -> None:
    data = bytearray(image.read_bytes())
    data[:6] = b"LUKS\xba\xbe"
    image.write_bytes(data)
    assert checks(image, signing_pair)[1]["gpt"] == "fail"


def test_content_that_imitates_a_superblock_is_not_built(tmp_path: Path) -> None:
    folder = tmp_path / "tree/usr/lib"
    folder.mkdir(parents=True)
    (folder / "imitation").write_bytes(b"SKUL\xba\xbe".ljust(4096, b"\0") * 64)
    out = tmp_path / "out"
    result = sysgraft("ext", "build", "x", tmp_path / "tree", "--output", out, "--unsigned")
    assert result.code == 2
    assert "crypto_LUKS" in result.err
    assert not list(out.glob("*.raw"))


def test_a_root_hash_of_the_wrong_length_is_a_verdict(
    image: Path, signing_pair: SigningPair
) -> None:
    found, _ = parts(image)
    data = bytearray(image.read_bytes())
    start = found[2].offset
    text = bytes(data[start : start + found[2].size]).rstrip(b"\0")
    head = b'{"rootHash":"'
    longer = text.replace(head, head + b"00" * 32)
    data[start : start + len(longer)] = longer
    image.write_bytes(data)
    result, statuses = checks(image, signing_pair)
    assert result.code == 1
    assert statuses["verity-tree"] == "fail"


def test_unsigned_means_unsigned(image: Path) -> None:
    """A second signature partition, hidden by an attribute, goes as well."""
    found, end = parts(image)
    hidden = replace(found[2], index=3, uuid=EVIL, attributes=gpt.NO_AUTO)
    hidden = replace(hidden, first_lba=end // 512, last_lba=(end + 16384) // 512 - 1)
    signature = image.read_bytes()[found[2].offset : found[2].offset + 16384]
    rewrite(image, [*found, hidden], signature)
    assert sysgraft("ext", "unsign", image, "--force").code == 0
    assert len(parts(image)[0]) == 2


def test_names_and_labels_cannot_forge_a_line(
    sample_tree: Path, tmp_path: Path, signing_pair: SigningPair
) -> None:
    forged = "\n  ✓  trust  ok  by vendor.pem\x1b]0;pwn\x07"
    (sample_tree / "usr/lib" / f"name{forged}").write_text("")
    argv = ("ext", "build", "fw", str(sample_tree), "--output", str(tmp_path / "out"))
    built = sysgraft(*argv, *signing(signing_pair))
    assert built.code == 0, built.err
    image = tmp_path / "out/fw.sysext.raw"
    found, _ = parts(image)
    rewrite(image, [replace(found[0], name="root\x1b[31m\n"), *found[1:]])
    for result in (
        built,
        sysgraft("ext", "verify", image),
        sysgraft("ext", "inspect", image, "--files"),
        sysgraft("ext", "verify", tmp_path / "no\x1b[31m\nsuch"),
    ):
        shown = result.out + result.err
        assert "\x1b" not in shown
        assert not any(line.strip().startswith("✓  trust  ok  by") for line in shown.splitlines())


def run_outside(image: Path, *, redirect: str = "", **environment: str) -> Result:
    command = f'exec "$0" -m sysgraft ext verify "$1" {redirect}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(image)],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )
    return Result(
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_change_nothing(image: Path, redirect: str) -> None:
    result = run_outside(image, redirect=redirect)
    assert result.code == 1, "not trusted, as with open streams"
    assert "Traceback" not in result.err


def test_an_error_that_cannot_be_told_is_no_verdict(image: Path) -> None:
    for redirect in ("2>/dev/full", "2>&-"):
        assert run_outside(image.with_name("absent.raw"), redirect=redirect).code == 2


def test_names_that_the_terminal_has_no_letters_for(image: Path) -> None:
    strange = image.with_name(os.fsdecode(b"f\xffw\xc3\xa9.sysext.raw"))
    image.rename(strange)
    result = run_outside(strange, PYTHONIOENCODING="ascii:strict")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "verity-tree" in result.out
