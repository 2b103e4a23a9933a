"""The documents of ``uki build``, ``addon`` and ``inspect`` are what their schemas say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from test_schemas import Document, errors_of

from command import Result, signing, sysgraft
from executables import make_pe, signed_pe, uki_pieces, with_table
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kit, sign_elsewhere

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SigningPair

OWNER = make_identity("PCR policies")


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


def held_to(name: str, result: Result) -> Document:
    """The document of a result, which names its schema and is what that says."""
    assert result.code == 0, result.err
    document = result.document
    assert next(iter(document)) == "schema"
    assert document["schema"] == f"sysgraft.{name}/1"
    assert errors_of(name, document) == []
    return document


def test_a_uki_with_everything_to_report(kit: Kit, signing_pair: SigningPair) -> None:
    profile = kit.profile("debug", "--cmdline=debug")
    kit.file("root/etc/passwd", "root")
    words = (
        f"--initrd={kit.folder}/root",
        f"--join-profile={profile}",
        f"--devicetree-auto={kit.file('a.dtb', b'DTB')}",
        f"--pcr-private-key={signing_pair.key}",
        "--sign-initrd-pcrs",
        "--measure",
        "--esp-size=1",
        "--esp-copies=100",
        *signing(signing_pair),
    )
    built = held_to("uki.build", kit.run(*words, "--json", "-o", kit.folder / "x.efi"))
    for field in ("pcrs", "policies", "warnings", "notes", "sections"):
        assert built[field], field
    found = held_to("uki.inspect", sysgraft("uki", "inspect", kit.folder / "x.efi", "--json"))
    assert found["images"]


def test_a_uki_with_nothing_to_report(kit: Kit) -> None:
    kit.kernel.write_bytes(make_pe())
    built = held_to("uki.build", kit.run("--json", "-o", kit.folder / "x.efi"))
    assert (built["uname"], built["pcrs"], built["policies"]) == (None, [], {})
    assert (built["warnings"], built["notes"], built["signed"]) == ([], [], False)


def test_addons_and_profiles(kit: Kit) -> None:
    words = ("--cmdline=x", "--json")
    path = kit.folder / "x.efi"
    addon = held_to(
        "uki.addon", sysgraft("uki", "addon", *words, f"--stub={kit.addon_stub}", "-o", path)
    )
    assert not {"pcrs", "policies"} & set(addon)
    built = held_to("uki.build", kit.run(*words, "--force", "-o", path, kernel=False))
    assert built["kind"] == "addon"
    built = held_to(
        "uki.build", kit.run(*words, "--profile=ID=x", "--force", "-o", path, kernel=False)
    )
    assert built["kind"] == "profile"


def test_policies_to_be_signed_and_signatures_joined(kit: Kit) -> None:
    path, output = kit.folder / "x.efi", kit.folder / "joined.efi"
    certificate = kit.file("pcr.crt", OWNER.certificate_pem)
    words = ("--policy-digest", f"--pcr-certificate={certificate}", "--sign-initrd-pcrs")
    built = held_to("uki.build", kit.run(*words, "--json", "-o", path))
    policies = built["policies"]
    assert isinstance(policies, dict)
    last = policies["sha256"][-1]
    assert (last["reference"], last["signed"]) == ("initrd", False)
    assert last["toSign"].startswith(last["policy"])
    held_to("uki.inspect", sysgraft("uki", "inspect", path, "--json"))
    document = json.loads(kit.run(*words, "--force", "-o", path).out)
    signed = kit.file("signed.json", json.dumps(sign_elsewhere(document, OWNER)))
    joining = ("uki", "build", f"--join-pcrsig={path}", f"--pcrsig=@{signed}", "--json")
    joined = held_to("uki.join-pcrsig", sysgraft(*joining, "-o", output))
    assert (joined["policies"], joined["attached"], joined["notes"]) == (20, 20, [])


def test_executables_of_every_kind_and_with_problems(kit: Kit) -> None:
    plain = make_pe(uki_pieces())
    unnamed = make_identity("signer", kind="p384")
    for number, data in enumerate(
        (
            plain,
            signed_pe(plain, OWNER, unnamed),
            with_table(plain, b"\1" * 16),
            make_pe(uki_pieces((".pcrsig", b"no JSON"), (".linux", b"twice"))),
            make_pe(machine=0x1234),
            make_pe(directories=0),
        )
    ):
        path = kit.file(f"{number}.efi", data)
        held_to("uki.inspect", sysgraft("uki", "inspect", path, "--all", "--json"))
