"""Our components in systemd-pcrlock 262: it keeps all PCRs and predicts our values.

The boot is made up: its event log is our own prediction with what firmware measures besides, and a
software TPM is extended with it. The same with a real boot's log is in
``tests/boot/test_predicted_pcrs.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from executables import make_pe
from pcrlock_kit import predict, shipped_components
from replay_tpm import make_log
from sysgraft.measure import boot as measure_boot
from sysgraft.measure import events
from sysgraft.measure.pcr import BANKS
from sysgraft.seal import prediction as seal_prediction
from sysgraft.seal.assembly import Settings
from sysgraft.seal.pcrlock_files import write_components
from sysgraft.seal.prediction import BootRequest
from sysgraft.testing.certificates import make_identity
from uki_kit import Kit, make_kit, make_stub

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from conftest import DebianSid
    from pcrlock_kit import Values
    from sysgraft.measure.events import Event
    from sysgraft.seal.prediction import Predicted, Prediction

pytestmark = pytest.mark.oracle("debian-sid", "swtpm")

SIGNER: Final = make_identity("Secure Boot")
PHASE: Final = "enter-initrd"
EVERYTHING: Final = ("",)
SETS: Final = {"none": (), "current": ("v1",), "next": ("v2",), "more": ("v1", "token", "addon")}


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """A UKI's parts, a boot loader, and files to put beside an image."""
    kit = make_kit(tmp_path / "kit", monkeypatch)
    kit.file("bootx64.efi", boot_loader())
    kit.file("v1/demo.raw", b"first " * 100)
    kit.file("v2/demo.raw", b"second " * 100)
    kit.file("token/token.cred", b"secret")
    (kit.folder / "addon").mkdir()
    key = kit.file("db.key", SIGNER.key_pem)
    certificate = kit.file("db.crt", SIGNER.certificate_pem)
    signed = ("--secureboot-private-key", key, "--secureboot-certificate", certificate)
    kit.build("addon/debug.addon.efi", "--cmdline", "debug", *signed, kernel=False)
    return kit


def boot_loader() -> bytes:
    magic = b"#### LoaderInfo: systemd-boot 262-1 ####\0"
    return make_pe([(".text", b"\xc3" * 300), (".sdmagic", magic)])


def predicted(kit: Kit, sets: Iterable[str], *, stub: str, settings: Settings) -> Prediction:
    kit.stub.write_bytes(make_stub(stub))
    image = kit.build(f"linux-{stub}.efi", "--cmdline", "quiet", "--force")
    request = BootRequest(
        uki=str(image),
        loaders=(str(kit.folder / "bootx64.efi"),),
        sets=tuple((name, tuple(str(kit.folder / f) for f in SETS[name])) for name in sets),
        settings=settings,
    )
    return seal_prediction.predict(request, banks=tuple(BANKS), phases=[PHASE])


def with_firmware(found: Iterable[Event], banks: Sequence[str]) -> list[Event]:
    """The events of a boot, and what firmware extends other PCRs with in between."""
    whole: list[Event] = []
    for each in found:
        if each.component == "separator":
            whole += [events.separator(pcr, banks) for pcr in range(8)]
        else:
            whole.append(each)
    return whole


def in_initrd(banks: Sequence[str]) -> list[Event]:
    """What the initrd of systemd 262 extends, other PCRs included."""
    text = measure_boot.OS_SEPARATOR
    separators = [
        events.word(pcr, "separator", text, banks) for pcr in measure_boot.OS_SEPARATOR_PCRS
    ]
    return [events.word(11, "phase", PHASE, banks), *separators]


def measurement_log(found: Iterable[Event]) -> bytes:
    """The running system's own log of these events."""
    records = (
        {
            "pcr": each.pcr,
            "digests": [{"hashAlg": b, "digest": d.hex()} for b, d in each.digests.items()],
            "content_type": "systemd",
            "content": {"string": each.name, "eventType": "phase"},
        }
        for each in found
    )
    return b"".join(b"\x1e" + json.dumps(each).encode() + b"\n" for each in records)


def told(
    debian_sid: DebianSid, work: Path, booted: Predicted, folders: Iterable[Path], pcrs: str = ""
) -> Values:
    """What systemd-pcrlock predicts in the initrd of this boot."""
    banks = tuple(BANKS)
    later = in_initrd(banks)
    return predict(
        debian_sid,
        work,
        make_log(with_firmware(booted.events, banks)),
        folders,
        pcrs=pcrs or "4+11+12+13",
        userspace=make_log(later),
        userspace_log=measurement_log(later),
    )


def values(prediction: Prediction, pcr: int) -> set[str]:
    return {each.values(PHASE, "sha256")[pcr].hex() for each in prediction.sets}


@pytest.fixture
def shipped(debian_sid: DebianSid, tmp_path: Path) -> Path:
    """All components that come with systemd."""
    return shipped_components(debian_sid, tmp_path / "shipped", prefixes=EVERYTHING)


def check(found: Values, prediction: Prediction) -> None:
    assert set(found.pcrs) == {4, 11, 12, 13}, found.messages
    for pcr in (12, 13):
        assert found.pcrs[pcr] == values(prediction, pcr), pcr
    # Its own component of separators has one more variant, for a firmware that met an error.
    assert found.pcrs[4] > values(prediction, 4)
    assert len(found.pcrs[4]) == 2 * len(values(prediction, 4))
    # It goes on to later phases in PCR 11.
    assert found.pcrs[11] >= values(prediction, 11)


