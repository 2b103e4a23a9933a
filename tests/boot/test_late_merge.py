"""What comes too late when extensions are merged, and what does not: as ``ext lint`` says.

One boot of a whole Debian 13 with an extension of units, udev rules and tmpfiles.d.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from boot.conftest import initrd
from lint_kit import RELOADED, UNITS, Maker, codes, link, lint

if TYPE_CHECKING:
    from pathlib import Path

    from boot.conftest import BuildUki, Keys, Lab
    from lint_kit import Content

pytestmark = pytest.mark.boot

UNIT: Final = """
[Unit]
Description={}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
[Install]
WantedBy=multi-user.target
"""
RULE: Final = 'KERNEL=="null", ENV{DEMO}="late"\n'
FILES: Final[dict[str, Content]] = {
    f"{UNITS}/linked.service": UNIT.format("linked"),
    f"{UNITS}/multi-user.target.wants/linked.service": link("../linked.service"),
    f"{UNITS}/upheld.service": UNIT.format("upheld"),
    f"{UNITS}/multi-user.target.d/10-upheld.conf": "[Unit]\nUpholds=upheld.service\n",
    f"{UNITS}/folder.service": UNIT.format("folder"),
    f"{UNITS}/multi-user.target.upholds/folder.service": link("../folder.service"),
    "usr/lib/udev/rules.d/90-demo.rules": RULE,
    "usr/lib/tmpfiles.d/demo.conf": "f /run/demo-tmpfiles 0644 root root - made\n",
}
LOOK: Final = """
seen() { "$@" > "$SYSGRAFT_RESULTS/$name" 2>&1; }
property() { udevadm info --query=property --path=/sys/class/mem/null; }
for name in linked upheld folder; do seen systemctl is-active "$name.service"; done
name=tmpfiles; seen cat /run/demo-tmpfiles
name=before; seen property
udevadm control --reload
udevadm trigger --action=change --settle /sys/class/mem/null
name=after; seen property
exit 0
"""


def test_what_lint_calls_too_late_is_too_late(
    lab: Lab, uki: BuildUki, keys: Keys, tmp_path: Path
) -> None:
    signing = keys.pair("extension")
    image = Maker(tmp_path).image("late", FILES, release=RELOADED, signing=signing)
    assert codes(lint(image)) == {
        "unit-never-starts": [
            f"/{UNITS}/linked.service",
            f"/{UNITS}/multi-user.target.wants/linked.service",
        ],
        "udev-rules": ["/usr/lib/udev/rules.d/90-demo.rules"],
    }
    certificate = (keys.folder / "extension.pem").read_bytes()
    trust = initrd(tmp_path, {"usr/lib/verity.d/extension.crt": certificate})
    report = lab.boot(
        LOOK, uki=uki(tmp_path / "full.efi", "debian", initrds=(trust,)), extras=(str(image),)
    )
    assert report.succeeded, report.serial
    assert report.script is not None
    found = {name: data.decode().strip() for name, data in report.script.files.items()}
    assert (found["linked"], found["upheld"], found["folder"]) == ("inactive", "active", "active")
    assert found["tmpfiles"] == "made"
    assert "DEVNAME=/dev/null" in found["before"]
    assert "DEMO=late" not in found["before"]
    assert "DEMO=late" in found["after"]
