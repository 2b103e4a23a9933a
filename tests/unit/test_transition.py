"""A partition that changes file by file: what is different, its states, its boot entries."""

from __future__ import annotations

import pytest

from executables import make_pe
from memory_volume import Memory
from sysgraft.errors import InputError, LimitError
from sysgraft.seal.plan_entries import Dependencies, Places, PlanEntry, find_entries, resolve
from sysgraft.seal.plan_order import find_order, states_of
from sysgraft.seal.transition import MAX_DEPTH, MAX_FOLDERS, Transition
from uki_kit import make_kernel

UKI = make_pe([(".linux", make_kernel())])
PROFILES = make_pe([(".linux", make_kernel()), (".profile", b"ID=a\n"), (".profile", b"ID=b\n")])


def transition(before: dict[str, bytes], after: dict[str, bytes]) -> Transition:
    return Transition(Memory(before, "old"), Memory(after, "new"))


def content(moving: Transition, done: int) -> dict[str, bytes]:
    """Every file of a state."""
    volume = moving.state(done)
    found = {}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for each in volume.entries(folder):
            path = f"{folder}/{each.name}" if folder else each.name
            if each.is_folder:
                waiting.append(path)
            else:
                blob = volume.open(path)
                found[path] = blob.read_at(0, blob.size)
    return found


# --- Changes -------------------------------------------------------------------------------------


def test_what_is_added_replaced_and_removed_is_told_apart_and_what_stays_is_no_change() -> None:
    moving = transition(
        {"a": b"1", "b/c": b"same", "b/d": b"1234", "gone": b""},
        {"a": b"2", "b/c": b"same", "b/d": b"12345", "b/e/f": b"new"},
    )
    assert [(each.action, each.path) for each in moving.changes] == [
        ("replace", "a"),
        ("replace", "b/d"),
        ("add", "b/e/f"),
        ("remove", "gone"),
    ]


def test_a_name_in_other_letters_is_the_same_file_and_a_change() -> None:
    (change,) = transition({"x/A.raw": b"1"}, {"x/a.raw": b"1"}).changes
    assert (change.action, change.path) == ("replace", "x/a.raw")
    assert [each.label for each in change.versions] == ["old:x/A.raw", "new:x/a.raw"]


def test_equal_files_are_those_of_the_old_partition_in_every_state() -> None:
    moving = transition({"a": b"1"}, {"a": b"1"})
    assert moving.changes == ()
    assert moving.state(moving.end).label("a") == "old:a"


def test_files_in_their_last_byte_different_are_different() -> None:
    size = (1 << 20) + 5
    assert transition({"a": bytes(size)}, {"a": bytes(size - 1) + b"1"}).changes


def test_the_first_and_the_last_state_are_the_two_partitions() -> None:
    before = {"a": b"1", "b/c": b"2", "b/d": b"3"}
    after = {"a": b"1", "b/c": b"22", "e/f/g": b"4"}
    moving = transition(before, after)
    assert content(moving, 0) == before
    assert content(moving, moving.end) == after


def test_a_state_is_looked_into_without_regard_to_case_and_slashes() -> None:
    volume = transition({"EFI/Linux/a.efi": b"1"}, {}).state(0)
    assert volume.find("\\efi\\LINUX\\A.EFI") == "EFI/Linux/a.efi"
    assert volume.find("EFI/Linux") is None
    with pytest.raises(InputError, match="no such file"):
        volume.open("EFI/Linux/b.efi")


def test_a_file_is_opened_once_whatever_number_of_states_has_it() -> None:
    memory = Memory({"a": b"1"}, "old")
    moving = Transition(memory, Memory({}))
    assert moving.state(0).open("a") is moving.state(0).open("A")
    assert memory.opened == ["a"]


def test_very_many_folders_are_refused() -> None:
    with pytest.raises(LimitError, match="more than 1024 folders"):
        transition({f"{number}/f": b"" for number in range(MAX_FOLDERS)}, {})


def test_folders_without_end_are_refused() -> None:
    with pytest.raises(LimitError, match="folders in one another"):
        transition({"/".join("d" * (MAX_DEPTH + 1)): b""}, {})


# --- Entries -------------------------------------------------------------------------------------


def test_entries_of_both_partitions_are_found_with_each_profile() -> None:
    moving = transition(
        {"EFI/Linux/a.efi": UKI, "EFI/Linux/memtest.efi": make_pe(), "EFI/Linux/t.txt": UKI},
        {
            "EFI/Linux/a.efi": PROFILES,
            "loader/entries/x+3.conf": b"uki /EFI/Linux/a.efi\n",
            "loader/entries/l.conf": b"linux /vmlinuz\n",
            "loader/entries/auto-x.conf": b"uki /EFI/Linux/a.efi\n",
        },
    )
    assert find_entries(moving) == (
        PlanEntry("x", "loader/entries/x+3.conf", is_config=True),
        PlanEntry("a", "EFI/Linux/a.efi", is_config=False),
        PlanEntry("a", "EFI/Linux/a.efi", is_config=False, profile=1),
    )


def test_an_entry_starts_only_where_all_it_needs_is_there() -> None:
    moving = transition(
        {"EFI/Linux/a.efi": UKI},
        {"EFI/Linux/a.efi": PROFILES, "b.efi": UKI, "loader/entries/x.conf": b"uki /b.efi\n"},
    )
    config, _, second = find_entries(moving)
    extra, image, text = (1 << number for number in range(3))
    starts = {done: resolve(config, moving.state(done)) for done in range(8)}
    assert {done for done, found in starts.items() if found.entry} == {
        extra | text,
        image | extra | text,
    }
    assert starts[text].problem == "its image is not there"
    assert starts[extra].problem == "the entry is not there"
    assert resolve(second, moving.state(0)).problem == "the image has no such profile"
    found = resolve(second, moving.state(image)).entry
    assert found is not None
    assert (found.image, found.settings.profile) == ("EFI/Linux/a.efi", 1)


