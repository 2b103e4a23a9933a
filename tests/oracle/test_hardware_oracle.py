"""Hardware IDs against ukify, devicetrees against dtc."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.formats import devicetree, hwids

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13

BOARDS = {
    "acme/one.json": ("Acme One", "acme,one", 3),
    "acme/one-more.json": ("Acme One", "acme,one", 9),
    "other.json": ("Über", "acme,soc", 1),
    "zeta.json": ("Acme One", "zeta,z", 2),
}


def describe(folder: Path) -> list[bytes]:
    """Descriptions in the order in which ukify reads them."""
    for number, (name, (title, compatible, count)) in enumerate(BOARDS.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ids = [str(UUID(int=(17 * n + number) << 64 | n, version=5)) for n in range(count, 0, -1)]
        fields = {"type": "devicetree", "name": title, "compatible": compatible, "hwids": ids}
        path.write_text(json.dumps(fields, ensure_ascii=False))
    return [path.read_bytes() for path in sorted(folder.rglob("*.json"))]


@pytest.mark.oracle("debian-13")
@pytest.mark.oracle("objcopy")
def test_a_section_has_the_bytes_of_ukify(tmp_path: Path, debian13: Debian13) -> None:
    descriptions = describe(tmp_path / "hwids")
    (tmp_path / "linux").write_bytes(
        (debian13.root / "usr/lib/systemd/boot/efi/linuxx64.efi.stub").read_bytes()
    )
    debian13.run(
        ["ukify", "build", "--linux=/mnt/in/linux", "--uname=1", "--os-release=ID=x",
         "--hwids=/mnt/in/hwids", "--output=/mnt/in/uki.efi"],
        binds={tmp_path: "/mnt/in"},
    )  # fmt: skip
    subprocess.run(
        ["objcopy", "--dump-section", f".hwids={tmp_path}/section", tmp_path / "uki.efi",
         tmp_path / "copy"],
        check=True, timeout=60,
    )  # fmt: skip
    theirs = (tmp_path / "section").read_bytes()
    devices = [each for data in descriptions for each in hwids.parse_description(data)]
    ours = hwids.render(devices)
    assert theirs[: len(ours)] == ours
    assert not theirs[len(ours) :].strip(b"\0"), "only the padding of the file"
    found = hwids.parse(theirs)
    assert [(each.name, each.match, len(each.hwids)) for each in found] == [
        ("Acme One", "acme,one", 12),
        ("Über", "acme,soc", 1),
        ("Acme One", "zeta,z", 2),
    ]


SOURCE = """
/dts-v1/;
/memreserve/ 0x1000 0x2000;
/ {
    #address-cells = <2>;
    model = "Acme Board (rev 2)";
    %s
    serial-number = "1";
    chosen { bootargs = "quiet"; compatible = "wrong"; };
};
"""


@pytest.mark.oracle("dtc")
@pytest.mark.parametrize(
    "compatible", [("acme,board-r2", "acme,board", "acme,soc"), ("single",), ()]
)
def test_devicetrees_of_dtc_are_read(compatible: tuple[str, ...]) -> None:
    words = ", ".join(f'"{word}"' for word in compatible)
    source = SOURCE % (f"compatible = {words};" if compatible else "")
    made = subprocess.run(
        ["dtc", "-q", "-I", "dts", "-O", "dtb", "-"],
        input=source.encode(), capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    found = devicetree.parse(BytesBlob(made))
    assert found == devicetree.Devicetree(len(made), compatible, "Acme Board (rev 2)")
