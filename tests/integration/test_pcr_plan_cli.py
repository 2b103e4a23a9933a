"""``sysgraft pcr plan``: each combination of an upgrade, held against a partition laid out so."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from command import Result, sysgraft
from executables import make_pe
from luks2_kit import TPM2_TOKEN, metadata, volume
from sysgraft.measure.policy import sealed_policy
from sysgraft.measure.tpm_name import pem_name
from sysgraft.testing.certificates import make_identity
from uki_kit import make_kernel, make_stub, pcr11, policy, sign_elsewhere

if TYPE_CHECKING:
    from pathlib import Path

OWNER, OTHER = make_identity("PCR policies"), make_identity("other PCR policies")
PEM = OWNER.key.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
OS = "EFI/Linux/os.efi"
SYSEXT = f"{OS}.extra.d/a.sysext.raw"
GLOBAL = "loader/extensions/g.raw"


def make_uki(body: bytes, *, signatures: bytes = b"", key: bytes = b"") -> bytes:
    pieces = [
        (".text", b"\xc3" * 70),
        (".sdmagic", b"#### LoaderInfo: systemd-stub 258.3-1 ####\0"),
        (".osrel", b"ID=plan\n"),
        (".linux", make_kernel(body=body)),
    ]
    if key:
        pieces.append((".pcrpkey", key))
    if signatures:
        pieces.append((".pcrsig", signatures))
    return make_pe(pieces)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Two partitions, a key, and the command."""

    folder: Path

    def write(self, place: str, data: bytes | str) -> Path:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def run(self, *words: str | Path) -> Result:
        return sysgraft(
            "pcr", "plan", "--from", self.folder / "from", "--to", self.folder / "to", *words
        )

    def plan(self, *words: str | Path) -> dict[str, Any]:
        result = self.run("--json", *words)
        document = result.document
        assert document["schema"] == "sysgraft.pcr.plan/1"
        assert result.code == (0 if document["ok"] else 1)
        return document

    def sign(self, side: str, output: str) -> Path:
        """Signatures for the entry as one partition has it."""
        path = self.folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        esp = self.folder / side
        key = self.folder / "k.key"
        words = ("--phase", "enter-initrd", "--private-key", key, "--output", path, "--force")
        result = sysgraft("pcr", "sign", "--esp", esp, "--entry", OS, *words)
        assert result.code == 0, result.err
        return path


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgrade:
    """One image with one sysext, both replaced."""
    found = Upgrade(tmp_path)
    for side in ("from", "to"):
        found.write(f"{side}/{OS}", make_uki(side.encode()))
        found.write(f"{side}/{SYSEXT}", f"sysext {side}" * 100)
    found.write("k.key", OWNER.key_pem)
    found.write("k.pem", PEM)
    found.write("other.key", OTHER.key_pem)
    return found


def entry(plan: dict[str, Any], path: str, profile: int = 0) -> dict[str, Any]:
    (found,) = (e for e in plan["entries"] if (e["path"], e["profile"]) == (path, profile))
    assert isinstance(found, dict)
    return found


def done(plan: dict[str, Any], combination: dict[str, Any]) -> set[str]:
    return {plan["changes"][number]["path"] for number in combination["done"]}


def steps(plan: dict[str, Any]) -> list[str]:
    numbers = [state["change"] for state in plan["order"][1:]]
    return [f"{plan['changes'][n]['action']} {plan['changes'][n]['path']}" for n in numbers]


# --- Combinations --------------------------------------------------------------------------------


def test_every_combination_has_the_policy_of_a_partition_that_looks_like_it(
    upgrade: Upgrade,
) -> None:
    upgrade.write(f"to/{GLOBAL}", "for all")
    upgrade.write(f"from/{OS}.extra.d/old.raw", "goes")
    for side, options in (("from", "quiet"), ("to", "debug")):
        upgrade.write(f"{side}/loader/entries/t.conf", f"uki /{OS}\noptions {options}\n")
    plan = upgrade.plan("--pcr", "11+12+13")
    paths = (OS, SYSEXT, GLOBAL, f"{OS}.extra.d/old.raw", "loader/entries/t.conf")
    signatures = upgrade.write("none.json", '{"sha256": []}')
    for path, count in (("loader/entries/t.conf", 5), (OS, 4)):
        known = {frozenset(done(plan, each)): each for each in entry(plan, path)["combinations"]}
        assert len(known) == len(entry(plan, path)["combinations"]) == 1 << count
        for choice in product((False, True), repeat=count):
            state = upgrade.folder / "state"
            shutil.rmtree(state, ignore_errors=True)
            chosen = dict(zip(paths, (*choice, False), strict=False))
            for name, is_new in chosen.items():
                source = upgrade.folder / ("to" if is_new else "from") / name
                if source.exists():
                    upgrade.write(f"state/{name}", source.read_bytes())
            words = ("--esp", state, "--entry", "t" if count == 5 else OS, "--pcr", "11+12+13")
            checked = sysgraft("pcr", "check", signatures, *words, "--json").document
            combination = known[frozenset(name for name, is_new in chosen.items() if is_new)]
            (answer,) = checked["answers"]
            assert [each["policy"] for each in combination["policies"]] == [answer["policy"]]


