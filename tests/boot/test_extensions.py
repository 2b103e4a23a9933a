"""Extensions in a guest: systemd-stub hands them over, the stock systemd-sysext merges them or not.

The guest is a whole Debian 13 in a UKI. Its policy is ``root=signed+absent:usr=signed+absent``;
the certificate it trusts is in the UKI, in ``/usr/lib/verity.d``, and the kernel believes the
firmware's db while Secure Boot is on. What becomes of each image is foretold by ``ext lint``, too
(``tests/integration/test_ext_lint_foretells.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import initrd
from extension_cases import CONTENT, MERGED, SETS, Signers, candidates, extension
from sysgraft.image.merge_order import merge_orders
from sysgraft.lab.esp import File, make_esp
from sysgraft.lab.options import Disk
from sysgraft.lab.report import Merged

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

# What systemd-sysext.service makes of each image alone, and whether its file can be read then.
TRY_EACH: Final = r"""
merge() {
    systemctl reset-failed systemd-sysext.service  # and its count of starts
    systemctl restart systemd-sysext.service
}
mkdir /run/images
mount -t vfat -o ro /dev/disk/by-id/virtio-disk0-part1 /run/images
rm /var/lib/extensions
mkdir -p /run/extensions
for image in /run/images/*.raw; do
    file=${image##*/}
    name=${file%%.*}
    ln -s "$image" /run/extensions/
    merge
    systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/$name"
    cp "/usr/share/demo/$name" "$SYSGRAFT_RESULTS/$name.content"
    rm /run/extensions/*
done
for set in /run/images/sets/*; do
    for name in $(cat "$set"); do ln -s "/run/images/$name.sysext.raw" /run/extensions/; done
    merge
    systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/${set##*/}"
    rm /run/extensions/*
done
ln -s /run/images/layers/* /run/extensions/
merge
cp /usr/share/demo/shared "$SYSGRAFT_RESULTS/on-top"
journalctl --boot --output=cat --unit=systemd-sysext.service > "$SYSGRAFT_RESULTS/log"
exit 0
"""
# By character the order is another one.
LAYERS: Final = ("Layer_3", "layer_2", "layer_10")


def test_only_what_is_signed_by_whom_the_guest_trusts_is_merged(
    lab: Lab, uki: BuildUki, keys: Keys, other_keys: Keys, tmp_path: Path
) -> None:
    signers = Signers(keys.pair("extension"), keys.pair("db"), other_keys.pair("extension"))
    signing = signers.own
    good = extension(tmp_path, "good", signing)
    images = candidates(tmp_path, signers)
    files = [File(path.name, str(path)) for path in images.values()]
    for names in SETS:
        (tmp_path / "-".join(names)).write_text(" ".join(names))
        files.append(File(f"sets/{'-'.join(names)}", str(tmp_path / "-".join(names))))
    layers = [extension(tmp_path, name, signing) for name in reversed(LAYERS)]
    files.extend(File(f"layers/{path.name}", str(path)) for path in layers)
    make_esp(str(tmp_path / "disk"), files)
    certificate = (keys.folder / "extension.pem").read_bytes()
    trust = initrd(tmp_path, {"usr/lib/verity.d/extension.crt": certificate})
    report = lab.boot(
        TRY_EACH,
        uki=uki(tmp_path / "full.efi", "debian", initrds=(trust,), signing=keys.pair("db")),
        extras=(str(good),),
        disks=(Disk(str(tmp_path / "disk")),),
        secure_boot=str(keys.folder),
    )
    check_boot(report)
    assert report.script is not None
    found = report.script.files
    assert {name: merged(found[name]) == [name] for name in images} == MERGED
    read = {name: found.get(f"{name}.content") == CONTENT for name in images}
    # dm-verity finds a damaged block when it is read, not before.
    assert read == {**MERGED, "damaged": False}
    assert {names: tuple(merged(found["-".join(names)])) for names in SETS} == SETS
    (order,) = merge_orders([path.name for path in layers])
    assert [each.name for each in order.merged] == [*LAYERS]
    assert "repeated too quickly" not in found["log"].decode()
    assert found["on-top"].decode() == order.merged[-1].name
    used = ", ".join(f"'{each.file}'" for each in order.merged)
    assert f"Using extensions {used}." in found["log"].decode()


def check_boot(report: LabReport) -> None:
    """What was in ``.extra.d`` is merged, and everything measured is explained."""
    assert report.succeeded, report.serial
    assert report.secure_boot is True
    assert report.guest is not None
    assert report.guest.secure_boot is True
    assert report.guest.sysext is not None
    assert Merged("/usr", ("good",)) in report.guest.sysext
    assert report.guest.failed_units == ()
    assert "Using extensions 'good.sysext.raw'" in report.guest.journal
    assert report.event_log is not None
    later = {each.pcr: each.words for each in report.event_log.later}
    # systemd-stub measures the extension to PCR 13, which nobody extends later.
    assert set(later) == {10, 11, 15}
    assert all(later.values())
    assert later[11] == ("sysinit", "ready")
    assert any(report.pcrs["sha256"][13])


def merged(status: bytes) -> list[str]:
    """The extensions of ``/usr``."""
    found = next(row["extensions"] for row in json.loads(status) if row["hierarchy"] == "/usr")
    return [] if found == "none" else found
