"""``sysgraft pcr predict``, ``sign`` and ``check``: values, signatures and verdicts that agree.

The expected values are computed here by hand: an archive's bytes written out, PCRs extended one by
one, signatures verified with the cryptography package.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from command import sysgraft
from luks2_kit import TPM2_TOKEN, metadata, volume
from sysgraft.errors import InputError
from sysgraft.measure.policy import sealed_policy
from sysgraft.measure.tpm_name import pem_name
from sysgraft.seal.material import source
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kit, make_stub, pcr11, public_pem, sections_of, sign_elsewhere

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


OWNER, OTHER = make_identity("PCR policies"), make_identity("somebody else")
CURVE = make_identity("a curve", kind="p256")
PHASE = "enter-initrd"


def verify(signature: str, data: bytes) -> None:
    """The owner's signature over these bytes, or an exception."""
    key = OWNER.key.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(signature), data, padding.PKCS1v15(), hashes.SHA256())


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    for name, identity in (("pcr", OWNER), ("other", OTHER), ("curve", CURVE)):
        kit.file(f"{name}.key", identity.key_pem)
        kit.file(f"{name}.pub", public_pem(identity))
    kit.file("a.raw", b"first")
    kit.file("b.sysext.raw", b"second!")
    return kit


@pytest.fixture
def uki(kit: Kit) -> Path:
    return kit.build("linux.efi", "--cmdline", "quiet")


def ok(*words: str | Path) -> dict[str, Any]:
    done = sysgraft(*words, "--json")
    assert done.code == 0, done.err
    return done.document


def archive(files: Mapping[str, bytes], folder: str, modes: tuple[int, int]) -> bytes:
    """What the stub packs, written out once more."""

    def entry(number: int, mode: int, name: str, data: bytes) -> bytes:
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
        head += bytes(-len(head) % 4)
        return head + data + bytes(-len(data) % 4)

    out = entry(1, 0o040555, ".extra", b"") + entry(2, 0o040000 | modes[0], f".extra/{folder}", b"")
    for number, name in enumerate(sorted(files), 3):
        out += entry(number, 0o100000 | modes[1], f".extra/{folder}/{name}", files[name])
    trailer = b"07070100000000000000000000000000000000000000010000000000000000"
    trailer += b"000000000000000000000000000000000000000B00000000TRAILER!!!\0\0\0\0"
    return out + trailer


def extended(*measured: bytes, bank: str = "sha256") -> str:
    value = bytes(hashlib.new(bank).digest_size)
    for data in measured:
        value = hashlib.new(bank, value + hashlib.new(bank, data).digest()).digest()
    return value.hex()


def values(document: dict[str, Any], number: int = 0) -> dict[tuple[str, str, int], str]:
    return {
        (each["phase"], each["bank"], each["pcr"]): each["value"]
        for each in document["sets"][number]["values"]
    }


# --- predict -------------------------------------------------------------------------------------


def test_the_values_are_those_of_the_files(kit: Kit, uki: Path) -> None:
    kit.file("x.cred", b"secret")
    kit.file("c.confext.raw", b"config")
    document = ok(
        *("pcr", "predict", "--uki", uki, "--extra", kit.folder / "a.raw"),
        *("--extra", kit.folder / "b.sysext.raw", "--extra", kit.folder / "x.cred"),
        *("--extra", kit.folder / "c.confext.raw", "--bank", "sha256", "--bank", "sha1"),
    )
    found = values(document)
    credentials = archive({"x.cred": b"secret"}, "credentials", (0o500, 0o400))
    confexts = archive({"c.confext.raw": b"config"}, "confext", (0o555, 0o444))
    sysexts = {"a.raw": b"first", "b.sysext.raw": b"second!"}
    for bank in ("sha256", "sha1"):
        packed = archive(sysexts, "sysext", (0o555, 0o444))
        assert found[PHASE, bank, 13] == extended(packed, bank=bank)
        assert found[PHASE, bank, 12] == extended(credentials, confexts, bank=bank)
        assert found[PHASE, bank, 11] == pcr11(dict(sections_of(uki)), PHASE, bank)
    hashed = {each["name"]: each["sha256"] for each in document["sets"][0]["files"]}
    assert hashed["a.raw"] == hashlib.sha256(b"first").hexdigest()


