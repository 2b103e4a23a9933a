"""sysgraft in a guest, with its own Python: as a part of the initrd, and as a signed extension.

Nothing of sysgraft runs before the extension is merged: the stock systemd-sysext verifies it, under
the policy ``root=signed+absent:usr=signed+absent``, with a certificate in ``/usr/lib/verity.d``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

import sysgraft
from boot.conftest import initrd
from extension_cases import extension
from guest_kit import agent_initrd
from node_kit import node_initrd, store_disk
from sysgraft.build.agent.bundle import AgentOptions, bundle_extension
from sysgraft.build.extension import BuildOptions, build_extension
from sysgraft.lab.report import Merged
from sysgraft.node.units.tree import Place, UnitOptions, write_units

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab

pytestmark = pytest.mark.boot

SCRIPT: Final = r"""
sysgraft --version > "$SYSGRAFT_RESULTS/version"
sysgraft firmware scan --json > "$SYSGRAFT_RESULTS/scan"
"""
VERSION: Final = f"sysgraft {sysgraft.__version__}\n".encode()


def test_a_guest_has_sysgraft_from_the_start(lab: Lab, uki: BuildUki, tmp_path: Path) -> None:
    image = uki(tmp_path / "agent.efi", "debian", initrds=(agent_initrd(tmp_path),))
    report = lab.boot(SCRIPT, uki=image)
    assert report.succeeded, report.serial
    assert report.script is not None
    found = report.script.files
    assert found["version"] == VERSION
    assert b'"sysgraft.firmware.scan/1"' in found["scan"]


@pytest.mark.parametrize("trusted", [True, False])
def test_systemd_verifies_the_extension_that_carries_sysgraft(
    lab: Lab, uki: BuildUki, keys: Keys, tmp_path: Path, *, trusted: bool
) -> None:
    options = AgentOptions(extension=BuildOptions(compress="lz4"))
    made = bundle_extension(str(tmp_path), options, signing=keys.pair("extension"))
    name = "extension" if trusted else "KEK"
    certificate = (keys.folder / f"{name}.pem").read_bytes()
    trust = initrd(tmp_path, {"usr/lib/verity.d/mine.crt": certificate})
    report = lab.boot(
        SCRIPT if trusted else 'command -v sysgraft > "$SYSGRAFT_RESULTS/found"; exit 0',
        uki=uki(tmp_path / "plain.efi", "debian", initrds=(trust,)),
        extras=(made.path,),
    )
    assert report.script is not None
    assert report.guest is not None
    found = report.script.files
    if trusted:
        assert report.succeeded, report.serial
        assert Merged("/usr", ("sysgraft-agent",)) in (report.guest.sysext or ())
        assert found["version"] == VERSION
        assert b'"sysgraft.firmware.scan/1"' in found["scan"]
    else:
        assert found["found"] == b""
        assert "systemd-sysext.service" in report.guest.failed_units


ACTIVATED: Final = r"""
for turn in 1 2 3 4 5 6 7 8 9 10 11 12; do
    [ -e /usr/share/demo/one ] && break
    sleep 5
done
exec > "$SYSGRAFT_RESULTS/log" 2>&1
systemctl status --no-pager --lines=40 sysgraft-node-activate.service
systemctl show --property=NRestarts,Result sysgraft-node-activate.service
systemd-sysext status --json=short > "$SYSGRAFT_RESULTS/merged"
sysgraft node status
exit 0
"""


def test_the_agent_of_an_extension_activates_the_others(
    lab: Lab, uki: BuildUki, keys: Keys, tmp_path: Path
) -> None:
    """It comes with the first merge; after that it has systemd merge what is enabled."""
    signing = keys.pair("extension")
    agent = AgentOptions(extension=BuildOptions(compress="lz4"))
    made = bundle_extension(str(tmp_path), agent, signing=signing)
    write_units(str(tmp_path / "units"), UnitOptions(place=Place.EXTENSION))
    options = BuildOptions(service_reload=True)
    folder, output = str(tmp_path / "units"), str(tmp_path)
    build_extension("node-units", [folder], output=output, signing=signing, options=options)
    common = tmp_path / "tree/extensions/common"
    common.mkdir(parents=True)
    one = extension(tmp_path / "tree/extensions", "one", signing)
    (common / one.name).symlink_to(f"../{one.name}")
    disk = store_disk(tmp_path / "store", tmp_path / "tree")
    trust = {"usr/lib/verity.d/mine.crt": (keys.folder / "extension.pem").read_bytes()}
    rest = node_initrd(tmp_path, trust, with_units=False)
    report = lab.boot(
        ACTIVATED,
        uki=uki(tmp_path / "plain.efi", "debian", initrds=(rest,)),
        extras=(made.path, str(tmp_path / "node-units.sysext.raw")),
        disks=(disk,),
    )
    assert report.script is not None, report.serial
    found = {name: data.decode() for name, data in report.script.files.items()}
    for name in ("sysgraft-agent", "node-units", "one"):
        assert f'"{name}"' in found["merged"], found
    assert "NRestarts=0" in found["log"], found["log"]
