"""``sysgraft pcr plan``: which signatures count when, and those that are missing."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from command import sysgraft
from luks2_kit import TPM2_TOKEN, metadata, volume
from sysgraft.formats import pcrsig
from sysgraft.measure.policy import sealed_policy
from sysgraft.measure.tpm_name import pem_name
from sysgraft.testing.certificates import make_identity
from uki_kit import public_pem, sign_elsewhere
from upgrade_kit import OS, OWNER, PEM, SYSEXT, Upgrade, done, entry, make_uki, make_upgrade, steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgrade:
    return make_upgrade(tmp_path)


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
    unknown = upgrade.run(*given)
    assert unknown.code == 1
    assert "it is not known whether they open: the key is not known" in unknown.out
    assert "missing signatures" not in unknown.out
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


# --- What the script in the initrd takes ----------------------------------------------------------


def _beside(upgrade: Upgrade, change: Callable[[dict[str, Any]], object], **layout: Any) -> None:
    """The same partition twice, with a signature file beside the image that somebody rewrote."""
    shutil.rmtree(upgrade.folder / "to")
    path = upgrade.sign("from", f"from/{OS}.extra.d/s.pcrsig.json")
    document = json.loads(path.read_text())
    changed = {bank: [change(each) for each in entries] for bank, entries in document.items()}
    path.write_text(json.dumps(changed, **layout))
    shutil.copytree(upgrade.folder / "from", upgrade.folder / "to")


@pytest.mark.parametrize(
    "change",
    [
        lambda each: dict(reversed(list(each.items()))),
        lambda each: {**each, "more": 1},
        lambda each: {**each, "sig": "\\" + each["sig"]},
    ],
)
def test_an_entry_in_another_form_does_not_count_and_is_named(
    upgrade: Upgrade, change: Callable[[dict[str, Any]], object]
) -> None:
    _beside(upgrade, change)
    result = upgrade.run("--public-key", upgrade.folder / "k.pem")
    assert result.code == 1
    path = upgrade.folder / f"from/{OS}.extra.d/s.pcrsig.json"
    if "\\" not in path.read_text():
        assert f"the script in the initrd does not take 1 entry of {path}" in result.err


@pytest.mark.parametrize(
    "layout", [{"indent": "\t"}, {"indent": 2}, {"separators": (" , ", " : ")}]
)
def test_the_layout_of_a_signature_file_does_not_matter(
    upgrade: Upgrade, layout: dict[str, Any]
) -> None:
    _beside(upgrade, lambda each: {**each, "pol": each["pol"].upper()}, **layout)
    assert upgrade.plan("--public-key", upgrade.folder / "k.pem")["ok"]


def test_an_image_whose_own_signatures_are_in_another_form_gets_none_from_files(
    upgrade: Upgrade,
) -> None:
    """The script then leaves everything as it is."""
    _beside(upgrade, lambda each: each)
    key = ("--public-key", upgrade.folder / "k.pem")
    embedded = json.dumps({"sha256": [{"pcrs": [11], "pol": "ab" * 32, "sig": "QUJD", "more": 1}]})
    for side in ("from", "to"):
        upgrade.write(f"{side}/{OS}", make_uki(b"from", signatures=embedded.encode()))
    result = upgrade.run(*key)
    assert result.code == 1
    assert "it takes nothing from files either" in result.err
    good = json.loads(embedded)
    good["sha256"][0] = {"pcrs": [11], "pkfp": "ab" * 32, "pol": "ab" * 32, "sig": "QUJD"}
    for side in ("from", "to"):
        image = make_uki(b"from", signatures=json.dumps(good).encode())
        upgrade.write(f"{side}/{OS}", image)
    assert upgrade.plan(*key)["ok"]


def test_an_older_stub_does_not_say_which_image_an_entry_with_a_text_file_is(
    upgrade: Upgrade,
) -> None:
    shutil.rmtree(upgrade.folder / "to")
    old = make_uki(b"from").replace(b"systemd-stub 258.3-1", b"systemd-stub 256.3-1")
    upgrade.write(f"from/{OS}", old)
    upgrade.write("from/loader/entries/t.conf", f"efi /{OS}\n")
    signed = upgrade.sign("from", f"from/{OS}.extra.d/s.pcrsig.json")
    shutil.copytree(upgrade.folder / "from", upgrade.folder / "to")
    key = ("--public-key", upgrade.folder / "k.pem")
    assert upgrade.plan(*key, "--entry", "os")["ok"]
    plan = upgrade.plan(*key, "--entry", "t")
    assert not plan["ok"]
    assert any("finds only those in loader/extensions" in note for note in plan["notes"])
    for side in ("from", "to"):
        upgrade.write(f"{side}/loader/extensions/s.pcrsig.json", signed.read_bytes())
    assert upgrade.plan(*key, "--entry", "t")["ok"]


def test_older_systemd_takes_a_signature_with_a_reference_for_a_bad_one(upgrade: Upgrade) -> None:
    _beside(upgrade, lambda each: each)
    key = ("--public-key", upgrade.folder / "k.pem")
    words = ("--private-key", upgrade.folder / "k.key", "--policyref", "x")
    output = upgrade.folder / "r.json"
    refused = upgrade.run(*words, "--output", output)
    assert refused.code == 1
    assert upgrade.plan(*key)["ok"]
    for side in ("from", "to"):
        upgrade.write(f"{side}/{OS}.extra.d/a.pcrsig.json", output.read_bytes())
    plan = upgrade.plan(*key)  # systemd 258, as the stub
    assert not plan["ok"]
    (question,) = entry(plan, OS)["combinations"][0]["policies"]
    assert "bound to the policyref 'x'" in question["problem"]


# --- What a volume is bound to beside ------------------------------------------------------------


def _token(**changes: Any) -> dict[str, Any]:
    sealed = sealed_policy(key_name=pem_name(PEM), reference="", with_pin=False)
    return {
        **TPM2_TOKEN,
        "tpm2-pcrs": [],
        "tpm2-pcr-bank": "sha256",
        "tpm2-policy-hash": sealed.hex(),
        "tpm2_pubkey": base64.b64encode(PEM).decode(),
        "tpm2_pubkey_pcrs": [11, 13],
        **changes,
    }


def test_a_volume_that_is_bound_to_more_is_not_known_to_open(upgrade: Upgrade) -> None:
    _beside(upgrade, lambda each: each)
    luks = upgrade.write("luks", volume(metadata(tokens={"0": _token(**{"tpm2-pcrs": [7]})})))
    result = upgrade.run("--luks", luks)
    assert result.code == 1
    assert "not known    nothing of it changes" in result.out
    assert "it is bound to fixed values of PCR 7 too" in result.err
    plan = upgrade.plan("--luks", luks)
    assert not entry(plan, OS)["combinations"][0]["signed"]
    assert plan["policies"] == 0  # there is nothing to sign
    assert [bool(state["unsigned"]) for state in plan["order"]] == [True]


def test_a_token_without_a_key_slot_opens_nothing_and_does_not_get_in_the_way(
    upgrade: Upgrade,
) -> None:
    _beside(upgrade, lambda each: each)
    dead = _token(keyslots=[])
    luks = upgrade.write("luks", volume(metadata(tokens={"0": dead})))
    assert not upgrade.plan("--luks", luks)["ok"]
    luks = upgrade.write("luks", volume(metadata(tokens={"0": dead, "1": _token()})))
    assert upgrade.plan("--luks", luks)["ok"]


@pytest.mark.parametrize(
    ("release", "numbers", "ok"),
    [("261", ("0", "1"), True), ("261", ("1", "0"), False), ("262", ("1", "0"), True)],
)
def test_of_tokens_by_two_keys_ours_is_signed(
    upgrade: Upgrade, release: str, numbers: tuple[str, str], ok: bool
) -> None:
    """Before 262 systemd would stop at the first if nobody signed for it."""
    pem = public_pem(make_identity("other PCR policies"))
    foreign = _token(tpm2_pubkey=base64.b64encode(pem).decode())
    foreign["tpm2-policy-hash"] = sealed_policy(key_name=pem_name(pem)).hex()
    ours, other = numbers
    luks = upgrade.write("luks", volume(metadata(tokens={ours: _token(), other: foreign})))
    words = ("--luks", luks, "--systemd-version", release)
    key = ("--private-key", upgrade.folder / "k.key", "--output", upgrade.folder / "s.json")
    assert upgrade.plan(*words, *key)["ok"] is ok
    public = ("--public-key", upgrade.folder / "k.pem", "--missing", upgrade.folder / "m.json")
    upgrade.plan(*words, *public)
    wanted = json.loads((upgrade.folder / "m.json").read_text())["sha256"]
    signed = json.loads((upgrade.folder / "s.json").read_text())["sha256"]
    assert {each["pol"] for each in wanted} == {each["pol"] for each in signed}


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


def test_more_signatures_than_systemd_reads_are_none(upgrade: Upgrade) -> None:
    (upgrade.folder / f"to/{SYSEXT}").write_bytes((upgrade.folder / f"from/{SYSEXT}").read_bytes())
    for side in ("from", "to"):
        signed = upgrade.sign(side, f"to/loader/extensions/{side}.pcrsig.json").read_bytes()
        upgrade.write(f"from/loader/extensions/{side}.pcrsig.json", signed)
    key = ("--public-key", upgrade.folder / "k.pem")
    assert upgrade.plan(*key)["ok"]
    large = {"pcrs": [7], "pkfp": "ab" * 32, "ref": "x" * (pcrsig.MAX_SIZE - 1000)}
    text = json.dumps({"sha256": [{**large, "pol": "cd" * 32, "sig": "AAAA"}]})
    for side in ("from", "to"):
        upgrade.write(f"{side}/loader/extensions/z.pcrsig.json", text.encode())
    plan = upgrade.plan(*key)
    assert not plan["ok"]
    assert any("more than 4194304 bytes" in note for note in plan["notes"])