def test_a_custom_command_line_counts_unless_secure_boot_forbids_it(kit: Kit, uki: Path) -> None:
    words = ("pcr", "predict", "--uki", uki, "--cmdline", "debug", "--pcr", "12", "--phase", ":")
    off = values(ok(*words, "--secure-boot", "off"))
    on = values(ok(*words, "--secure-boot", "on"))
    assert off["", "sha256", 12] == extended("debug\0".encode("utf-16-le"))
    assert on["", "sha256", 12] == "00" * 32
    kit.build("bare.efi")
    bare = values(ok(*words[:3], kit.folder / "bare.efi", *words[4:], "--secure-boot", "on"))
    assert bare["", "sha256", 12] == off["", "sha256", 12]


def test_sidecars_alone_need_the_release_of_the_stub(kit: Kit) -> None:
    words = ("pcr", "predict", "--extra", kit.folder / "a.raw", "--pcr", "13", "--phase", ":")
    refused = sysgraft(*words)
    assert refused.code == 2
    assert "--stub-version" in refused.err
    found = values(ok(*words, "--stub-version", "257"))
    assert found["", "sha256", 13] == extended(
        archive({"a.raw": b"first"}, "sysext", (0o555, 0o444))
    )


def test_confexts_were_system_extensions_before_256(kit: Kit) -> None:
    kit.file("c.confext.raw", b"config")
    words = ("pcr", "predict", "--extra", kit.folder / "c.confext.raw", "--phase", ":")
    old = values(ok(*words, "--stub-version", "255"))
    new = values(ok(*words, "--stub-version", "256"))
    packed = {"c.confext.raw": b"config"}
    assert old["", "sha256", 13] == extended(archive(packed, "sysext", (0o555, 0o444)))
    assert new["", "sha256", 12] == extended(archive(packed, "confext", (0o555, 0o444)))
    assert old["", "sha256", 12] == new["", "sha256", 13] == "00" * 32


def test_what_the_stub_passes_over_is_named(kit: Kit, uki: Path) -> None:
    folder = kit.folder / "linux.efi.extra.d"
    for name in (".hidden.raw", "käse.raw", "good.raw", "fw.pcrsig.json"):
        kit.file(f"linux.efi.extra.d/{name}", b"x")
    (folder / "dir.raw").mkdir()
    document = ok("pcr", "predict", "--uki", uki, "--extra", folder, "--pcr", "13")
    assert [each["name"] for each in document["sets"][0]["files"]] == ["good.raw"]
    reasons = {each["name"][:8]: each["reason"] for each in document["sets"][0]["skipped"]}
    assert reasons == {
        ".hidden.": "its name begins with a dot",
        "käse.raw": "its name is not ASCII",
        "dir.raw": "it is a folder",
    }


def test_a_global_folder_counts_since_258(kit: Kit, uki: Path) -> None:
    kit.file("loader/extensions/g.raw", b"for all")
    words = ("pcr", "predict", "--uki", uki, "--global", kit.folder / "loader", "--phase", ":")
    old = values(ok(*words, "--stub-version", "257"))
    new = values(ok(*words, "--stub-version", "258"))
    packed = archive({"g.raw": b"for all"}, "global_sysext", (0o555, 0o444))
    assert old["", "sha256", 13] == "00" * 32
    assert new["", "sha256", 13] == extended(packed)


def test_an_initrd_of_systemd_261_separates(kit: Kit, uki: Path) -> None:
    words = ("pcr", "predict", "--uki", uki, "--extra", kit.folder / "a.raw", "--pcr", "13")
    packed = archive({"a.raw": b"first"}, "sysext", (0o555, 0o444))
    found = values(ok(*words, "--systemd-version", "261", "--phase", ":", "--phase", PHASE))
    assert found["", "sha256", 13] == extended(packed)
    assert found[PHASE, "sha256", 13] == extended(packed, b"os-separator")


def test_every_subset_is_a_set(kit: Kit, uki: Path) -> None:
    document = ok(
        *("pcr", "predict", "--uki", uki, "--extra", kit.folder / "a.raw", "--phase", ":"),
        *("--extra", kit.folder / "b.sysext.raw", "--all-subsets", "--pcr", "13"),
    )
    found = {each["name"]: each["values"][0]["value"] for each in document["sets"]}
    both = {"a.raw": b"first", "b.sysext.raw": b"second!"}
    one = {"b.sysext.raw": b"second!"}
    assert found["none"] == "00" * 32
    assert found["b.sysext.raw"] == extended(archive(one, "sysext", (0o555, 0o444)))
    assert found["a.raw+b.sysext.raw"] == extended(archive(both, "sysext", (0o555, 0o444)))
    assert len(found) == 4