# Whether the firmware loads the kernel, and what systemd-boot and stub make of a command line.
@pytest.mark.parametrize(
    ("stub", "settings"),
    [
        ("257.13-1", Settings(systemd=262)),
        ("262-1", Settings()),
        ("262-1", Settings(cmdline="console=ttyS0 quiet", smbios="extra", secure_boot=False)),
        ("257.13-1", Settings(cmdline="console=ttyS0", secure_boot=True, systemd=262)),
    ],
)
def test_it_keeps_all_pcrs_whichever_set_was_booted(
    debian_sid: DebianSid, kit: Kit, shipped: Path, tmp_path: Path, stub: str, settings: Settings
) -> None:
    prediction = predicted(kit, SETS, stub=stub, settings=settings)
    assert len(values(prediction, 13)) == 3
    assert len(values(prediction, 4)) == len(values(prediction, 12)) == 2
    write_components(prediction, str(tmp_path / "ours"), replace=False)
    for booted in prediction.sets:
        work = tmp_path / f"booted-{booted.name}"
        check(told(debian_sid, work, booted, [shipped, tmp_path / "ours"]), prediction)


def test_the_next_image_goes_into_the_same_folder(
    debian_sid: DebianSid, kit: Kit, shipped: Path, tmp_path: Path
) -> None:
    """One image's kernel is loaded by the firmware, the other's is not."""
    ours = tmp_path / "ours"
    now = predicted(kit, ["none", "current"], stub="257.13-1", settings=Settings(systemd=262))
    new = predicted(kit, ["none", "current"], stub="262-1", settings=Settings())
    write_components(now, str(ours), replace=False)
    write_components(new, str(ours), replace=False)
    for number, booted in enumerate((*now.sets, *new.sets)):
        found = told(debian_sid, tmp_path / str(number), booted, [shipped, ours])
        assert set(found.pcrs) == {4, 11, 12, 13}, found.messages
        for pcr in found.pcrs:
            assert found.pcrs[pcr] >= values(now, pcr) | values(new, pcr), pcr
        assert found.pcrs[13] == values(now, 13)


def test_one_pcr_alone(debian_sid: DebianSid, kit: Kit, shipped: Path, tmp_path: Path) -> None:
    """Only what was asked for is written, and that is enough for it."""
    whole = predicted(kit, ["current", "next"], stub="262-1", settings=Settings())
    request = BootRequest(
        uki=str(kit.folder / "linux-262-1.efi"),
        sets=tuple((name, (str(kit.folder / SETS[name][0]),)) for name in ("current", "next")),
    )
    prediction = seal_prediction.predict(request, pcrs=[13])
    write_components(prediction, str(tmp_path / "ours"), replace=False)
    found = told(debian_sid, tmp_path / "work", whole.sets[0], [shipped, tmp_path / "ours"], "13")
    assert found.pcrs == {13: values(whole, 13)}, found.messages


# --- Without them --------------------------------------------------------------------------------


def test_it_drops_the_pcrs_without_our_components(
    debian_sid: DebianSid, kit: Kit, shipped: Path, tmp_path: Path
) -> None:
    prediction = predicted(kit, ["more"], stub="262-1", settings=Settings())
    found = told(debian_sid, tmp_path / "work", prediction.sets[0], [shipped])
    assert found.pcrs == {}, found.messages


def test_it_drops_the_pcrs_of_a_set_that_was_not_predicted(
    debian_sid: DebianSid, kit: Kit, shipped: Path, tmp_path: Path
) -> None:
    prediction = predicted(kit, ["none", "current"], stub="262-1", settings=Settings())
    booted = predicted(kit, ["next"], stub="262-1", settings=Settings()).sets[0]
    write_components(prediction, str(tmp_path / "ours"), replace=False)
    found = told(debian_sid, tmp_path / "work", booted, [shipped, tmp_path / "ours"])
    assert set(found.pcrs) == {4, 11, 12}, found.messages


def test_an_unforeseen_credential_costs_one_pcr(
    debian_sid: DebianSid, kit: Kit, shipped: Path, tmp_path: Path
) -> None:
    """systemd-pcrlock itself puts one beside the images."""
    prediction = predicted(kit, ["none", "current"], stub="262-1", settings=Settings())
    (kit.folder / "v1/new.cred").write_bytes(b"new")
    booted = predicted(kit, ["current"], stub="262-1", settings=Settings()).sets[0]
    write_components(prediction, str(tmp_path / "ours"), replace=False)
    found = told(debian_sid, tmp_path / "work", booted, [shipped, tmp_path / "ours"])
    assert set(found.pcrs) == {4, 11, 13}, found.messages
    assert found.pcrs[13] == values(prediction, 13)


@pytest.mark.parametrize("name", ["000-absent.pcrlock", "950-absent.pcrlock"])
def test_an_empty_variant_in_front_would_hide_the_others(
    debian_sid: DebianSid, kit: Kit, shipped: Path, tmp_path: Path, name: str
) -> None:
    """Why the names begin with a number: systemd-pcrlock takes the first variant that fits."""
    prediction = predicted(kit, ["none", "current"], stub="262-1", settings=Settings())
    write_components(prediction, str(tmp_path / "ours"), replace=False)
    empty = tmp_path / "ours/663-sidecar-sysext.pcrlock.d/900-absent.pcrlock"
    empty.rename(empty.with_name(name))
    folders = [shipped, tmp_path / "ours"]
    found = told(debian_sid, tmp_path / "work", prediction.sets[1], folders)
    assert (13 in found.pcrs) is (name > "9"), found.messages
