"""The pages about nodes say what the code does: modes, states, effects, units."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sysgraft.errors import OutputError
from sysgraft.formats.extension_release import Kind
from sysgraft.node.activate import READ_SECONDS
from sysgraft.node.fat_folder import FatFolder
from sysgraft.node.leftovers import STAGE, _check_room, aside_name
from sysgraft.node.masking import LINKS, SEARCHED
from sysgraft.node.modes import State, table
from sysgraft.node.settings import SOURCES
from sysgraft.node.status import Effect
from sysgraft.node.units.tree import ACTIVATE_TIMEOUT, DEFAULT_TIMEOUT, Place, UnitOptions, files

GUIDE = Path(__file__).parents[2] / "docs/guide"
BOOT = (GUIDE / "what-happens-at-boot.md").read_text(encoding="utf-8")
INSTALL = (GUIDE / "install-on-a-node.md").read_text(encoding="utf-8")
RECOVERY = (GUIDE / "recovery.md").read_text(encoding="utf-8")
SET = "active.efi.extra.d"


def rows_below(page: str, first: str) -> list[list[str]]:
    """The rows of the table whose first cell of the head is `first`, the head itself first."""
    begin = page.index(f"\n| {first} |") + 1
    lines = page[begin:].partition("\n\n")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines]
    return [rows[0], *rows[2:]]


def test_the_table_of_modes_is_that_of_the_code() -> None:
    columns = list(table())
    head = [f"{row.mode}, {row.releases[0]} to {row.releases[1]}" for row in columns]
    body = [[f"`{state}`", *(str(dict(row.fates)[state]) for row in columns)] for state in State]
    assert rows_below(BOOT, "State") == [["State", *head], *body]


def test_every_state_is_explained() -> None:
    begin = BOOT.index("\n| State | |")
    assert re.findall(r"^\| `([a-z-]+)` \|", BOOT[begin:], re.MULTILINE)[: len(State)] == [*State]


def test_every_effect_is_explained() -> None:
    assert [row[0] for row in rows_below(INSTALL, "NOW")[1:]] == [f"`{each}`" for each in Effect]


def test_every_source_of_trust_is_named() -> None:
    assert [row[0] for row in rows_below(BOOT, "Source")[1:]] == [f"`{each}`" for each in SOURCES]


def test_times_and_units_are_those_of_the_code() -> None:
    assert f"{ACTIVATE_TIMEOUT} seconds, a merge {DEFAULT_TIMEOUT} " in BOOT
    assert f"After {READ_SECONDS} seconds" in BOOT
    named = set(re.findall(r"sysgraft-node-[a-z]+\.service", BOOT))
    written = {each.path.rpartition("/")[2] for each in files(UnitOptions())}
    assert named - written == {"sysgraft-node-save.service"}


def test_the_picture_names_the_same_units_and_files() -> None:
    picture = (GUIDE / "images/node-boot.svg").read_text(encoding="utf-8")
    for word in re.findall(r"/run/[a-z./]+|sysgraft-node-[a-z]+|[a-z-]+\.target", picture):
        assert word.rstrip("/") in BOOT


def test_rights_and_drop_ins_are_those_of_the_units() -> None:
    written = {each.path: each.data.decode() for each in files(UnitOptions())}
    sandboxes = [text for text in written.values() if "CapabilityBoundingSet=" in text]
    assert len(sandboxes) == 2
    for text in sandboxes:
        (capability,) = re.findall(r"^CapabilityBoundingSet=(.+)$", text, re.MULTILINE)
        assert f"one capability (`{capability}`" in BOOT
    names = {path.rpartition("/")[2] for path in written if path.endswith(".conf")}
    assert names == {"zz-sysgraft.conf"}
    assert all(f"`{name}`" in page for name in names for page in (BOOT, INSTALL))


def test_the_units_of_an_extension_are_as_told() -> None:
    written = {each.path: each.data.decode() for each in files(UnitOptions(place=Place.EXTENSION))}
    activate = next(text for path, text in written.items() if path.endswith("-activate.service"))
    assert "SuccessExitStatus=1 2\n" in activate
    assert "StartLimitIntervalSec=1h\nStartLimitBurst=3\n" in activate
    assert any("/boot-complete.target.d/" in path for path in written)
    assert (
        "exit codes 1 and 2 count as success there and it is started three times an\nhour" in BOOT
    )


def test_every_folder_of_others_is_named() -> None:
    begin = BOOT.index("## Images that others have put there")
    for kind in Kind:
        for place in SEARCHED[kind]:
            assert f"`{place}`" in BOOT[begin:]
        assert LINKS[kind] in SEARCHED[kind]


def test_the_second_folder_is_called_as_it_is() -> None:
    assert f"| `{STAGE}` |" in RECOVERY
    assert f"| `{aside_name(SET)}` |" in RECOVERY
    assert f"`{STAGE}`" in INSTALL


@pytest.mark.parametrize("starts", [{SET: 5, STAGE.lower(): 5}, {SET: 5, STAGE.lower(): 0}])
def test_what_is_said_after_a_power_cut(starts: dict[str, int]) -> None:
    problem = FatFolder("/efi/EFI/kairos", starts, ()).problem(STAGE)
    assert f"error: /efi/EFI/kairos: after a power cut {problem}\n" in RECOVERY


def test_what_is_said_of_a_full_folder() -> None:
    with pytest.raises(OutputError) as caught:
        _check_room(FatFolder("/efi/EFI/kairos", {}, (3,)), [SET, STAGE])
    assert f"error: {caught.value}\nhint: {caught.value.hint}\n" in RECOVERY
