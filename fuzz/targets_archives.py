"""Targets: archives, packages, compressed data, container images and what registries say."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import stat
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from image_kit import Layout, docker_archive, tar_of
from repair import cpio as repair_cpio
from repair import tar as repair_tar
from seeds import FILES, OS_RELEASE
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode, check_tree
from sysgraft.build.collect import open_tree
from sysgraft.build.rootfs import open_rootfs, pack
from sysgraft.build.sources.model import Options, Workspace
from sysgraft.build.sources.spec import resolve
from sysgraft.errors import SysgraftError
from sysgraft.formats import ar, cpio, cpio_reader, deb, docker_config, kairos_catalog, oci
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.http_challenge import parse_challenges
from sysgraft.formats.image_reference import parse_reference
from sysgraft.formats.stream import BlobSource
from sysgraft.formats.tar import TarReader
from sysgraft.formats.version_constraint import parse_constraint, parse_version
from sysgraft.host.spool import Spool
from sysgraft.transport.authorization import authorize
from sysgraft.transport.pools import Pools
from sysgraft.transport.waiting import seconds_of
from target import File, Target, as_header, as_text, drain

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIB: Final = 1 << 20
_SMALL: Final = Limits(output=8 * _MIB, free=_MIB, ratio=200)
_HEX: Final = "ab" * 32


# --- Archives ------------------------------------------------------------------------------------


def _member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), 1_700_000_000, 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(data)


def make_tar(form: int, *, links: bool = True, prefix: str = "") -> bytes:
    """An archive with one of each kind."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        archive.addfile(*_member(f"{prefix}usr", type=tarfile.DIRTYPE, mode=0o755))
        for name, data in FILES.items():
            archive.addfile(*_member(prefix + name, data[:700]))
        archive.addfile(*_member(f"{prefix}usr/{'long/' * 45}name", b"x"))
        if form == tarfile.PAX_FORMAT:
            headers = {
                "SCHILY.xattr.user.one": "value",
                "mtime": "1700000000.123456789",
                "path": f"{prefix}usr/é",
                "uid": "70000",
            }
            archive.addfile(*_member("usr/e", b"pax", pax_headers=headers))
        if links:
            target = f"{prefix}usr/lib/firmware/two.bin"
            archive.addfile(*_member(f"{prefix}usr/hard", type=tarfile.LNKTYPE, linkname=target))
            archive.addfile(*_member(f"{prefix}usr/soft", type=tarfile.SYMTYPE, linkname="t" * 120))
            archive.addfile(*_member(f"{prefix}lib", type=tarfile.SYMTYPE, linkname="usr/lib"))
            archive.addfile(*_member(f"{prefix}usr/.wh.gone"))
            archive.addfile(*_member(f"{prefix}usr/lib/.wh..wh..opq"))
    return out.getvalue()


@functools.cache
def tars() -> Sequence[bytes]:
    """Archives of three dialects."""
    forms = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    few = tar_of({"usr/a": b"a", "usr/b": "->a", "usr/c": "=usr/a"})
    return (*map(make_tar, forms[1:]), few)


def read_tar(data: bytes) -> None:
    """An archive, member by member."""
    reader = TarReader(BlobSource(BytesBlob(data)))
    for member in reader:
        assert len(reader.read(member.size)) == member.size


TAR: Final = File("layer.tar")


def _collect(path: str, options: Options) -> None:
    with open_tree([path], options) as found:
        check_tree(found.tree)
        for place, inode in found.tree.items():
            assert place == b"" or place.split(b"/")[0] == b"usr", place
            assert b".." not in place.split(b"/")
            if inode.content is not None:
                drain(inode.content)


def read_tar_source(data: bytes) -> None:
    """An archive as what an extension is made of."""
    _collect(TAR.put(data), Options(whiteouts="keep", layers="all"))


def read_rootfs(data: bytes) -> None:
    """An archive as a root file system that becomes an initrd."""
    path = TAR.put(data)
    with Spool() as spool, ExitStack() as stack:
        workspace = Workspace(Options(kind="root", layers="all"), spool, (b"",))
        found = open_rootfs(resolve(path), workspace, stack)
        drain(pack(found, workspace, level=1))