def test_the_policy_is_that_of_the_sections(upgrade: Upgrade) -> None:
    plan = upgrade.plan("--pcr", "11", "--phase", "enter-initrd")
    found = {
        frozenset(done(plan, each)): each["policies"][0]["policy"]
        for each in entry(plan, OS)["combinations"]
    }
    expected = {
        frozenset[str](names): policy(
            pcr11(
                {".linux": make_kernel(body=body), ".osrel": b"ID=plan\n"}, "enter-initrd", "sha256"
            ),
            "sha256",
        )
        for names, body in (((), b"from"), ((OS,), b"to"))
    }
    assert found == expected  # no sysext is part of PCR 11


def test_what_is_the_same_is_one_combination(upgrade: Upgrade) -> None:
    for side in ("from", "to"):
        upgrade.write(f"{side}/EFI/Linux/fallback.efi", make_uki(b"fallback"))
    plan = upgrade.plan("--entry", "fallback")
    (combination,) = entry(plan, "EFI/Linux/fallback.efi")["combinations"]
    assert combination["done"] == []
    assert len(plan["entries"]) == 1


def test_entries_that_come_and_go_start_only_while_they_are_there(upgrade: Upgrade) -> None:
    upgrade.write("from/EFI/Linux/old.efi", make_uki(b"old"))
    upgrade.write("to/EFI/Linux/new.efi", make_uki(b"new"))
    plan = upgrade.plan()
    for path, starting in (
        ("EFI/Linux/old.efi", set()),
        ("EFI/Linux/new.efi", {"EFI/Linux/new.efi"}),
    ):
        (found,) = (each for each in entry(plan, path)["combinations"] if each["starts"])
        assert done(plan, found) == starting


def test_too_many_combinations_are_refused(upgrade: Upgrade) -> None:
    for number in range(13):
        upgrade.write(f"to/{OS}.extra.d/{number}.raw", "x")
    result = upgrade.run()
    assert result.code == 2
    assert "32768 combinations; the limit is 4096" in result.err


# --- Signatures ----------------------------------------------------------------------------------


def test_a_signature_file_goes_before_the_file_it_is_for(upgrade: Upgrade) -> None:
    upgrade.sign("from", f"from/{OS}.extra.d/old.pcrsig.json")
    shutil.copytree(upgrade.folder / "from", upgrade.folder / "between")
    upgrade.write(f"between/{SYSEXT}", (upgrade.folder / f"to/{SYSEXT}").read_bytes())
    upgrade.sign("between", "to/loader/extensions/between.pcrsig.json")
    upgrade.sign("to", f"to/{OS}.extra.d/new.pcrsig.json")
    plan = upgrade.plan("--public-key", upgrade.folder / "k.pem")
    assert plan["ok"]
    assert steps(plan) == [
        f"add {OS}.extra.d/new.pcrsig.json",
        "add loader/extensions/between.pcrsig.json",
        f"replace {SYSEXT}",
        f"replace {OS}",
        f"remove {OS}.extra.d/old.pcrsig.json",
    ]
    unsigned = [each for each in entry(plan, OS)["combinations"] if not each["signed"]]
    assert [(done(plan, each), each["inOrder"]) for each in unsigned] == [({OS}, False)]
    assert plan["policies"] == 1


def test_the_order_follows_the_signatures_there_are(upgrade: Upgrade) -> None:
    upgrade.sign("from", "from/loader/extensions/s.pcrsig.json")
    shutil.copytree(upgrade.folder / "to", upgrade.folder / "between")
    upgrade.write(f"between/{SYSEXT}", (upgrade.folder / f"from/{SYSEXT}").read_bytes())
    both = [upgrade.sign("between", "between.json"), upgrade.sign("to", "to.json")]
    words = [word for path in both for word in ("--signatures", path)]
    plan = upgrade.plan("--public-key", upgrade.folder / "k.pem", *words)
    assert steps(plan) == [
        f"replace {OS}",
        f"replace {SYSEXT}",
        "remove loader/extensions/s.pcrsig.json",
    ]
    assert plan["ok"]
    assert plan["first"] == [str(path) for path in both]


