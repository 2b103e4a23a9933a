"""``uki verify``: its checks one by one, its exit codes, its documents."""

from __future__ import annotations

import json
import struct
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from command import sysgraft
from executables import (
    CHECKSUM,
    MAGIC,
    OPTIONAL,
    PE_OFFSET,
    SECURITY,
    Piece,
    image_digest,
    make_pe,
    signed_pe,
    uki_pieces,
    with_table,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import InputError, TruncatedError, UsageError
from sysgraft.formats import esl, pe, wincert
from sysgraft.image.uki_structure import CHECKS
from sysgraft.image.uki_verify import UkiVerification, UkiVerifyOptions, verify_blob, verify_uki
from sysgraft.sign.verify import trust
from sysgraft.testing.certificates import NOW, make_identity
from sysgraft.testing.efivars import certificate_list

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMAS = Path(__file__).parents[2] / "docs/reference/schemas"
SIGNER = make_identity("signer")
OTHER = make_identity("other")
STORE = trust.from_certificates(SIGNER.certificate_pem, "db.pem")
OWNER = esl.CERT_X509  # any GUID will do


def verify(data: bytes, **options: Any) -> UkiVerification:
    settings = UkiVerifyOptions(**{"trust": STORE, "now": NOW, **options})
    return verify_blob(BytesBlob(data), "it", settings)


def statuses(result: UkiVerification) -> dict[str, str]:
    return {check.name: check.status for check in result.checks}


def reason(result: UkiVerification, name: str) -> str:
    return next(check.reason for check in result.checks if check.name == name)


def test_a_signed_uki_is_good() -> None:
    data = signed_pe(make_pe(uki_pieces()), SIGNER)
    result = verify(data)
    assert result.ok
    assert statuses(result) == {
        "pe": "ok",
        "signature": "ok",
        "trust": "ok",
        "revocation": "skipped",
        "content": "ok",
    }
    assert tuple(statuses(result)) == CHECKS
    assert (result.kind, result.architecture) == ("uki", "x86-64")
    assert result.digests == (("sha256", image_digest(data).value),)
    assert reason(result, "pe") == "an EFI executable for x86-64, 6 sections, 1 signature"
    assert reason(result, "content") == "a unified kernel image"
    assert result.notes == ()


def test_an_unsigned_executable_needs_two_permissions() -> None:
    data = make_pe(uki_pieces())
    result = verify(data)
    assert not result.ok
    assert [check.name for check in result.checks if not check.passes] == ["signature", "trust"]
    assert not verify(data, allow_skip=frozenset({"signature"})).ok
    assert verify(data, allow_skip=frozenset({"signature", "trust"})).ok


def test_permission_to_skip_is_none_to_fail() -> None:
    data = signed_pe(make_pe(uki_pieces()), OTHER)
    assert not verify(data, allow_skip=frozenset(CHECKS)).ok
    with pytest.raises(UsageError, match="no check 'gpt'"):
        UkiVerifyOptions(allow_skip=frozenset({"gpt"}))


def test_a_trusted_digest_makes_a_signature_unnecessary() -> None:
    data = make_pe(uki_pieces())
    lists = esl.serialise(
        [esl.SignatureList(esl.CERT_SHA256, (esl.Signature(OWNER, image_digest(data).value),))]
    )
    store = trust.from_signature_lists(lists, "db.esl", for_executables=True)
    result = verify(data, trust=store)
    assert result.ok
    assert statuses(result)["signature"] == "skipped"
    assert not verify(make_pe(uki_pieces((".x", b"y"))), trust=store).ok


def test_digests_beyond_those_of_signatures_are_made_when_lists_speak_of_them() -> None:
    data = signed_pe(make_pe(uki_pieces()), SIGNER)
    value = image_digest(data, "sha384").value
    lists = esl.serialise([esl.SignatureList(esl.CERT_SHA384, (esl.Signature(OWNER, value),))])
    result = verify(data, trust=STORE | trust.from_dbx(lists, "dbx.esl"))
    assert statuses(result)["revocation"] == "fail"
    assert [name for name, _ in result.digests] == ["sha256", "sha384"]


def test_a_store_may_be_loaded_while_the_file_is_hashed() -> None:
    data = signed_pe(make_pe(uki_pieces()), SIGNER)
    assert verify(data, trust=lambda: STORE).ok
    assert not verify(data, trust=trust.TrustStore).ok

    def broken() -> trust.TrustStore:
        raise InputError("no such file", file="db.pem")

    with pytest.raises(InputError) as caught:
        verify(data, trust=broken)
    assert caught.value.file == "db.pem"


def test_large_files_are_hashed_by_a_thread_that_ends_with_the_verdict() -> None:
    data = signed_pe(make_pe(uki_pieces((".splash", b"splash" * (2 << 20)))), SIGNER)
    before = sys.getswitchinterval()
    assert verify(data).ok
    assert not verify(patched(data, len(data) // 2, b"!")).ok

    def interrupted() -> trust.TrustStore:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(data, trust=interrupted)
    assert threading.active_count() == 1
    assert sys.getswitchinterval() == before


class Shrinking(BytesBlob):
    """A file that is cut off once its headers were read."""

    def readinto_at(self, offset: int, view: memoryview) -> None:
        raise TruncatedError(f"the file shrank at {offset}, {len(view)} bytes are missing")


@pytest.mark.parametrize("size", [1, 3 << 20])
def test_a_file_that_changes_meanwhile_is_an_error_not_a_verdict(size: int) -> None:
    data = signed_pe(make_pe(uki_pieces((".splash", bytes(size)))), SIGNER)
    with pytest.raises(TruncatedError, match="the file shrank"):
        verify_blob(Shrinking(data), "it", UkiVerifyOptions(trust=STORE))


# --- pe ------------------------------------------------------------------------------------------


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


UNSIGNED = make_pe(uki_pieces())
SECTIONS = pe.parse(BytesBlob(UNSIGNED)).table_offset


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an EFI executable"),
        (b"\x7fELF" + bytes(1000), "not an EFI executable"),
        (patched(UNSIGNED, PE_OFFSET, b"XX"), "no PE signature"),
        (patched(UNSIGNED, SECTIONS + 16, b"\xff\xff\xff\x7f"), "would end at byte"),
        (patched(UNSIGNED, SECTIONS + 60, struct.pack("<I", 512)), "overlaps"),
        (patched(UNSIGNED, SECTIONS + 52, struct.pack("<I", 0x1000)), "overlaps"),
        (patched(UNSIGNED, SECURITY, struct.pack("<II", 0, 8)), "not with the file"),
        (with_table(UNSIGNED, bytes(8)), "a length of 0 bytes"),
        (with_table(UNSIGNED, b"\x10\0\0\0\0\x02\x01\0" + bytes(8)), "the type 0x0001"),
        (signed_pe(UNSIGNED, SIGNER) + bytes(8), "not with the file"),
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read(data: bytes, words: str) -> None:
    result = verify(data)
    assert statuses(result) == {
        "pe": "fail",
        "signature": "skipped",
        "trust": "skipped",
        "revocation": "skipped",
        "content": "skipped",
    }
    assert words in reason(result, "pe")
    assert (result.kind, result.signatures) == (None, ())
    assert not result.ok
    assert not verify(data, allow_skip=frozenset(CHECKS)).ok


@pytest.mark.parametrize("subsystem", [0, 1, 2, 3, 9, 13, 14, 16])
def test_what_is_not_for_efi_is_not_read(subsystem: int) -> None:
    result = verify(signed_pe(make_pe(subsystem=subsystem), SIGNER))
    assert reason(result, "pe") == f"its subsystem is {subsystem}, and firmware loads only 10 to 12"
    assert not result.ok
    for driver in (10, 11, 12):
        assert verify(signed_pe(make_pe(subsystem=driver), SIGNER)).ok


def test_every_truncation_fails() -> None:
    data = signed_pe(UNSIGNED, SIGNER)
    assert verify(data).ok
    for length in range(len(data)):
        assert not verify(data[:length]).ok


def test_machines_without_a_name_are_told_by_their_number() -> None:
    assert "machine 0x1234" in reason(verify(make_pe(machine=0x1234)), "pe")
    assert "arm64" in reason(verify(make_pe(machine=0xAA64)), "pe")


def test_an_unsigned_executable_without_room_for_a_signature_is_read() -> None:
    result = verify(make_pe(uki_pieces(), directories=4))
    assert statuses(result)["pe"] == "ok"
    assert statuses(result)["signature"] == "skipped"


# --- content -------------------------------------------------------------------------------------


def content(pieces: Sequence[Piece | tuple[str, bytes]], **options: Any) -> UkiVerification:
    return verify(signed_pe(make_pe(pieces, **options), SIGNER))


@pytest.mark.parametrize(
    ("pieces", "kind", "words"),
    [
        (uki_pieces(), "uki", "a unified kernel image"),
        (
            uki_pieces((".profile", b"ID=a"), (".profile", b"ID=b"), (".cmdline", b"b")),
            "uki",
            "a unified kernel image with 2 profiles",
        ),
        ([(".sdmagic", MAGIC), (".cmdline", b"debug")], "addon", "an addon"),
        ([(".sdmagic", MAGIC), (".text", b"\xc3")], "stub", "systemd-stub 257.13 by itself"),
        ([(".text", b"\xc3")], "other", "neither UKI nor addon"),
        ([(".profile", b"ID=a"), (".cmdline", b"x")], "profile", "a profile to be joined"),
    ],
)
def test_kinds_of_executables(pieces: list[tuple[str, bytes]], kind: str, words: str) -> None:
    result = content(pieces)
    assert (result.kind, statuses(result)["content"]) == (kind, "ok")
    assert words in reason(result, "content")
    assert result.ok


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (uki_pieces((".cmdline", b"again")), "the section .cmdline is there twice"),
        (uki_pieces((".linux", b"again")), "the section .linux is there twice"),
        (
            uki_pieces((".profile", b"ID=a"), (".cmdline", b"1"), (".cmdline", b"2")),
            "the section .cmdline is there twice",
        ),
        ([(".sdmagic", MAGIC), (".uname", b"6.1")], "the stub ignores it"),
        (
            [(".sdmagic", MAGIC), (".osrel", b"ID=x"), (".cmdline", b"x"), (".initrd", b"x")],
            "it has .osrel, as unified kernel images do, but no .linux",
        ),
    ],
)
def test_what_the_specification_forbids_fails(pieces: list[tuple[str, bytes]], words: str) -> None:
    result = content(pieces)
    assert statuses(result)["content"] == "fail"
    assert words in reason(result, "content")
    assert statuses(result)["trust"] == "ok"
    assert not result.ok


@pytest.mark.parametrize(
    "pieces",
    [
        [(".text", b"\xc3")],
        [(".sdmagic", MAGIC), (".cmdline", b"debug")],
        uki_pieces(),
        uki_pieces((".profile", b"ID=a")),
    ],
)
def test_shim_refuses_two_sections_of_sbat(pieces: list[tuple[str, bytes]]) -> None:
    sbat = (".sbat", b"sbat,1,SBAT Version,sbat,1,u\n")
    assert content([sbat, *pieces]).ok
    result = content([sbat, *pieces, sbat])
    assert statuses(result)["content"] == "fail"
    assert not result.ok


def test_a_profile_has_no_sbat_of_its_own() -> None:
    sbat = (".sbat", b"sbat,1,SBAT Version,sbat,1,u\n")
    result = content(uki_pieces(sbat, (".profile", b"ID=a"), sbat))
    assert "2 sections .sbat, and shim refuses" in reason(result, "content")


def test_sections_chosen_by_hardware_may_be_there_several_times() -> None:
    assert content(uki_pieces((".dtbauto", b"1"), (".dtbauto", b"2"), (".efifw", b"3"))).ok


def test_only_applications_are_ukis() -> None:
    result = content(uki_pieces(), subsystem=12)
    assert "its subsystem is 12, not 10" in reason(result, "content")
    assert content([(".text", b"\xc3")], subsystem=12).ok


def test_a_section_that_claims_much_more_than_it_holds_fails() -> None:
    data = patched(UNSIGNED, SECTIONS + 4 * 40 + 8, struct.pack("<I", 1 << 30))
    # The next one has to move out of its way in memory, and the image has to grow.
    data = patched(data, SECTIONS + 5 * 40 + 12, struct.pack("<I", 0x7000_0000))
    data = patched(data, OPTIONAL + 56, struct.pack("<I", 0x7000_1000))
    result = verify(signed_pe(data, SIGNER))
    assert statuses(result)["pe"] == "ok"
    assert "is said to have 1073741824 bytes" in reason(result, "content")


def test_what_boot_menus_miss_is_a_note() -> None:
    pieces = [(".text", b"\xc3"), (".linux", b"MZ")]
    result = content(pieces)
    assert result.ok
    assert [note.partition(" ")[0] for note in result.notes] == ["without", "the"]
    assert ".osrel" in result.notes[0]
    assert ".sdmagic" in result.notes[1]


def test_gaps_must_be_empty_since_nobody_signs_them() -> None:
    pieces = [Piece(".text", b"\xc3"), Piece(".linux", b"MZ", gap=512)]
    empty = content(pieces)
    assert statuses(empty) == {**statuses(empty), "content": "ok", "signature": "ok"}
    assert any("512 bytes at byte 1024" in note for note in empty.notes)
    data = signed_pe(make_pe(pieces), SIGNER)
    for at in (1024, 1300, 1535):
        result = verify(patched(data, at, b"!"))
        assert statuses(result)["signature"] == "ok"
        assert "no signature covers them" in reason(result, "content")
        assert not result.ok


def test_the_checksum_alone_may_hold_anything() -> None:
    data = signed_pe(UNSIGNED, SIGNER)
    assert verify(patched(data, CHECKSUM, b"\xff\xff\xff\xff")).ok


# --- The command ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "db.pem").write_bytes(SIGNER.certificate_pem)
    (tmp_path / "other.pem").write_bytes(OTHER.certificate_pem)
    (tmp_path / "good.efi").write_bytes(signed_pe(UNSIGNED, SIGNER))
    (tmp_path / "plain.efi").write_bytes(UNSIGNED)
    (tmp_path / "db.esl").write_bytes(certificate_list(SIGNER.certificate.der, owner=OWNER))
    (tmp_path / "none.esl").write_bytes(certificate_list(OTHER.certificate.der, owner=OWNER))
    return tmp_path


def errors_of(document: object, name: str) -> list[str]:
    schema = json.loads((SCHEMAS / f"sysgraft.{name}-1.json").read_text())
    return [
        f"{e.json_path}: {e.message}" for e in Draft202012Validator(schema).iter_errors(document)
    ]


def test_the_verdict_is_the_exit_code(folder: Path) -> None:
    good, plain = folder / "good.efi", folder / "plain.efi"
    trusting = ("--certificate", folder / "db.pem")
    assert sysgraft("uki", "verify", good, *trusting).code == 0
    assert sysgraft("uki", "verify", good, "--certificate", folder / "other.pem").code == 1
    assert sysgraft("uki", "verify", good).code == 1
    assert sysgraft("uki", "verify", plain, *trusting).code == 1
    assert sysgraft("uki", "verify", good, plain, *trusting).code == 1
    assert sysgraft("uki", "verify", good, "--esl", folder / "db.esl").code == 0
    assert sysgraft("uki", "verify", good, "--esl", folder / "none.esl").code == 1
    revoked = (*trusting, "--dbx", folder / "db.esl")
    assert sysgraft("uki", "verify", good, *revoked).code == 1
    harmless = (*trusting, "--dbx", folder / "none.esl")
    assert sysgraft("uki", "verify", good, *harmless).code == 0
    skips = ("--allow-skip", "signature", "--allow-skip", "trust")
    assert sysgraft("uki", "verify", plain, *skips).code == 0


def test_questions_that_cannot_be_asked_exit_2(folder: Path) -> None:
    good = folder / "good.efi"
    for words in (
        ("--certificate", folder / "missing.pem"),
        ("--certificate", good),
        ("--esl", folder / "db.pem"),
        ("--dbx", folder / "missing.esl"),
        ("--efivars", folder / "missing"),
        ("--allow-skip", "gpt"),
    ):
        result = sysgraft("uki", "verify", good, *words)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("error: ")


def test_a_missing_file_does_not_hide_the_others(folder: Path) -> None:
    trusting = ("--certificate", folder / "db.pem")
    files = (folder / "missing.efi", folder / "good.efi")
    result = sysgraft("uki", "verify", *files, *trusting)
    assert result.code == 2
    assert "good.efi: verified" in result.out
    document = sysgraft("uki", "verify", *files, *trusting, "--json").document
    assert errors_of(document, "uki.verify") == []
    assert document["ok"] is False
    assert [image["ok"] for image in document["images"]] == [True]
    assert [Path(each["file"]).name for each in document["errors"]] == ["missing.efi"]


def test_what_is_printed(folder: Path) -> None:
    result = sysgraft("uki", "verify", folder / "good.efi", "--certificate", folder / "db.pem")
    lines = result.out.splitlines()
    assert lines[0] == f"{folder / 'good.efi'}: verified"
    assert [line.split()[1] for line in lines[1:]] == list(CHECKS)
    assert "revocation  not asked  no dbx given" in lines[4]
    plain = sysgraft("uki", "verify", folder / "plain.efi")
    assert plain.out.splitlines()[0].endswith("plain.efi: NOT VERIFIED: signature, trust")


def test_the_document_of_every_outcome_is_what_the_schema_says(folder: Path) -> None:
    twice = signed_pe(UNSIGNED, SIGNER, OTHER)
    (folder / "twice.efi").write_bytes(twice)
    (folder / "junk.efi").write_bytes(b"junk")
    broken = with_table(UNSIGNED, wincert.serialise([wincert.Entry(b"\x30\x03abc")]))
    (folder / "broken.efi").write_bytes(broken)
    names = ("good", "plain", "twice", "junk", "broken")
    files = [folder / f"{name}.efi" for name in names]
    result = sysgraft("uki", "verify", *files, "--certificate", folder / "db.pem", "--json")
    assert result.code == 1
    document = result.document
    assert next(iter(document)) == "schema"
    assert errors_of(document, "uki.verify") == []
    good, _, both, junk, unreadable = document["images"]
    assert [image["ok"] for image in document["images"]] == [True, False, True, False, False]
    assert good["digests"] == {"sha256": image_digest(UNSIGNED).value.hex()}
    (signature,) = good["signatures"]
    assert signature["signer"]["trustedBy"] == str(folder / "db.pem")
    assert signature["signer"]["fingerprint"] == SIGNER.certificate.fingerprint.hex()
    assert signature["digest"]["value"] == good["digests"]["sha256"]
    assert [each["trust"]["status"] for each in both["signatures"]] == ["ok", "fail"]
    assert (junk["kind"], junk["signatures"]) == (None, [])
    assert unreadable["signatures"][0]["signer"] is None


def test_a_schema_finds_what_is_missing_unknown_or_wrong(folder: Path) -> None:
    document = sysgraft("uki", "verify", folder / "good.efi", "--json").document
    assert errors_of(document, "uki.verify") == []
    image = document["images"][0]
    for wrong in (
        {**image, "colour": "green"},
        {key: value for key, value in image.items() if key != "kind"},
        {**image, "kind": "kernel"},
        {**image, "digests": {"md5": "00" * 20}},
        {**image, "checks": image["checks"][:-1]},
        {**image, "signatures": [{}]},
    ):
        assert errors_of({**document, "images": [wrong]}, "uki.verify") != []


def test_the_schema_names_all_checks() -> None:
    text = (SCHEMAS / "sysgraft.uki.verify-1.json").read_text()
    assert json.dumps(list(CHECKS)) in json.dumps(json.loads(text))


def test_a_path_is_opened_once_and_named_in_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        verify_uki(tmp_path / "missing.efi")
    assert caught.value.file == str(tmp_path / "missing.efi")
    with pytest.raises(InputError, match="not a regular file"):
        verify_uki(tmp_path)