def test_the_same_files_give_the_same_document_elsewhere(
    kit: Kit, uki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in (uki, kit.folder / "a.raw"):
        (other / path.name).write_bytes(path.read_bytes())
    found = []
    for folder in (kit.folder, other):
        monkeypatch.chdir(folder)
        found.append(sysgraft("pcr", "predict", "--uki", "linux.efi", "--extra", "a.raw", "--json"))
    assert found[0].out == found[1].out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what is to be booted"),
        (["--uki", "missing.efi"], "there is no such file"),
        (["--uki", "UKI", "--pcr", "5"], "PCR 5 does not follow"),
        (["--uki", "UKI", "--pcr", "7"], "give --efivars"),
        (["--uki", "UKI", "--pcr", "x"], "names no PCRs"),
        (["--uki", "UKI", "--bank", "md5"], "unknown PCR bank"),
        (["--uki", "UKI", "--phase", "lunch"], "unknown boot phase"),
        (["--uki", "UKI", "--profile", "3"], "there is no profile 3"),
        (["--uki", "UKI", "--stub-version", "300"], "systemd 300 is not known"),
        (["--uki", "UKI", "--hardware", "x"], "--hardware wants"),
        (["--uki", "UKI", "--hardware", ".dtbauto=1"], "the image has 0 sections .dtbauto"),
        (["--uki", "UKI", "--systemd-version", "26"], "systemd 26 is not known"),
        (["--uki", "UKI", "--set", "a.raw,b=c.raw"], "a name has no comma"),
        (["--uki", "UKI", "--set", "new=EMPTY"], "the set new has no files"),
        (["--uki", "UKI", "--cmdline", "\udcff"], "--cmdline is not text in UTF-8"),
        (["--uki", "UKI", "--entry", "x"], "--entry names a boot entry of --esp"),
        (["--uki", "A"], "not an EFI executable"),
        (["--uki", "UKI", "--extra", "A", "--extra", "B/a.raw"], "would be one file on FAT"),
        (["--uki", "UKI", "--extra", "B/bad.addon.efi"], "bad.addon.efi"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], message: str, kit: Kit, uki: Path
) -> None:
    kit.file("other/A.RAW", b"")
    kit.file("other/a.raw", b"again")
    kit.file("other/bad.addon.efi", b"MZ no addon")
    (kit.folder / "empty").mkdir()
    names = {"UKI": str(uki), "A": str(kit.folder / "a.raw")}
    names["new=EMPTY"] = f"new={kit.folder}/empty"
    words = [names.get(word, word.replace("B/", f"{kit.folder}/other/")) for word in words]
    done = sysgraft("pcr", "predict", *words)
    assert done.code == 2, done.out
    assert message in done.err


def test_a_stub_that_is_too_new_is_not_guessed(kit: Kit) -> None:
    kit.stub.write_bytes(make_stub("299.1-1"))
    path = kit.build("new.efi")
    done = sysgraft("pcr", "predict", "--uki", path)
    assert done.code == 2
    assert "the stub is of systemd 299" in done.err
    assert sysgraft("pcr", "predict", "--uki", path, "--stub-version", "262").code == 0


# --- sign ----------------------------------------------------------------------------------------


def signed(kit: Kit, uki: Path, *words: str | Path, name: str = "sig.json") -> dict[str, Any]:
    path = kit.folder / name
    done = sysgraft(
        *("pcr", "sign", "--uki", uki, "--extra", kit.folder / "a.raw", "--output", path, *words)
    )
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def expected_policy(eleven: str, thirteen: str, bank: str) -> str:
    number = {"sha1": 4, "sha256": 11}[bank]
    selection = struct.pack(">IHB3s", 1, number, 3, b"\0\x28\0")
    digest = hashlib.sha256(bytes.fromhex(eleven + thirteen)).digest()
    return hashlib.sha256(bytes(32) + b"\0\0\1\x7f" + selection + digest).hexdigest()


