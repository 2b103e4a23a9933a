"""``sysgraft pcr enroll`` with the real systemd-cryptenroll against a software TPM.

The TPM went through the boot that a prediction describes; the volume is a file.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from replay_tpm import make_log, replayed
from sysgraft.formats import eventlog
from sysgraft.measure.events import value
from sysgraft.seal.prediction import BootRequest, predict
from sysgraft.testing.certificates import make_identity
from uki_kit import make_kit, public_pem

if TYPE_CHECKING:
    from pathlib import Path

BANKS = ("sha1", "sha256", "sha384", "sha512")
OWNER = make_identity("PCR policies")


@pytest.mark.oracle("swtpm", "cryptsetup", "systemd-cryptenroll")
def test_a_volume_is_bound_as_the_header_then_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    kit.file("a.raw", b"first")
    kit.file("pcr.key", OWNER.key_pem)
    kit.file("pcr.pub", public_pem(OWNER))
    key = kit.file("volume.key", b"secret")
    uki = kit.build("linux.efi")
    volume = kit.file("volume.raw", bytes(32 << 20))
    fast = ("--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000")
    subprocess.run(["cryptsetup", "luksFormat", "-q", *fast, volume, key], check=True)
    request = BootRequest(uki=str(uki), extras=(str(kit.folder / "a.raw"),))
    events = predict(request, banks=BANKS).sets[0].events
    log = make_log(events)
    kit.file("root/sys/kernel/security/tpm0/binary_bios_measurements", eventlog.serialise(log))
    for bank in BANKS:
        for pcr in range(24):
            text = value(events, pcr, bank).hex()
            kit.file(f"root/sys/class/tpm/tpm0/pcr-{bank}/{pcr}", text)
    signatures = kit.folder / "sig.json"
    files = ("--uki", uki, "--extra", kit.folder / "a.raw", "--phase", ":")
    assert (
        sysgraft(
            *("pcr", "sign", *files, "--private-key", kit.folder / "pcr.key"),
            *("--output", signatures),
        ).code
        == 0
    )
    with replayed(tmp_path, log) as place:
        done = sysgraft(
            *("pcr", "enroll", volume, "--root", kit.folder / "root", "--signatures", signatures),
            *("--public-key", kit.folder / "pcr.pub", "--phase", ":", "--unlock-key-file", key),
            *("--tpm2-device", f"swtpm:path={place}", "--recovery-key", "add"),
        )
    assert done.code == 0, done.err
    assert "recovery key, shown once: " in done.out
    assert "enrolled: PCR 11+13, bank sha256" in done.out
    checked = sysgraft("pcr", "check", signatures, *files, "--luks", volume)
    assert checked.code == 0, checked.out + checked.err
    dump = subprocess.run(
        ["cryptsetup", "luksDump", str(volume)], capture_output=True, text=True, check=True
    ).stdout
    assert "systemd-tpm2" in dump
    assert "systemd-recovery" in dump
