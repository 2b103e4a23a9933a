"""Extensions from RPM packages, by the command line: what is built, said and refused."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from command import signing, sysgraft
from rpm_kit import F, Kit, Value, string

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair

FILES = [
    F("/etc/demo.conf", b"outside"),
    F("/usr/bin/ping", b"#!", stat.S_IFREG | 0o755, caps=b"cap_net_raw=ep"),
    F("/usr/lib/firmware/a.bin", b"blob", inode=5),
    F("/usr/lib/firmware/b.bin", b"blob", inode=5),
]


def test_a_package_becomes_an_extension(tmp_path: Path, signing_pair: SigningPair) -> None:
    package = tmp_path / "demo-1.0-3.aarch64.rpm"
    values: dict[int, Value | None] = {1022: string(b"aarch64"), 1024: string(b"depmod")}
    package.write_bytes(Kit(FILES, values=values).bytes())
    build = ("ext", "build", "demo", str(package), *signing(signing_pair), "--json")
    images = []
    for name in ("one", "two"):
        done = sysgraft(*build, f"--output={tmp_path / name}")
        assert done.code == 0, done.err
        images.append((tmp_path / name / "demo.sysext.raw").read_bytes())
    assert images[0] == images[1]
    document = done.document
    assert document["architecture"] == "arm64"
    assert document["sources"] == ["RPM package demo 1.0-3 (aarch64)"]
    assert document["content"]["hardLinks"] == 2  # the release file has two names
    assert [item["examples"] for item in document["leftOut"]] == [["etc/demo.conf"]]
    assert document["notes"] == ["scriptlets of demo are not run: %post"]
    image = tmp_path / "one/demo.sysext.raw"
    verify = ("ext", "verify", image, "--certificate", signing_pair.certificate)
    assert sysgraft(*verify).code == 0
    files = sysgraft("ext", "inspect", image, "--files", "--json").document["files"]
    (ping,) = [file for file in files if file["path"] == "/usr/bin/ping"]
    assert "security.capability" in ping["xattrs"]


def test_a_damaged_package_leaves_nothing(tmp_path: Path) -> None:
    package = bytearray(Kit(FILES).bytes())
    package[-200] ^= 1
    (tmp_path / "demo.rpm").write_bytes(package)
    done = sysgraft(
        "ext", "build", "demo", tmp_path / "demo.rpm", "--unsigned", f"--output={tmp_path / 'out'}"
    )
    assert done.code == 2
    assert "demo.rpm: the digest of the " in done.err
    assert not (tmp_path / "out").exists()