def test_a_signature_is_for_both_pcrs_together(kit: Kit, uki: Path) -> None:
    document = signed(
        kit, uki, "--private-key", kit.folder / "pcr.key", "--bank", "sha1", "--bank", "sha256"
    )
    sections = dict(sections_of(uki))
    packed = archive({"a.raw": b"first"}, "sysext", (0o555, 0o444))
    for bank in ("sha1", "sha256"):
        assert len(document[bank]) == 4
        first = document[bank][0]
        assert first["pcrs"] == [11, 13]
        wanted = expected_policy(pcr11(sections, PHASE, bank), extended(packed, bank=bank), bank)
        assert first["pol"] == wanted
        verify(first["sig"], bytes.fromhex(first["pol"]))


def test_signing_elsewhere_gives_the_same_file(kit: Kit, uki: Path) -> None:
    here = signed(kit, uki, "--private-key", kit.folder / "pcr.key")
    wanted = signed(
        kit, uki, "--to-be-signed", "--public-key", kit.folder / "pcr.pub", name="tbs.json"
    )
    kit.file("signed.json", json.dumps(sign_elsewhere(wanted, OWNER)))
    done = sysgraft(
        *("pcr", "sign", "--policies", kit.folder / "tbs.json"),
        *("--attach", kit.folder / "signed.json", "--public-key", kit.folder / "pcr.pub"),
    )
    assert done.code == 0, done.err
    assert json.loads(done.out) == here


def test_raw_signatures_are_taken_from_a_folder(kit: Kit, uki: Path) -> None:
    here = signed(kit, uki, "--private-key", kit.folder / "pcr.key")
    for entry in here["sha256"]:
        kit.file(f"raw/{entry['pol']}.sig", base64.b64decode(entry["sig"]))
    words = (
        *("pcr", "sign", "--uki", uki, "--extra", kit.folder / "a.raw"),
        *("--attach", kit.folder / "raw", "--public-key", kit.folder / "pcr.pub"),
    )
    done = sysgraft(*words)
    assert json.loads(done.out) == here
    (kit.folder / f"raw/{here['sha256'][2]['pol']}.sig").unlink()
    missing = sysgraft(*words)
    assert missing.code == 2
    assert "has no signature" in missing.err


def test_a_strangers_signature_is_not_attached(kit: Kit, uki: Path) -> None:
    wanted = signed(
        kit, uki, "--to-be-signed", "--public-key", kit.folder / "pcr.pub", name="tbs.json"
    )
    kit.file("signed.json", json.dumps(sign_elsewhere(wanted, OTHER)))
    done = sysgraft(
        *("pcr", "sign", "--policies", kit.folder / "tbs.json"),
        *("--attach", kit.folder / "signed.json", "--public-key", kit.folder / "pcr.pub"),
    )
    assert done.code == 2
    assert "is not by this key" in done.err


def test_appending_keeps_what_was_there_once(kit: Kit, uki: Path) -> None:
    words = ("--private-key", kit.folder / "pcr.key", "--phase", PHASE)
    old = signed(kit, uki, *words, name="old.json")
    again = signed(kit, uki, *words, "--append", kit.folder / "old.json", name="again.json")
    assert again == old
    more = signed(
        *(kit, uki, *words, "--append", kit.folder / "old.json"),
        *("--extra", kit.folder / "b.sysext.raw"),
        name="more.json",
    )
    assert more["sha256"][0] == old["sha256"][0]
    assert len(more["sha256"]) == 2


def test_a_reference_is_part_of_what_is_signed(kit: Kit, uki: Path) -> None:
    document = signed(
        kit, uki, "--private-key", kit.folder / "pcr.key", "--policyref", "initrd", "--phase", PHASE
    )
    entry = document["sha256"][0]
    assert entry["ref"] == "initrd"
    verify(entry["sig"], bytes.fromhex(entry["pol"]) + hashlib.sha256(b"initrd").digest())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "whose policies these are is not known"),
        (["--private-key", "KIT/curve.key"], "RSA keys only"),
        (["--public-key", "KIT/pcr.pub"], "who signs"),
        (["--private-key", "KIT/pcr.key", "--to-be-signed"], "excludes"),
        (["--private-key", "KIT/pcr.key", "--public-key", "KIT/other.pub"], "does not belong"),
        (["--private-key", "KIT/pcr.key", "--append", "KIT/a.raw"], "not JSON"),
        (["--public-key", "KIT/a.raw", "--to-be-signed"], "not a public key in PEM"),
    ],
)
def test_keys_that_do_not_fit_are_refused(
    words: list[str], message: str, kit: Kit, uki: Path
) -> None:
    words = [word.replace("KIT", str(kit.folder)) for word in words]
    done = sysgraft("pcr", "sign", "--uki", uki, *words, "--output", kit.folder / "sig.json")
    assert done.code == 2
    assert message in done.err
    assert not (kit.folder / "sig.json").exists()


