"""Container images in the making: layers, OCI layouts, docker-archives; and what a tree holds."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sysgraft.build.collect import Collected, Options, open_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar"
Items = dict[str, bytes | str]


def tar_of(items: Mapping[str, bytes | str]) -> bytes:
    """An archive of files (bytes), symbolic links (``->x``) and hard links (``=x``)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in items.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
                continue
            info.type = tarfile.SYMTYPE if data.startswith("->") else tarfile.LNKTYPE
            info.linkname = data.removeprefix("->").removeprefix("=")
            archive.addfile(info)
    return out.getvalue()


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Layout:
    """An OCI layout in the making."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: list[dict[str, object]] = field(default_factory=list)

    def put(self, data: bytes, media_type: str = LAYER) -> dict[str, object]:
        self.blobs[sha256(data)] = data
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}

    def put_json(self, value: object, kind: str) -> dict[str, object]:
        return self.put(json.dumps(value).encode(), f"application/vnd.oci.image.{kind}.v1+json")

    def manifest(
        self,
        *layers: bytes,
        arch: str = "amd64",
        pack: Callable[[bytes], bytes] = bytes,
        diff_ids: list[str] | None = None,
    ) -> dict[str, object]:
        stated = [sha256(layer) for layer in layers] if diff_ids is None else diff_ids
        config = {"architecture": arch, "os": "linux", "rootfs": {"diff_ids": stated}}
        manifest = {
            "schemaVersion": 2,
            "config": self.put_json(config, "config"),
            "layers": [self.put(pack(layer)) for layer in layers],
        }
        return self.put_json(manifest, "manifest")

    def add(self, descriptor: dict[str, object], **extra: object) -> Layout:
        self.manifests.append({**descriptor, **extra})
        return self

    def files(self) -> dict[str, bytes]:
        return {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps({"schemaVersion": 2, "manifests": self.manifests}).encode(),
            **{f"blobs/{name.replace(':', '/')}": data for name, data in self.blobs.items()},
        }

    def write(self, path: Path) -> str:
        for name, data in self.files().items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return str(path)


def docker_archive(
    path: Path,
    *layers: bytes,
    tags: list[str] | None = None,
    diff_ids: list[str] | None = None,
    pack: Callable[[bytes], bytes] = bytes,
) -> str:
    stated = [sha256(layer) for layer in layers] if diff_ids is None else diff_ids
    config = json.dumps({"architecture": "arm64", "rootfs": {"diff_ids": stated}}).encode()
    name = sha256(config).removeprefix("sha256:")
    names = [sha256(layer).removeprefix("sha256:") + ".tar" for layer in layers]
    manifest = [{"Config": f"{name}.json", "RepoTags": tags, "Layers": names}]
    items: dict[str, bytes | str] = {f"{name}.json": config}
    items.update(zip(names, layers, strict=True))
    path.write_bytes(pack(tar_of({**items, "manifest.json": json.dumps(manifest).encode()})))
    return str(path)


def contents(collected: Collected) -> dict[str, bytes | None]:
    """Paths and data of the tree, without folders."""
    return {
        path.decode(): inode.content.read_at(0, inode.content.size) if inode.content else None
        for path, inode in collected.tree.items()
        if not inode.is_dir
    }


def files(argument: str, options: Options | None = None) -> dict[str, bytes | None]:
    with open_tree([argument], options or Options()) as collected:
        return contents(collected)