def test_a_replaced_signature_file_takes_its_old_signatures_with_it(upgrade: Upgrade) -> None:
    (upgrade.folder / f"to/{SYSEXT}").write_bytes((upgrade.folder / f"from/{SYSEXT}").read_bytes())
    upgrade.sign("from", "from/loader/extensions/s.pcrsig.json")
    upgrade.sign("to", "to/loader/extensions/s.pcrsig.json")
    result = upgrade.run("--public-key", upgrade.folder / "k.pem")
    assert result.code == 1
    assert "none passes through signed combinations only" in result.out
    assert "then NOT signed: os (EFI/Linux/os.efi)" in result.out
    assert "missing signatures" not in result.out  # each is somewhere, but never at the time


def test_signatures_in_the_image_count_while_it_is_there(upgrade: Upgrade) -> None:
    document = upgrade.sign("from", "from.json").read_bytes()
    upgrade.write(f"from/{OS}", make_uki(b"from", signatures=document))
    plan = upgrade.plan("--public-key", upgrade.folder / "k.pem")
    signed = [done(plan, each) for each in entry(plan, OS)["combinations"] if each["signed"]]
    assert signed == [set()]
    sources = {p["source"] for c in entry(plan, OS)["combinations"] for p in c["policies"]}
    assert sources == {"", f".pcrsig of {upgrade.folder}/from/{OS}"}


def test_signatures_by_another_key_do_not_count(upgrade: Upgrade) -> None:
    words = ("--private-key", upgrade.folder / "other.key", "--output", upgrade.folder / "s.json")
    assert upgrade.run(*words).code == 0
    given = ("--signatures", upgrade.folder / "s.json")
    assert upgrade.run(*given).code == 0  # whose they are is not known
    assert upgrade.run(*given, "--public-key", upgrade.folder / "k.pem").code == 1


def test_the_key_in_the_images_is_taken_where_none_is_named(upgrade: Upgrade) -> None:
    for side in ("from", "to"):
        upgrade.write(f"{side}/{OS}", make_uki(side.encode(), key=PEM))
    words = ("--private-key", upgrade.folder / "other.key", "--output", upgrade.folder / "s.json")
    assert upgrade.run(*words).code == 0
    assert upgrade.run("--signatures", upgrade.folder / "s.json").code == 1


def test_a_volume_says_what_is_wanted(upgrade: Upgrade) -> None:
    token = {
        **TPM2_TOKEN,
        "tpm2-pcrs": [],
        "tpm2-pcr-bank": "sha384",
        "tpm2_pubkey": base64.b64encode(PEM).decode(),
        "tpm2_pubkey_pcrs": [11],
    }
    sealed = sealed_policy(key_name=pem_name(PEM), reference="", with_pin=False)
    token["tpm2-policy-hash"] = sealed.hex()
    luks = upgrade.write("luks", volume(metadata(tokens={"0": token})))
    plan = upgrade.plan("--luks", luks)
    (binding,) = plan["bindings"]
    assert (binding["bank"], binding["pcrs"], binding["name"]) == ("sha384", [11], "token 0")
    assert not plan["ok"]
    output = upgrade.folder / "s.json"
    words = ("--luks", luks, "--private-key", upgrade.folder / "k.key", "--output", output)
    assert upgrade.plan(*words)["ok"]
    assert list(json.loads(output.read_text())) == ["sha384"]
    refused = upgrade.run("--luks", luks, "--private-key", upgrade.folder / "other.key", "-o", "s")
    assert refused.code == 2
    assert "not the one that is enrolled" in refused.err


# --- What is missing -----------------------------------------------------------------------------


def test_what_is_missing_can_be_signed_elsewhere(upgrade: Upgrade) -> None:
    key = ("--public-key", upgrade.folder / "k.pem")
    missing, signed, made = (upgrade.folder / name for name in ("p.json", "s.json", "sig.json"))
    assert upgrade.run(*key, "--missing", missing).code == 1
    document = json.loads(missing.read_text())
    assert len(document["sha256"]) == 4
    signed.write_text(json.dumps(sign_elsewhere(document, OWNER)))
    words = ("--policies", missing, "--attach", signed, *key, "--output", made)
    assert sysgraft("pcr", "sign", *words).code == 0
    assert upgrade.run(*key, "--signatures", made).code == 0
    assert upgrade.plan(*key, "--signatures", made)["policies"] == 0


