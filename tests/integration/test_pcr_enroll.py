"""``sysgraft pcr enroll``: what it checks before a volume is bound, and what it would run.

The machine is a folder: an event log made of a prediction, PCR values, extensions. The program is
a stand-in where it is run; tests/oracle/test_enroll_swtpm.py runs the real one against a TPM.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from command import sysgraft
from luks2_kit import TPM2_TOKEN, metadata, volume
from replay_tpm import make_log
from sysgraft.formats import eventlog
from sysgraft.measure.events import hashed, value, word
from sysgraft.measure.pcr import extend
from sysgraft.measure.policy import sealed_policy
from sysgraft.measure.tpm_name import pem_name
from sysgraft.seal.prediction import BootRequest, predict
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kit, public_pem

if TYPE_CHECKING:
    from pathlib import Path

BANKS = ("sha1", "sha256", "sha384", "sha512")
PASSED = ("enter-initrd", "leave-initrd", "sysinit", "ready")
OWNER, OTHER = make_identity("PCR policies"), make_identity("somebody else")
PEM = base64.b64encode(public_pem(OWNER)).decode()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that has booted."""

    kit: Kit

    @property
    def root(self) -> Path:
        return self.kit.folder / "root"

    @property
    def volume(self) -> Path:
        return self.kit.folder / "volume.raw"

    def enroll(self, *words: str | Path) -> Any:
        return sysgraft("pcr", "enroll", self.volume, "--root", self.root, *words)

    def checks(self, *words: str | Path) -> dict[str, tuple[str, str]]:
        """What became of each check."""
        done = self.enroll("--dry-run", "--json", *words)
        found = {e["name"]: (e["status"], e["reason"]) for e in done.document["checks"]}
        assert done.code == (0 if done.document["ok"] else 1)
        return found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    for name, identity in (("pcr", OWNER), ("other", OTHER)):
        kit.file(f"{name}.key", identity.key_pem)
        kit.file(f"{name}.pub", public_pem(identity))
    kit.file("a.raw", b"first")
    uki = kit.build("linux.efi")
    request = BootRequest(uki=str(uki), extras=(str(kit.folder / "a.raw"),))
    events = predict(request, banks=BANKS).sets[0].events
    kit.file(
        "root/sys/kernel/security/tpm0/binary_bios_measurements",
        eventlog.serialise(make_log(events)),
    )
    everything = (*events, *(word(11, "phase", text, BANKS) for text in PASSED))
    for bank in BANKS:
        for pcr in range(24):
            text = value(everything, pcr, bank).hex().upper()
            kit.file(f"root/sys/class/tpm/tpm0/pcr-{bank}/{pcr}", text + "\n")
    kit.file("root/run/systemd/tpm2-pcr-public-key.pem", public_pem(OWNER))
    kit.file("volume.raw", volume(metadata()))
    sign(kit, uki)
    return Machine(kit)


def sign(kit: Kit, uki: Path, *words: str) -> None:
    target = kit.folder / "root/run/systemd/tpm2-pcr-signature.json"
    done = sysgraft(
        *("pcr", "sign", "--uki", uki, "--extra", kit.folder / "a.raw"),
        *words,
        *("--private-key", kit.folder / "pcr.key", "--output", target, "--force"),
    )
    assert done.code == 0, done.err


def test_a_machine_that_could_boot_again_is_ready(machine: Machine) -> None:
    done = machine.enroll("--dry-run", "--json", "--unlock-key-file", "k")
    assert done.code == 0
    document = done.document
    assert [each["status"] for each in document["checks"][:5]] == ["ok"] * 5
    assert document["enrolled"] is False
    assert document["commands"] == [
        [
            "systemd-cryptenroll",
            "--tpm2-device=auto",
            f"--tpm2-public-key={machine.root}/run/systemd/tpm2-pcr-public-key.pem",
            "--tpm2-public-key-pcrs=11+13",
            "--tpm2-pcrs=",
            "--unlock-key-file=k",
            str(machine.volume),
        ]
    ]


def test_signatures_for_other_files_are_not_enough(machine: Machine) -> None:
    machine.kit.file("a.raw", b"second")
    sign(machine.kit, machine.kit.folder / "linux.efi")
    status, reason = machine.checks()["boots-again"]
    assert status == "fail"
    assert "this boot could not unlock it again at enter-initrd" in reason


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--phase", ":"], "could not unlock it again at the start of the kernel"),
        (["--pcr", "11"], "no signature for exactly PCR 11, but for 11+13"),
        (["--pcr", "11+12+13"], "no signature for exactly PCR 11+12+13"),
        (["--bank", "sha384"], "nothing for the bank sha384"),
        (["--public-key", "KIT/other.pub"], "no signature of PCR 11+13 by the key"),
    ],
)
def test_the_signature_has_to_be_for_just_this(
    words: list[str], reason: str, machine: Machine
) -> None:
    words = [each.replace("KIT", str(machine.kit.folder)) for each in words]
    status, found = machine.checks(*words)["boots-again"]
    assert status == "fail"
    assert reason in found


