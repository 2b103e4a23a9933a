"""The units that activate extensions at boot: what is in them, and what systemd says of them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from command import sysgraft
from conftest import DEBIAN_13
from node_root import listing
from sysgraft.errors import UsageError
from sysgraft.formats import unit_file
from sysgraft.host.run import which
from sysgraft.node.units.tree import ACTIVATE, CHECK, SAVE, Place, UnitOptions, files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.unit_file import Unit

UNITS: Final = "usr/lib/systemd/system"
MERGING: Final = ("systemd-sysext.service", "systemd-confext.service")


def tree(**options: object) -> dict[str, str]:
    """Contents by path; of links where they lead to."""
    found = files(UnitOptions(**options))  # type: ignore[arg-type]
    assert [each.path for each in found] == sorted(each.path for each in found)
    return {
        each.path.removeprefix(f"{UNITS}/"): f"{'' if each.mode else '-> '}{each.data.decode()}"
        for each in found
    }


def unit(name: str, **options: object) -> Unit:
    return unit_file.parse(tree(**options)[name].encode())


def words(found: Unit, section: str, key: str) -> list[str]:
    return " ".join(found.values(section, key)).split()


def test_the_files_of_a_system() -> None:
    found = tree()
    assert {path: text for path, text in found.items() if text.startswith("-> ")} == {
        f"sysinit.target.wants/{ACTIVATE}": f"-> ../{ACTIVATE}",
        "sysinit.target.wants/systemd-sysext.service": "-> ../systemd-sysext.service",
        "sysinit.target.wants/systemd-confext.service": "-> ../systemd-confext.service",
        f"boot-complete.target.requires/{CHECK}": f"-> ../{CHECK}",
    }
    assert {path for path, text in found.items() if not text.startswith("-> ")} == {
        ACTIVATE,
        CHECK,
        "systemd-sysext.service.d/zz-sysgraft.conf",
        "systemd-confext.service.d/zz-sysgraft.conf",
    }


def test_the_activation_runs_after_the_store_and_before_the_merge() -> None:
    found = unit(ACTIVATE)
    assert words(found, "Unit", "Before") == ["shutdown.target", *MERGING, "sysinit.target"]
    assert words(found, "Unit", "After") == ["local-fs.target"]
    assert words(found, "Unit", "Conflicts") == ["shutdown.target"]
    assert words(found, "Unit", "DefaultDependencies") == ["no"]
    assert found.values("Service", "ExecStart") == ("/usr/bin/sysgraft node activate --boot",)
    assert words(found, "Service", "Type") == ["oneshot"]
    assert words(found, "Service", "RemainAfterExit") == ["yes"]
    # A boot never waits for ever, and a bad image is seen as a failed unit.
    assert 0 < int(words(found, "Service", "TimeoutStartSec")[0]) <= 600
    assert found.values("Service", "SuccessExitStatus") == ()
    assert "RequiredBy" not in tree()[ACTIVATE]


def test_what_the_activation_may() -> None:
    found = unit(ACTIVATE, stores=("/mnt/state/extensions",))
    assert words(found, "Service", "ProtectSystem") == ["strict"]
    assert words(found, "Service", "ReadWritePaths") == [
        "-/mnt/state/extensions", "-/var/lib/kairos", "-/var/lib/sysgraft", "/run",
    ]  # fmt: skip
    assert words(found, "Service", "CapabilityBoundingSet") == ["CAP_DAC_READ_SEARCH"]
    for key in ("NoNewPrivileges", "PrivateDevices", "PrivateNetwork", "MemoryDenyWriteExecute"):
        assert words(found, "Service", key) == ["yes"], key


@pytest.mark.parametrize(
    ("kind", "variable", "policy"),
    [
        ("sysext", "SYSGRAFT_SYSEXT_POLICY", "root=signed+absent:usr=signed+absent"),
        ("confext", "SYSGRAFT_CONFEXT_POLICY", "root=signed+absent"),
    ],
)
def test_systemds_own_units_are_told(kind: str, variable: str, policy: str) -> None:
    """The strict policy holds also where there was no activation."""
    assert tree(timeout=45)[f"systemd-{kind}.service.d/zz-sysgraft.conf"] == (
        "[Unit]\n"
        f"After={ACTIVATE}\n"
        "\n"
        "[Service]\n"
        f"Environment={variable}={policy}\n"
        "EnvironmentFile=-/run/sysgraft/extensions.env\n"
        "ExecStart=\n"
        f"ExecStart=systemd-{kind} refresh --image-policy=${{{variable}}}\n"
        "ExecReload=\n"
        f"ExecReload=systemd-{kind} refresh --image-policy=${{{variable}}}\n"
        "# Waiting for a key that nobody has must not be waiting for ever.\n"
        "TimeoutStartSec=45\n"
    )


def test_systemd_without_policies_is_given_none() -> None:
    for kind in ("sysext", "confext"):
        text = tree(systemd=253)[f"systemd-{kind}.service.d/zz-sysgraft.conf"]
        assert "ExecStart" not in text
        assert "EnvironmentFile=-/run/sysgraft/extensions.env" in text


def test_the_check_before_boot_complete() -> None:
    found = unit(CHECK, program="/opt/agent/sysgraft", timeout=7)
    assert found.values("Service", "ExecStart") == ("/opt/agent/sysgraft node status --boot",)
    assert words(found, "Unit", "After") == [ACTIVATE, *MERGING]
    assert words(found, "Unit", "Before") == ["boot-complete.target"]
    assert words(found, "Service", "TimeoutStartSec") == ["7"]


def test_beside_the_agent_in_an_extension() -> None:
    found = tree(place=Place.EXTENSION)
    assert not any(text.startswith("-> ") for text in found.values())
    assert found["multi-user.target.d/50-sysgraft-node.conf"] == f"[Unit]\nUpholds={ACTIVATE}\n"
    service = unit(ACTIVATE, place=Place.EXTENSION)
    assert set(MERGING) <= set(words(service, "Unit", "After"))
    assert not set(MERGING) & set(words(service, "Unit", "Before"))
    (again,) = service.values("Service", "ExecStartPost")
    assert again == f"+systemctl reload-or-restart --no-block {' '.join(MERGING)}"
    # No unit of systemd waits for it in turn: that would be a circle.
    assert not any("After=" in text for path, text in found.items() if "systemd-" in path)
    # Whoever upholds a failed unit starts it again and again.
    assert words(service, "Service", "SuccessExitStatus") == ["1", "2"]


def test_in_an_initrd_that_is_left() -> None:
    found = tree(place=Place.INITRD)
    assert list(found) == [f"initrd.target.wants/{SAVE}", SAVE]
    service = unit(SAVE, place=Place.INITRD)
    for folder in ("sysext", "global_sysext", "confext", "global_confext"):
        assert f"|/.extra/{folder}" in service.values("Unit", "ConditionDirectoryNotEmpty")
        assert f"-cp -r /.extra/{folder} /run/sysgraft/extra/" in service.values(
            "Service", "ExecStart"
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"program": "sysgraft"},
        {"program": ""},
        {"program": "/a b"},
        {"program": "/a%n"},
        {"program": "/a$HOME"},
        {"program": "/a\nExecStart=/bin/sh"},
        {"program": "/a;b"},
        {"stores": ("relative",)},
        {"stores": ("/a /etc",)},
        {"stores": ("/ok", "/a\n[Install]")},
        {"timeout": 0},
        {"timeout": 3601},
        {"systemd": 251},
        {"systemd": 999},
    ],
)
def test_what_would_break_a_unit(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        tree(**wrong)


def test_files_are_written_and_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "tree"
    done = sysgraft("node", "units", "--output", out, "--json")
    assert done.code == 0
    assert set(done.document["files"]) == {str(out / each.path) for each in files(UnitOptions())}
    written = listing(out)
    assert {path.removeprefix(f"{UNITS}/") for path in written} == tree().keys()
    assert written[f"{UNITS}/sysinit.target.wants/{ACTIVATE}"] == f"-> ../{ACTIVATE}"
    assert stat.S_IMODE((out / UNITS / ACTIVATE).stat().st_mode) == 0o644
    again = sysgraft("node", "units", "--output", out, "--timeout", "5")
    assert (again.code, "the file exists" in again.err) == (2, True)
    assert listing(out) == written
    assert sysgraft("node", "units", "--output", out, "--timeout", "5", "--force").code == 0
    assert "TimeoutStartSec=5\n" in (out / UNITS / CHECK).read_text()


def test_links_in_the_way_are_replaced_and_not_followed(tmp_path: Path) -> None:
    out = tmp_path / "tree"
    (out / UNITS / "sysinit.target.wants").mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (out / UNITS / f"sysinit.target.wants/{ACTIVATE}").symlink_to(victim)
    assert sysgraft("node", "units", "--output", out).code == 2
    assert sysgraft("node", "units", "--output", out, "--force").code == 0
    assert victim.read_text() == "mine"


# --- What systemd says ----------------------------------------------------------------------------

# Exposure by systemd-analyze security, 0 to 10: with 257 1.2 for the activation and 1.4 for the
# check, with 252 1.4 and 1.5.
EXPOSURE: Final = 1.5
HOSTS: Final = [
    pytest.param(None, marks=pytest.mark.oracle("systemd-analyze"), id="here"),
    pytest.param(
        DEBIAN_13, marks=[pytest.mark.root, pytest.mark.oracle("debian-13")], id="debian-13"
    ),
]


@pytest.fixture
def folder(host: Path | None, tmp_path: Path) -> Iterator[Path]:
    """A folder that the programs of a system see, as they run with that as their root."""
    place = (host / "tmp" if host else tmp_path) / f"sysgraft-node-units-{os.getpid()}"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def analyze(host: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["chroot", str(host), "systemd-analyze"] if host else [str(which("systemd-analyze"))]
    return subprocess.run([*argv, *arguments], capture_output=True, text=True, check=False)


def fill(folder: Path, host: Path | None, place: Place) -> list[str]:
    """Write the units; their paths as the system has them."""
    units = []
    for each in files(UnitOptions(place=place)):
        name = each.path.removeprefix(f"{UNITS}/")
        if not each.mode or "target.d" in name:
            continue
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        # The program of the node is not in that folder.
        path.write_text(each.data.decode().replace("/usr/bin/sysgraft", "/usr/bin/true"))
        units += [name] if name.endswith(".service") else []
    for name in MERGING:
        source = Path(host or "/", UNITS, name)
        if (folder / f"{name}.d").exists() and source.exists():
            shutil.copy(source, folder)
            units.append(name)
    inside = f"/{folder.relative_to(host)}" if host else str(folder)
    return [f"{inside}/{name}" for name in units]


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("host", HOSTS)
def test_systemd_understands_the_units(host: Path | None, place: Place, folder: Path) -> None:
    units = fill(folder, host, place)
    assert units
    done = analyze(host, "verify", "--man=no", *units)
    said = [line for line in (done.stdout + done.stderr).splitlines() if str(folder.name) in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("name", [ACTIVATE, CHECK])
@pytest.mark.parametrize("place", [Place.SYSTEM, Place.EXTENSION])
@pytest.mark.parametrize("host", HOSTS)
def test_the_exposure_is_small(host: Path | None, place: Place, name: str, folder: Path) -> None:
    (path,) = [each for each in fill(folder, host, place) if each.endswith(f"/{name}")]
    score = analyze(host, "security", "--offline=true", "--no-pager", path).stdout
    found = re.search(r"exposure level .*: ([0-9.]+) ", score)
    assert found is not None, score
    assert float(found[1]) <= EXPOSURE