def test_what_is_missing_can_be_signed_at_once(upgrade: Upgrade) -> None:
    output = upgrade.folder / "s.pcrsig.json"
    plan = upgrade.plan("--private-key", upgrade.folder / "k.key", "--output", output)
    assert plan["ok"]
    assert (plan["policies"], plan["first"]) == (4, [str(output)])
    upgrade.write("to/loader/extensions/s.pcrsig.json", output.read_bytes())
    again = upgrade.plan("--public-key", upgrade.folder / "k.pem")
    assert not again["ok"]  # what is there now has no signature yet
    assert [bool(state["unsigned"]) for state in again["order"]] == [True, False, False, False]
    assert steps(again)[0] == "add loader/extensions/s.pcrsig.json"


def test_the_suggested_order_needs_fewer_signatures_than_all_orders(upgrade: Upgrade) -> None:
    key = ("--private-key", upgrade.folder / "k.key", "--only-order")
    plan = upgrade.plan(*key, "--output", upgrade.folder / "s.json")
    assert plan["ok"]
    assert plan["policies"] == 3
    unsigned = [each for each in entry(plan, OS)["combinations"] if not each["signed"]]
    assert [(done(plan, each), each["inOrder"]) for each in unsigned] == [({OS}, False)]


def test_a_broken_signature_file_brings_nothing_and_is_named(upgrade: Upgrade) -> None:
    upgrade.write("to/loader/extensions/s.pcrsig.json", "{")
    plan = upgrade.plan("--public-key", upgrade.folder / "k.pem")
    assert any("s.pcrsig.json brings no signatures" in note for note in plan["notes"])


# --- For people, and what is refused -------------------------------------------------------------


def test_the_report_tells_what_only_another_order_meets(upgrade: Upgrade) -> None:
    result = upgrade.run(
        "--private-key", upgrade.folder / "k.key", "--output", upgrade.folder / "s"
    )
    assert "signed  only in another order  os.efi new, a.sysext.raw old" in result.out
    assert "order: it passes through signed combinations only" in result.out
    assert f" 2. replace {OS}" in " ".join(result.out.split())


def test_files_that_do_not_matter_can_go_at_any_time(upgrade: Upgrade) -> None:
    upgrade.write("to/loader/loader.conf", "timeout 3\n")
    upgrade.write(f"to/{OS}.extra.d/x.cred", "secret")
    plan = upgrade.plan()
    names = {plan["changes"][number]["path"] for number in plan["anyTime"]}
    assert names == {"loader/loader.conf", f"{OS}.extra.d/x.cred"}
    about_12 = upgrade.plan("--pcr", "12")
    names = {about_12["changes"][number]["path"] for number in about_12["anyTime"]}
    assert names == {"loader/loader.conf", SYSEXT}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pcr", "7"), "PCR 7 does not follow from these files"),
        (("--entry", "nothing"), "there is no boot entry called nothing"),
        (("--missing", "p.json"), "whose policies are to be signed is not known"),
        (("--private-key", "k"), "--private-key and --output go together"),
        (("--luks", "l", "--pcr", "11"), "leave --pcr and these out"),
        (("--phase", "never"), "never"),
        (("--signatures", "absent.json"), "absent.json"),
    ],
)
def test_bad_input_is_refused(upgrade: Upgrade, words: tuple[str, ...], message: str) -> None:
    result = upgrade.run(*words)
    assert result.code == 2
    assert message in result.err


def test_partitions_without_an_entry_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    result = sysgraft("pcr", "plan", "--from", tmp_path / "a", "--to", tmp_path / "b")
    assert result.code == 2
    assert "there is no boot entry that starts a UKI" in result.err


def test_each_profile_is_an_entry(upgrade: Upgrade) -> None:
    pieces = [
        (".text", make_stub()[:64]),
        (".sdmagic", b"#### LoaderInfo: systemd-stub 258.3-1 ####\0"),
        (".linux", make_kernel()),
        (".profile", b"ID=main\n"),
        (".profile", b"ID=reset\n"),
        (".cmdline", b"reset"),
    ]
    upgrade.write("to/EFI/Linux/p.efi", make_pe(pieces))
    plan = upgrade.plan()
    policies = {
        entry(plan, "EFI/Linux/p.efi", number)["combinations"][1]["policies"][0]["policy"]
        for number in (0, 1)
    }
    assert len(policies) == 2
    only = upgrade.plan("--profile", "0", "--entry", "p")
    assert [each["profile"] for each in only["entries"]] == [0]
