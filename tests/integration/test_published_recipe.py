"""The published recipe for firmware from its first to its last build step, by Podman for Docker.

A slim base without firmware, an image with firmware upon it, the extension from its last layer;
the image asked for from the daemon, saved to a file, and served by a registry.
"""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from podman_kit import new_podman
from registry_kit import registry
from sysgraft.host.run import locate
from uki_kit import RELEASE, make_kernel, make_kit, section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import SigningPair
    from podman_kit import Podman

SLIM = """\
FROM scratch
COPY root/ /
# Ensure the base rootfs contains NO firmware
RUN busybox rm -r /usr/lib/firmware/rtw88
"""
FIRMWARE = """\
FROM kairos-ubuntu:1.0.0
RUN busybox cp -r /packages/. / && \\
    busybox rm -rf /var/lib/apt/lists
"""
NAME = "firmware-ubuntu-2404"
BLOB = "/usr/lib/firmware/rtw88/rtw8821a_fw.bin"


def context(folder: Path) -> Path:
    """What the images are built from: a system with a shell, a kernel, and packages to install."""
    root = folder / "root"
    for name in ("bin", "boot", "usr/lib/firmware/rtw88", "var/lib/apt/lists"):
        (root / name).mkdir(parents=True)
    shutil.copy(locate("busybox"), root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / f"boot/vmlinuz-{RELEASE}").write_bytes(make_kernel())
    (root / "usr/lib/os-release").write_text("ID=ubuntu\nVERSION_ID=24.04\n")
    (root / "usr/lib/firmware/rtw88/old.bin").write_bytes(b"bundled")
    package = root / f"packages{BLOB}"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"firmware" * 600)
    (root / "packages/var/lib/dpkg").mkdir(parents=True)
    (root / "packages/var/lib/dpkg/status").write_text("Package: linux-firmware\n")
    return folder


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    with new_podman(tmp_path) as running:
        yield running


@pytest.mark.oracle("podman")
@pytest.mark.oracle("docker-registry")
@pytest.mark.oracle("busybox")
@pytest.mark.root
def test_the_published_recipe(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signing_pair: SigningPair
) -> None:
    there = context(tmp_path / "context")
    podman.build(SLIM, "kairos-ubuntu:1.0.0", there)
    podman.build(FIRMWARE, "firmware:ubuntu-24.04", there)
    podman.run("save", "firmware:ubuntu-24.04", "-o", tmp_path / "firmware.tar")
    keys = f"--private-key={signing_pair.key} --certificate={signing_pair.certificate}"
    kit = make_kit(tmp_path / "kit", monkeypatch)
    images = []
    with podman.socket() as socket, registry(tmp_path) as host:
        monkeypatch.setenv("DOCKER_HOST", socket)
        image = f"{host}/firmware:ubuntu-24.04"
        podman.run("push", "--tls-verify=false", "firmware:ubuntu-24.04", f"docker://{image}")
        ways = ["firmware:ubuntu-24.04", f"{tmp_path}/firmware.tar", f"docker://{image}"]
        for number, way in enumerate(ways):
            folder = tmp_path / f"build-{number}"
            line = f"ext build {keys} --output={folder} {NAME} {way} --insecure-registry {host}"
            done = sysgraft(*shlex.split(line))
            assert done.code == 0, done.err
            images.append((folder / f"{NAME}.sysext.raw").read_bytes())
        slim = tmp_path / "slim.efi"
        built = sysgraft(
            "uki", "build", "--initrd=docker-daemon:kairos-ubuntu:1.0.0", f"--stub={kit.stub}",
            "--initrd-compression=none", "-o", slim,
        )  # fmt: skip
        assert built.code == 0, built.err
    assert images[0] == images[1] == images[2], "the same files, whichever way they came"
    path = tmp_path / f"build-0/{NAME}.sysext.raw"
    info = sysgraft("ext", "inspect", path, "--files", "--json").document
    paths = {entry["path"] for entry in info["files"]}
    assert BLOB in paths
    assert not any("old.bin" in name or "/var/" in name or "packages" in name for name in paths)
    assert info["extensionRelease"][NAME]["ARCHITECTURE"] == "x86-64"
    assert sysgraft("ext", "verify", path, "--certificate", signing_pair.certificate).code == 0
    initrd = section(slim, ".initrd")
    assert b"VERSION_ID=24.04" in initrd
    assert b"bundled" not in initrd