@functools.cache
def roots() -> Sequence[bytes]:
    """Root file systems."""
    files: dict[str, bytes | str] = {
        "usr/lib/systemd/systemd": b"\x7fELF",
        "usr/lib/os-release": OS_RELEASE,
        "etc/os-release": "->../usr/lib/os-release",
        "boot/vmlinuz-6": b"MZ" + bytes(600),
        "usr/lib/modules/6/vmlinuz": b"MZ" + bytes(600),
        "dev/x": b"",
        ".dockerenv": b"",
        "sbin": "->usr/sbin",
    }
    return (tar_of(files), gzip.compress(tar_of(files), 1, mtime=0))


@functools.cache
def cpios() -> Sequence[bytes]:
    """Archives of an initrd, one behind the other."""
    one = b"".join(
        cpio.plan(
            {
                b"": Inode(stat.S_IFDIR | 0o755),
                b"d": Inode(stat.S_IFDIR | 0o755),
                b"d/f": Inode(stat.S_IFREG | 0o644, content=BytesBlob(b"hello" * 30)),
                b"l": Inode(stat.S_IFLNK | 0o777, target=b"d/f"),
                b"n": Inode(stat.S_IFCHR | 0o600, rdev=(1, 3)),
            }
        ).chunks()
    )
    return (one, one + bytes(12) + one, one.replace(b"070701", b"070702"))


def read_cpio(data: bytes) -> None:
    """Archives behind one another."""
    blob = BytesBlob(data)
    assert 0 <= cpio_reader.plain_size(blob) <= len(data)
    for entry in cpio_reader.entries(blob):
        assert b"\0" not in entry.name
        drain(entry.data)


# --- Packages ------------------------------------------------------------------------------------


def make_deb(pack: str) -> bytes:
    """A Debian package whose data is compressed so."""
    control = b"Package: fuzz\nVersion: 1:2.3-4\nArchitecture: amd64\nDescription: one\n two\n .\n"
    data = make_tar(tarfile.GNU_FORMAT, prefix="./")
    packed = {"gz": lambda d: gzip.compress(d, 1, mtime=0), "xz": lzma.compress}[pack](data)
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": gzip.compress(tar_of({"./control": control}), 1, mtime=0),
        f"data.tar.{pack}": packed,
    }
    out = b"!<arch>\n"
    for name, part in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode()
        out += part + b"\n" * (len(part) % 2)
    return out


DEB: Final = File("fuzz.deb")


def read_deb(data: bytes) -> None:
    """A package, and the tree that is made of it."""
    blob = BytesBlob(data)
    for member in ar.read_members(blob):
        assert member.name
    assert deb.read_package(blob).data.size >= 0
    _collect(DEB.put(data), Options(whiteouts="drop"))


def read_control(data: bytes) -> None:
    """The control file of a package."""
    deb.parse_control(data)


# --- Compressed data -----------------------------------------------------------------------------


@functools.cache
def streams() -> Sequence[bytes]:
    """Something, compressed in each way."""
    data = b"".join(b"%d and some text\n" % number for number in range(200))
    checked = {int(zstd.CompressionParameter.checksum_flag): 1}
    return (
        gzip.compress(data, mtime=0) * 2,
        lzma.compress(data),
        lzma.compress(data, check=lzma.CHECK_SHA256) + bytes(4),
        lzma.compress(data, lzma.FORMAT_ALONE),
        bz2.compress(data),
        zstd.compress(data, options=checked),
        zstd.compress(data) + b"\x50\x2a\x4d\x18\4\0\0\0skip" + zstd.compress(b"more"),
    )


def read_stream(data: bytes) -> None:
    """A compressed stream, in pieces and over stretches that are passed over."""
    kind = detect(data[:HEAD_SIZE])
    if kind is Compression.NONE:
        raise SysgraftError("not compressed")
    for step in (1 << 16, 7000):
        stream = Decompressor(BlobSource(BytesBlob(data)), kind, Allowance(_SMALL))
        total = 0
        while piece := stream.read(step):
            total += len(piece) + stream.skip(100)
        assert total <= _SMALL.output