def test_a_log_that_does_not_lead_to_the_values_is_not_believed(machine: Machine) -> None:
    machine.kit.file("root/sys/class/tpm/tpm0/pcr-sha256/13", "00" * 32)
    status, reason = machine.checks()["event-log"]
    assert (status, reason) == ("fail", "the logs do not lead to what the TPM has in PCR 13")


@pytest.mark.parametrize("where", ["var/lib/extensions", "run/extensions", "etc/extensions"])
def test_an_extension_that_nobody_measures_is_refused(machine: Machine, where: str) -> None:
    machine.kit.file(f"root/{where}/x.raw", b"image")
    status, reason = machine.checks()["placement"]
    assert status == "fail"
    assert f"{where}/x.raw is not loaded by the stub" in reason
    assert machine.checks("--allow-unmeasured")["placement"][0] == "ok"
    assert machine.checks("--pcr", "11")["placement"][0] == "ok"


def test_a_link_to_what_the_stub_brought_is_measured(machine: Machine) -> None:
    folder = machine.root / "run/extensions"
    folder.mkdir(parents=True)
    (folder / "a.raw").symlink_to("/.extra/sysext/a.raw")
    assert machine.checks()["placement"] == ("ok", "measured into PCR 13: System extension initrd")


@pytest.mark.parametrize(
    ("tokens", "mode", "adds"),
    [
        ({}, "auto", False),
        ({"0": {**TPM2_TOKEN, "keyslots": ["0", "1"]}}, "auto", True),
        (
            {
                "0": {**TPM2_TOKEN, "keyslots": ["0"]},
                "1": {"type": "systemd-recovery", "keyslots": ["1"]},
            },
            "auto",
            False,
        ),
        ({}, "add", True),
        ({"0": {**TPM2_TOKEN, "keyslots": ["0", "1"]}}, "keep", False),
    ],
)
def test_a_recovery_key_is_kept_or_added(
    tokens: dict[str, Any], mode: str, adds: bool, machine: Machine
) -> None:
    machine.kit.file("volume.raw", volume(metadata(tokens=tokens)))
    done = machine.enroll("--dry-run", "--json", "--recovery-key", mode)
    commands = done.document["commands"]
    assert len(commands) == 1 + adds
    assert ("--recovery-key" in commands[-1]) is adds


