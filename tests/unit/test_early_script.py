"""The script that collects signatures in the initrd, run by two shells against laid-out files.

The partition, the EFI variables and ``/run`` are folders; ``mount``, ``umount`` and ``udevadm`` are
stand-ins that copy the partition's files. What real firmware and systemd make of it is the matter
of tests/boot/test_measured_unlock.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from command import sysgraft
from sysgraft.errors import OutputError
from sysgraft.formats import pcrsig
from sysgraft.seal.early import tree

if TYPE_CHECKING:
    from pathlib import Path

VENDOR: Final = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
PARTITION: Final = "AAAABBBB-0000-1111-2222-333344445555"
SHELLS: Final = [["dash"], ["busybox", "sh"], ["bash", "--posix"]]
TOOLS: Final = {
    "mount": 'cp -r "$5/." "$6" 2>/dev/null || exit 32',
    "umount": 'rm -rf "$1"',
}


def entry(number: int, **changes: Any) -> dict[str, Any]:
    reference = {"ref": changes.pop("ref")} if "ref" in changes else {}
    found = {"pcrs": [11, 13], "pkfp": "ab" * 32, **reference, "pol": f"{number:064x}"}
    return {**found, "sig": "QUJD/+==", **changes}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine in its initrd."""

    folder: Path
    shell: list[str]

    @property
    def target(self) -> Path:
        return self.folder / "run/systemd/tpm2-pcr-signature.json"

    def beside(self, name: str, document: object) -> Path:
        """A file on the partition."""
        path = self.folder / "dev" / PARTITION.lower() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text)
        return path

    def run(self, image: str = "\\EFI\\Linux\\os+3-1.efi") -> subprocess.CompletedProcess[str]:
        """Run the script after this image was started."""
        return self.run_after(StubImageIdentifier=image, StubDevicePartUUID=PARTITION)

    def run_after(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script where the stub and a boot loader left these EFI variables."""
        for name, text in {"StubInfo": "systemd-stub 257.1-1", **variables}.items():
            path = self.folder / "vars" / f"{name}-{VENDOR}"
            path.write_bytes(b"\6\0\0\0" + f"{text}\0".encode("utf-16-le"))
        return subprocess.run(
            [*self.shell, str(self.folder / "script")],
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "SYSGRAFT_EFIVARS": str(self.folder / "vars"),
                "SYSGRAFT_DEVICES": str(self.folder / "dev"),
                "SYSGRAFT_RUN": str(self.folder / "run"),
                "SYSGRAFT_EMBEDDED": str(self.folder / "embedded.json"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def policies(self) -> dict[str, list[int]]:
        """What was collected: the numbers of the entries by bank."""
        document = pcrsig.parse(self.target.read_text())
        return {bank: [int(e.policy.hex(), 16) for e in found] for bank, found in document.items()}


@pytest.fixture(params=SHELLS, ids=lambda shell: str(shell[0]))
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    shell: list[str] = request.param
    if shutil.which(shell[0]) is None:
        pytest.skip(f"the program {shell[0]} is missing")
    for name in ("vars", "dev", "run", "bin"):
        (tmp_path / name).mkdir()
    for name, text in TOOLS.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    script = tree.files()[0].data.decode()
    for name in TOOLS:  # BusyBox takes its own programs, whatever PATH says
        script = script.replace(f"{name} ", f"{tmp_path}/bin/{name} ")
    script = script.replace("patience=200", "patience=2")
    (tmp_path / "script").write_text(script.replace(f"u{tmp_path}/bin/mount ", "umount "))
    return Machine(tmp_path, shell)


def test_signatures_beside_the_image_join_those_in_it(machine: Machine) -> None:
    (machine.folder / "embedded.json").write_text(
        json.dumps({"sha1": [entry(1, pcrs=[11])], "sha256": [entry(2, pcrs=[11])]})
    )
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", {"sha256": [entry(3), entry(4)]})
    machine.beside("loader/extensions/all.pcrsig.json", {"sha256": [entry(5, ref="initrd")]})
    machine.beside("EFI/Linux/other.efi.extra.d/no.pcrsig.json", {"sha256": [entry(9)]})
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "signatures of 2 files beside EFI/Linux/os+3-1.efi" in done.stderr
    assert machine.policies() == {"sha1": [1], "sha256": [2, 3, 4, 5]}
    assert machine.target.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in (machine.folder / "run").iterdir()) == [
        "sysgraft-pcr-signatures",
        "systemd",
    ]


def test_what_systemd_puts_there_may_not_be_finished(machine: Machine) -> None:
    """It is a copy of what came with the image; without that it counts by itself."""
    machine.target.parent.mkdir(parents=True)
    machine.target.write_text('{"sha256": [{"pcrs"')
    (machine.folder / "embedded.json").write_text(json.dumps({"sha256": [entry(8)]}))
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", {"sha256": [entry(3)]})
    assert machine.run().returncode == 0
    assert machine.policies() == {"sha256": [8, 3]}
    (machine.folder / "embedded.json").unlink()
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", {"sha256": [entry(4)]})
    assert machine.run().returncode == 0
    assert machine.policies() == {"sha256": [8, 3, 4]}


def test_what_came_with_the_image_is_not_lost(machine: Machine) -> None:
    odd = json.dumps({"sha256": [{**entry(8), "more": "fields"}]})
    (machine.folder / "embedded.json").write_text(odd)
    machine.target.parent.mkdir(parents=True)
    machine.target.write_text(odd)
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", {"sha256": [entry(3)]})
    done = machine.run()
    assert done.returncode == 1
    assert "has entries of another form" in done.stderr
    assert machine.target.read_text() == odd


def test_signatures_in_the_image_that_are_too_many_stay(machine: Machine) -> None:
    """systemd reads up to 64 MiB."""
    large = json.dumps({"sha256": [entry(8)]}) + " " * (4 << 20)
    (machine.folder / "embedded.json").write_text(large)
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", {"sha256": [entry(3)]})
    done = machine.run()
    assert done.returncode == 1
    assert "it stays as it is" in done.stderr
    assert not machine.target.exists()


def test_nothing_is_put_there_when_nothing_is_good(machine: Machine) -> None:
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", {"sha256": [{"pcrs": [11]}]})
    done = machine.run()
    assert done.returncode == 1
    assert "cannot be put together" in done.stderr
    assert not machine.target.exists()


def test_a_program_that_is_missing_is_named(machine: Machine) -> None:
    script = (machine.folder / "script").read_text()
    (machine.folder / "script").write_text(script.replace("in cat chmod", "in cat no-such chmod"))
    done = machine.run()
    assert done.returncode == 1
    assert "the program no-such is not in this initrd" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"ref": "fleet/2026 a+b@c [x] ~|^`!#$%&'()*,;<=>?"},
        {"pkfp": "AB" * 32},
    ],
)
def test_what_sysgraft_signs_is_taken(machine: Machine, change: dict[str, Any]) -> None:
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", {"sha256": [entry(3, **change)]})
    assert machine.run().returncode == 0
    document = pcrsig.parse(machine.target.read_text())
    assert document["sha256"][0].reference == change.get("ref", "")


@pytest.mark.parametrize("way", ["tabs", "colons", "tbs"])
def test_other_writers_are_read(machine: Machine, way: str) -> None:
    text = json.dumps({"sha256": [entry(3)]}, indent="\t" if way == "tabs" else None)
    if way == "colons":
        text = text.replace('": ', '" : ').replace('", "', '" , "')
    if way == "tbs":
        text = text.replace('"sig"', f'"tbs": "{"0a" * 32}", "sig"')
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", text)
    assert machine.run().returncode == 0
    assert machine.policies() == {"sha256": [3]}


@pytest.mark.parametrize("name", ["debian-6.13~rc7-amd64", "os@1", "os (1)", "os..1", "a*b$(id)"])
def test_images_may_be_called_as_they_like(machine: Machine, name: str) -> None:
    machine.beside(f"EFI/Linux/{name}.efi.extra.d/fw.pcrsig.json", {"sha256": [entry(3)]})
    assert machine.run(f"\\EFI\\Linux\\{name}.efi").returncode == 0
    assert machine.policies() == {"sha256": [3]}


def test_without_files_nothing_changes(machine: Machine) -> None:
    machine.beside("EFI/Linux/os.efi.extra.d/fw.sysext.raw", "image")
    done = machine.run()
    assert done.returncode == 0
    assert "no signatures beside" in done.stderr
    assert not machine.target.exists()


def test_what_came_with_the_image_is_put_there(machine: Machine) -> None:
    """A whole system in the initrd is none to systemd-cryptsetup: it does not look into /.extra."""
    machine.beside("EFI/Linux/os.efi", "image")
    (machine.folder / "embedded.json").write_text(json.dumps({"sha256": [entry(8)]}))
    assert machine.run().returncode == 0
    assert machine.policies() == {"sha256": [8]}


@pytest.mark.parametrize("indent", [None, 2])
def test_any_layout_of_the_json_is_read(machine: Machine, indent: int | None) -> None:
    text = json.dumps({"sha256": [entry(3), entry(4)], "sha384": [entry(5)]}, indent=indent)
    machine.beside("EFI/Linux/os.efi.extra.d/fw.pcrsig.json", text)
    assert machine.run().returncode == 0
    assert machine.policies() == {"sha256": [3, 4], "sha384": [5]}


@pytest.mark.parametrize(
    "bad",
    [
        "not JSON at all \x01\x02",
        "",
        "{",
        json.dumps({"sha256": [entry(1, pcrs=[11])]}).replace("[11]", "[011]"),
        json.dumps({"sha256": [entry(1, pkfp="short")]}),
        json.dumps({"sha256": [entry(1, sig='"}],"sha1":[{"x":"')]}),
        json.dumps({"sha256": [entry(1, ref="a\\b")]}),
        json.dumps({"sha256": [{**entry(1), "more": 1}]}),
        json.dumps({"md5": [entry(1)]}),
        json.dumps([entry(1)]),
        '{"sha256":[' + '{"pcrs":[' * 1000,
    ],
)
def test_whatever_lies_there_the_result_is_json_with_the_good_entries(
    machine: Machine, bad: str
) -> None:
    machine.beside("EFI/Linux/os.efi.extra.d/a.pcrsig.json", bad)
    machine.beside("EFI/Linux/os.efi.extra.d/b.pcrsig.json", {"sha256": [entry(3)]})
    assert machine.run().returncode == 0
    assert machine.policies() == {"sha256": [3]}


def test_a_file_that_is_too_large_is_left_out(machine: Machine) -> None:
    machine.beside("EFI/Linux/os.efi.extra.d/a.pcrsig.json", " " * (4 << 20) + "{}")
    machine.beside("EFI/Linux/os.efi.extra.d/b.pcrsig.json", {"sha256": [entry(3)]})
    assert machine.run().returncode == 0
    assert machine.policies() == {"sha256": [3]}


@pytest.mark.parametrize("image", ["\\EFI\\..\\x.efi", "\\a\nb.efi", "..\\x.efi"])
def test_a_strange_name_of_the_image_is_not_looked_for(machine: Machine, image: str) -> None:
    done = machine.run(image)
    assert done.returncode == 0
    assert "has a name that is not looked for" in done.stderr


def test_a_partition_that_cannot_be_mounted_is_an_error(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 1
    assert "cannot be looked into" in done.stderr


def test_another_boot_loader_left_no_variables(machine: Machine) -> None:
    done = subprocess.run(
        [*machine.shell, str(machine.folder / "script")],
        env={"PATH": os.environ["PATH"], "SYSGRAFT_EFIVARS": str(machine.folder / "vars")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "was not started by systemd-stub" in done.stderr


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("\\EFI\\Linux\\os.efi", "EFI/Linux/os.efi.extra.d"),
        ("\\EFI\\Linux\\os+3.efi", "EFI/Linux/os.efi.extra.d"),
        ("\\EFI\\Linux\\o+s+3.efi", "EFI/Linux/o+s+3.efi.extra.d"),
        ("\\EFI\\Linux\\os+x.efi", "EFI/Linux/os+x.efi.extra.d"),
    ],
)
def test_the_boot_counter_is_taken_out_as_by_the_stub(
    machine: Machine, path: str, folder: str
) -> None:
    machine.beside(f"{folder}/fw.pcrsig.json", {"sha256": [entry(3)]})
    assert machine.run(path).returncode == 0
    assert machine.policies() == {"sha256": [3]}


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        (
            {"LoaderImageIdentifier": "\\EFI\\BOOT\\BOOTX64.EFI"},
            "EFI/BOOT/BOOTX64.EFI.extra.d",
        ),
        (
            {"LoaderInfo": "systemd-boot", "LoaderEntrySelected": "os.efi"},
            "EFI/Linux/os.efi.extra.d",
        ),
        (
            {"StubInfo": "systemd-stub 254.9-1", "LoaderImageIdentifier": "\\EFI\\os+2-1.efi"},
            "EFI/os+2-1.efi.extra.d",
        ),
        (
            {"StubInfo": "systemd-stub 255", "LoaderImageIdentifier": "\\EFI\\os+2-1.efi"},
            "EFI/os.efi.extra.d",
        ),
        ({"LoaderInfo": "systemd-boot", "LoaderEntrySelected": "text.conf"}, "loader/extensions"),
    ],
)
def test_older_stubs_do_not_say_what_was_started(
    machine: Machine, variables: dict[str, str], folder: str
) -> None:
    """Up to v256; the boot loader's variables tell, or nobody does."""
    machine.beside(f"{folder}/fw.pcrsig.json", {"sha256": [entry(3)]})
    machine.beside("EFI/BOOT/x.efi.extra.d/no.pcrsig.json", {"sha256": [entry(4)]})
    done = machine.run_after(LoaderDevicePartUUID=PARTITION, **variables)
    assert done.returncode == 0, done.stderr
    assert machine.policies() == {"sha256": [3]}


# --- The files -----------------------------------------------------------------------------------


def test_the_files_are_written_once(tmp_path: Path) -> None:
    document = sysgraft("pcr", "units", "--output", tmp_path / "tree", "--json").document
    assert [os.path.relpath(path, tmp_path / "tree") for path in document["files"]] == [
        "usr/lib/sysgraft/pcr-signatures",
        "usr/lib/systemd/system/sysgraft-pcr-signatures.service",
        "usr/lib/systemd/system/sysinit.target.wants/sysgraft-pcr-signatures.service",
    ]
    script = tmp_path / "tree/usr/lib/sysgraft/pcr-signatures"
    assert script.stat().st_mode & 0o777 == 0o755
    link = tmp_path / "tree" / tree.files()[2].path
    assert link.resolve().read_bytes() == tree.files()[1].data
    with pytest.raises(OutputError):
        tree.write(str(tmp_path / "tree"))
    assert len(tree.write(str(tmp_path / "tree"), replace=True)) == 3


@pytest.mark.oracle("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    tree.write(str(tmp_path))
    unit = tmp_path / tree.files()[1].path
    text = unit.read_text().replace("/usr/lib/sysgraft", str(tmp_path / "usr/lib/sysgraft"))
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sysgraft-pcr-signatures" not in done.stderr
