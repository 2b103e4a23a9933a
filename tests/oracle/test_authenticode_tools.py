"""Authenticode against sbsigntool, osslsigncode, pesign, systemd-sbsign, efitools, virt-firmware.

Their signatures are read and judged, ours are theirs to judge; digests and whole files are equal
byte for byte.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pefile  # type: ignore[import-untyped]
import pytest

from executables import (
    CHECKSUM,
    image_digest,
    make_authority,
    make_pe,
    uki_pieces,
    with_table,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.build.resign import Target
from sysgraft.build.uki_sign import sign_executable
from sysgraft.formats import authenticode, cms, esl, pe, wincert
from sysgraft.formats.cms_attributes import CONTENT_TYPE, MESSAGE_DIGEST
from sysgraft.formats.der import SEQUENCE, SET, open_der
from sysgraft.formats.pe_checksum import Checksum
from sysgraft.image.uki_verify import UkiVerification, UkiVerifyOptions, verify_uki
from sysgraft.sign.authenticode import sign
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.verify import trust
from sysgraft.testing.certificates import NOW, Identity, KeyType, make_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Debian13

EFITOOLS: Final = sorted(Path("/usr/lib/efitools").rglob("*.efi"))
STUBS: Final = Path("usr/lib/systemd/boot/efi")
SAMPLES: Final = {
    "uki": make_pe(uki_pieces()),
    "odd size": make_pe([(".text", b"\xc3" * 777)], behind=b"symbols, say"),
    "odder size": make_pe([(".text", b"\xc3")], behind=b"1"),
    "large": make_pe([(".data", bytes(range(251)) * 20_000)]),
}
SIGNER = make_identity("signer")
OTHER = make_identity("other")
ROOT = make_authority("root")
INTER = make_authority("inter", issuer=ROOT)
LEAF = make_identity("leaf", issuer=INTER)


def run(*words: str | Path, cwd: Path, good: bool = True) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode == 0) is good, done.stdout + done.stderr
    return done.stdout + done.stderr


class Folder:
    """Keys, certificates and an unsigned executable."""

    def __init__(self, path: Path, data: bytes = SAMPLES["uki"], signer: Identity = SIGNER) -> None:
        self.path = path
        self.signer = signer
        (path / "in.efi").write_bytes(data)
        for name, identity in (("key", signer), ("other", OTHER), ("root", ROOT)):
            (path / f"{name}.pem").write_bytes(identity.key_pem)
            (path / f"{name}.crt").write_bytes(identity.certificate_pem)
        chain = INTER.certificate_pem + ROOT.certificate_pem
        (path / "chain.crt").write_bytes(chain)

    def sbsign(self, *options: str | Path, source: str = "in.efi", output: str = "out.efi") -> Path:
        words = ("sbsign", "--key", "key.pem", "--cert", "key.crt", "--output", output)
        run(*words, *options, source, cwd=self.path)
        return self.path / output

    def osslsigncode(self, *options: str | Path, output: str = "out.efi") -> Path:
        (self.path / output).unlink(missing_ok=True)
        keys = ("-key", "key.pem", "-certs", "key.crt")
        files = ("-in", "in.efi", "-out", output)
        run("osslsigncode", "sign", *keys, *options, *files, cwd=self.path)
        return self.path / output

    def ours(self, *chain: Identity, source: str = "in.efi", output: str = "out.efi") -> Path:
        pair = SigningPair(load_private_key(self.signer.key_pem), self.signer.certificate)
        sign_executable(
            self.path / source,
            pair,
            target=Target(str(self.path / output), replace=True),
            chain=[each.certificate for each in chain],
        )
        return self.path / output


def verdict(file: Path, *trusted: Identity) -> UkiVerification:
    store = trust.TrustStore()
    for each in trusted:
        store |= trust.from_certificates(each.certificate.der, f"{each.certificate.subject}.crt")
    return verify_uki(file, UkiVerifyOptions(trust=store, now=NOW))


def check_judged(file: Path, signer: Identity, stranger: Identity = OTHER) -> UkiVerification:
    """The signature is good; it is not with another trust, and not with another bit."""
    result = verdict(file, signer)
    assert result.ok, result
    assert not verdict(file, stranger).ok
    data = bytearray(file.read_bytes())
    data[pe.parse(BytesBlob(bytes(data))).size_of_headers] ^= 1
    changed = file.with_name("changed.efi")
    changed.write_bytes(data)
    (broken,) = [each for each in verdict(changed, signer).checks if each.name == "signature"]
    assert broken.status == "fail"
    assert "is not what was signed" in broken.reason
    return result


def entries_of(file: Path) -> tuple[wincert.Entry, ...]:
    data = file.read_bytes()
    offset, size = pe.parse(BytesBlob(data)).security
    return wincert.parse(data[offset : offset + size])


# --- Their signatures ----------------------------------------------------------------------------


@pytest.mark.oracle("sbsign")
@pytest.mark.parametrize("sample", SAMPLES)
def test_sbsigns_signatures_are_good(tmp_path: Path, sample: str) -> None:
    check_judged(Folder(tmp_path, SAMPLES[sample]).sbsign(), SIGNER)


@pytest.mark.oracle("osslsigncode")
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_osslsigncodes_signatures_are_good(tmp_path: Path, sample: str, digest: str) -> None:
    file = Folder(tmp_path, SAMPLES[sample]).osslsigncode("-h", digest)
    result = check_judged(file, SIGNER)
    assert [name for name, _ in result.digests] == [digest]
    assert result.digests[0][1] == image_digest(file.read_bytes(), digest).value


@pytest.mark.oracle("osslsigncode")
@pytest.mark.parametrize("kind", ["rsa-3072", "p256", "p384", "p521"])
def test_signatures_of_all_keys_are_good(tmp_path: Path, kind: KeyType) -> None:
    signer = make_identity(kind=kind)
    check_judged(Folder(tmp_path, signer=signer).osslsigncode("-h", "sha256"), signer)


@pytest.mark.oracle("osslsigncode")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-n", "a program", "-i", "http://localhost/"), ""),
        (("-ph",), ""),
        (("-jp", "low"), ""),
        (("-addUnauthenticatedBlob",), "nobody signed the attributes"),
    ],
    ids=["description", "page hashes", "permissions", "blob"],
)
def test_further_things_in_a_signature_do_not_matter(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = check_judged(Folder(tmp_path).osslsigncode("-h", "sha256", *options), SIGNER)
    assert len(result.notes) == bool(words)
    assert words in "".join(result.notes)


@pytest.mark.oracle("osslsigncode", "openssl")
def test_time_stamps_are_recognised(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=stamps"),
        *("-keyout", "tsa.pem", "-out", "tsa.crt", "-days", "9"),
        *("-addext", "extendedKeyUsage=critical,timeStamping"),
        cwd=tmp_path,
    )
    file = folder.osslsigncode("-h", "sha256", "-TSA-certs", "tsa.crt", "-TSA-key", "tsa.pem")
    result = check_judged(file, SIGNER)
    assert [each.timestamp for each in result.signatures] == ["RFC 3161"]
    assert result.notes == ("the time stamp (RFC 3161) is not verified",)
    der = authenticode.parse(entries_of(file)[0].pkcs7)
    assert entries_of(file)[0].pkcs7.startswith(cms.serialise(der.signed))


@pytest.mark.oracle("osslsigncode")
def test_old_signatures_are_refused_by_name(tmp_path: Path) -> None:
    for digest, name in (("sha1", "SHA-1"), ("md5", "MD5")):
        result = verdict(Folder(tmp_path).osslsigncode("-h", digest), SIGNER)
        assert not result.ok
        assert name in result.checks[1].reason


@pytest.mark.oracle("osslsigncode")
def test_a_chain_of_osslsigncode_leads_to_the_root(tmp_path: Path) -> None:
    folder = Folder(tmp_path, signer=LEAF)
    file = folder.osslsigncode("-h", "sha256", "-ac", "chain.crt")
    for trusted in (LEAF, INTER, ROOT):
        check_judged(file, trusted)
    assert not verdict(folder.osslsigncode("-h", "sha256", output="short.efi"), ROOT).ok


@pytest.mark.oracle("sbsign")
def test_a_chain_of_sbsign_leads_to_the_root(tmp_path: Path) -> None:
    file = Folder(tmp_path, signer=LEAF).sbsign("--addcert", "chain.crt")
    for trusted in (LEAF, INTER, ROOT):
        check_judged(file, trusted)


SBSIGN_257: Final = "/usr/lib/systemd/systemd-sbsign"


@pytest.mark.oracle("debian-13")
def test_systemds_signatures_are_good(tmp_path: Path, debian13: Debian13) -> None:
    folder = Folder(tmp_path)
    words = ("--private-key=/mnt/key.pem", "--certificate=/mnt/key.crt", "--output=/mnt/out.efi")
    debian13.run([SBSIGN_257, "sign", *words, "/mnt/in.efi"], binds={folder.path: "/mnt"})
    check_judged(tmp_path / "out.efi", SIGNER)


PESIGN: Final = """
set -eu
cd /mnt
mkdir nss
certutil -d nss -N --empty-password
openssl pkcs12 -export -inkey key.pem -in key.crt -name us -passout pass: -out key.p12
pk12util -d nss -i key.p12 -W ''
pesign -n nss -c us -s -i in.efi -o out.efi
"""


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("sample", SAMPLES)
def test_pesigns_signatures_are_good(tmp_path: Path, debian13: Debian13, sample: str) -> None:
    folder = Folder(tmp_path, SAMPLES[sample])
    debian13.run(["sh", "-c", PESIGN], binds={folder.path: "/mnt"})
    check_judged(tmp_path / "out.efi", SIGNER)


# --- Our signatures ------------------------------------------------------------------------------


@pytest.mark.oracle("sbverify", "osslsigncode")
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p256", "p384", "p521"])
def test_others_verify_our_signatures(tmp_path: Path, sample: str, kind: KeyType) -> None:
    folder = Folder(tmp_path, SAMPLES[sample], make_identity(kind=kind))
    folder.ours()
    run("sbverify", "--cert", "key.crt", "out.efi", cwd=tmp_path)
    run("sbverify", "--cert", "other.crt", "out.efi", cwd=tmp_path, good=False)
    said = run("osslsigncode", "verify", "-CAfile", "key.crt", "-in", "out.efi", cwd=tmp_path)
    assert "Number of verified signatures: 1" in said
    assert "MISMATCH" not in said
    run(
        "osslsigncode", "verify", "-CAfile", "other.crt", "-in", "out.efi", cwd=tmp_path, good=False
    )


@pytest.mark.oracle("sbverify", "osslsigncode")
def test_others_follow_our_chain(tmp_path: Path) -> None:
    folder = Folder(tmp_path, signer=LEAF)
    folder.ours(INTER)
    run("sbverify", "--cert", "root.crt", "out.efi", cwd=tmp_path)
    run("osslsigncode", "verify", "-CAfile", "root.crt", "-in", "out.efi", cwd=tmp_path)
    folder.ours()
    run("sbverify", "--cert", "root.crt", "out.efi", cwd=tmp_path, good=False)


@pytest.mark.oracle("sbverify")
def test_sbverify_sees_what_we_changed(tmp_path: Path) -> None:
    file = Folder(tmp_path).ours()
    data = bytearray(file.read_bytes())
    data[1000] ^= 1
    file.write_bytes(data)
    run("sbverify", "--cert", "key.crt", "out.efi", cwd=tmp_path, good=False)


@pytest.mark.oracle("debian-13")
def test_pesign_reads_our_signature(tmp_path: Path, debian13: Debian13) -> None:
    Folder(tmp_path).ours()
    said = debian13.run(["pesign", "-S", "-i", "/mnt/out.efi"], binds={tmp_path: "/mnt"}).stdout
    assert "The signer's common name is signer" in said
    assert "No signing time included" in said


def test_virt_firmware_reads_our_signature(tmp_path: Path) -> None:
    file = Folder(tmp_path).ours()
    said = run(Path(sys.executable).with_name("pe-listsigs"), file, cwd=tmp_path)
    (entry,) = entries_of(file)
    assert f"signature: len {8 + len(entry.data):#x}, type 0x2" in said
    assert "subject CN: signer" in said


@pytest.mark.parametrize("sample", SAMPLES)
def test_pefile_agrees_on_place_and_checksum(tmp_path: Path, sample: str) -> None:
    file = Folder(tmp_path, SAMPLES[sample]).ours()
    reader = pefile.PE(str(file), fast_load=True)
    directory = reader.OPTIONAL_HEADER.DATA_DIRECTORY[4]
    assert directory.VirtualAddress + directory.Size == file.stat().st_size
    assert directory.VirtualAddress % 8 == 0
    assert reader.OPTIONAL_HEADER.CheckSum == reader.generate_checksum()
    reader.close()


# --- The same bytes ------------------------------------------------------------------------------


def further_attributes(pkcs7: bytes) -> list[bytes]:
    """What others sign beside content type and digest: a time, S/MIME capabilities."""
    signed = authenticode.parse(pkcs7).signer.signed_attributes
    assert signed is not None
    attributes = [each.raw for each in open_der(signed, "it", SET).rest(SEQUENCE)]
    needed = (CONTENT_TYPE, MESSAGE_DIGEST)
    return [each for each in attributes if not each[2:].startswith(needed)]


def whole_file(data: bytes, table: bytes) -> bytes:
    """The executable with this table and the checksum of it all."""
    made = bytearray(with_table(data, table))
    made[CHECKSUM : CHECKSUM + 4] = bytes(4)
    checksum = Checksum()
    checksum.update(bytes(made))
    struct.pack_into("<I", made, CHECKSUM, checksum.value(len(made)))
    return bytes(made)


@pytest.mark.oracle("sbsign")
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("signer", [SIGNER, make_identity(kind="rsa-3072"), LEAF])
def test_with_sbsigns_time_and_capabilities_the_file_is_sbsigns(
    tmp_path: Path, sample: str, signer: Identity
) -> None:
    theirs = Folder(tmp_path, SAMPLES[sample], signer).sbsign()
    (entry,) = entries_of(theirs)
    others = further_attributes(entry.pkcs7)
    assert len(others) == 2
    padded = SAMPLES[sample] + bytes(-len(SAMPLES[sample]) % 8)
    key = load_private_key(signer.key_pem)
    ours = sign(image_digest(padded), key, signer.certificate, attributes=others)
    table = wincert.serialise([wincert.Entry(ours)])
    assert whole_file(SAMPLES[sample], table) == theirs.read_bytes()


@pytest.mark.oracle("sbsign")
def test_without_them_only_attributes_and_signature_differ(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (theirs,) = entries_of(folder.sbsign())
    (ours,) = entries_of(folder.ours(output="ours.efi"))
    one, two = authenticode.parse(theirs.pkcs7).signed, authenticode.parse(ours.pkcs7).signed
    assert (one.digests, one.certificates, one.content) == (
        (two.digests, two.certificates, two.content)
    )
    assert one.signers[0].digest_der == two.signers[0].digest_der
    assert one.signers[0].algorithm_der == two.signers[0].algorithm_der
    assert further_attributes(ours.pkcs7) == []


@pytest.mark.oracle("debian-13")
def test_with_systemds_time_and_capabilities_the_signature_is_systemds(
    tmp_path: Path, debian13: Debian13
) -> None:
    folder = Folder(tmp_path)
    words = ("--private-key=/mnt/key.pem", "--certificate=/mnt/key.crt", "--output=/mnt/out.efi")
    debian13.run([SBSIGN_257, "sign", *words, "/mnt/in.efi"], binds={folder.path: "/mnt"})
    (entry,) = entries_of(tmp_path / "out.efi")
    key = load_private_key(SIGNER.key_pem)
    others = further_attributes(entry.pkcs7)
    ours = sign(image_digest(SAMPLES["uki"]), key, SIGNER.certificate, attributes=others)
    # systemd counts the padding in.
    assert ours + bytes(-len(ours) % 8) == entry.pkcs7


# --- Digests -------------------------------------------------------------------------------------


@pytest.mark.oracle("osslsigncode")
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_osslsigncode_computes_the_same_digest(tmp_path: Path, sample: str, digest: str) -> None:
    file = Folder(tmp_path, SAMPLES[sample]).osslsigncode("-h", digest)
    # What it says of a signature that it does not trust is enough.
    said = run("osslsigncode", "verify", "-CAfile", "key.crt", "-in", file, cwd=tmp_path)
    found = re.search(r"Calculated message digest\s*: ([0-9A-F]+)", said)
    assert found is not None
    assert bytes.fromhex(found[1]) == image_digest(file.read_bytes(), digest).value


@pytest.mark.oracle("hash-to-efi-sig-list")
@pytest.mark.parametrize("sample", ["uki", "large"])
def test_efitools_compute_the_same_digest(tmp_path: Path, sample: str) -> None:
    folder = Folder(tmp_path, SAMPLES[sample])
    run("hash-to-efi-sig-list", "in.efi", "hash.esl", cwd=folder.path)
    (one,) = esl.parse((tmp_path / "hash.esl").read_bytes())
    assert one.type == esl.CERT_SHA256
    assert one.signatures[0].data == image_digest(SAMPLES[sample]).value
    # And such a list is enough for firmware, and for us.
    lists = (tmp_path / "hash.esl").read_bytes()
    store = trust.from_signature_lists(lists, "db.esl", for_executables=True)
    assert verify_uki(tmp_path / "in.efi", UkiVerifyOptions(trust=store)).ok
    revoked = store | trust.from_dbx(lists, "dbx.esl")
    assert not verify_uki(tmp_path / "in.efi", UkiVerifyOptions(trust=revoked)).ok


@pytest.mark.oracle("debian-13")
def test_pesign_computes_the_same_digests(tmp_path: Path, debian13: Debian13) -> None:
    files = {f"{number}.efi": data for number, data in enumerate(SAMPLES.values())}
    files |= {path.name: path.read_bytes() for path in (debian13.root / STUBS).iterdir()}
    for name, data in files.items():
        # It pads what it hashes only when it signs.
        (tmp_path / name).write_bytes(data + bytes(-len(data) % 8))
    script = "cd /mnt && for each in *; do pesign -h -i $each; done"
    said = debian13.run(["sh", "-c", script], binds={tmp_path: "/mnt"}).stdout
    found = {line.split()[1]: line.split()[0] for line in said.splitlines()}
    assert found == {
        name: image_digest(data + bytes(-len(data) % 8)).value.hex() for name, data in files.items()
    }


# --- Real executables ----------------------------------------------------------------------------


@pytest.mark.oracle("sbsign", "sbverify", "hash-to-efi-sig-list")
@pytest.mark.parametrize("path", EFITOOLS, ids=lambda path: path.name)
def test_efitools_own_programs(tmp_path: Path, path: Path) -> None:
    """These have symbol tables behind their sections, some of odd sizes."""
    data = path.read_bytes()
    folder = Folder(tmp_path, data)
    check_judged(folder.sbsign(), SIGNER)
    folder.ours(output="ours.efi")
    check_judged(tmp_path / "ours.efi", SIGNER)
    run("sbverify", "--cert", "key.crt", "ours.efi", cwd=tmp_path)


@pytest.mark.oracle("debian-13", "sbsign", "sbverify", "osslsigncode")
@pytest.mark.parametrize("name", ["addonx64.efi.stub", "linuxx64.efi.stub", "systemd-bootx64.efi"])
def test_systemds_programs(tmp_path: Path, debian13: Debian13, name: str) -> None:
    folder = Folder(tmp_path, (debian13.root / STUBS / name).read_bytes())
    check_judged(folder.sbsign(), SIGNER)
    result = check_judged(folder.ours(output="ours.efi"), SIGNER)
    assert result.kind == "stub"
    run("sbverify", "--cert", "key.crt", "ours.efi", cwd=tmp_path)
    run("osslsigncode", "verify", "-CAfile", "key.crt", "-in", "ours.efi", cwd=tmp_path)


@pytest.mark.oracle("debian-13")
def test_what_ukify_makes_is_a_good_uki(tmp_path: Path, debian13: Debian13) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "kernel").write_bytes(SAMPLES["uki"])
    (tmp_path / "initrd").write_bytes(b"070701")
    (tmp_path / "os-release").write_text("ID=test\n")
    common = (
        "--secureboot-private-key=/mnt/key.pem",
        "--secureboot-certificate=/mnt/key.crt",
        "--signtool=sbsign",
    )
    for name, words in (
        (
            "uki.efi",
            (
                *("--linux=/mnt/kernel", "--initrd=/mnt/initrd", "--cmdline=quiet"),
                *("--os-release=@/mnt/os-release", "--uname=6.1"),
            ),
        ),
        ("addon.efi", ("--cmdline=debug",)),
    ):
        output = f"--output=/mnt/{name}"
        debian13.run(["ukify", "build", *words, *common, output], binds={folder.path: "/mnt"})
        result = check_judged(tmp_path / name, SIGNER)
        assert result.kind == name.partition(".")[0]


# --- Several signatures --------------------------------------------------------------------------


def by_sbsign(folder: Folder, source: str) -> Path:
    words = ("sbsign", "--key", "other.pem", "--cert", "other.crt", "--output", "both.efi")
    run(*words, source, cwd=folder.path)
    return folder.path / "both.efi"


def by_us(folder: Folder, source: str) -> Path:
    pair = SigningPair(load_private_key(OTHER.key_pem), OTHER.certificate)
    target = Target(str(folder.path / "both.efi"), replace=True)
    sign_executable(folder.path / source, pair, target=target)
    return folder.path / "both.efi"


@pytest.mark.oracle("sbsign", "sbverify")
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("second", [by_us, by_sbsign])
def test_signatures_of_several_tools_stand_together(
    tmp_path: Path, sample: str, first: str, second: Callable[[Folder, str], Path]
) -> None:
    folder = Folder(tmp_path, SAMPLES[sample])
    if first == "ours":
        folder.ours()
    else:
        folder.sbsign()
    both = second(folder, "out.efi")
    assert len(entries_of(both)) == 2
    for certificate in ("key.crt", "other.crt"):
        run("sbverify", "--cert", certificate, both, cwd=tmp_path)
    run("sbverify", "--cert", "root.crt", both, cwd=tmp_path, good=False)
    assert verdict(both, SIGNER).ok
    assert verdict(both, OTHER).ok
    assert not verdict(both, ROOT).ok
    revoked = trust.from_dbx(
        esl.serialise(
            [
                esl.SignatureList(
                    esl.CERT_X509, (esl.Signature(esl.CERT_X509, OTHER.certificate.der),)
                )
            ]
        ),
        "dbx.esl",
    )
    store = trust.from_certificates(SIGNER.certificate.der, "db") | revoked
    assert not verify_uki(both, UkiVerifyOptions(trust=store)).ok


@pytest.mark.oracle("sbsign", "sbverify")
def test_sbattach_takes_our_signatures_out_and_in(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.ours()
    run("sbattach", "--detach", "out.p7", "out.efi", cwd=tmp_path)
    (entry,) = entries_of(tmp_path / "out.efi")
    assert (tmp_path / "out.p7").read_bytes() == entry.pkcs7
    run("sbattach", "--attach", "out.p7", "in.efi", cwd=tmp_path)
    assert verdict(tmp_path / "in.efi", SIGNER).ok
    run("sbattach", "--remove", "out.efi", cwd=tmp_path)
    assert not verdict(tmp_path / "out.efi", SIGNER).ok
    assert pe.parse(BytesBlob((tmp_path / "out.efi").read_bytes())).security == (0, 0)