def test_nothing_is_run_when_something_speaks_against_it(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "touch ran")
    machine.kit.file("root/run/extensions/x.raw", b"image")
    assert machine.enroll("--unlock-key-file", "k").code == 1
    assert not (tmp_path / "ran").exists()


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A program that is called systemd-cryptenroll."""
    path = folder / "bin/systemd-cryptenroll"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\ncd {folder}\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")


def test_the_recovery_key_is_shown_and_secrets_are_not_arguments(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"0": {**TPM2_TOKEN, "tpm2-pcrs": [], "tpm2_pubkey": PEM, "tpm2_pubkey_pcrs": [11, 13]}}
    machine.kit.file("after.raw", volume(metadata(tokens=new)))
    text = (
        'echo "$PASSWORD: $*" >> calls\n'
        "case $1 in --recovery-key) echo abcd-efgh ;; "
        f"*) cp {machine.kit.folder}/after.raw {machine.volume} ;; esac"
    )
    program(tmp_path, monkeypatch, text)
    monkeypatch.setenv("SYSGRAFT_PASSPHRASE", "open sesame")
    done = machine.enroll("--recovery-key", "add")
    assert done.code == 0, done.err
    assert "recovery key, shown once: abcd-efgh" in done.out
    assert "enrolled: PCR 11+13, bank sha256" in done.out
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith("open sesame: --tpm2-device=auto")
    assert calls[1] == f"open sesame: --recovery-key {machine.volume}"


def test_a_program_that_enrols_something_else_is_noticed(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"0": {**TPM2_TOKEN, "tpm2-pcr-bank": "sha1", "tpm2_pubkey": PEM}}
    machine.kit.file("after.raw", volume(metadata(tokens=new)))
    program(tmp_path, monkeypatch, f"cp {machine.kit.folder}/after.raw {machine.volume}")
    done = machine.enroll("--unlock-key-file", "k")
    assert done.code == 2
    assert "chose the bank sha1" in done.err


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("volume.raw", b"no LUKS" * 4096, "volume.raw"),
        ("root/sys/kernel/security/tpm0/binary_bios_measurements", b"", "the event log is empty"),
        ("root/run/systemd/tpm2-pcr-signature.json", b"[]", "PCR signatures"),
        ("root/run/systemd/tpm2-pcr-public-key.pem", b"no key", "not a public key in PEM"),
    ],
)
def test_bad_input_is_named(name: str, data: bytes, message: str, machine: Machine) -> None:
    machine.kit.file(name, data)
    done = machine.enroll("--dry-run")
    assert done.code == 2
    assert message in done.err


def test_the_document_can_be_read(machine: Machine) -> None:
    done = machine.enroll("--dry-run", "--json")
    assert json.loads(done.out)["schema"] == "sysgraft.pcr.enroll/1"


@pytest.mark.parametrize("bank", ["sha256", "sha384"])
def test_values_that_are_not_known_are_not_believed(machine: Machine, bank: str) -> None:
    path = machine.root / f"sys/class/tpm/tpm0/pcr-{bank}/13"
    path.unlink()
    status, reason = machine.checks("--bank", bank)["event-log"]
    assert status == "fail"
    assert f"PCR 13 of the bank {bank} is not known" in reason


def rewrite_values(machine: Machine, pcr: int, text: str) -> None:
    """Extend a PCR once more, in every bank."""
    for bank in BANKS:
        path = machine.root / f"sys/class/tpm/tpm0/pcr-{bank}/{pcr}"
        value = bytes.fromhex(path.read_text())
        path.write_text(extend(bank, value, hashed(text.encode(), (bank,))[bank]).hex())


def test_the_separator_counts_also_where_systemds_log_is_missing(machine: Machine) -> None:
    """The TPM's values tell that there was one; signatures without it would unlock nothing."""
    rewrite_values(machine, 13, "os-separator")
    status, _ = machine.checks()["boots-again"]
    assert status == "fail"
    sign(machine.kit, machine.kit.folder / "linux.efi", "--systemd-version", "261")
    assert machine.checks()["boots-again"][0] == "ok"


def test_what_came_at_an_unknown_time_is_not_signed_for(machine: Machine) -> None:
    record = {
        "pcr": 13,
        "digests": [
            {"hashAlg": bank, "digest": hashed(b"surprise", (bank,))[bank].hex()} for bank in BANKS
        ],
        "content_type": "systemd",
        "content": {"string": "surprise"},
    }
    machine.kit.file("root/run/log/systemd/tpm2-measure.log", "\x1e" + json.dumps(record) + "\n")
    rewrite_values(machine, 13, "surprise")
    status, reason = machine.checks()["boots-again"]
    assert status == "fail"
    assert "PCR 13 was extended with 'surprise' later" in reason


def test_a_certificate_is_not_what_the_program_takes(machine: Machine) -> None:
    certificate = machine.kit.file("pcr.crt", OWNER.certificate_pem)
    done = machine.enroll("--dry-run", "--public-key", certificate)
    assert done.code == 2
    assert "not a public key in PEM" in done.err


def test_a_policyref_is_asked_for_and_handed_on(machine: Machine) -> None:
    sign(machine.kit, machine.kit.folder / "linux.efi", "--policyref", "fleet")
    assert machine.checks()["boots-again"][0] == "fail"
    done = machine.enroll("--dry-run", "--json", "--policyref", "fleet")
    assert done.code == 0
    assert "--tpm2-public-key-policyref=fleet" in done.document["commands"][0]


def test_where_secure_boot_is_off_that_is_said(machine: Machine) -> None:
    notes = machine.enroll("--dry-run", "--json").document["notes"]
    assert any("another program could extend them" in each for each in notes)
    words = ("--pcr", "4+11+13", "--dry-run", "--json")
    notes = machine.enroll(*words).document["notes"]
    assert not any("another program could extend them" in each for each in notes)


def test_an_older_token_that_nobody_signed_for_is_in_the_way(machine: Machine) -> None:
    """systemd before 262 would stop at it, and ask for a passphrase."""
    pem = public_pem(OTHER)
    old = {
        **TPM2_TOKEN,
        "keyslots": ["0"],
        "tpm2-pcrs": [],
        "tpm2_pubkey": base64.b64encode(pem).decode(),
        "tpm2_pubkey_pcrs": [11, 13],
        "tpm2-policy-hash": sealed_policy(key_name=pem_name(pem)).hex(),
    }
    machine.kit.file("volume.raw", volume(metadata(tokens={"0": old})))
    status, reason = machine.checks()["boots-again"]
    assert status == "fail"
    assert "there is no signature for token 0" in reason
    assert machine.checks("--wipe")["boots-again"][0] == "ok"
