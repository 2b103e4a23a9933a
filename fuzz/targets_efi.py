"""Targets: EFI executables, signatures, certificates, variables, partitions that firmware reads."""

from __future__ import annotations

import functools
import struct
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from command import sysgraft
from executables import make_pe, signature_of, signed_pe, uki_pieces
from fat_image import FatImage, long_records, record, short
from repair import fat as repair_fat
from seeds import NOW, ec_identity, public_pem, rsa_identity, trust, uki
from sysgraft.base.blob import BytesBlob
from sysgraft.build.resign import Target as SignTarget
from sysgraft.build.uki_sign import sign_executable
from sysgraft.errors import KeyMaterialError, SysgraftError
from sysgraft.formats import (
    authenticode,
    authenticode_digest,
    authvar,
    bls,
    cms,
    device_path,
    devicetree,
    efifw,
    efivar,
    esl,
    esp,
    fat,
    hwids,
    linux_image,
    pe,
    pe_image,
    sbat,
    signature_input,
    stub_archive,
    variable_store,
    wincert,
    x509,
)
from sysgraft.formats import uki as uki_format
from sysgraft.formats.pe_layout import layout_problem
from sysgraft.formats.revocations import Revocations
from sysgraft.formats.x509_issuing import contradiction, read_issuing, signer_problem
from sysgraft.formats.x509_names import canonical_name, same_name
from sysgraft.host.signature_files import read_lists
from sysgraft.image.uki_inspect import inspect_uki
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_blob, verify_uki
from sysgraft.measure import sidecars
from sysgraft.seal.image import read_uki
from sysgraft.seal.material import Source
from sysgraft.sign.authvar import sign_update
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.pcr_public import from_pem, public_key_in
from sysgraft.sign.pkcs11_uri import parse as parse_pkcs11
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.verify import trust as trust_store
from sysgraft.sign.verify.roothash import check_roothash_signature
from sysgraft.testing.efivars import FakeEfiVariables, certificate_list, secure_boot_values
from target import File, Target, as_text, drain
from targets_images import _clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.fat import Volume

_OWNER: Final = UUID("5eed5eed-0000-4000-8000-000000000001")
_ROOT_HASH: Final = bytes(range(32))


# --- Executables ---------------------------------------------------------------------------------


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
    return _clean(result)


STUB: Final = File("stub.efi")


@functools.cache
def _good_stub() -> str:
    return File("kernel.efi").put(ukis()[0])


def cli_uki_inspect(data: bytes) -> bool:
    """The command line."""
    return _clean(sysgraft("uki", "inspect", EXECUTABLE.put(data), "--all"))


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
    linux_image.banner_release(linux_image.blob_chunks(blob))


# --- Sections ------------------------------------------------------------------------------------


