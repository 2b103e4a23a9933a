"""Real firmware says of signed executables what ``uki verify`` says, case by case.

All cases are boot entries of one machine, tried one after the other. A program that is started
returns an error, so that the firmware goes on to the next; the last one switches off.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

import pytest
from cryptography import x509

from executables import (
    CHECKSUM,
    OPTIONAL,
    TABLE,
    Piece,
    image_digest,
    make_authority,
    make_pe,
    signature_of,
    signed_pe,
    with_table,
)
from sysgraft.formats import authenticode, cms, esl, wincert
from sysgraft.host import ovmf_vars
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_uki
from sysgraft.sign.verify import files
from sysgraft.testing.certificates import NOW, Identity, make_identity
from sysgraft.testing.efivars import certificate_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boot.conftest import Lab

pytestmark = [pytest.mark.boot, pytest.mark.oracle("osslsigncode")]

OWNER: Final = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
# mov rax, EFI_NOT_FOUND; ret
RETURNS: Final = bytes.fromhex("48b80e00000000000080 c3")
# EFI_SYSTEM_TABLE is in RDX (UEFI 2.10 §2.3.4.2): RuntimeServices->ResetSystem(EfiResetShutdown, …)
SWITCHES_OFF: Final = bytes.fromhex("488b4258 b902000000 31d2 4531c0 4531c9 4883ec28 ff5068 c3")

ALONE = make_identity("alone")
STRANGER = make_identity("stranger")
REVOKED = make_identity("revoked")
ROOT = make_authority("root")
INTER = make_authority("inter", issuer=ROOT)
LEAF = make_identity("leaf", issuer=INTER)
ONLY_INTER = make_authority("only inter", issuer=make_authority("unknown root"))
BELOW_INTER = make_identity("below inter", issuer=ONLY_INTER)
BAD_INTER = make_authority("bad inter", issuer=ROOT)
BELOW_BAD = make_identity("below bad", issuer=BAD_INTER)
PLAIN = make_identity("plain")
BELOW_PLAIN = make_identity("below plain", issuer=PLAIN)
SHORT = make_authority("short", path_length=0)
BELOW_SHORT = make_identity("below short", issuer=SHORT)
SECOND = make_authority("second", issuer=SHORT)
BELOW_SECOND = make_identity("below second", issuer=SECOND)
ODD = make_authority(
    "odd",
    extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\0"), True)],
)
CONSTRAINED = make_authority(
    "constrained",
    extensions=[
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.NameConstraints([x509.DNSName("a")], None), True),
    ],
)
BELOW_CONSTRAINED = make_identity("below constrained", issuer=CONSTRAINED)
TBS_LEAF = make_identity("tbs leaf")
TBS_INTER = make_authority("tbs inter", issuer=ROOT)
BELOW_TBS = make_identity("below tbs", issuer=TBS_INTER)
CURVE = make_identity("curve", kind="p256")

IN_DB: Final = (ALONE, ROOT, ONLY_INTER, PLAIN, SHORT, ODD, CONSTRAINED, TBS_LEAF, REVOKED, CURVE)


def program(label: str, *pieces: Piece, code: bytes = RETURNS) -> bytes:
    """An executable that runs; no two labels have the same digest."""
    made = bytearray(make_pe([(".text", code), (".label", label.encode()), *pieces]))
    struct.pack_into("<I", made, OPTIONAL + 16, 0x1000)
    struct.pack_into("<I", made, TABLE + 36, 0x6000_0020)
    return bytes(made)


def by(label: str, *signers: Identity, chain: tuple[Identity, ...] = ()) -> bytes:
    return signed_pe(program(label), *signers, chain=chain)


def with_entries(label: str, *entries: bytes) -> bytes:
    return with_table(program(label), wincert.serialise(map(wincert.Entry, entries)))


def without_certificate(label: str) -> bytes:
    signed = authenticode.parse(signature_of(program(label), ALONE)).signed
    return with_entries(label, cms.serialise(dataclasses.replace(signed, certificates=())))


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def stale(identity: Identity) -> bytes:
    """A sound signature of something else."""
    return signature_of(program("something else"), identity)


GAP = Piece(".data", b"x", gap=512)
WITH_GAP = signed_pe(program("gap", GAP), ALONE)

CASES: Final = {
    "the signer is in db": by("1", ALONE),
    "a stranger": by("2", STRANGER),
    "a changed byte": changed(by("3", ALONE), 600, b"!"),
    "a changed header": changed(by("4", ALONE), OPTIONAL + 44, b"!"),
    "another checksum": changed(by("5", ALONE), CHECKSUM, b"abcd"),
    "unsigned": program("6"),
    "unsigned, its digest in db": program("trusted digest"),
    "a stranger's, its digest in db": by("trusted digest", STRANGER),
    "its digest in dbx": by("revoked digest", ALONE),
    "its sha384 in dbx": by("revoked sha384", ALONE),
    "a revoked signer in db": by("7", REVOKED),
    "a chain to a root in db": by("8", LEAF, chain=(INTER,)),
    "a chain to a root in db, broken": by("9", LEAF),
    "an issuer in db": by("10", BELOW_INTER),
    "a revoked issuer below a root in db": by("11", BELOW_BAD, chain=(BAD_INTER,)),
    "an issuer that is no authority": by("12", BELOW_PLAIN),
    "a short path": by("13", BELOW_SHORT),
    "a path that is too long": by("14", BELOW_SECOND, chain=(SECOND,)),
    "an unknown critical extension": by("15", ODD),
    "an issuer with name constraints": by("16", BELOW_CONSTRAINED),
    "a signer's signed part in dbx": by("17", TBS_LEAF),
    "an issuer's signed part in dbx": by("18", BELOW_TBS, chain=(TBS_INTER,)),
    "two signatures, the second trusted": by("19", STRANGER, ALONE),
    "two signatures, the second revoked": by("20", ALONE, REVOKED),
    "a second signature that is stale": with_entries(
        "21", signature_of(program("21"), ALONE), stale(STRANGER)
    ),
    "a second signature that is stale and revoked": with_entries(
        "22", signature_of(program("22"), ALONE), stale(REVOKED)
    ),
    "a second signature that is none": with_entries(
        "23", signature_of(program("23"), ALONE), b"junk"
    ),
    "no certificate inside": without_certificate("24"),
    "an empty gap": WITH_GAP,
    "a filled gap": changed(WITH_GAP, WITH_GAP.index(b"gap") + 512, b"!"),
    "bytes behind the table": by("25", ALONE) + bytes(8),
    "a table that is cut off": by("26", ALONE)[:-8],
    "an elliptic curve": by("27", CURVE),
}
BY_OSSLSIGNCODE: Final = ("sha1", "sha384", "sha512")

STRICTER: Final = {
    "its sha384 in dbx",  # EDK II looks for the digests that the signatures use
    "an issuer with name constraints",  # which are not evaluated here
    "an issuer's signed part in dbx",  # EDK II looks at signers and at what db holds
    "a second signature that is stale and revoked",
    "a second signature that is none",
    "a filled gap",
    "osslsigncode with sha1",  # if the firmware was built with it
}
"""What the firmware starts, and ``uki verify`` refuses."""
LAXER: Final = {"an elliptic curve"}
"""What ``uki verify`` takes with a note, and firmware built without EC refuses."""


def databases(folder: Path) -> None:
    """Write ``pk.esl``, ``db.esl`` and ``dbx.esl``."""

    def entry(kind: UUID, value: bytes) -> bytes:
        return esl.serialise([esl.SignatureList(kind, (esl.Signature(OWNER, value),))])

    def signed_part(identity: Identity) -> bytes:
        digest = hashlib.sha256(identity.certificate.tbs_der).digest()
        return entry(esl.CERT_X509_SHA256, digest + bytes(16))

    def certificates(*identities: Identity) -> bytes:
        return certificate_list(*(each.certificate.der for each in identities), owner=OWNER)

    (folder / "pk.esl").write_bytes(certificates(STRANGER))
    trusted = image_digest(program("trusted digest")).value
    (folder / "db.esl").write_bytes(certificates(*IN_DB) + entry(esl.CERT_SHA256, trusted))
    revoked = image_digest(program("revoked digest")).value
    (folder / "dbx.esl").write_bytes(
        certificates(REVOKED, BAD_INTER)
        + entry(esl.CERT_SHA256, revoked)
        + entry(esl.CERT_SHA384, image_digest(program("revoked sha384"), "sha384").value)
        + signed_part(TBS_LEAF)
        + signed_part(TBS_INTER)
    )


def osslsigncode(folder: Path, digest: str) -> bytes:
    (folder / "key").write_bytes(ALONE.key_pem)
    (folder / "crt").write_bytes(ALONE.certificate_pem)
    (folder / "in").write_bytes(program(digest))
    (folder / "out").unlink(missing_ok=True)
    words = ("-h", digest, "-key", "key", "-certs", "crt", "-in", "in", "-out", "out")
    subprocess.run(
        ["osslsigncode", "sign", *words], cwd=folder, check=True, capture_output=True, timeout=60
    )
    return (folder / "out").read_bytes()


def enrol(folder: Path, names: list[str]) -> str:
    """A variable store with the databases and a boot entry for each file."""
    paths = {name: str(folder / f"{name}.esl") for name in ("pk", "db", "dbx")}
    ovmf_vars.enroll(
        ovmf_vars.find_template(),
        str(folder / "keys.fd"),
        pk=paths["pk"],
        kek=[paths["pk"]],
        db=[paths["db"]],
        dbx=[paths["dbx"]],
        owner=OWNER,
    )
    entries = [f"--append-boot-filepath=\\EFI\\cases\\{name}" for name in names]
    tool = Path(sys.executable).with_name("virt-fw-vars")
    files_given = ("--input", folder / "keys.fd", "--output", folder / "vars.fd")
    subprocess.run([tool, *files_given, *entries], check=True, capture_output=True, timeout=60)
    return str(folder / "vars.fd")


class Verdicts(NamedTuple):
    """Names of cases: those that ``uki verify`` calls good, and those that a firmware starts."""

    ours: set[str]
    theirs: set[str]


def try_cases(
    folder: Path, lab: Lab, cases: Mapping[str, bytes], *, trusted: Identity, refusal: str = ""
) -> Verdicts:
    """Put executables before both; the databases are in the folder.

    Args:
        folder: where the EFI system partition is made.
        lab: boots it.
        cases: by name.
        trusted: who signs the program that ends the run.
        refusal: what the boot menu's message of a refusal goes on with.
    """
    esp = folder / "esp/EFI/cases"
    esp.mkdir(parents=True)
    named = {f"{number:02}.efi": case for number, case in enumerate(cases)}
    for name, case in named.items():
        (esp / name).write_bytes(cases[case])
    (esp / "end.efi").write_bytes(signed_pe(program("end", code=SWITCHES_OFF), trusted))
    store = files.signature_lists(str(folder / "db.esl"), for_executables=True)
    options = UkiVerifyOptions(trust=store | files.dbx(str(folder / "dbx.esl")), now=NOW)
    ours = {case for name, case in named.items() if verify_uki(esp / name, options).ok}
    report = lab.boot(
        esp=str(folder / "esp"),
        secure_boot=enrol(folder, [*named, "end.efi"]),
        probe=False,
        memory=512,
    )
    assert report.ending == "powered-off", report.serial
    started = set(re.findall(r'starting Boot\w+ "file (\w+\.efi)"', report.serial))
    refused = set(re.findall(rf'failed to load Boot\w+ "file (\w+\.efi)"{refusal}', report.serial))
    assert started | refused == {*named, "end.efi"}
    return Verdicts(ours, {case for name, case in named.items() if name in started})


def test_firmware_and_we_agree(tmp_path: Path, lab: Lab) -> None:
    cases = dict(CASES)
    cases |= {f"osslsigncode with {name}": osslsigncode(tmp_path, name) for name in BY_OSSLSIGNCODE}
    databases(tmp_path)
    ours, theirs = try_cases(tmp_path, lab, cases, trusted=ALONE, refusal=".*Denied")
    assert theirs - ours == STRICTER
    assert ours - theirs <= LAXER
    assert "the signer is in db" in ours