@functools.cache
def bombs() -> Sequence[bytes]:
    """A little that becomes very much."""
    zeros = bytes(16 * _MIB)
    packers = (lzma.compress, bz2.compress, zstd.compress, lambda d: gzip.compress(d, mtime=0))
    return tuple(pack(zeros) * 25 for pack in packers)


def read_bomb(data: bytes) -> None:
    """A bomb, as the layer that it might be."""
    read_tar_source(data)


# --- Container images ----------------------------------------------------------------------------


@functools.cache
def layouts() -> Sequence[bytes]:
    """OCI layouts as archives."""
    layers = (
        tar_of({"usr/a": b"a", "usr/x/b": b"b"}),
        tar_of({"usr/x/.wh.b": b"", "usr/c": "->a"}),
    )
    one = Layout()
    one.add(one.manifest(*layers), annotations={"org.opencontainers.image.ref.name": "one"})
    two = Layout()
    for arch in ("amd64", "arm64"):
        platform = {"architecture": arch, "os": "linux"}
        two.add(
            two.manifest(*layers, arch=arch, pack=lambda d: gzip.compress(d, mtime=0)),
            platform=platform,
        )
    return tuple(tar_of(each.files()) for each in (one, two))


@functools.cache
def saved() -> Sequence[bytes]:
    """What ``docker save`` writes."""
    layers = (tar_of({"usr/a": b"a"}), make_tar(tarfile.GNU_FORMAT))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "saved.tar")
        docker_archive(path, *layers, tags=["fuzz:1", "example.org/a/b:latest"])
        return (path.read_bytes(),)


SAVED: Final = File("saved.tar")


def read_docker_archive(data: bytes) -> None:
    """A saved image, both as what it is and by its last layer."""
    path = SAVED.put(data)
    _collect(
        f"docker-archive:{path}", Options(layers="all", whiteouts="drop", architecture="arm64")
    )


def read_oci_archive(data: bytes) -> None:
    """An OCI layout."""
    path = SAVED.put(data)
    _collect(f"oci-archive:{path}", Options(layers="all", whiteouts="drop", architecture="x86-64"))


@functools.cache
def _base() -> str:
    return File("base.tar").put(saved()[0])


def read_since(data: bytes) -> None:
    """What a saved image has that another one has not."""
    options = Options(whiteouts="drop", architecture="arm64", since=f"docker-archive:{_base()}")
    _collect(f"docker-archive:{SAVED.put(data)}", options)


