"""The build commands people already use, with ``sysgraft ext build`` in place of the tool.

Each command line is as published for ``auroraboot sysext`` and ``enki sysext``, with the path of
a saved image where they name one in the Docker daemon.
"""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import tarfile
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from registry_kit import Reply, server

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair
    from registry_kit import Request


KEYS = "--private-key=keys/db.key --certificate=keys/db.pem"
ARCHIVE = "docker-archive:firmware.tar:firmware:ubuntu-24.04"


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def saved_image(path: Path, tag: str, layers: list[bytes]) -> None:
    """What ``docker save`` wrote before it wrote OCI layouts: a manifest and layer archives."""
    digests = [hashlib.sha256(data).hexdigest() for data in layers]
    diff_ids = [f"sha256:{digest}" for digest in digests]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    names = [f"{digest}/layer.tar" for digest in digests]
    manifest = [{"Config": config_name, "RepoTags": [tag], "Layers": names}]
    files = dict(zip(names, layers, strict=True))
    files[config_name] = config
    files["manifest.json"] = json.dumps(manifest).encode()
    path.write_bytes(layer(files))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signing_pair: SigningPair) -> Path:
    """A folder with keys/db.key, keys/db.pem and a saved firmware image of two layers."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "db.key").write_bytes(signing_pair.key.read_bytes())
    (keys / "db.pem").write_bytes(signing_pair.certificate.read_bytes())
    base = layer({"usr/bin/base": b"base", "etc/os-release": b"ID=ubuntu\n"})
    firmware = layer(
        {
            "usr/lib/firmware/rtw88/rtw8821a_fw.bin": b"firmware" * 600,
            "var/lib/dpkg/status": b"Package: linux-firmware\n",
            "lib/modules/extra": b"moved",
        }
    )
    saved_image(tmp_path / "firmware.tar", "firmware:ubuntu-24.04", [base, firmware])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        f"{KEYS} --output=build firmware-ubuntu-2404 firmware.tar",
        f"{KEYS} --output build firmware-ubuntu-2404 {ARCHIVE}",
        f"firmware-ubuntu-2404 firmware.tar {KEYS} --output=build",
        f"{KEYS} --output=build --arch amd64 --service-load firmware-ubuntu-2404 firmware.tar",
    ],
)
def test_published_command_lines_build_the_last_layer(workplace: Path, line: str) -> None:
    result = sysgraft("ext", "build", *shlex.split(line))
    assert result.code == 0, result.err
    image = workplace / "build/firmware-ubuntu-2404.sysext.raw"
    info = sysgraft("ext", "inspect", image, "--files", "--json").document
    paths = {entry["path"] for entry in info["files"]}
    assert "/usr/lib/firmware/rtw88/rtw8821a_fw.bin" in paths
    assert "/usr/lib/modules/extra" in paths, "what usr-merge links would reach moves under /usr"
    assert not any(path.startswith(("/var", "/etc", "/usr/bin")) for path in paths)
    assert info["extensionRelease"]["firmware-ubuntu-2404"]["ID"] == "_any"
    assert info["extensionRelease"]["firmware-ubuntu-2404"]["ARCHITECTURE"] == "x86-64"
    assert sysgraft("ext", "verify", image, "--certificate", "keys/db.pem").code == 0


@pytest.mark.usefixtures("workplace")
def test_what_is_left_out_is_said() -> None:
    result = sysgraft(*shlex.split("ext build fw firmware.tar --unsigned --output build --json"))
    assert result.code == 0, result.err
    left_out = {item["reason"]: item for item in result.document["leftOut"]}
    assert left_out["layers"]["files"] == 2
    assert left_out["outside"]["files"] == 1
    assert "var/lib/dpkg/status" in " ".join(left_out["outside"]["examples"])


@pytest.mark.usefixtures("workplace")
def test_all_layers_on_request() -> None:
    line = "ext build fw firmware.tar --unsigned --output build --layers all --json"
    document = sysgraft(*shlex.split(line)).document
    assert "layers" not in {item["reason"] for item in document["leftOut"]}
    info = sysgraft("ext", "inspect", "build/fw.sysext.raw", "--files", "--json").document
    assert "/usr/bin/base" in {entry["path"] for entry in info["files"]}


def test_a_folder_laid_out_as_documented(workplace: Path) -> None:
    """The k3s tree of the manual recipe, with its own extension-release and links."""
    tree = workplace / "v1.29.2+k3s1"
    (tree / "usr/lib/extension-release.d").mkdir(parents=True)
    (tree / "usr/lib/extension-release.d/extension-release.k3s-v1.29.2+k3s1").write_text(
        "ID=_any\nARCHITECTURE=x86-64\nEXTENSION_RELOAD_MANAGER=1\n"
    )
    (tree / "usr/local/bin").mkdir(parents=True)
    (tree / "usr/local/bin/k3s").write_bytes(b"\x7fELF")
    (tree / "usr/local/bin/kubectl").symlink_to("./k3s")
    line = "ext build k3s-v1.29.2+k3s1 v1.29.2+k3s1 --private-key=keys/db.key"
    result = sysgraft(*shlex.split(line), "--certificate=keys/db.pem")
    assert result.code == 0, result.err
    image = workplace / "k3s-v1.29.2+k3s1.sysext.raw"
    info = sysgraft("ext", "inspect", image, "--json").document
    fields = info["extensionRelease"]["k3s-v1.29.2+k3s1"]
    assert fields["EXTENSION_RELOAD_MANAGER"] == "1"
    assert sysgraft("ext", "verify", image, "--certificate", "keys/db.pem").code == 0


def test_a_name_that_no_file_daemon_or_registry_has_says_what_to_do(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysgraft.build.sources.daemon.find_daemon", lambda: None)
    with server(lambda _: Reply(404)) as host:
        line = f"{KEYS} --output=build firmware {host}/firmware:ubuntu-24.04"
        result = sysgraft("ext", "build", *shlex.split(line), "--insecure-registry", host)
    assert result.code == 2
    assert f"error: {host}/firmware:ubuntu-24.04: the registry has no image" in result.err
    assert not list((workplace / "build").glob("*"))


def test_a_daemon_that_does_not_answer_is_not_replaced_by_a_registry(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{workplace}/nobody.sock")
    asked: list[Request] = []

    def answer(request: Request) -> Reply:
        asked.append(request)
        return Reply(404)

    with server(answer) as host:
        line = f"{KEYS} --output=build firmware {host}/firmware:ubuntu-24.04"
        result = sysgraft("ext", "build", *shlex.split(line), "--insecure-registry", host)
    assert result.code == 2
    assert "cannot be asked" in result.err
    assert f"docker://{host}/firmware:ubuntu-24.04 reads it from its registry" in result.err
    assert not asked
