"""Targets: EFI executables and kernels."""

from __future__ import annotations

import functools
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from command import sysgraft
from executables import make_pe, signed_pe, uki_pieces
from seeds import NOW, ec_identity, public_pem, rsa_identity, trust, uki
from sysgraft.base.blob import BytesBlob, chunks
from sysgraft.build.resign import Target as SignTarget
from sysgraft.build.uki_sign import sign_executable
from sysgraft.errors import SysgraftError
from sysgraft.formats import (
    authenticode_digest,
    linux_image,
    pe,
    pe_image,
)
from sysgraft.formats import uki as uki_format
from sysgraft.formats.pe_layout import layout_problem
from sysgraft.image.uki_inspect import inspect_uki
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_blob, verify_uki
from sysgraft.seal.image import read_uki
from sysgraft.seal.material import Source
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.verify import trust as trust_store
from sysgraft.testing.efivars import certificate_list
from target import File, Target, drain
from targets_images import clean_result
from targets_sections import _OWNER, devicetrees, firmware, hardware

if TYPE_CHECKING:
    from collections.abc import Sequence


@functools.cache
def ukis() -> Sequence[bytes]:
    """UKIs with and without signatures and profiles."""
    further = [
        (".dtb", devicetrees()[0]),
        (".dtbauto", devicetrees()[0]),
        (".hwids", hardware()[0]),
        (".efifw", firmware()[0]),
        (".pcrsig", b'{"sha256":[{"pcrs":[11],"pkfp":"00","pol":"11","sig":"AAAA"}]}'),
        (".pcrpkey", public_pem(rsa_identity())),
        (".uname", b"6.1"),
        (".splash", b"BM"),
    ]
    rich = signed_pe(make_pe(uki_pieces(*further), alignment=64), ec_identity())
    return (uki(), uki(signatures=2, more=True), uki(signatures=0, more=True), rich)


def read_pe(data: bytes) -> None:
    """An executable: headers, sections, what is hashed of it."""
    blob = BytesBlob(data)
    pe.looks_like_pe(data[:64])
    image = pe.parse(blob)
    layout_problem(image)
    for section in image.sections:
        drain(pe.section_blob(blob, section))
    uki_format.kind_of(image)
    pe_image.nx_compatible(blob, image)
    covered = authenticode_digest.coverage(image)
    authenticode_digest.compute(blob, covered, ["sha256"])
    authenticode_digest.filled_gaps(blob, covered)


def read_uki_sections(data: bytes) -> None:
    """A UKI as the stub sees it."""
    blob = BytesBlob(data)
    image = pe.parse(blob)
    uki_format.stub_of(blob, image)
    for profile in uki_format.profiles(image.sections):
        for section in profile:
            if section.name in uki_format.TEXT:
                uki_format.read_text(blob, section)
            uki_format.checked_content(blob, section)
    read_uki(Source("x.efi", "x.efi", blob))
    with suppress(SysgraftError):
        read_uki(Source("x.efi", "x.efi", blob), profile=1)


EXECUTABLE: Final = File("fuzz.efi")


def inspect(data: bytes) -> None:
    """``uki inspect``."""
    info = inspect_uki(EXECUTABLE.put(data), texts=(".linux",))
    for profile in range(min(info.profiles, 5)):
        info.seen_by(profile)


def _digest(data: bytes) -> bytes:
    blob = BytesBlob(data)
    covered = authenticode_digest.coverage(pe.parse(blob))
    return authenticode_digest.compute(blob, covered, ["sha256"])["sha256"]


@functools.cache
def _digests() -> frozenset[bytes]:
    return frozenset(map(_digest, ukis()))


def verify(data: bytes) -> bool:
    """``uki verify``: nothing may pass that nobody signed."""
    store = trust(ec_identity()) | trust_store.from_dbx(
        certificate_list(ec_identity("revoked").certificate.der, owner=_OWNER), "dbx"
    )
    result = verify_blob(BytesBlob(data), "it", UkiVerifyOptions(trust=store, now=NOW))
    assert not result.ok or _digest(data) in _digests(), "an executable passes that nobody signed"
    return result.ok


RESULT: Final = File("result.efi")


def sign_again(data: bytes) -> None:
    """``uki sign``: what is written has to be signed."""
    identity = ec_identity()
    pair = SigningPair(load_private_key(identity.key_pem), identity.certificate)
    output = RESULT.put(b"")
    # Others' signatures may be damaged, and then nobody takes the executable.
    target = SignTarget(output, replace=True)
    sign_executable(EXECUTABLE.put(data), pair, target=target, drop_others=True)
    result = verify_uki(output, UkiVerifyOptions(trust=trust(identity), now=NOW))
    checks = {each.name: each for each in result.checks}
    # What no firmware loads can be signed all the same.
    good = checks["signature"].passes or not checks["pe"].passes
    assert good, (checks, "what was signed is not signed")


def build(data: bytes) -> bool:
    """``uki build`` with a stub, a kernel or an initrd from somebody else."""
    path, good = STUB.put(data), _good_stub()
    result = sysgraft(
        "uki",
        "build",
        "--stub",
        path,
        "--linux",
        good,
        "--initrd",
        path,
        "--os-release",
        "ID=x\n",
        "--join-profile",
        path,
        "--output",
        RESULT.put(b""),
        "--force",
    )
    return clean_result(result)


STUB: Final = File("stub.efi")


@functools.cache
def _good_stub() -> str:
    return File("kernel.efi").put(ukis()[0])


def cli_uki_inspect(data: bytes) -> bool:
    """The command line."""
    return clean_result(sysgraft("uki", "inspect", EXECUTABLE.put(data), "--all"))


@functools.cache
def kernels() -> Sequence[bytes]:
    """Kernels: bzImage, zboot."""
    head = bytearray(0x400)
    head[2:6] = b"HdrS"
    head[0xE:0x10] = struct.pack("<H", 0x100)
    head[0x100:0x110] = b"6.1.0 (b@h) #1\0\0"
    import gzip  # noqa: PLC0415

    inner = gzip.compress(b"Linux version 6.1.0 (b@h) #1\n" * 20, mtime=0)
    zboot = b"MZ\0\0zimg" + struct.pack("<II8x", 64, len(inner)) + b"gzip\0" + bytes(35)
    return (
        make_pe([(".text", bytes(head))]),
        zboot[:64].ljust(64, b"\0") + inner,
        b"x" * 70_000 + b"Linux version 6.2.0-1 (b@h) #2\n",
    )


def read_kernel(data: bytes) -> None:
    """What a kernel says of itself."""
    blob = BytesBlob(data)
    linux_image.bzimage_release(blob)
    payload = linux_image.zboot_payload(blob)
    assert payload is None or payload.size >= 0
    linux_image.banner_release(chunks(blob))


TARGETS: Final = (
    Target(name="pe", seeds=ukis, read=read_pe, weight=40),
    Target(name="uki-sections", seeds=ukis, read=read_uki_sections, weight=20),
    Target(name="uki-inspect", seeds=ukis, read=inspect, weight=15),
    Target(name="uki-verify", seeds=ukis, read=verify, weight=20),
    Target(name="uki-sign", seeds=ukis, read=sign_again, weight=6),
    Target(name="uki-build", seeds=ukis, read=build, weight=0.7),
    Target(name="cli-uki-inspect", seeds=ukis, read=cli_uki_inspect, weight=1),
    Target(name="kernel", seeds=kernels, read=read_kernel, weight=15),
)
