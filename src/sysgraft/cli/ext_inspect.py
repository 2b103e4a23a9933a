"""``sysgraft ext inspect``."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sysgraft.base.tree import printable
from sysgraft.cli.content_report import content_json
from sysgraft.cli.output import counted, human_size
from sysgraft.cli.signer import signer_fields
from sysgraft.image.inspect import ImageInfo, SignatureInfo, inspect_image
from sysgraft.image.matching import DEFAULT_SCOPES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sysgraft.base.tree import Inode
    from sysgraft.cli.output import Output
    from sysgraft.formats.extension_release import ExtensionRelease
    from sysgraft.formats.verity import Superblock
    from sysgraft.image.dissect import Member


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Tell what one image is."""
    info = inspect_image(arguments.file, files=arguments.files)
    if out.json_wanted:
        out.json("ext.inspect", 1, as_json(info))
    else:
        _show(info, out)
    return 0


def as_json(info: ImageInfo) -> dict[str, object]:
    """The report as ``sysgraft.ext.inspect/1``."""
    table = info.dissection.table
    document: dict[str, object] = {
        "file": info.file,
        "name": info.name,
        "size": info.size,
        "type": str(info.kind) if info.kind else None,
        "architecture": info.dissection.architecture,
        "diskUuid": str(info.disk_uuid) if info.disk_uuid else None,
        "sectorSize": table.sector_size if table else None,
        "partitions": [_member_json(member) for member in info.members],
        "rootHash": info.root_hash.hex() if info.root_hash else None,
        "verity": _verity_json(info.verity),
        "signature": _signature_json(info.signature),
        "filesystem": _filesystem_json(info),
        "extensionRelease": {name: dict(found.fields) for name, found in info.releases.items()},
        "scopes": {name: list(scopes_of(found)) for name, found in info.releases.items()},
        "content": content_json(info.content) if info.content else None,
        "problems": list(info.problems),
    }
    if info.tree is not None:
        document["files"] = [_file_json(path, inode) for path, inode in sorted(info.tree.items())]
    return document


def _member_json(member: Member) -> dict[str, object]:
    part = member.partition
    return {
        "designator": member.designator,
        "label": part.name,
        "uuid": str(part.uuid),
        "typeUuid": str(part.type_uuid),
        "offset": part.offset,
        "size": part.size,
        "readOnly": part.read_only,
        "growfs": part.growfs,
        "fstype": member.fstype,
    }


def _verity_json(superblock: Superblock | None) -> dict[str, object] | None:
    if superblock is None:
        return None
    return {
        "uuid": str(superblock.uuid),
        "algorithm": superblock.algorithm,
        "salt": superblock.salt.hex(),
        "dataBlocks": superblock.data_blocks,
        "dataBlockSize": superblock.data_block_size,
        "hashBlockSize": superblock.hash_block_size,
    }


def _signature_json(signature: SignatureInfo | None) -> dict[str, object] | None:
    if signature is None:
        return None
    certificate = signature.certificate
    return {
        **signer_fields(signature.issuer, signature.serial, certificate),
        "fingerprint": signature.fingerprint.hex() if signature.fingerprint else None,
        "certificateIncluded": certificate is not None,
        "notBefore": _rfc3339(certificate.not_before) if certificate else None,
        "notAfter": _rfc3339(certificate.not_after) if certificate else None,
        "size": signature.size,
    }


def _filesystem_json(info: ImageInfo) -> dict[str, object] | None:
    if info.filesystem is None:
        data = info.dissection.data
        kind = data.fstype if data else info.dissection.bare_fstype
        return {"type": kind} if kind else None
    return {
        "type": "erofs",
        "uuid": str(info.filesystem.uuid),
        "blockSize": info.filesystem.block_size,
        "buildTime": _timestamp(info.filesystem.build_time),
    }


def _file_json(path: bytes, inode: Inode) -> dict[str, object]:
    entry: dict[str, object] = {
        "path": f"/{printable(path)}",
        "mode": f"{inode.mode:06o}",
        "uid": inode.uid,
        "gid": inode.gid,
        "modified": _timestamp(inode.mtime),
    }
    if inode.content is not None:
        entry["size"] = inode.content.size
    if inode.is_symlink:
        entry["target"] = printable(inode.target)
    if inode.xattrs:
        entry["xattrs"] = {printable(name): value.hex() for name, value in inode.xattrs}
    return entry


def _timestamp(seconds: int) -> str | None:
    """RFC 3339 in UTC; None for times outside its four-digit years."""
    try:
        return _rfc3339(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _show(info: ImageInfo, out: Output) -> None:
    out.text(f"{info.file}  ({human_size(info.size)})")
    out.table(list(_facts(info)), indent=2)
    if info.members:
        out.text()
        out.table([("partition", "uuid", "size", "fstype"), *_partition_rows(info)], indent=2)
    if info.tree is not None:
        out.text()
        for path, inode in sorted(info.tree.items()):
            out.text(f"  {_listing(path, inode)}")
    for problem in info.problems:
        out.text(f"  note: {problem}")


def _facts(info: ImageInfo) -> Iterator[tuple[str, str]]:
    yield "name", info.name
    yield "type", str(info.kind or "unknown")
    yield "architecture", info.dissection.architecture or "none named"
    if info.disk_uuid:
        yield "image uuid", str(info.disk_uuid)
    yield from _release_facts(info)
    if info.root_hash:
        yield "root hash", info.root_hash.hex()
    if info.verity:
        verity = info.verity
        yield "verity", f"{verity.algorithm}, {counted(verity.data_blocks, 'block')}"
    yield "signed by", _signer(info.signature)
    if info.content:
        content = info.content
        size = human_size(content.content_bytes)
        counts = f"{counted(content.files, 'file')}, {counted(content.symlinks, 'link')}"
        yield "content", f"{counts}, {size}"


def _release_facts(info: ImageInfo) -> Iterator[tuple[str, str]]:
    """One line for each different release file, however many names it has."""
    names: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, release in info.releases.items():
        names.setdefault(tuple(release.fields.items()), []).append(name)
    for same in names.values():
        release = info.releases[same[0]]
        fields = " ".join(f"{key}={value}" for key, value in release.fields.items())
        yield f"release {', '.join(same)}", fields
        yield "use as", f"{release.kind} for {', '.join(scopes_of(release)) or 'nothing'}"


def scopes_of(release: ExtensionRelease) -> tuple[str, ...]:
    """Where systemd would merge it: system, portable, initrd."""
    return DEFAULT_SCOPES if release.scopes is None else release.scopes


def _signer(signature: SignatureInfo | None) -> str:
    if signature is None:
        return "nobody"
    identity = signature.signer
    if signature.certificate is None:
        return f"{identity} (certificate not included)"
    until = f"{signature.certificate.not_after:%Y-%m-%d}"
    return f"{signature.certificate.subject} until {until}, {identity}"


def _partition_rows(info: ImageInfo) -> Iterator[tuple[str, str, str, str]]:
    for member in info.members:
        part = member.partition
        yield part.name, str(part.uuid), human_size(part.size), member.fstype or "-"


def _listing(path: bytes, inode: Inode) -> str:
    size = inode.content.size if inode.content is not None else 0
    target = f" -> {printable(inode.target)}" if inode.is_symlink else ""
    owner = f"{inode.uid}:{inode.gid}"
    return f"{stat.filemode(inode.mode)} {owner:>7} {size:>12} /{printable(path)}{target}"
