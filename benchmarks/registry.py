"""The registry part of the benchmarks: from a docker-registry on loopback to a signed image.

The image has one layer, the firmware tree as tar, compressed by ``gzip -6`` as Docker does. What
building from it is held against is the slowest of three things that have to be done with it: curl
fetches the layer, gunzip decompresses it, sha256sum hashes what comes out. Each of the three reads
what the others would leave, and writes nothing but what curl fetches.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from measure import Command
from uki import SYSGRAFT, fresh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER: Final = "docker-registry"


class RegistryBench:
    """The commands, all in one tmpfs folder.

    Args:
        work: the folder, with ``bench.key`` and ``bench.pem``.
        tree: what the layer holds.
    """

    def __init__(self, work: Path, tree: Path) -> None:
        self._pair = (work / "bench.key", work / "bench.pem")
        self._work = work / "registry"
        self._work.mkdir()
        self._tree = tree

    @contextlib.contextmanager
    def build(self) -> Iterator[list[Command]]:
        """Building from the registry, and the three; it runs as long as the context lasts."""
        layer, digest = self._layer()
        with self._served() as host:
            self._push(layer, digest, host)
            yield self._commands(host, digest)

    def _commands(self, host: str, digest: str) -> list[Command]:
        work = self._work
        key, certificate = self._pair
        ours = [SYSGRAFT, "ext", "build", "served", f"docker://{host}/firmware:1"]
        ours += [f"--insecure-registry={host}", f"--output={work}"]
        ours += [f"--private-key={key}", f"--certificate={certificate}"]
        fetched = work / "fetched"
        curl = ["curl", "-sf", "-o", str(fetched), f"http://{host}/v2/firmware/blobs/{digest}"]
        unpack = f"gunzip -c < {work}/layer.gz > /dev/null"
        return [
            fresh("sysgraft", ours, work / "served.sysext.raw"),
            fresh("download", curl, fetched),
            Command("gunzip", ["sh", "-c", unpack]),
            Command("hash", ["sha256sum", str(work / "layer.tar")]),
        ]

    def _layer(self) -> tuple[Path, str]:
        """The compressed layer, and its digest."""
        tar, packed = self._work / "layer.tar", self._work / "layer.gz"
        pack = ["tar", "--sort=name", "--owner=0", "--group=0", "-cf", str(tar), "-C"]
        subprocess.run([*pack, str(self._tree), "usr"], check=True)
        with packed.open("wb") as file:
            subprocess.run(["gzip", "-6", "-n", "-c", str(tar)], check=True, stdout=file)
        return packed, digest_of(packed)

    def _push(self, layer: Path, digest: str, host: str) -> None:
        """An OCI layout around the layer, copied into the registry."""
        layout = self._work / "layout"
        blobs = layout / "blobs/sha256"
        blobs.mkdir(parents=True)
        os.link(layer, blobs / digest.partition(":")[2])
        rootfs = {"type": "layers", "diff_ids": [digest_of(self._work / "layer.tar")]}
        config = put(blobs, {"architecture": "amd64", "os": "linux", "rootfs": rootfs}, "config")
        kind = "application/vnd.oci.image.layer.v1.tar+gzip"
        described = {"mediaType": kind, "digest": digest, "size": layer.stat().st_size}
        manifest = {"schemaVersion": 2, "config": config, "layers": [described]}
        index = {"schemaVersion": 2, "manifests": [put(blobs, manifest, "manifest")]}
        (layout / "index.json").write_text(json.dumps(index))
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--preserve-digests"]
        target = f"docker://{host}/firmware:1"
        subprocess.run([*copy, "--dest-tls-verify=false", f"oci:{layout}", target], check=True)

    @contextlib.contextmanager
    def _served(self) -> Iterator[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = self._work / "registry.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self._work}/images}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n"
        )
        process = subprocess.Popen([SERVER, "serve", str(config)], stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def put(blobs: Path, value: object, kind: str) -> dict[str, object]:
    """Store a JSON document; its descriptor."""
    data = json.dumps(value).encode()
    name = hashlib.sha256(data).hexdigest()
    (blobs / name).write_bytes(data)
    media_type = f"application/vnd.oci.image.{kind}.v1+json"
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("the registry does not listen")