def test_an_existing_file_stays_without_force(kit: Kit, uki: Path) -> None:
    path = kit.file("sig.json", "kept")
    words = ("pcr", "sign", "--uki", uki, "--private-key", kit.folder / "pcr.key")
    assert sysgraft(*words, "--output", path).code == 2
    assert path.read_text() == "kept"
    assert sysgraft(*words, "--output", path, "--force").code == 0


# --- check ---------------------------------------------------------------------------------------


def token(**changes: Any) -> dict[str, Any]:
    pem = public_pem(OWNER)
    fields = {
        **TPM2_TOKEN,
        "tpm2-pcrs": [],
        "tpm2_pubkey": base64.b64encode(pem).decode(),
        "tpm2_pubkey_pcrs": [11, 13],
        "tpm2-policy-hash": sealed_policy(key_name=pem_name(pem)).hex(),
    }
    return {**fields, **changes}


def header(kit: Kit, **changes: Any) -> Path:
    return kit.file("volume.raw", volume(metadata(tokens={"0": token(**changes)})))


def test_a_good_signature_opens_the_volume(kit: Kit, uki: Path) -> None:
    signed(kit, uki, "--private-key", kit.folder / "pcr.key")
    words = ("pcr", "check", kit.folder / "sig.json", "--uki", uki, "--luks", header(kit))
    document = ok(*words, "--extra", kit.folder / "a.raw")
    assert document["ok"] is True
    assert document["answers"][0]["status"] == "ok"
    refused = sysgraft(*words, "--extra", kit.folder / "b.sysext.raw")
    assert refused.code == 1
    assert "no signature of PCR 11+13 for these values" in refused.out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tpm2_pubkey_pcrs": [11]}, "no signature for exactly PCR 11, but for 11+13"),
        ({"tpm2-pcr-bank": "sha384"}, "nothing for the bank sha384"),
        (
            {"tpm2_pubkey": base64.b64encode(public_pem(OTHER)).decode()},
            "no signature of PCR 11+13 by the key",
        ),
        ({"tpm2-policy-hash": "ab" * 32}, "not what the header says"),
        ({"tpm2_pubkey_ref": "initrd"}, "systemd 258 knows no policyref"),
        ({"keyslots": []}, "it belongs to no key slot"),
        ({"tpm2-policy-hash": ["ab" * 32, "cd" * 32]}, "several secrets or policies"),
        ({"tpm2-pcrs": [7]}, "fixed values of PCR 7"),
        ({"tpm2_pcrlock": True}, "systemd-pcrlock"),
        ({"tpm2_pubkey": base64.b64encode(public_pem(CURVE)).decode()}, "cannot be used"),
    ],
)
def test_a_volume_that_wants_something_else_is_told(
    changes: dict[str, Any], reason: str, kit: Kit, uki: Path
) -> None:
    signed(kit, uki, "--private-key", kit.folder / "pcr.key")
    done = sysgraft(
        *("pcr", "check", kit.folder / "sig.json", "--uki", uki, "--luks", header(kit, **changes)),
        *("--extra", kit.folder / "a.raw"),
    )
    assert done.code == 1, done.err
    assert reason in done.out


def test_the_first_entry_that_matches_counts(kit: Kit, uki: Path) -> None:
    """A signature over something else, or by another key under the name of this one."""
    document = signed(kit, uki, "--private-key", kit.folder / "pcr.key", "--phase", PHASE)
    good = document["sha256"][0]
    bad = {**good, "sig": base64.b64encode(bytes(256)).decode()}
    kit.file("bad.json", json.dumps({"sha256": [bad, good]}))
    done = sysgraft(
        *("pcr", "check", kit.folder / "bad.json", "--uki", uki, "--extra", kit.folder / "a.raw"),
        *("--public-key", kit.folder / "pcr.pub"),
    )
    assert done.code == 1
    assert "the signature is not by the key it names" in done.out


def test_without_a_key_nothing_is_proven(kit: Kit, uki: Path) -> None:
    signed(kit, uki, "--private-key", kit.folder / "pcr.key")
    words = ("pcr", "check", kit.folder / "sig.json", "--uki", uki, "--extra", kit.folder / "a.raw")
    done = sysgraft(*words)
    assert done.code == 1
    assert "the key is not known" in done.out
    assert sysgraft(*words, "--public-key", kit.folder / "pcr.pub").code == 0


