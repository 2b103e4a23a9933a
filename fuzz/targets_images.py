"""Targets: extension images and what is in them."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import lzma
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from command import Result, sysgraft
from repair import erofs, gpt, image
from seeds import (
    ASSETS,
    NOW,
    OS_RELEASE,
    ec_identity,
    extension,
    file_system,
    rsa_identity,
    trust,
    with_attributes,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.base.progress import NoProgress
from sysgraft.build.collect import open_tree
from sysgraft.build.resign import Target as Target_
from sysgraft.build.resign import sign_image, unsign_image
from sysgraft.build.sources.model import Options
from sysgraft.cli.ext_inspect import as_json
from sysgraft.errors import LimitError, SysgraftError
from sysgraft.formats import (
    fstype,
    gpt_check,
    image_policy,
    os_release,
    policy_builtin,
    verity,
    verity_signature,
    verity_tree,
)
from sysgraft.formats import gpt as gpt_format
from sysgraft.formats.erofs.lz4_block import decompress_start
from sysgraft.formats.erofs.reader import Reader
from sysgraft.formats.extension_release import Kind, fields_for_host, parse, render
from sysgraft.formats.image_policy_algebra import intersect, union
from sysgraft.image import dissect
from sysgraft.image.content import release_candidates, summarise
from sysgraft.image.difference import compare_images
from sysgraft.image.examination import Examination
from sysgraft.image.extraction import extract_image
from sysgraft.image.inspect import inspect_blob
from sysgraft.image.matching import match_host
from sysgraft.image.merge_order import merge_orders
from sysgraft.image.names import image_name, is_valid, kind_of
from sysgraft.image.policy import Found
from sysgraft.image.policy_assess import Facts, Signature, assess
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.verify.roothash import check_roothash_signature
from target import File, Target, as_text, drain

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "fuzz.sysext.raw"


@functools.cache
def images() -> Sequence[bytes]:
    """Images of sysgraft: signed, unsigned, for /etc."""
    return (extension(), extension(signed=False), extension(kind="confext"))


@functools.cache
def foreign_images() -> Sequence[bytes]:
    """Images that systemd-repart made."""
    names = ("sysext-262", "confext-257", "sysext-257-lz4hc", "sysext-252-squashfs")
    return tuple(lzma.decompress((ASSETS / f"images/{name}.raw.xz").read_bytes()) for name in names)


@functools.cache
def compressed() -> Sequence[bytes]:
    """File systems that mkfs.erofs compressed."""
    files = sorted((Path(__file__).parent / "images").glob("[!a]*.xz"))
    return tuple(lzma.decompress(path.read_bytes()) for path in files)


_MOST_OF_A_BLOCK: Final = 1 << 20


@functools.cache
def blocks() -> Sequence[bytes]:
    """Blocks of LZ4, with and without zeros behind them."""
    lz4 = importlib.import_module("lz4.block")
    texts = (b"some text and some text " * 90, bytes(range(256)) * 4, bytes(60_000))
    made = [bytes(lz4.compress(text, store_size=False)) for text in texts]
    return (*made, made[0] + bytes(100))


def read_block(data: bytes) -> None:
    """The start of a block of LZ4."""
    with suppress(SysgraftError):
        decompress_start(data, _MOST_OF_A_BLOCK)
    for length in (1, 1000):
        assert len(decompress_start(data, length)) == length


def extractable() -> Sequence[bytes]:
    """Images, and bare file systems."""
    return (images()[1], with_attributes(), *compressed()[-2:])


def extraction_repair(data: bytearray) -> None:
    """Of both kinds."""
    image(data)
    erofs(data)


def first_partition(data: bytes) -> bytes:
    """The content of the partition that comes first."""
    table = gpt_format.parse(BytesBlob(data))
    first = min(table.partitions, key=lambda each: each.first_lba)
    return data[first.offset : first.offset + first.size]


def partitions(which: int) -> Sequence[bytes]:
    """The contents of one partition of each image."""
    return tuple(
        data[part.offset : part.offset + part.size]
        for data in images()
        for part in gpt_format.parse(BytesBlob(data)).partitions[which : which + 1]
    )


# --- Tables and file systems ---------------------------------------------------------------------


def read_gpt(data: bytes) -> None:
    """A partition table."""
    blob = BytesBlob(data)
    gpt_format.probe(blob)
    fstype.probe(blob)
    table = gpt_format.parse(blob)
    gpt_check.problems(blob, table)
    gpt_check.regions(table, len(data))
    for at, part in gpt_format.render(table, len(data)):
        assert at + len(part) <= len(data)


def read_dissection(data: bytes) -> None:
    """A disk as systemd would see it."""
    found = dissect.dissect(BytesBlob(data))
    assert isinstance(found.ambiguity, str)
    for member in found.members:
        dissect.part(BytesBlob(data), member)


def read_erofs(data: bytes) -> None:
    """A file system: all of it, then the questions that are asked of one."""
    reader = Reader(BytesBlob(data))
    tree = reader.read_tree(max_entries=20_000)
    for number, (path, inode) in enumerate(tree.items()):
        if inode.content is not None and number < 200:
            drain(inode.content)
        if number < 20:
            reader.lookup(path)
    reader.owners(len(data) // 2, 4096)
    summarise(tree)
    for kind in Kind:
        release_candidates(reader, kind)


# --- dm-verity -----------------------------------------------------------------------------------


def read_verity(data: bytes) -> None:
    """A hash partition."""
    blob = BytesBlob(data)
    superblock = verity.parse_superblock(blob)
    if superblock.levels.size <= len(data):
        verity_tree.check_upper_levels(blob, superblock, bytes(superblock.digest_size))
    assert len(bytes(superblock)) >= 512


def read_verity_signature(data: bytes) -> bool:
    """A signature partition, and the verdict about it."""
    signature = verity_signature.parse(BytesBlob(data))
    again = verity_signature.parse(BytesBlob(verity_signature.render(signature, 4 << 20)))
    assert again.pkcs7 == signature.pkcs7
    return _judged(signature.pkcs7, signature.root_hash)


@functools.cache
def _signed_hashes() -> frozenset[bytes]:
    return frozenset(verity_signature.parse(BytesBlob(part)).root_hash for part in partitions(2))


def _judged(pkcs7: bytes, root_hash: bytes) -> bool:
    store = trust(ec_identity(), rsa_identity())
    verdict = check_roothash_signature(pkcs7, root_hash, fingerprint=None, store=store, now=NOW)
    good = verdict.signature.status == verdict.trust.status == "ok"
    assert not good or root_hash in _signed_hashes(), "a signature holds that nobody made"
    return good


# --- Whole images --------------------------------------------------------------------------------


def read_image(data: bytes) -> None:
    """``ext inspect``."""
    info = inspect_blob(BytesBlob(data), NAME, files=True)
    json.dumps(as_json(info)).encode()


@functools.cache
def _contents() -> frozenset[bytes]:
    return frozenset(hashlib.sha256(part).digest() for part in partitions(0))


def verify(data: bytes) -> bool:
    """``ext verify``: no damaged image may pass, but for the bytes that nobody signs."""
    options = VerifyOptions(
        trust=trust(ec_identity()),
        now=NOW,
        os_release=os_release.parse(OS_RELEASE),
        architecture="x86-64",
    )
    work = Examination(options, NAME, progress=NoProgress())
    work.examine(BytesBlob(data))
    good = all(check.passes for check in work.checks())
    if good:
        found = dissect.dissect(BytesBlob(data))
        assert found.data is not None
        part = dissect.part(BytesBlob(data), found.data)
        value = hashlib.sha256(part.read_at(0, part.size)).digest()
        assert value in _contents(), "an image passes whose content nobody signed"
    return good


IMAGE: Final = File(NAME)
_TRUST: Final = File("db.pem")


def cli_inspect(data: bytes) -> bool:
    """The command line, its text and its exit code."""
    return clean_result(sysgraft("ext", "inspect", IMAGE.put(data), "--files"))


def cli_verify(data: bytes) -> bool:
    """As `cli_inspect`."""
    pem = _TRUST.put(ec_identity().certificate_pem)
    return clean_result(sysgraft("ext", "verify", IMAGE.put(data), "--certificate", pem))


def clean_result(result: Result) -> bool:
    """Whether a command did what was asked; it never does something unexpected."""
    assert result.code in (0, 1, 2), result
    assert "unexpected" not in result.err, result.err
    assert "\x1b" not in result.out + result.err, result
    result.out.encode("utf-8", "backslashreplace")
    return result.code == 0


def read_raw_source(data: bytes) -> None:
    """An image as what another one is made of."""
    with open_tree([f"raw:{IMAGE.put(data)}"], Options(whiteouts="keep")) as found:
        for inode in found.tree.values():
            if inode.content is not None:
                drain(inode.content)


@functools.cache
def _pair() -> SigningPair:
    identity = ec_identity()
    return SigningPair(load_private_key(identity.key_pem), identity.certificate)


RESULT: Final = File("result.raw")


def sign_again(data: bytes) -> None:
    """``ext sign`` and ``ext unsign``: what is written has to be good."""
    path, output = IMAGE.put(data), RESULT.put(b"")
    target = Target_(output, replace=True)
    report = sign_image(path, _pair(), target=target)
    options = VerifyOptions(trust=trust(ec_identity()), now=NOW)
    checks = {each.name: each for each in verify_image(output, options).checks}
    assert checks["verity-tree"].passes, "what was signed is damaged"
    assert checks["signature"].passes, "what was signed is not signed"
    assert report.path == output
    unsign_image(output, target=target)


@functools.cache
def _other_image() -> str:
    return File("other.sysext.raw").put(images()[0])


OUTPUT: Final = File("extracted")
_MOST_EXTRACTED: Final = 8 << 20


def extract(data: bytes) -> None:
    """``ext extract``: nothing may be written but into its folder."""
    path = IMAGE.put(data)
    info = inspect_blob(BytesBlob(data), NAME, files=True)
    content = info.content
    if content is not None and content.content_bytes > _MOST_EXTRACTED:
        raise LimitError("that much is not written to memory")
    folder = Path(OUTPUT.put(b"")).parent
    target = folder / "tree"
    shutil.rmtree(target, ignore_errors=True)
    extract_image(path, target)
    assert sorted(os.listdir(folder)) == ["extracted", "tree"]


def compare(data: bytes) -> bool:
    """``ext diff``."""
    found = compare_images(_other_image(), IMAGE.put(data))
    return found.is_same in (True, False)


# --- Texts ---------------------------------------------------------------------------------------


def read_policy(data: bytes) -> None:
    """An image policy."""
    text = as_text(data)
    whole = image_policy.parse("root=signed+absent:usr=signed+absent")
    found = policy_builtin.parse_or_builtin(text)
    assert image_policy.equivalent(image_policy.parse(found.long_form), found)
    with suppress(SysgraftError):
        intersect(found, whole)
    union(found, whole)
    assess(found, Facts({"root": Found(fstype="erofs"), "root-verity": Found()}, Signature.OK))
    image_policy.parse(text, graceful=True, systemd_version=259)
    for version in (254, 256):
        image_policy.parse(text, systemd_version=version)


def read_release(data: bytes) -> None:
    """os-release and extension-release."""
    fields = os_release.parse(data)
    assert os_release.parse(os_release.render(fields)) == fields
    for kind in Kind:
        found = parse(data, kind)
        render(found)
        assert isinstance(found.reloads_manager, bool)
        host = fields_for_host(fields, kind)
        match_host(found, host, architecture="x86-64", systemd_version=257)


def read_names(data: bytes) -> None:
    """Names of images, and their order."""
    names = as_text(data).split("\n")
    for name in names:
        image_name(name)
        is_valid(name)
        kind_of(name)
    merge_orders(names)


TARGETS: Final = (
    Target(
        name="gpt",
        seeds=lambda: (*images(), *(each[-20480:] for each in images())),
        read=read_gpt,
        repair=gpt,
        weight=20,
    ),
    Target(name="dissect", seeds=images, read=read_dissection, repair=gpt, weight=15),
    Target(
        name="erofs",
        seeds=lambda: (file_system(), file_system(rich=True), with_attributes()),
        read=read_erofs,
        repair=erofs,
        weight=25,
    ),
    Target(name="verity", seeds=lambda: partitions(1), read=read_verity, weight=15),
    Target(
        name="verity-signature",
        seeds=lambda: tuple(part.rstrip(b"\0") + b"\0" for part in partitions(2)),
        read=read_verity_signature,
        tokens=(b'"rootHash"', b'"certificateFingerprint"', b'"signature"', b"\0"),
        weight=20,
    ),
    Target(name="ext-inspect", seeds=images, read=read_image, repair=image, weight=12),
    Target(name="ext-verify", seeds=images, read=verify, repair=image, weight=10),
    Target(name="ext-verify-foreign", seeds=foreign_images, read=verify, repair=image, weight=0.5),
    Target(name="raw-source", seeds=images, read=read_raw_source, repair=image, weight=6),
    Target(name="ext-sign", seeds=images, read=sign_again, repair=image, weight=3),
    Target(name="ext-extract", seeds=extractable, read=extract, repair=extraction_repair, weight=2),
    Target(name="erofs-compressed", seeds=compressed, read=read_erofs, repair=erofs, weight=18),
    Target(name="lz4-block", seeds=blocks, read=read_block, weight=5),
    Target(name="ext-diff", seeds=images, read=compare, repair=image, weight=3),
    Target(
        name="erofs-foreign",
        seeds=lambda: tuple(map(first_partition, foreign_images()[:3])),
        read=read_erofs,
        repair=erofs,
        weight=0.5,
    ),
    Target(name="cli-ext-inspect", seeds=images, read=cli_inspect, repair=image, weight=1),
    Target(name="cli-ext-verify", seeds=images, read=cli_verify, repair=image, weight=1),
    Target(
        name="image-policy",
        seeds=lambda: (
            b"root=verity+signed+encrypted+unprotected+absent:usr=signed+absent:=ignore",
            b"*",
            b"-",
            b"~",
            b"@sysext-strict",
            b"@confext",
            b"esp=unprotected+read-only-on:home=encrypted",
        ),
        read=read_policy,
        tokens=(
            b"root",
            b"usr-verity",
            b"signed",
            b"verity",
            b"unused",
            b"read-only-off",
            b"growfs-on",
        ),
        weight=20,
    ),
    Target(
        name="os-release",
        seeds=lambda: (
            OS_RELEASE,
            b"ID=_any\nEXTENSION_RELOAD_MANAGER=1\nSYSEXT_SCOPE=system portable\n",
        ),
        read=read_release,
        tokens=(b"ID=", b"VERSION_ID=", b"SYSEXT_SCOPE=", b"$'", b"\\\n", b"'\"'", b"export "),
        weight=20,
    ),
    Target(
        name="image-names",
        seeds=lambda: (b"a.sysext.raw\nb.raw\nc\nd.confext.raw\n10-x_1.2~rc1+3", b"x.v\ny.raw"),
        read=read_names,
        tokens=(b".raw", b".sysext", b".confext", b".v", b"_", b"~", b"^", b"+1-2"),
        weight=15,
    ),
)
