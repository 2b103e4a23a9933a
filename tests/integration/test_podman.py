"""Podman's real socket: images by the daemon's names, exported as Docker's API has it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from image_kit import contents, docker_archive, files, tar_of
from podman_kit import new_podman
from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import InputError, TransferError, UsageError
from sysgraft.transport.daemon import Daemon, find_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import SigningPair

BASE = tar_of({"usr/bin/base": b"base", "etc/os-release": b"ID=ubuntu\n"})
FIRMWARE = tar_of({"usr/lib/firmware/rtw88/rtw8821a_fw.bin": b"firmware" * 600, "lib/x": b"x"})
WANTED: dict[str, bytes | None] = {
    "usr/lib/firmware/rtw88/rtw8821a_fw.bin": b"firmware" * 600,
    "usr/lib/x": b"x",
}


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a Podman that has one image, firmware:ubuntu-24.04."""
    folder = tmp_path_factory.mktemp("podman")
    docker_archive(folder / "image.tar", BASE, FIRMWARE, tags=["firmware:ubuntu-24.04"])
    with new_podman(folder) as podman:
        podman.run("load", "-q", "-i", folder / "image.tar")
        with podman.socket() as address:
            yield address


@pytest.mark.oracle("podman")
@pytest.mark.root
def test_an_image_by_its_name_and_the_published_command_line(
    socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signing_pair: SigningPair
) -> None:
    monkeypatch.setenv("DOCKER_HOST", socket)
    for name in ("docker-daemon:firmware:ubuntu-24.04", "firmware:ubuntu-24.04"):
        with open_tree([name], Options()) as collected:
            assert contents(collected) == WANTED
            assert collected.architecture == "arm64"
            assert "of the container daemon" in collected.sources[0]
    line = (
        f"ext build --private-key={signing_pair.key} --certificate={signing_pair.certificate} "
        f"--output={tmp_path}/build firmware-ubuntu-2404 firmware:ubuntu-24.04"
    )
    done = sysgraft(*shlex.split(line))
    assert done.code == 0, done.err
    image = tmp_path / "build/firmware-ubuntu-2404.sysext.raw"
    assert sysgraft("ext", "verify", image, "--certificate", signing_pair.certificate).code == 0
    with pytest.raises(InputError, match="the daemon has no image nothing:1"):
        files("docker-daemon:nothing:1")
    with pytest.raises(UsageError, match="nor an image of that name in the daemon: nothing"):
        files("nothing")


def test_no_daemon_and_daemons_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_daemon({"DOCKER_HOST": "unix:///x"}) is not None
    assert find_daemon({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}) is None
    with pytest.raises(UsageError, match="is not a socket of this machine"):
        find_daemon({"DOCKER_HOST": "tcp://10.0.0.1:2375"})
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with pytest.raises(TransferError, match="cannot be asked: No such file"):
        files("docker-daemon:x:1")
    with pytest.raises(TransferError, match="cannot be asked") as asked:
        files("word")
    assert "docker://word" in asked.value.hint
    monkeypatch.setattr("sysgraft.build.sources.daemon.find_daemon", lambda: None)
    with pytest.raises(UsageError) as caught:
        files("word")
    assert "docker://word" in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nab",
        b"nonsense" * 100000,
        b'HTTP/1.1 500 x\r\nContent-Length: 19\r\n\r\n{"message":"\x1b[2Jx"}',
    ],
)
def test_daemons_that_answer_nonsense(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from socket import AF_UNIX, socket  # noqa: PLC0415
    from threading import Thread  # noqa: PLC0415

    path = tmp_path / "daemon.sock"
    with socket(AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        with pytest.raises(InputError) as caught:
            files("docker-daemon:x:1")
        assert "\x1b" not in str(caught.value)
        thread.join(5)
    assert Daemon(str(path)).path == str(path)