def test_the_key_in_the_image_is_taken(kit: Kit) -> None:
    uki = kit.build("with-key.efi", "--pcrpkey", kit.folder / "pcr.pub")
    signed(kit, uki, "--private-key", kit.folder / "pcr.key")
    words = ("pcr", "check", kit.folder / "sig.json", "--uki", uki, "--extra", kit.folder / "a.raw")
    assert sysgraft(*words).code == 0
    assert sysgraft(*words, "--phase", "enter-initrd:leave-initrd").code == 0
    assert sysgraft(*words, "--phase", ":").code == 1


def test_a_volume_without_signed_policies_is_bad_input(kit: Kit, uki: Path) -> None:
    signed(kit, uki, "--private-key", kit.folder / "pcr.key")
    path = kit.file("volume.raw", volume(metadata()))
    done = sysgraft("pcr", "check", kit.folder / "sig.json", "--uki", uki, "--luks", path)
    assert done.code == 2
    assert "no token" in done.err


def test_the_signatures_in_the_image_are_checked(kit: Kit) -> None:
    """Whether an image unlocks what its own signatures are for, before anybody boots it."""
    words = ("--pcr-private-key", kit.folder / "pcr.key", "--pcr-banks", "sha256")
    uki = kit.build("own.efi", *words)
    assert sysgraft("pcr", "check", "--uki", uki).code == 0
    assert sysgraft("pcr", "check", "--uki", uki, "--phase", ":").code == 1
    data = uki.read_bytes()
    changed = kit.file("changed.efi", data.replace(b"VERSION_ID=1", b"VERSION_ID=2"))
    assert changed.read_bytes() != data
    done = sysgraft("pcr", "check", "--uki", changed)
    assert done.code == 1
    assert "no signature of PCR 11 for these values" in done.out


def test_an_image_without_signatures_has_nothing_to_check(uki: Path) -> None:
    done = sysgraft("pcr", "check", "--uki", uki)
    assert done.code == 2
    assert "there are no signatures to check" in done.err


def test_pcr_7_is_signed_and_checked_where_the_firmwares_keys_are_known(kit: Kit) -> None:
    keys = kit.folder / "keys"
    assert sysgraft("keys", "generate", "ours", "--output", keys).code == 0
    uki = kit.build(
        "signed.efi",
        *("--secureboot-private-key", keys / "db.key"),
        *("--secureboot-certificate", keys / "db.pem"),
    )
    files = ("--uki", uki, "--phase", PHASE)
    done = sysgraft(
        *("pcr", "sign", *files, "--pcr", "7+11", "--efivars", keys),
        *("--private-key", kit.folder / "pcr.key", "--output", kit.folder / "sig.json"),
    )
    assert done.code == 0, done.err
    words = (
        "pcr",
        "check",
        kit.folder / "sig.json",
        *files,
        "--public-key",
        kit.folder / "pcr.pub",
    )
    assert sysgraft(*words, "--efivars", keys).code == 0
    assert sysgraft(*words).code == 2
    other = kit.folder / "other-keys"
    assert sysgraft("keys", "generate", "other", "--output", other).code == 0
    refused = sysgraft(*words, "--efivars", other)
    assert refused.code == 2
    assert "PCR 7 cannot be known" in refused.err


def test_the_document_has_the_signatures_where_no_file_does(kit: Kit, uki: Path) -> None:
    words = ("pcr", "sign", "--uki", uki, "--private-key", kit.folder / "pcr.key")
    plain = json.loads(sysgraft(*words).out)
    assert ok(*words)["signatures"] == plain
    assert ok(*words, "--output", kit.folder / "sig.json")["signatures"] is None


def sparse(kit: Kit, name: str, size: int) -> Path:
    path = kit.file(name, b"")
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def test_a_file_that_the_stub_could_not_pack_is_refused(kit: Kit, uki: Path) -> None:
    large = sparse(kit, "large.raw", 4 << 30)
    done = sysgraft("pcr", "predict", "--uki", uki, "--extra", large)
    assert done.code == 2
    assert "large.raw has 4294967296 bytes" in done.err


