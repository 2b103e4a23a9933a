"""The documents of ``sysgraft pcr`` are what their schemas say, with everything there is to report.

Those of ``replay`` and ``explain`` are held to theirs in tests/integration/test_pcr_log_cli.py.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args

import pytest
from test_schemas import Document, errors_of, schema_named

from command import Result, sysgraft
from executables import make_pe
from luks2_kit import TPM2_TOKEN, metadata, volume
from replay_tpm import make_log
from sysgraft.formats import eventlog
from sysgraft.formats.eventlog_records import EVENT_TYPES
from sysgraft.measure.events import Component
from sysgraft.measure.pcr import BANKS
from sysgraft.measure.sidecars import KINDS
from sysgraft.seal.enrolment_checks import CHECKS
from sysgraft.seal.prediction import BootRequest, predict
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kit, public_pem
from upgrade_kit import make_upgrade

if TYPE_CHECKING:
    from pathlib import Path

OWNER = make_identity("PCR policies")
EVENT_LOG = "root/sys/kernel/security/tpm0/binary_bios_measurements"


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """An image and files beside it, of every kind."""
    kit = make_kit(tmp_path / "kit", monkeypatch)
    kit.file("pcr.key", OWNER.key_pem)
    kit.file("pcr.pub", public_pem(OWNER))
    kit.file("a.raw", b"first")
    kit.build("linux.efi", "--cmdline", "quiet")
    return kit


def held_to(name: str, result: Result, code: int = 0) -> Document:
    """The document of a result, which names its schema and is what that says."""
    assert result.code == code, result.err
    document = result.document
    assert next(iter(document)) == "schema"
    assert document["schema"] == f"sysgraft.{name}/1"
    assert errors_of(name, document) == []
    return document


def boot(kit: Kit) -> tuple[str | Path, ...]:
    return "--uki", kit.folder / "linux.efi", "--extra", kit.folder / "a.raw"


def sign(kit: Kit, *words: str | Path) -> Result:
    key = () if "--public-key" in words else ("--private-key", kit.folder / "pcr.key")
    return sysgraft("pcr", "sign", *boot(kit), *key, *words, "--json")


# --- predict -------------------------------------------------------------------------------------


def fill(kit: Kit) -> None:
    """Folders with one file for each archive, one that is passed over, and addons."""
    for number, kind in enumerate(KINDS):
        place = "extra" if kind.place == "own" else f"loader/{kind.place}"
        kit.file(f"{place}/x{number}{kind.suffix}", b"content")
        kit.file(f"{place}/.x{number}{kind.suffix}", b"hidden")
    for place in ("extra", "loader/addons"):
        addon = kit.build("x.efi", "--cmdline", "debug", "--force", kernel=False)
        kit.file(f"{place}/x.addon.efi", addon.read_bytes())


def test_a_prediction_with_everything_to_report(kit: Kit) -> None:
    fill(kit)
    (kit.folder / "loader.efi").write_bytes(make_pe())
    kit.build("linux.efi", "--join-profile", kit.profile("debug", "--cmdline=debug"), "--force")
    document = held_to(
        "pcr.predict",
        sysgraft(
            *("pcr", "predict", "--uki", kit.folder / "linux.efi", "--extra", kit.folder / "extra"),
            *("--global", kit.folder / "loader", "--loader", kit.folder / "loader.efi"),
            *("--cmdline", "custom", "--profile", "1", "--smbios-cmdline", "more"),
            *("--secure-boot", "off", "--stub-version", "257", "--systemd-version", "261"),
            *("--set", f"one={kit.folder}/a.raw", "--set", "two=", "--bank", "sha1"),
            *("--phase", ":", "--phase", "enter-initrd", "--json"),
        ),
    )
    assert document["skipped"]
    (one, two) = sets_of(document)
    assert {each["role"] for each in [*files_of(document), *files_of(one)]} >= {
        "uki",
        "loader",
        "global addon",
        "addon",
        "sysext",
        "confext",
    }
    assert one["skipped"]
    assert one["name"] == "one"
    kinds = {event["component"] for event in one["events"]}
    assert kinds == {
        "firmware",
        "separator",
        "program",
        "profile",
        "section",
        "cmdline",
        "addon",
        "archive",
    }
    assert [each["phase"] for each in two["userspace"]] == ["", "enter-initrd"]
    later = {event["component"] for event in two["userspace"][1]["events"]}
    assert later == {"separator", "phase"}


def sets_of(document: Document) -> list[dict[str, Any]]:
    sets = document["sets"]
    assert isinstance(sets, list)
    return sets


def files_of(document: Document) -> list[Document]:
    files = document["files"]
    assert isinstance(files, list)
    return files


def test_a_prediction_for_sidecars_alone(kit: Kit) -> None:
    document = held_to(
        "pcr.predict",
        sysgraft(
            *("pcr", "predict", "--extra", kit.folder / "a.raw", "--stub-version", "261"),
            *("--pcr", "13", "--pcrlock", kit.folder / "pcrlock.d", "--json"),
        ),
    )
    assert document["files"] == []
    assert document["written"]


def test_the_schema_of_predictions_knows_every_word() -> None:
    """What a document may say, by the code that says it."""
    text = json.dumps(schema_named("pcr.predict"))
    assert enum(text, "component") == list(get_args(Component))
    roles = {"uki", "loader", "addon", "global addon", "entry extra", *(k.name for k in KINDS)}
    assert set(enum(text, "role")) == roles
    assert enum(text, "bank") == list(BANKS)
    pattern = re.compile(r"^EV_[A-Z0-9_]+$")
    assert all(pattern.search(name) for name in EVENT_TYPES.values())
    assert json.dumps(pattern.pattern) in text


def enum(text: str, field: str) -> list[str]:
    """The words that the schema allows for a field."""
    found = re.search(rf'"{field}": {{"enum": (\[.*?\])', text)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


# --- sign and check ------------------------------------------------------------------------------


def test_signing_here_and_elsewhere(kit: Kit) -> None:
    path = kit.folder / "sig.json"
    document = held_to("pcr.sign", sign(kit, "--output", path))
    assert (document["signed"], document["sets"], document["total"]) == (True, 1, 4)
    wanted = kit.folder / "tbs.json"
    words = ("--public-key", kit.folder / "pcr.pub", "--to-be-signed", "--output", wanted)
    assert held_to("pcr.sign", sign(kit, *words))["signed"] is False
    key = ("--public-key", kit.folder / "pcr.pub")
    attached = sysgraft(
        *("pcr", "sign", "--policies", wanted, "--attach", path, *key, "--output", path),
        *("--force", "--json"),
    )
    assert held_to("pcr.sign", attached)["sets"] is None


def test_a_check_with_and_without_a_volume(kit: Kit) -> None:
    path = kit.folder / "sig.json"
    assert sign(kit, "--output", path).code == 0
    words = ("pcr", "check", path, *boot(kit), "--json")
    assert held_to("pcr.check", sysgraft(*words), 1)["ok"] is False  # whose key is not known
    good = sysgraft(*words, "--public-key", kit.folder / "pcr.pub")
    assert held_to("pcr.check", good)["ok"] is True
    bound = {**TPM2_TOKEN, "tpm2_pubkey": "eA==", "tpm2_pubkey_pcrs": [11, 13]}
    kit.file("volume.raw", volume(metadata(tokens={"0": bound})))
    bad = held_to("pcr.check", sysgraft(*words, "--luks", kit.folder / "volume.raw"), 1)
    assert bad["answers"]


# --- enroll and units ----------------------------------------------------------------------------


@pytest.fixture
def machine(kit: Kit) -> Kit:
    """A machine that booted the image, without values of a TPM."""
    request = BootRequest(uki=str(kit.folder / "linux.efi"), extras=(str(kit.folder / "a.raw"),))
    events = predict(request, banks=tuple(BANKS)).sets[0].events
    kit.file(EVENT_LOG, eventlog.serialise(make_log(events)))
    kit.file("root/run/systemd/tpm2-pcr-public-key.pem", public_pem(OWNER))
    assert sign(kit, "--output", kit.folder / "root/run/systemd/tpm2-pcr-signature.json").code == 0
    for bank in BANKS:
        for pcr in range(24):
            found = eventlog.replay(make_log(events), bank).get(pcr)
            text = found.hex() if found else "00" * len(eventlog.replay(make_log(events), bank)[11])
            kit.file(f"root/sys/class/tpm/tpm0/pcr-{bank}/{pcr}", text + "\n")
    kit.file("volume.raw", volume(metadata()))
    return kit


def test_an_enrolment_that_would_be_done_and_one_that_would_not(machine: Kit) -> None:
    words = ("pcr", "enroll", machine.folder / "volume.raw", "--root", machine.folder / "root")
    ready = held_to("pcr.enroll", sysgraft(*words, "--dry-run", "--json"))
    assert (ready["ok"], ready["enrolled"], ready["recoveryKey"]) == (True, False, None)
    machine.file("root/var/lib/extensions/x.raw", b"image")
    refused = held_to("pcr.enroll", sysgraft(*words, "--dry-run", "--json"), 1)
    assert refused["ok"] is False


def test_the_schema_names_all_checks_of_an_enrolment() -> None:
    assert enum(json.dumps(schema_named("pcr.enroll")), "name") == list(CHECKS)


def test_the_units(kit: Kit) -> None:
    words = ("pcr", "units", "--output", kit.folder / "tree", "--json")
    files = held_to("pcr.units", sysgraft(*words))["files"]
    assert isinstance(files, list)
    assert len(files) == 3


# --- The schemas leave no room -------------------------------------------------------------------


def test_a_schema_finds_what_is_missing_unknown_or_wrong(kit: Kit) -> None:
    document = held_to("pcr.sign", sign(kit, "--output", kit.folder / "sig.json"))
    for changed in (
        {key: value for key, value in document.items() if key != "key"},
        {**document, "colour": "green"},
        {**document, "key": "ABCD"},
        {**document, "policies": -1},
        {**document, "schema": "sysgraft.pcr.sign/2"},
    ):
        assert len(errors_of("pcr.sign", changed)) == 1


def test_an_upgrade_that_is_signed_and_one_that_is_not(tmp_path: Path) -> None:
    upgrade = make_upgrade(tmp_path)
    upgrade.write("to/loader/keys.txt", "of no matter")
    key = ("--public-key", tmp_path / "k.pem", "--missing", tmp_path / "p.json")
    assert held_to("pcr.plan", upgrade.run(*key, "--json"), 1)["missing"]
    words = ("--private-key", tmp_path / "k.key", "--output", tmp_path / "new.json")
    signed = held_to("pcr.plan", upgrade.run(*words, "--json"))
    for field in ("first", "anyTime", "output", "changes", "entries"):
        assert signed[field], field