@functools.cache
def grown() -> Sequence[bytes]:
    """The saved image with a further layer."""
    layers = (tar_of({"usr/a": b"a"}), make_tar(tarfile.GNU_FORMAT), tar_of({"usr/new": b"new"}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "saved.tar")
        docker_archive(path, *layers, tags=["fuzz:2"])
        return (path.read_bytes(),)


def read_any_source(data: bytes) -> None:
    """A file that nobody says the kind of."""
    _collect(SAVED.put(data), Options(layers="last", whiteouts="drop", architecture="x86-64"))


def _documents() -> Sequence[bytes]:
    files = Layout()
    files.add(files.manifest(b"layer"), platform={"architecture": "amd64", "os": "linux"})
    found = [d for n, d in files.files().items() if d[:1] in (b"{", b"[")]
    saved_images = [
        {"Config": f"{_HEX}.json", "RepoTags": ["a:1"], "Layers": [f"{_HEX}/layer.tar"]}
    ]
    return (*found, json.dumps(saved_images).encode(), f"sha256:{_HEX}".encode())


def read_documents(data: bytes) -> None:
    """Every document of a container image, whatever it is."""
    refused = 0
    parsers = (oci.parse_layout, oci.parse_index, oci.parse_manifest, oci.parse_config)
    for parse in (*parsers, oci.parse_saved_images):
        try:
            parse(data)
        except SysgraftError:
            refused += 1
    try:
        oci.is_index(data)
    except SysgraftError:
        refused += 1
    for check in (oci.check_layer_type, oci.parse_digest):
        try:
            check(as_text(data))
        except SysgraftError:
            refused += 1
    if refused == 8:
        raise SysgraftError("refused by all of them")


# --- What registries and catalogs say ------------------------------------------------------------


def read_reference(data: bytes) -> None:
    """The name of an image."""
    found = parse_reference(as_text(data))
    assert parse_reference(str(found)) == found
    assert found.endpoint
    assert found.manifest


def read_docker_config(data: bytes) -> None:
    """Docker's config.json."""
    found = docker_config.parse_docker_config(data)
    for host in ("docker.io", "registry.example.org:5000", "a"):
        found.credentials(host, "library/debian")
        found.helper(host)


def read_helper(data: bytes) -> None:
    """What a credential helper answers."""
    docker_config.parse_helper_answer(data)


class _Refusal:
    """An answer of status 401 with a header."""

    status = 401
    host = "registry.example.org"

    def __init__(self, header: str) -> None:
        self._header = header

    def header(self, _name: str) -> str:
        return self._header


class _Token:
    """An answer of the token server."""

    status = 200
    host = "auth.example.org"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_all(self, limit: int) -> bytes:
        return self._data[:limit]


@functools.cache
def _pools() -> Pools:
    return Pools([])


class _Http:
    """Asks nobody; the realm comes from the other side, so it may be any text."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def get(self, url: str, headers: object) -> _Token:
        _pools().for_url(url)
        assert headers is not None
        return _Token(self._answer)


def read_challenge(data: bytes) -> None:
    """WWW-Authenticate, and the token server's answer behind it, split at a NUL."""
    header, _, answer = data.partition(b"\0")
    parse_challenges(as_header(header))
    refusal = _Refusal(as_header(header))
    authorize(_Http(answer), refusal, credentials=None, scope="repository:a:pull")  # type: ignore[arg-type]


def read_retry_after(data: bytes) -> None:
    """Retry-After."""
    seconds = seconds_of(as_header(data), now=1_790_000_000.0)
    assert seconds is None or seconds >= 0


def read_constraint(data: bytes) -> None:
    """A constraint, and versions held against it, a line each."""
    first, *rest = as_text(data).split("\n")
    for each in rest:
        parse_version(each)
    meets = parse_constraint(first)
    for each in rest:
        version = parse_version(each)
        if version is not None:
            meets(version)


def _catalog() -> bytes:
    place = {"x86-64": {"oci": f"example.org/a/b@sha256:{_HEX}"}}
    tags = [{"tag": f"1.{n}.0", "sysext": place, "confext": place} for n in range(4)]
    return json.dumps({"layers": [{"name": "fuzz", "latest": "1.3.0", "tags": tags}]}).encode()


def read_catalog(data: bytes) -> None:
    """A catalog of Kairos."""
    found = kairos_catalog.parse_catalog(data)
    asked = 0
    for name in list(found.layers)[:4]:
        for version in ("", "1.2.0", "^1.1", ">=1, <2 || 3.x"):
            try:
                found.find(name, version, kind="sysext", architecture="x86-64")
            except SysgraftError:
                asked += 1


TARGETS: Final = (
    Target(name="tar", seeds=tars, read=read_tar, repair=repair_tar, weight=30),
    Target(name="tar-source", seeds=tars, read=read_tar_source, repair=repair_tar, weight=15),
    Target(name="rootfs", seeds=roots, read=read_rootfs, repair=repair_tar, weight=8),
    Target(name="cpio", seeds=cpios, read=read_cpio, repair=repair_cpio, weight=30),
    Target(
        name="deb",
        seeds=lambda: (make_deb("gz"), make_deb("xz")),
        read=read_deb,
        tokens=(b"debian-binary", b"control.tar", b"data.tar.zst", b"`\n", b"2.1\n"),
        weight=10,
    ),
    Target(
        name="deb-control",
        seeds=lambda: (b"Package: a\nVersion: 1\nArchitecture: all\nX-More: a\n b\n",),
        read=read_control,
        tokens=(b"Package:", b"Architecture: ", b"\n ", b"\n\n"),
        weight=10,
    ),
    Target(name="compression", seeds=streams, read=read_stream, weight=25),
    Target(name="bombs", seeds=bombs, read=read_bomb, weight=0.01),
    Target(
        name="docker-archive", seeds=saved, read=read_docker_archive, repair=repair_tar, weight=10
    ),
    Target(name="oci-archive", seeds=layouts, read=read_oci_archive, repair=repair_tar, weight=10),
    Target(name="since-source", seeds=grown, read=read_since, repair=repair_tar, weight=3),
    Target(
        name="any-source",
        seeds=lambda: (*saved(), *layouts(), *tars()),
        read=read_any_source,
        repair=repair_tar,
        weight=10,
    ),
    Target(
        name="oci-documents",
        seeds=_documents,
        read=read_documents,
        tokens=(
            b'"manifests"',
            b'"layers"',
            b'"digest"',
            b'"sha512:',
            b'"mediaType"',
            b'"platform"',
        ),
        weight=20,
    ),
    Target(
        name="image-reference",
        seeds=lambda: (
            b"debian",
            b"example.org:5000/a/b:1.2",
            f"a/b@sha256:{_HEX}".encode(),
            b"[::1]:80/x",
        ),
        read=read_reference,
        tokens=(b"docker.io/", b"localhost", b":latest", b"@sha256:", b"library/", b"[::1]"),
        weight=15,
    ),
    Target(
        name="docker-config",
        seeds=lambda: (
            (
                b'{"auths": {"docker.io": {"auth": "YTpi"}, "https://index.docker.io/v1/": '
                b'{"identitytoken": "x"}}, "credsStore": "pass", "credHelpers": {"a": "b"}}'
            ),
        ),
        read=read_docker_config,
        tokens=(b'"auth"', b'"auths"', b"YTpi", b"Og==", b'"credHelpers"', b'"username"'),
        weight=10,
    ),
    Target(
        name="credential-helper",
        seeds=lambda: (b'{"ServerURL": "a", "Username": "<token>", "Secret": "s"}',),
        read=read_helper,
        tokens=(b'"Username"', b'"Secret"', b"<token>"),
        weight=5,
    ),
    Target(
        name="http-challenge",
        seeds=lambda: (
            (
                b'Bearer realm="https://auth.example.org/token",service="r",scope="a:b:pull"\0'
                b'{"token": "abc", "access_token": "d"}'
            ),
            b'Basic realm="x", Digest nonce=1\0{}',
        ),
        read=read_challenge,
        tokens=(
            b"Bearer ",
            b"Basic ",
            b'realm="',
            b"https://",
            b"[::1",
            b":99999/",
            b'\\"',
            b"//[",
            b"@",
        ),
        weight=15,
    ),
    Target(
        name="retry-after",
        seeds=lambda: (b"120", b"Fri, 27 Nov 2026 10:00:00 GMT", b"0"),
        read=read_retry_after,
        tokens=(b"Nov", b"GMT", b"+9999", b"1.5", b"inf", b"nan", b"\xb2", b"Feb 30", b"99:99:99"),
        weight=10,
    ),
    Target(
        name="version-constraint",
        seeds=lambda: (b">=1.2, <2 || ~3.1\n1.2.3\nv1.9.0-rc.1+5", b"^1.x\n1.0.0", b"*\n2"),
        read=read_constraint,
        tokens=(b"||", b">=", b"!=", b"~>", b"^", b" - ", b".x", b"*", b"-rc.1", b"+b"),
        weight=15,
    ),
    Target(
        name="kairos-catalog",
        seeds=lambda: (_catalog(),),
        read=read_catalog,
        tokens=(b'"layers"', b'"tags"', b'"tag"', b'"sysext"', b'"oci"', b"@sha256:"),
        weight=10,
    ),
)