def test_a_set_that_the_stub_could_not_load_is_refused(kit: Kit) -> None:
    """Up to v257 everything has to fit below 4 GiB, or the machine stops."""
    kit.stub.write_bytes(make_stub("257.1-1"))
    uki = kit.build("old.efi")
    files = [sparse(kit, f"{name}.raw", 3 << 30) for name in ("one", "two")]
    words = [word for file in files for word in ("--extra", file)]
    done = sysgraft("pcr", "predict", "--uki", uki, *words)
    assert done.code == 2
    assert "its stub (systemd 257) could not load them" in done.err


@pytest.mark.parametrize(("release", "code"), [("258", 1), ("262", 0)])
def test_a_signature_with_a_reference_is_a_bad_one_before_262(
    kit: Kit, uki: Path, release: str, code: int
) -> None:
    """systemd takes the first entry whose policy fits, and old releases do not look at ``ref``."""
    words = (
        "--private-key",
        kit.folder / "pcr.key",
        "--phase",
        PHASE,
        "--systemd-version",
        release,
    )
    bound = signed(kit, uki, *words, "--policyref", "x", name="ref.json")["sha256"]
    plain = signed(kit, uki, *words, name="plain.json")["sha256"]
    kit.file("both.json", json.dumps({"sha256": [*bound, *plain]}))
    done = sysgraft(
        *("pcr", "check", kit.folder / "both.json", "--uki", uki),
        *("--extra", kit.folder / "a.raw", "--systemd-version", release),
        *("--public-key", kit.folder / "pcr.pub"),
    )
    assert done.code == code
    assert ("bound to the policyref 'x'" in done.out) is bool(code)
    joined = signed(kit, uki, *words, "--append", kit.folder / "ref.json", name="joined.json")
    assert ["ref" in each for each in joined["sha256"]] == [False, True]


def test_a_new_signature_takes_the_place_of_a_bad_one(kit: Kit, uki: Path) -> None:
    words = ("--private-key", kit.folder / "pcr.key", "--phase", PHASE)
    good = signed(kit, uki, *words)["sha256"][0]
    bad = {**good, "sig": base64.b64encode(bytes(256)).decode()}
    kit.file("bad.json", json.dumps({"sha256": [bad]}))
    joined = signed(kit, uki, *words, "--append", kit.folder / "bad.json", name="joined.json")
    assert joined == {"sha256": [good]}


def test_an_unsigned_entry_does_not_hide_a_signed_one(kit: Kit, uki: Path) -> None:
    words = ("--private-key", kit.folder / "pcr.key", "--phase", PHASE)
    good = signed(kit, uki, *words)["sha256"][0]
    unsigned = {name: value for name, value in good.items() if name != "sig"}
    kit.file("both.json", json.dumps({"sha256": [unsigned, good]}))
    files = ("--uki", uki, "--extra", kit.folder / "a.raw", "--public-key", kit.folder / "pcr.pub")
    assert sysgraft("pcr", "check", kit.folder / "both.json", *files).code == 0


@pytest.mark.parametrize(
    ("release", "first", "code"),
    [
        ("262", {"tpm2_pubkey_pcrs": [11]}, 0),
        ("261", {"tpm2_pubkey_pcrs": [11]}, 1),
        ("261", {"tpm2_pubkey_pcrs": [11], "keyslots": []}, 0),
        ("261", {"tpm2-policy-hash": "ab" * 32}, 0),
    ],
)
def test_one_token_that_opens_is_enough_since_262(
    kit: Kit, uki: Path, release: str, first: dict[str, Any], code: int
) -> None:
    """Before, systemd stops at the first token for which there is no signature."""
    words = ("--phase", PHASE, "--systemd-version", release)
    signed(kit, uki, "--private-key", kit.folder / "pcr.key", *words)
    tokens = {"0": token(**{"keyslots": ["0"], **first}), "1": token()}
    path = kit.file("volume.raw", volume(metadata(tokens=tokens)))
    done = sysgraft(
        *("pcr", "check", kit.folder / "sig.json", "--uki", uki, "--extra", kit.folder / "a.raw"),
        *("--luks", path, *words),
    )
    assert done.code == code, done.out


