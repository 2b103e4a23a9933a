"""Keys on a real firmware: enrolled by systemd-boot, rotated, revoked, and taken out again."""

from __future__ import annotations

import hashlib
import tarfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from boot.conftest import Keys
from sysgraft.build.enrolment import copy_to_esp
from sysgraft.build.keyset import KeySetOptions, generate_keys
from sysgraft.build.resign import Target
from sysgraft.build.signed_update import write_update
from sysgraft.build.uki_sign import sign_executable
from sysgraft.formats import authvar
from sysgraft.lab.machine import MACHINES, find_firmware
from sysgraft.lab.options import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from boot.conftest import Lab
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport

pytestmark = pytest.mark.boot

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# Prints a line for each database: its name and the SHA-256 of its value, past four bytes of
# attributes; and whether the firmware enforces signatures, and waits for keys. Through a pipe,
# since efivarfs has files in which nothing can seek.
STATE = r"""
variables=/sys/firmware/efi/efivars
global=8be4df61-93ca-11d2-aa0d-00e098032b8c
images=d719b2cb-3d3a-4596-a3bc-dad00e67656f
state() {
    for each in PK-$global KEK-$global db-$images dbx-$images; do
        [ ! -e $variables/$each ] ||
            echo "$1 ${each%%-*} $(cat $variables/$each | tail -c +5 | sha256sum | cut -d' ' -f1)"
    done
    for each in SecureBoot SetupMode; do
        echo "$1 $each $(cat $variables/$each-$global | tail -c 1 | od -An -tu1 | tr -d ' ')"
    done
}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """What the machine has: a key set with a dbx."""
    return make_keys(tmp_path_factory.mktemp("machine"), "machine")


def make_keys(folder: Path, name: str) -> Keys:
    (folder / "revoked").write_text("11" * 32 + "\n")
    options = KeySetOptions(time=TIME, dbx=[str(folder / "revoked")])
    generate_keys(name, str(folder / "keys"), options)
    return Keys(folder / "keys")


def signed(program: str, keys: Keys, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    sign_executable(program, keys.pair("db"), target=Target(str(target), replace=False))
    return str(target)


def said(report: LabReport) -> Iterator[list[str]]:
    """The words of each line the script printed."""
    assert report.script is not None, report.serial
    assert (report.ending, report.script.status) == ("powered-off", 0), report.script.output
    for line in report.script.output.decode().splitlines():
        yield line.split()


def states(report: LabReport) -> dict[str, dict[str, str]]:
    """What each call of ``state`` printed, by its argument."""
    found: dict[str, dict[str, str]] = {}
    for words in said(report):
        if len(words) == 3:
            found.setdefault(words[0], {})[words[1]] = words[2]
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def values(keys: Keys) -> dict[str, str]:
    """What the state of a machine is that holds these keys."""
    databases = {
        name: digest((keys.folder / f"{name}.esl").read_bytes()) for name in authvar.NAMESPACES
    }
    return {**databases, "SecureBoot": "1", "SetupMode": "0"}


def test_systemd_boot_enrols_the_keys_of_an_esp(
    lab: Lab, guests: Guests, machine: Keys, tmp_path: Path
) -> None:
    esp = tmp_path / "esp"
    signed(guests.path("systemd-bootx64.efi"), machine, esp / "EFI/BOOT/BOOTX64.EFI")
    signed(guests.path("small.efi"), machine, esp / "EFI/Linux/small.efi")
    (esp / "loader").mkdir()
    (esp / "loader/loader.conf").write_text("timeout 0\nsecure-boot-enroll force\n")
    copy_to_esp(str(machine.folder), str(esp))
    empty = find_firmware(MACHINES["x86-64"], secure=True).variables
    # systemd-boot starts the machine anew once the keys are enrolled.
    report = lab.boot(STATE + "state now", esp=str(esp), secure_boot=empty, reboots=1)
    assert states(report) == {"now": values(machine)}
    assert report.secure_boot is True


# Writes an update into its variable as a person would, and says whether the firmware took it.
UPDATE = r"""
cd /tmp && tar -xf /dev/disk/by-id/virtio-disk0
# update NAME-NAMESPACE ATTRIBUTES FILE
update() {
    [ ! -e "$variables/$1" ] || chattr -i "$variables/$1"
    printf "\\$2\\000\\000\\000" | cat - "$3" > update
    if cat update > "$variables/$1"; then echo "$3" taken; else echo "$3" refused; fi
}
state before
update dbx-$images 147 stranger
update dbx-$images 147 revoke
state revoked
update db-$images 047 older
update db-$images 047 rotate-db
update KEK-$global 047 rotate-kek
state rotated
update db-$images 047 by-new-kek
update PK-$global 047 by-kek
update PK-$global 047 no-pk
state open
"""


def test_a_running_machine_takes_the_updates_it_has_to_and_no_others(
    lab: Lab, guests: Guests, machine: Keys, tmp_path: Path
) -> None:
    (tmp_path / "more").write_text("22" * 32 + "\n")
    (tmp_path / "updates").mkdir()
    following = make_keys(tmp_path, "following")
    here, there = machine.folder, following.folder
    later = TIME + timedelta(days=1)

    def update(
        file: str,
        variable: str,
        *entries: Path,
        by: tuple[Keys, str],
        append: bool = False,
        time: datetime = later,
    ) -> bytes:
        """Make an update; the new value, or what is added."""
        path = tmp_path / "updates" / file
        target = authvar.database(variable, append=append)
        signing = by[0].pair(by[1])
        write_update(target, list(map(str, entries)), str(path), signing=signing, time=time)
        return authvar.parse(path.read_bytes()).value

    more, new = tmp_path / "more", there / "db.pem"
    update("stranger", "dbx", more, by=(following, "KEK"), append=True)
    added = update("revoke", "dbx", more, by=(machine, "KEK"), append=True)
    update("older", "db", new, by=(machine, "KEK"), time=TIME - timedelta(seconds=1))
    new_db = update("rotate-db", "db", here / "db.esl", new, by=(machine, "KEK"))
    new_kek = update("rotate-kek", "KEK", there / "KEK.pem", by=(machine, "PK"))
    after = later + timedelta(days=1)
    last_db = update("by-new-kek", "db", here / "db.esl", by=(following, "KEK"), time=after)
    update("by-kek", "PK", there / "PK.pem", by=(following, "KEK"))
    update("no-pk", "PK", by=(machine, "PK"))
    with tarfile.open(tmp_path / "updates.tar", "w") as archive:
        for path in sorted((tmp_path / "updates").iterdir()):
            archive.add(path, path.name)
    report = lab.boot(
        STATE + UPDATE,
        uki=signed(guests.path("debian.efi"), machine, tmp_path / "guest.efi"),
        secure_boot=str(here),
        disks=(Disk(str(tmp_path / "updates.tar")),),
    )
    answers = dict(words for words in said(report) if len(words) == 2)
    assert answers == {
        "stranger": "refused",
        "revoke": "taken",
        "older": "refused",
        "rotate-db": "taken",
        "rotate-kek": "taken",
        "by-new-kek": "taken",
        "by-kek": "refused",
        "no-pk": "taken",
    }
    before = values(machine)
    revoked = {**before, "dbx": digest((here / "dbx.esl").read_bytes() + added)}
    rotated = {**revoked, "db": digest(new_db), "KEK": digest(new_kek)}
    opened = {**rotated, "db": digest(last_db), "SetupMode": "1"}
    del opened["PK"]
    assert states(report) == {
        "before": before,
        "revoked": revoked,
        "rotated": rotated,
        "open": opened,
    }