def test_what_matters_to_an_entry_follows_from_the_pcrs_and_both_versions_of_its_text() -> None:
    moving = transition(
        {"loader/entries/x.conf": b"uki /old.efi\nextra /e/one.sysext.raw\n"},
        {"loader/entries/x.conf": b"uki /new+3.efi\n"},
    )
    entry = PlanEntry("x", "loader/entries/x.conf", is_config=True)
    needs = Dependencies(entry, moving, own_loader=True)
    matters = (
        "loader/entries/x.conf",
        "old.efi",
        "new+3.efi",
        "E/ONE.sysext.raw",
        "old.efi.extra.d/a.raw",
        "new.efi.extra.d/a.raw",
        "new+3.efi.extra.d/a.raw",
        "new+2-1.efi.extra.d/a.raw",
        "loader/extensions/a.RAW",
    )
    for path in matters:
        assert needs.matters(path, (11, 13)), path
    for path in (
        "other.efi",
        "old.efi.extra.d/a.cred",
        "old.efi.extra.d/.a.raw",
        "old.efi.extra.d/a.txt",
        "other.efi.extra.d/a.raw",
        "loader/credentials/a.raw",
        "loader/entries/y.conf",
        "EFI/systemd/systemd-bootx64.efi",
    ):
        assert not needs.matters(path, (11, 13)), path
    for path in ("old.efi.extra.d/a.cred", "loader/addons/a.addon.efi", "EFI/systemd/b.efi"):
        assert needs.matters(path, (12,)), path
    assert not Dependencies(entry, moving, own_loader=False).matters("EFI/systemd/b.efi", (4,))


def test_the_changes_that_matter_are_found_by_their_places() -> None:
    names = (
        "old.efi new+3.efi other.efi E/one.sysext.raw loader/extensions/a.raw x "
        "old.efi.extra.d/a.raw new.efi.extra.d/a.pcrsig.json new+2-1.efi.extra.d/a.raw "
        "EFI/systemd/b.efi other.efi.extra.d/a.raw loader/entries/y.conf"
    )
    moving = transition(
        {"loader/entries/x.conf": b"uki /old.efi\nextra /e/one.sysext.raw\n"},
        {"loader/entries/x.conf": b"uki /new+3.efi\n", **dict.fromkeys(names.split(), b"")},
    )
    entry = PlanEntry("x", "loader/entries/x.conf", is_config=True)
    needs = Dependencies(entry, moving, own_loader=True)
    paths = [each.path for each in moving.changes]
    mattering = [
        number
        for number, path in enumerate(paths)
        if needs.matters(path, (4, 11, 12, 13)) or needs.is_signature(path)
    ]
    found = needs.candidates(Places(moving))
    assert found == mattering
    assert len(found) == 9


def test_signature_files_are_those_that_the_initrd_looks_for() -> None:
    moving = transition({"EFI/Linux/a+2-1.efi": UKI}, {})
    entry = PlanEntry("a", "EFI/Linux/a+2-1.efi", is_config=False)
    needs = Dependencies(entry, moving, own_loader=True)
    assert needs.is_signature("EFI/Linux/a.efi.extra.d/x.pcrsig.json")
    assert needs.is_signature("loader/Extensions/x.pcrsig.json")
    assert not needs.is_signature("EFI/Linux/a+2-1.efi.extra.d/x.pcrsig.json")
    assert not needs.is_signature("loader/extensions/.x.pcrsig.json")
    assert not needs.is_signature("loader/extensions/x.json")
    assert not needs.is_signature("EFI/Linux/b.efi.extra.d/x.pcrsig.json")


def test_an_entry_for_another_architecture_is_not_started() -> None:
    text = b"uki /b.efi\narchitecture aa64\n"
    moving = transition({}, {"b.efi": UKI, "loader/entries/x.conf": text})
    (config,) = find_entries(moving)
    found = resolve(config, moving.state(moving.end))
    assert (found.entry, found.problem) == (None, "it is for another architecture")


# --- Order ---------------------------------------------------------------------------------------


def test_the_preferred_order_is_kept_where_all_is_good() -> None:
    assert find_order([2, 0, 1], lambda _: 0) == ((2, 0, 1), 0, True)
    assert states_of((2, 0, 1)) == (0, 4, 5, 7)


def test_a_bad_state_is_gone_around() -> None:
    assert find_order([0, 1, 2], lambda state: state == 1).steps == (1, 0, 2)


def test_where_every_way_is_bad_the_least_bad_one_is_taken() -> None:
    cost = {1: 5, 2: 1, 3: 1}
    assert find_order([0, 1], lambda state: cost.get(state, 0)) == ((1, 0), 2, True)


def test_past_the_limit_the_preferred_order_is_the_answer() -> None:
    order = find_order(range(10), lambda state: int(state.bit_count() == 1), limit=5)
    assert order == (tuple(range(10)), 1, False)


def test_very_many_changes_are_not_searched_without_end() -> None:
    changes = range(3000)
    assert find_order(changes, lambda _: 0) == (tuple(changes), 0, True)
    order = find_order(changes, lambda state: int(state.bit_count() == 2999))
    assert order == (tuple(changes), 1, False)