@functools.cache
def devicetrees() -> Sequence[bytes]:
    """A devicetree."""
    strings = b"compatible\0model\0"
    value = b"vendor,board\0vendor,soc\0"
    body = struct.pack(">II", 1, 0)
    body += struct.pack(">III", 3, len(value), 0) + value.ljust(-(-len(value) // 4) * 4, b"\0")
    body += struct.pack(">III", 3, 6, 11) + b"Board\0\0\0"
    body += struct.pack(">I8s", 1, b"child\0\0\0") + struct.pack(">III", 2, 2, 9)
    at = 40 + 16
    head = struct.pack(
        ">10I",
        0xD00DFEED,
        at + len(body) + len(strings),
        at,
        at + len(body),
        40,
        17,
        16,
        0,
        len(strings),
        len(body),
    )
    return (head + bytes(16) + body + strings,)


def read_devicetree(data: bytes) -> None:
    """A devicetree."""
    devicetree.parse(BytesBlob(data))


@functools.cache
def hardware() -> Sequence[bytes]:
    """Hardware IDs."""
    devices = [
        hwids.Device(kind, f"name{kind}", "vendor,board", (_OWNER, UUID(int=7)))
        for kind in hwids.DeviceType
    ]
    return (hwids.render(devices),)


def read_hardware(data: bytes) -> None:
    """Hardware IDs."""
    found = hwids.parse(data)
    assert not found or hwids.parse(hwids.render(found))


def read_description(data: bytes) -> None:
    """Hardware IDs in JSON."""
    hwids.parse_description(data)


@functools.cache
def firmware() -> Sequence[bytes]:
    """Firmware in a section."""
    blob = efifw.wrap("vendor/board", BytesBlob(b"payload" * 9))
    return (blob.read_at(0, blob.size),)


def read_firmware(data: bytes) -> None:
    """Firmware in a section."""
    drain(efifw.parse(BytesBlob(data)).payload)


def read_sbat(data: bytes) -> None:
    """SBAT."""
    text = as_text(data)
    sbat.parse(text)
    sbat.merge([text, "sbat,1,SBAT Version,sbat,1,u\n"])


# --- Signatures ----------------------------------------------------------------------------------


@functools.cache
def signatures() -> Sequence[bytes]:
    """Of root hashes."""
    made = []
    for identity in (ec_identity(), rsa_identity()):
        key = load_private_key(identity.key_pem)
        made.append(sign_root_hash(_ROOT_HASH, key, identity.certificate))
    key = load_private_key(rsa_identity().key_pem)
    bare = sign_root_hash(_ROOT_HASH, key, rsa_identity().certificate, include_certificate=False)
    return (*made, bare)


def read_cms(data: bytes) -> bool:
    """A signature of a root hash, and the verdict about it."""
    with suppress(SysgraftError):
        cms.serialise(cms.parse(data))
    store = trust(ec_identity(), rsa_identity())
    verdict = check_roothash_signature(data, _ROOT_HASH, fingerprint=None, store=store, now=NOW)
    other = check_roothash_signature(data, bytes(32), fingerprint=None, store=store, now=NOW)
    assert other.signature.status != "ok", "a signature of something else holds"
    return verdict.signature.status == verdict.trust.status == "ok"


@functools.cache
def authenticodes() -> Sequence[bytes]:
    """Of executables."""
    unsigned = uki(signatures=0)
    chain = (ec_identity("root"),)
    return (
        signature_of(unsigned, ec_identity("leaf", authority=True), chain),
        signature_of(unsigned, rsa_identity()),
    )


def read_authenticode(data: bytes) -> None:
    """A signature of an executable."""
    authenticode_digest.likely_algorithms([data])
    found = authenticode.parse(data)
    assert found.signer.digest


def read_wincert(data: bytes) -> None:
    """A certificate table."""
    entries = wincert.parse(data)
    assert wincert.parse(wincert.serialise(entries)) == entries


@functools.cache
def certificates() -> Sequence[bytes]:
    """Certificates, DER and PEM."""
    leaf = ec_identity("leaf", authority=True)
    ders = [each.certificate.der for each in (ec_identity(), rsa_identity(), leaf)]
    return (
        *ders,
        rsa_identity().certificate_pem,
        leaf.certificate_pem + ec_identity().certificate_pem,
    )


def read_certificate(data: bytes) -> None:
    """A certificate, and all that is asked of one."""
    for found in x509.load_certificates(data):
        assert (found.subject + found.issuer).isprintable()
        for ask in (found.is_issued_by, found.is_signed_by):
            with suppress(KeyMaterialError):
                ask(found)
        read_issuing(found)
        signer_problem(found)
        contradiction(found, ec_identity("root").certificate)
        contradiction(ec_identity("leaf", authority=True).certificate, found)
        assert same_name(found.subject_der, found.subject_der)
        with suppress(KeyMaterialError):
            found.load_public_key()


def read_name(data: bytes) -> None:
    """A distinguished name."""
    canonical_name(data)
    x509.name_text(data)


def read_key(data: bytes) -> None:
    """Private and public keys."""
    refused = 0
    readers = (
        lambda: load_private_key(data, b"secret"),
        lambda: from_pem(data),
        lambda: public_key_in(data),
    )
    for each in readers:
        try:
            each()
        except SysgraftError:
            refused += 1
    if refused == len(readers):
        raise SysgraftError("no key")


@functools.cache
def keys() -> Sequence[bytes]:
    """Keys in their forms; those that are encrypted have salt from nowhere, so none is."""
    one, two = ec_identity(), rsa_identity()
    return (
        one.key_pem,
        one.encode_key(pem=False),
        one.encode_key(traditional=True),
        two.key_pem,
        two.encode_key(pem=False),
        public_pem(two),
        public_pem(one),
    )


# --- Variables -----------------------------------------------------------------------------------


@functools.cache
def signature_lists() -> Sequence[bytes]:
    """Databases of signatures."""
    some = certificate_list(
        ec_identity().certificate.der, rsa_identity().certificate.der, owner=_OWNER
    )
    hashes = signature_input.hash_list((bytes(32), _ROOT_HASH), _OWNER)
    tbs = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
    revoked = esl.SignatureList(tbs, (esl.Signature(_OWNER, _ROOT_HASH + bytes(16)),))
    return (some, some + esl.serialise([hashes, revoked]), esl.serialise([hashes]))


def read_signature_list(data: bytes) -> None:
    """A database of signatures: as trust, as revocations, as a firmware's variable."""
    trust_store.from_dbx(data, "dbx")
    trust_store.from_signature_lists(data, "db", for_executables=True)
    lists = esl.parse(data)
    assert esl.parse(esl.serialise(lists)) == lists
    list(esl.image_digests(lists))
    revocations = Revocations.from_lists(lists)
    revocations.is_revoked(
        ec_identity("leaf", authority=True).certificate, (ec_identity().certificate,)
    )
    values = secure_boot_values(databases={"db": data, "dbx": data})
    trust_store.from_efivars(FakeEfiVariables(values), for_executables=True)


@functools.cache
def updates() -> Sequence[bytes]:
    """Signed updates of variables."""
    target = authvar.database("db")
    return tuple(
        authvar.serialise(
            sign_update(
                target,
                signature_lists()[0],
                key=load_private_key(identity.key_pem),
                certificate=identity.certificate,
                time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            )
        )
        for identity in (rsa_identity(), ec_identity())
    )


def read_update(data: bytes) -> bool:
    """A signed update: none that was damaged may hold."""
    authvar.is_update(data)
    found = authvar.parse(data)
    authvar.read_signature(found)
    holds = [
        authvar.verify(found, authvar.database("db"), identity.certificate)
        for identity in (ec_identity(), rsa_identity())
    ]
    signed = {(each.time, each.value) for each in map(authvar.parse, updates())}
    assert not any(holds) or (found.time, found.value) in signed, "an update holds nobody signed"
    return any(holds)


INPUT: Final = File("input")


def read_signature_input(data: bytes) -> None:
    """What somebody wants to enroll."""
    lists = read_lists([INPUT.put(data)], _OWNER)
    trust_store.from_folder({"a.crt": data, "b.der": data}, "folder")
    with suppress(SysgraftError):
        signature_input.certificates_in(lists)


def read_efivar(data: bytes) -> None:
    """A file of efivarfs."""
    found = efivar.parse(data)
    assert efivar.serialise(found) == data


@functools.cache
def stores() -> Sequence[bytes]:
    """A variable store of EDK II."""
    size = 8192
    kind = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
    volume = bytes(16) + kind + struct.pack("<Q4sIHHHBB", 0, b"_FVH", 0, 72, 0, 0, 0, 2)
    authenticated = UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
    body = authenticated + struct.pack("<IBBHI", size, 0x5A, 0xFE, 0, 0)
    for state, name, value in (
        (0x3F, "db", signature_lists()[0]),
        (0x3E, "PK", signature_lists()[2]),
        (0x3F, "SecureBoot", b"\1"),
    ):
        raw = (name + "\0").encode("utf-16-le")
        record_ = struct.pack("<HBBI28xII", 0x55AA, state, 0, 7, len(raw), len(value))
        body += (record_ + _OWNER.bytes_le + raw + value).ljust(
            -(-(60 + len(raw) + len(value)) // 4) * 4, b"\0"
        )
    return ((volume.ljust(72, b"\0") + body).ljust(size + 72, b"\xff"),)


def read_store(data: bytes) -> None:
    """A variable store."""
    for (name, _), variable in variable_store.parse(data).items():
        assert "\0" not in name
        assert variable.data in data


# --- Partitions and boot entries -----------------------------------------------------------------


@functools.cache
def volumes() -> Sequence[bytes]:
    """FAT with entries of 12 and 32 bits; with 16 it is too large to be read so often."""
    made = []
    for bits in (12, 32):
        image = FatImage(bits)
        entry = b"title x\nuki /EFI/Linux/x.efi\noptions quiet\n"
        conf = record(short("X.CON"), image.put(entry), len(entry))
        file = record(short("X.EFI"), image.put(b"MZ" * 800), 1600)
        long = long_records("a long name.efi", short("ALONGN~1.EFI"))
        linux = image.folder(long, record(short("ALONGN~1.EFI"), image.put(b"long"), 4), file)
        efi = image.folder(record(short("LINUX"), linux, attributes=0x10))
        entries = image.folder(long_records("x.conf", short("X.CON")), conf)
        loader = image.folder(record(short("ENTRIES"), entries, attributes=0x10))
        image.set_root(
            record(short("A LABEL"), attributes=8),
            record(short("EFI"), efi, attributes=0x10),
            record(short("LOADER"), loader, attributes=0x10),
            record(short("F.TXT"), image.put(b"text" * 300), 1200),
        )
        made.append(image.image())
    return tuple(made)


def _read_volume(volume: Volume) -> None:
    assert isinstance(volume.label, str)
    for number, (path, entry) in enumerate(volume.walk()):
        if number > 2000:
            break
        if not entry.is_dir:
            drain(volume.content(entry))
        if number < 10:
            volume.find(path)


def read_fat(data: bytes) -> None:
    """A FAT volume."""
    _read_volume(fat.open_volume(BytesBlob(data)))


def read_esp(data: bytes) -> None:
    """A partition, or a disk with one."""
    _read_volume(fat.open_volume(esp.find_esp(BytesBlob(data))))


def read_entry(data: bytes) -> None:
    """A boot loader entry, and its name."""
    entry = bls.parse(data)
    assert entry.kind in (None, "efi", "linux", "uki", "uki-url") or entry.kind
    for each in (entry.uki, entry.efi, *entry.extras):
        bls.efi_path(each)
    name = as_text(data.partition(b"\n")[0])
    bls.is_entry_name(name)
    bls.split_counter(name)
    for version in (254, 258, 262):
        bls.extra_folder(name, version=version)


def read_device_path(data: bytes) -> None:
    """A device path."""
    device_path.last_name(device_path.loaded_file(data) + device_path.file_of(data))


def read_stub_archive(data: bytes) -> None:
    """Names of sidecars, as the stub packs them."""
    folder = stub_archive.Folder(".extra/sysext", 0o555, 0o444)
    files = []
    for number, name in enumerate(as_text(data).split("\n")[:50]):
        problem = sidecars.problem(sidecars.Entry(name))
        if problem:
            raise SysgraftError(problem)
        files.append(stub_archive.File(name, len(data) * number, number))
    stub_archive.pack(folder, files)


def read_pkcs11(data: bytes) -> None:
    """A URI of a key in a token."""
    parse_pkcs11(as_text(data))


def _image_path(name: str) -> bytes:
    raw = (name + "\0").encode("utf-16-le")
    nodes = struct.pack("<BBH", 4, 4, 4 + len(raw)) + raw + struct.pack("<BBH", 0x7F, 0xFF, 4)
    return struct.pack("<QQQQ", 0x1000, 4096, 0, len(nodes)) + nodes


TARGETS: Final = (
    Target(name="pe", seeds=ukis, read=read_pe, weight=40),
    Target(name="uki-sections", seeds=ukis, read=read_uki_sections, weight=20),
    Target(name="uki-inspect", seeds=ukis, read=inspect, weight=15),
    Target(name="uki-verify", seeds=ukis, read=verify, weight=20),
    Target(name="uki-sign", seeds=ukis, read=sign_again, weight=6),
    Target(name="uki-build", seeds=ukis, read=build, weight=0.7),
    Target(name="cli-uki-inspect", seeds=ukis, read=cli_uki_inspect, weight=1),
    Target(name="kernel", seeds=kernels, read=read_kernel, weight=15),
    Target(name="devicetree", seeds=devicetrees, read=read_devicetree, weight=20),
    Target(name="hwids", seeds=hardware, read=read_hardware, weight=20),
    Target(
        name="hwids-json",
        seeds=lambda: (
            (
                b'{"type": "devicetree", "name": "n", "compatible": "a,b", '
                b'"hwids": ["5eed5eed-0000-4000-8000-000000000001"]}'
            ),
        ),
        read=read_description,
        tokens=(b'"hwids"', b'"type"', b'"uefi-fw"', b'"compatible"'),
        weight=10,
    ),
    Target(name="efifw", seeds=firmware, read=read_firmware, weight=15),
    Target(
        name="sbat",
        seeds=lambda: (b"sbat,1,SBAT Version,sbat,1,https://e\nuki,1,UKI,uki,1,u\n",),
        read=read_sbat,
        tokens=(b"sbat,1,", b",", b"\n", b"#"),
        weight=10,
    ),
    Target(name="cms", seeds=signatures, read=read_cms, weight=25),
    Target(name="authenticode", seeds=authenticodes, read=read_authenticode, weight=25),
    Target(
        name="wincert",
        seeds=lambda: tuple(
            wincert.serialise([wincert.Entry(s) for s in authenticodes()[:count]])
            for count in (1, 2)
        ),
        read=read_wincert,
        weight=15,
    ),
    Target(name="x509", seeds=certificates, read=read_certificate, weight=30),
    Target(
        name="x509-name",
        seeds=lambda: tuple(x.certificate.subject_der for x in (ec_identity(), rsa_identity())),
        read=read_name,
        weight=10,
    ),
    Target(name="keys", seeds=keys, read=read_key, weight=4),
    Target(name="esl", seeds=signature_lists, read=read_signature_list, weight=20),
    Target(name="authvar", seeds=updates, read=read_update, weight=20),
    Target(
        name="signature-input",
        seeds=lambda: (
            *signature_lists(),
            *updates()[:1],
            *certificates(),
            ukis()[0],
            b"# hashes\n" + b"ab" * 32 + b"\n" + b"CD" * 32 + b"\n",
        ),
        read=read_signature_input,
        weight=15,
    ),
    Target(
        name="efivar",
        seeds=lambda: (struct.pack("<I", 0x27) + signature_lists()[2], b"\x06\0\0\0\1"),
        read=read_efivar,
        weight=10,
    ),
    Target(name="variable-store", seeds=stores, read=read_store, weight=15),
    Target(name="fat", seeds=volumes, read=read_fat, repair=repair_fat, weight=30),
    Target(name="esp", seeds=volumes, read=read_esp, repair=repair_fat, weight=10),
    Target(
        name="boot-entry",
        seeds=lambda: (
            b"x+3-1.conf\ntitle A\nversion 1\nuki /EFI/Linux/x.efi\noptions a b\nextra /c.raw\n",
            b"y.efi\nlinux /v\ninitrd /i\r\nprofile 1\narchitecture x64\n",
        ),
        read=read_entry,
        tokens=(
            b"uki ",
            b"efi ",
            b"extra ",
            b"profile ",
            b"options ",
            b"+3-1.efi",
            b"'",
            b"sort-key ",
        ),
        weight=15,
    ),
    Target(
        name="device-path",
        seeds=lambda: (_image_path("\\EFI\\Linux\\x.efi"),),
        read=read_device_path,
        weight=15,
    ),
    Target(
        name="stub-archive",
        seeds=lambda: (b"a.raw\nb.cred\nc.addon.efi",),
        read=read_stub_archive,
        weight=5,
    ),
    Target(
        name="pkcs11-uri",
        seeds=lambda: (b"pkcs11:token=a%20b;object=c;id=%01%02?pin-source=file:/p&module-path=/m",),
        read=read_pkcs11,
        tokens=(b"token=", b"slot-id=", b"%00", b"%ff", b"?pin-value=", b";", b"serial="),
        weight=10,
    ),
)
