"""PCR policies of UKIs: which keys sign what, the key in the image, signatures made elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from command import sysgraft
from executables import Piece, make_pe
from sysgraft.testing.certificates import Identity, make_identity
from uki_kit import (
    Kit,
    make_kit,
    names_of,
    own_sections,
    paths,
    pcr11,
    pcr_signatures,
    policy,
    public_pem,
    section,
    sections_of,
    sign_elsewhere,
)

if TYPE_CHECKING:
    from pathlib import Path

BANKS = ("sha1", "sha256", "sha384", "sha512")
OWNER, OTHER = make_identity("PCR policies"), make_identity("other PCR policies")
CURVE = make_identity("a curve", kind="p256")
SIGNER = make_identity("Secure Boot")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    for name, identity in (("pcr", OWNER), ("other", OTHER), ("curve", CURVE), ("db", SIGNER)):
        kit.file(f"{name}.key", identity.key_pem)
        kit.file(f"{name}.crt", identity.certificate_pem)
        kit.file(f"{name}.pub", public_pem(identity))
    return kit


def fingerprint(identity: Identity) -> str:
    der = identity.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.PKCS1
    )
    return hashlib.sha256(der).hexdigest()


def is_by(entry: dict[str, Any], identity: Identity, reference: str = "") -> bool:
    """Whether an entry's signature is this key's, over its policy and the reference."""
    key = identity.key.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    signed = bytes.fromhex(entry["pol"])
    if reference:
        signed += hashlib.sha256(reference.encode()).digest()
    try:
        key.verify(base64.b64decode(entry["sig"]), signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return bool(entry["pkfp"] == fingerprint(identity))


def expected(uki: Path, phase: str, bank: str) -> str:
    contents = {name: data for name, data in own_sections(uki) if name != ".pcrsig"}
    return policy(pcr11(contents, phase, bank), bank)


# --- What is signed ------------------------------------------------------------------------------


def test_one_key_signs_the_usual_phases_in_all_banks(kit: Kit) -> None:
    uki = kit.build("x.efi", f"--pcr-private-key={kit.folder}/pcr.key")
    (document,) = pcr_signatures(uki)
    assert list(document) == list(BANKS)
    for bank, entries in document.items():
        assert [entry["pol"] for entry in entries] == [
            expected(uki, phase, bank) for phase in paths()
        ]
        for entry in entries:
            assert list(entry) == ["pcrs", "pkfp", "pol", "sig"]
            assert entry["pcrs"] == [11]
            assert is_by(entry, OWNER)
    assert section(uki, ".pcrpkey") == public_pem(OWNER)
    assert names_of(uki)[-1] == ".pcrsig"


def test_several_keys_sign_phases_of_their_own(kit: Kit) -> None:
    uki = kit.build(
        "x.efi",
        f"--pcr-private-key={kit.folder}/pcr.key",
        "--phases=enter-initrd",
        f"--pcr-private-key={kit.folder}/other.key",
        "--phases= enter-initrd:leave-initrd,  enter-initrd:leave-initrd:sysinit , ",
        "--pcr-banks=sha256,",
    )
    (document,) = pcr_signatures(uki)
    first, second, third = document["sha256"]
    assert list(document) == ["sha256"]
    assert [each["pol"] for each in (first, second, third)] == [
        expected(uki, phase, "sha256") for phase in paths(3)
    ]
    assert is_by(first, OWNER)
    assert is_by(second, OTHER)
    assert is_by(third, OTHER)
    assert ".pcrpkey" not in names_of(uki), "nobody can say which of the two it would be"


def test_signatures_can_be_bound_to_a_reference(kit: Kit) -> None:
    uki = kit.build(
        "x.efi",
        f"--pcr-private-key={kit.folder}/pcr.key",
        "--policyref=pool",
        "--phases=enter-initrd",
        "--pcr-banks=sha256",
    )
    (entry,) = pcr_signatures(uki)[0]["sha256"]
    assert list(entry) == ["pcrs", "pkfp", "ref", "pol", "sig"]
    assert entry["ref"] == "pool"
    assert is_by(entry, OWNER, "pool")
    assert not is_by(entry, OWNER)


def test_one_more_signature_for_the_initrd_alone(kit: Kit) -> None:
    keys = (f"--pcr-private-key={kit.folder}/pcr.key", f"--pcr-private-key={kit.folder}/other.key")
    words = ("--phases=enter-initrd:leave-initrd", "--phases=ready", "--pcr-banks=sha384")
    uki = kit.build("x.efi", *keys, *words, "--sign-initrd-pcrs")
    entries = pcr_signatures(uki)[0]["sha384"]
    assert [each.get("ref") for each in entries] == [None, None, "initrd"]
    assert entries[2]["pol"] == expected(uki, "enter-initrd", "sha384")
    assert is_by(entries[2], OWNER, "initrd"), "by the first key"


def test_later_phases_and_the_moment_before_the_first(kit: Kit) -> None:
    uki = kit.build(
        "x.efi",
        f"--pcr-private-key={kit.folder}/pcr.key",
        "--phases=: enter-initrd:factory-reset shutdown",
        "--pcr-banks=sha256",
    )
    assert [each["pol"] for each in pcr_signatures(uki)[0]["sha256"]] == [
        expected(uki, phase, "sha256") for phase in ("", "enter-initrd:factory-reset", "shutdown")
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--phases=initrd", "unknown boot phase 'initrd'"),
        ("--phases=enter-initrd,,ready", "an empty entry in the list"),
        ("--phases=ready --phases=ready", "--phases is given 2 times, --pcr-private-key 1 times"),
        ("--policyref=a --policyref=b", "--policyref is given 2 times"),
        ("--pcr-public-key=pcr.pub --pcr-certificate=pcr.crt", "exclude each other"),
        ("--pcr-public-key=other.pub", "other.pub: the public key does not belong to the private"),
        ("--pcr-certificate=other.crt", "other.crt: the public key does not belong to the private"),
        ("--pcr-public-key=pcr.key", "pcr.key: not a public key in PEM"),
        ("--pcr-public-key=nowhere", "nowhere: cannot read the public key: No such file"),
        ("--pcr-certificate=pcr.pub", "pcr.pub: "),
        ("--policy-digest", "--policy-digest and --pcr-private-key exclude each other"),
        ("--pcrpkey=pcr.key", "pcr.key: not a public key in PEM"),
        ("--pcr-banks=sha256,,sha1", "an empty entry in the list"),
        ("--section=.pcrsig:{}", "--section .pcrsig and PCR signing keys exclude each other"),
    ],
)
def test_keys_and_options_that_do_not_fit(
    kit: Kit, words: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kit.folder)
    result = kit.run("--pcr-private-key=pcr.key", *words.split(), "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert message in result.err
    assert not (kit.folder / "x.efi").exists()


@pytest.mark.parametrize(
    "words",
    [("--pcr-private-key=curve.key",), ("--policy-digest", "--pcr-public-key=curve.pub")],
)
def test_a_key_that_no_tpm_policy_takes(
    kit: Kit, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kit.folder)
    result = kit.run(*words, "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert "PCR policies are signed with RSA keys only" in result.err
    assert "curve." in result.err


def test_a_public_key_alone_says_what_to_do(kit: Kit) -> None:
    result = kit.run(f"--pcr-public-key={kit.folder}/pcr.pub", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert "--pcr-public-key is given 1 times, --pcr-private-key 0 times" in result.err


# --- The key in the image ------------------------------------------------------------------------


def test_a_public_key_is_taken_as_its_file_has_it(kit: Kit) -> None:
    pem = kit.file("pub", b"# ours\n" + public_pem(OWNER) + b"\n")
    words = (f"--pcr-private-key={kit.folder}/pcr.key", f"--pcr-public-key={pem}")
    assert section(kit.build("x.efi", *words), ".pcrpkey") == pem.read_bytes()


@pytest.mark.parametrize("option", ["--pcr-certificate", "--pcr-public-key"])
def test_a_certificate_stands_for_its_key(kit: Kit, option: str) -> None:
    words = (f"--pcr-private-key={kit.folder}/pcr.key", f"{option}={kit.folder}/pcr.crt")
    assert section(kit.build("x.efi", *words), ".pcrpkey") == public_pem(OWNER)


def test_the_key_in_the_image_can_be_chosen(kit: Kit) -> None:
    two = (f"--pcr-private-key={kit.folder}/pcr.key", f"--pcr-private-key={kit.folder}/other.key")
    path = kit.folder / "x.efi"
    result = kit.run(*two, f"--pcrpkey={kit.folder}/other.pub", "-o", path)
    assert section(path, ".pcrpkey") == public_pem(OTHER)
    assert "note" not in result.err
    result = kit.run(two[0], f"--pcrpkey={kit.folder}/other.pub", "-o", path, "--force")
    assert "other.pub is none of the keys that sign PCR policies" in result.err
    assert section(path, ".pcrpkey") == public_pem(OTHER)
    uki = kit.build("y.efi", f"--pcrpkey={kit.folder}/other.pub")
    assert section(uki, ".pcrpkey") == public_pem(OTHER), "without signatures any key will do"
    result = kit.run(f"--pcrpkey={kit.folder}/curve.pub", "-o", path, "--force")
    assert result.code == 2
    assert "curve.pub: PCR policies are signed with RSA keys only" in result.err


# --- Encrypted keys ------------------------------------------------------------------------------


def encrypted(identity: Identity, passphrase: bytes) -> bytes:
    return identity.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def test_passphrases_come_from_files_and_the_environment(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.file("pcr.key", encrypted(OWNER, b"for PCRs"))
    kit.file("db.key", encrypted(SIGNER, b"for db"))
    pcr = (f"--pcr-private-key={kit.folder}/pcr.key",)
    boot = (
        f"--secureboot-private-key={kit.folder}/db.key",
        f"--secureboot-certificate={kit.folder}/db.crt",
    )
    for_pcr = kit.file("for-pcr", "for PCRs\n")
    for_boot = kit.file("for-boot", "for db")
    path = kit.folder / "x.efi"
    for words in (
        (*pcr, f"--passphrase-file={for_pcr}"),
        (*pcr, f"--pcr-passphrase-file={for_pcr}"),
        (*pcr, *boot, f"--pcr-passphrase-file={for_pcr}", f"--passphrase-file={for_boot}"),
    ):
        result = kit.run(*words, "--force", "-o", path)
        assert result.code == 0, result.err
        assert is_by(pcr_signatures(path)[0]["sha256"][0], OWNER)
    result = kit.run(*pcr, *boot, f"--passphrase-file={for_boot}", "--force", "-o", path)
    assert result.code == 2
    assert "pcr.key" in result.err
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", "for PCRs")
    assert kit.run(*pcr, "--force", "-o", path).code == 0
    assert kit.run(*boot, "--force", "-o", path).code == 2
    monkeypatch.delenv("SYSGRAFT_PASSPHRASE")
    result = kit.run(*pcr, "--force", "-o", path)
    assert result.code == 2
    assert "pcr.key: the private key needs a passphrase" in result.err
    assert "for PCRs" not in result.err + result.out


# --- Signatures made elsewhere -------------------------------------------------------------------


def digests_of(kit: Kit, path: Path, *words: str) -> dict[str, Any]:
    """Build an image with policies that are not signed yet; what is to be signed."""
    result = kit.run(
        "--policy-digest", f"--pcr-public-key={kit.folder}/pcr.pub", *words, "-o", path
    )
    assert result.code == 0, result.err
    document: dict[str, Any] = json.loads(result.out)
    return document


def join(kit: Kit, image: Path, document: dict[str, Any], output: Path, *words: str) -> Any:
    text = kit.file("signed.json", json.dumps(document))
    return sysgraft(
        "uki", "build", f"--join-pcrsig={image}", f"--pcrsig=@{text}", "-o", output, *words
    )


def test_policies_to_be_signed_elsewhere(kit: Kit) -> None:
    path = kit.folder / "x.efi"
    document = digests_of(kit, path, "--sign-initrd-pcrs")
    assert list(document) == list(BANKS)
    for bank, entries in document.items():
        assert [entry["pol"] for entry in entries] == [
            expected(path, phase, bank) for phase in [*paths(), "enter-initrd"]
        ]
        for entry in entries:
            reference = entry.get("ref", "")
            tail = hashlib.sha256(reference.encode()).hexdigest() if reference else ""
            assert entry["tbs"] == entry["pol"] + tail
            assert entry["pkfp"] == fingerprint(OWNER)
            assert "sig" not in entry
        assert [entry.get("ref") for entry in entries] == [*[None] * 4, "initrd"]
    text = section(path, ".pcrsig")
    assert json.loads(text) == document
    assert text.endswith(b" " * 1024 * 20), "room for each signature"
    assert section(path, ".pcrpkey") == public_pem(OWNER)


def test_signatures_are_joined_to_the_image(kit: Kit) -> None:
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    document = sign_elsewhere(digests_of(kit, path, "--sign-initrd-pcrs"), OWNER)
    result = join(kit, path, document, output)
    assert result.code == 0, result.err
    assert result.out == f"{output}  (unsigned, 20 of 20 PCR policies signed)\n"
    assert result.err == ""
    assert pcr_signatures(output) == [document]
    assert [each for each in sections_of(output) if each[0] != ".pcrsig"] == [
        each for each in sections_of(path) if each[0] != ".pcrsig"
    ]
    assert output.stat().st_size == path.stat().st_size


def test_joined_signatures_are_those_of_a_build_with_the_key(kit: Kit) -> None:
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    join(kit, path, sign_elsewhere(digests_of(kit, path), OWNER), output)
    (joined,) = pcr_signatures(output)
    for entries in joined.values():
        for entry in entries:
            del entry["tbs"]
    direct = kit.build("y.efi", f"--pcr-private-key={kit.folder}/pcr.key")
    assert pcr_signatures(direct) == [joined]


def test_signatures_are_joined_to_all_profiles(kit: Kit) -> None:
    one = kit.profile("one", "--cmdline=1")
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    document = digests_of(kit, path, f"--join-profile={one}", "--pcr-banks=sha256")
    assert len(document["sha256"]) == 8
    assert [len(each["sha256"]) for each in pcr_signatures(path)] == [4, 4]
    join(kit, path, sign_elsewhere(document, OWNER), output)
    first, second = pcr_signatures(output)
    assert first["sha256"] + second["sha256"] == document["sha256"]


def test_an_image_with_a_signature_loses_it_or_gets_a_new_one(kit: Kit) -> None:
    boot = (
        f"--secureboot-private-key={kit.folder}/db.key",
        f"--secureboot-certificate={kit.folder}/db.crt",
    )
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    document = sign_elsewhere(digests_of(kit, path, *boot), OWNER)
    result = join(kit, path, document, output)
    assert "the signature for Secure Boot no longer held and is gone" in result.err
    verified = sysgraft("uki", "verify", output, f"--certificate={kit.folder}/db.crt")
    assert verified.code == 1
    result = join(kit, path, document, output, "--force", *boot)
    assert result.err == ""
    verified = sysgraft("uki", "verify", output, f"--certificate={kit.folder}/db.crt")
    assert verified.code == 0, verified.out
    once = output.read_bytes()
    join(kit, output, document, output, "--force", *boot)
    assert output.read_bytes() == once


def test_what_was_signed_in_part_can_be_completed(kit: Kit) -> None:
    path, half, whole = (kit.folder / name for name in ("x.efi", "half.efi", "whole.efi"))
    document = sign_elsewhere(digests_of(kit, path), OWNER)
    first = {bank: document[bank] for bank in ("sha1", "sha256")}
    second = {bank: document[bank] for bank in ("sha384", "sha512")}
    result = join(kit, path, first, half)
    assert "8 PCR policies of the image are still without a signature" in result.err
    assert "8 of 16 PCR policies signed" in result.out
    result = join(kit, half, second, whole)
    assert result.err == ""
    assert pcr_signatures(whole) == [document]


def test_a_signature_that_does_not_hold_is_refused(kit: Kit) -> None:
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    document = sign_elsewhere(digests_of(kit, path), OTHER)
    result = join(kit, path, document, output)
    assert result.code == 2
    assert "was not made by the key in .pcrpkey" in result.err
    assert not output.exists()


def test_signatures_by_a_key_the_image_has_not_are_taken_unproven(kit: Kit) -> None:
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    result = kit.run("--policy-digest", f"--pcr-public-key={kit.folder}/other.pub",
                     f"--pcrpkey={kit.folder}/pcr.pub", "-o", path)  # fmt: skip
    document = sign_elsewhere(json.loads(result.out), OTHER)
    result = join(kit, path, document, output)
    assert result.code == 0
    assert "16 signatures are not by the key in .pcrpkey and were not verified" in result.err


def test_signatures_of_another_image_do_not_fit(kit: Kit) -> None:
    path, other, output = (kit.folder / name for name in ("x.efi", "y.efi", "joined.efi"))
    digests_of(kit, path)
    document = sign_elsewhere(digests_of(kit, other, "--cmdline=other"), OWNER)
    result = join(kit, path, document, output)
    assert result.code == 2
    assert f"error: {path}: none of the signatures is for a PCR policy of this image" in result.err
    assert not output.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the PCR signatures are not JSON"),
        ("[]", "are not an object"),
        ('{"sha256": 1}', "are not a list"),
        ("{}", "none of the signatures is for a PCR policy"),
        ('{"sha256": [{"pcrs": [11], "pol": "00", "sig": ""}]}', "a digest of a wrong length"),
    ],
)
def test_what_are_no_signatures(kit: Kit, text: str, message: str) -> None:
    path = kit.folder / "x.efi"
    digests_of(kit, path)
    signatures = kit.file("signatures.json", text)
    result = sysgraft("uki", "build", f"--join-pcrsig={path}", f"--pcrsig=@{signatures}",
                      "-o", kit.folder / "y.efi")  # fmt: skip
    assert result.code == 2
    assert message in result.err
    assert f"error: {path if text == '{}' else signatures}: " in result.err


def test_images_that_take_no_signatures(kit: Kit) -> None:
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    document = sign_elsewhere(digests_of(kit, path), OWNER)
    plain = kit.build("plain.efi")
    result = join(kit, plain, document, output)
    assert "this image has no section .pcrsig" in result.err
    text = json.dumps({bank: [{**each, "sig": ""} for each in document[bank]] for bank in document})
    tight = kit.file("tight.efi", make_pe([(".text", b""), (".pcrsig", text.encode())]))
    result = join(kit, tight, document, output)
    assert result.code == 2
    assert "the section .pcrsig has room for" in result.err
    gap = kit.file(
        "gap.efi",
        make_pe([(".text", b"x"), Piece(".pcrsig", text.encode() + b" " * 9000, gap=512)]),
    )
    result = join(kit, gap, document, output)
    assert result.code == 2
    assert "are in no section, no signature would cover them" in result.err
    assert not output.exists()


@pytest.mark.parametrize(
    "option",
    ["--linux=x", "--cmdline=x", "--section=.x:y", "--pcr-private-key=x", "--policy-digest",
     "--measure", "--os-release=x", "--join-profile=x", "--stub=x"],
)  # fmt: skip
def test_joining_changes_nothing_else(option: str) -> None:
    result = sysgraft("uki", "build", "--join-pcrsig=x", "--pcrsig={}", "-o", "y", option)
    assert result.code == 2
    assert f"{option.partition('=')[0]} does not go with it" in result.err


def test_joining_needs_signatures_and_an_output(kit: Kit) -> None:
    result = sysgraft("uki", "build", "--join-pcrsig=x", "-o", kit.folder / "y")
    assert "--join-pcrsig needs the signatures: --pcrsig TEXT|@PATH" in result.err
    result = sysgraft("uki", "build", "--join-pcrsig=x", "--pcrsig={}")
    assert "--output is needed with --join-pcrsig" in result.err
    assert result.code == 2


def test_several_public_keys_each_for_phases_of_its_own(kit: Kit) -> None:
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    result = kit.run(
        "--policy-digest",
        f"--pcr-certificate={kit.folder}/pcr.crt",
        f"--pcr-certificate={kit.folder}/other.crt",
        "--phases=enter-initrd",
        "--phases=enter-initrd:leave-initrd",
        "--policyref=",
        "--policyref=late",
        "--pcr-banks=sha256",
        "-o",
        path,
    )
    first, second = json.loads(result.out)["sha256"]
    assert (first["pkfp"], second["pkfp"]) == (fingerprint(OWNER), fingerprint(OTHER))
    assert second["tbs"] == second["pol"] + hashlib.sha256(b"late").hexdigest()
    document = {"sha256": [*sign_elsewhere({"a": [first]}, OWNER)["a"],
                           *sign_elsewhere({"a": [second]}, OTHER)["a"]]}  # fmt: skip
    join(kit, path, document, output)
    assert pcr_signatures(output) == [document]