@pytest.mark.parametrize(("release", "code"), [("262", 0), ("261", 1)])
def test_a_first_token_by_another_key_is_not_passed_over(
    kit: Kit, uki: Path, release: str, code: int
) -> None:
    words = ("--phase", PHASE, "--systemd-version", release)
    signed(kit, uki, "--private-key", kit.folder / "pcr.key", *words)
    pem = public_pem(OTHER)
    foreign = token(tpm2_pubkey=base64.b64encode(pem).decode(), keyslots=["0"])
    foreign["tpm2-policy-hash"] = sealed_policy(key_name=pem_name(pem)).hex()
    tokens = {"0": foreign, "1": token(keyslots=["0"])}
    path = kit.file("volume.raw", volume(metadata(tokens=tokens)))
    done = sysgraft(
        *("pcr", "check", kit.folder / "sig.json", "--uki", uki, "--extra", kit.folder / "a.raw"),
        *("--luks", path, "--public-key", kit.folder / "pcr.pub", *words),
    )
    assert done.code == code, done.out
    assert "another public key is enrolled" in done.out


def test_what_is_to_be_signed_keeps_what_was_signed(kit: Kit, uki: Path) -> None:
    good = signed(kit, uki, "--private-key", kit.folder / "pcr.key", "--phase", PHASE)["sha256"]
    both = signed(
        *(kit, uki, "--to-be-signed", "--public-key", kit.folder / "pcr.pub", "--phase", PHASE),
        *("--append", kit.folder / "sig.json"),
        name="both.json",
    )["sha256"]
    assert both[0] == good[0]
    assert "tbs" in both[1]


def test_a_list_of_policies_says_everything(kit: Kit, uki: Path) -> None:
    words = ("--to-be-signed", "--public-key", kit.folder / "pcr.pub")
    wanted = signed(kit, uki, *words, name="tbs.json")
    kit.file("signed.json", json.dumps(sign_elsewhere(wanted, OWNER)))
    done = sysgraft(
        *("pcr", "sign", "--policies", kit.folder / "tbs.json", "--policyref", "x"),
        *("--attach", kit.folder / "signed.json", "--public-key", kit.folder / "pcr.pub"),
    )
    assert done.code == 2
    assert "--policies says everything" in done.err


@pytest.mark.parametrize("text", ["é", 'a"b', "a{b", "a\\b", "a\nb"])
def test_a_reference_that_would_not_arrive_is_refused(text: str, kit: Kit, uki: Path) -> None:
    words = ("pcr", "sign", "--uki", uki, "--private-key", kit.folder / "pcr.key")
    done = sysgraft(*words, "--policyref", text)
    assert done.code == 2
    assert "do not reach the initrd" in done.err


def test_a_file_that_nobody_reads_is_not_written(
    kit: Kit, uki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysgraft.formats.pcrsig.MAX_SIZE", 1500)
    words = ("pcr", "sign", "--uki", uki, "--private-key", kit.folder / "pcr.key")
    done = sysgraft(*words, "--output", kit.folder / "sig.json")
    assert done.code == 2
    assert "the limit is 1500" in done.err
    assert not (kit.folder / "sig.json").exists()


def test_a_set_without_files_is_said_by_its_name_alone(kit: Kit, uki: Path) -> None:
    words = ("pcr", "predict", "--uki", uki, "--pcr", "13", "--phase", ":")
    document = ok(*words, "--set", "none=", "--set", f"one={kit.folder}/a.raw")
    assert [each["name"] for each in document["sets"]] == ["none", "one"]
    assert values(document)["", "sha256", 13] == "00" * 32


def test_files_that_nobody_measures_are_noted(kit: Kit, uki: Path) -> None:
    document = ok("pcr", "predict", "--uki", uki, "--extra", kit.folder / "pcr.pub")
    assert document["notes"] == ["nothing of what lies beside the image is measured: pcr.pub"]


def test_stubs_up_to_256_read_names_in_their_own_way(kit: Kit) -> None:
    odd = kit.build("odd.efi", "--section", ".osrelx:text")
    profiled = kit.build("profiled.efi", "--profile", "ID=main")
    for path, message in (
        (odd, "the stub of systemd 256 takes the section .osrelx for .osrel"),
        (profiled, "the stub of systemd 256 knows no profiles"),
    ):
        done = sysgraft("pcr", "predict", "--uki", path, "--stub-version", "256")
        assert done.code == 2
        assert message in done.err
        assert sysgraft("pcr", "predict", "--uki", path, "--stub-version", "257").code == 0


def test_a_file_that_changes_meanwhile_is_refused(kit: Kit) -> None:
    path = kit.folder / "a.raw"
    found = source(str(path))
    assert found.blob.read_at(0, 5) == b"first"
    path.write_bytes(b"other")
    with pytest.raises(InputError, match="changed while it was being read"):
        found.blob.read_at(0, 5)
