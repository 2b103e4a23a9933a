"""The table of modes: what becomes of each image, held against what each systemd does."""

from __future__ import annotations

from typing import Final

import pytest

from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.image_policy import parse
from sysgraft.image.policy import Found
from sysgraft.image.policy_assess import Facts, Signature, assess
from sysgraft.node.modes import Fate, State, fate, policy, table
from sysgraft.node.settings import Mode

RELEASES: Final = range(OLDEST, LATEST + 1)
PLAIN: Final = {"root": Found(read_only=True), "root-verity": Found(read_only=True)}
SIGNED: Final = {**PLAIN, "root-verity-sig": Found(read_only=True)}
# What systemd sees of each state that is about signatures alone.
SEEN: Final = {
    State.GOOD: Facts(SIGNED, Signature.OK),
    State.REVOKED: Facts(SIGNED, Signature.OK),
    State.UNTRUSTED: Facts(SIGNED, Signature.UNKNOWN),
    State.BAD_SIGNATURE: Facts(SIGNED, Signature.BAD),
    State.UNSIGNED: Facts(PLAIN),
}
NEVER: Final = (State.DENIED, State.FOREIGN)
USELESS: Final = (State.DAMAGED, State.MISNAMED, State.REFUSED, State.UNREADABLE)


def systemd_takes(mode: Mode, state: State, release: int, *, unsigned: bool = False) -> bool:
    text = policy(mode, Kind.SYSEXT, unsigned=unsigned)
    return assess(parse(text), SEEN[state], systemd_version=release).accepts


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("mode", Mode)
def test_what_is_good_is_merged(mode: Mode, release: int) -> None:
    assert fate(mode, State.GOOD, release) is Fate.MERGED
    assert systemd_takes(mode, State.GOOD, release)


@pytest.mark.parametrize("release", RELEASES)
def test_enforced_hands_over_nothing_else(release: int) -> None:
    for state in State:
        for unsigned in (False, True):
            found = fate(Mode.ENFORCED, state, release, unsigned=unsigned)
            wanted = state is State.GOOD or (unsigned and state is State.UNSIGNED)
            assert found is (Fate.MERGED if wanted else Fate.SKIPPED)
    assert systemd_takes(Mode.ENFORCED, State.UNSIGNED, release, unsigned=True)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("state", [each for each in SEEN if each is not State.GOOD])
def test_loose_modes_know_what_this_systemd_does(state: State, release: int) -> None:
    """What is linked never ends the merge in mode permissive; disabled foretells that it would."""
    for mode, otherwise in (
        (Mode.PERMISSIVE, Fate.SKIPPED),
        (Mode.DISABLED, Fate.ENDS_THE_MERGE),
    ):
        takes = systemd_takes(mode, state, release)
        assert fate(mode, state, release) is (Fate.MERGED_WITH_WARNING if takes else otherwise)


@pytest.mark.parametrize("release", [254, 257, 258])
def test_a_wrong_key_fails_up_to_258_even_in_mode_permissive(release: int) -> None:
    assert fate(Mode.PERMISSIVE, State.UNTRUSTED, release) is Fate.SKIPPED
    assert fate(Mode.DISABLED, State.UNTRUSTED, release) is Fate.ENDS_THE_MERGE
    assert fate(Mode.PERMISSIVE, State.UNTRUSTED, 259) is Fate.MERGED_WITH_WARNING
    assert fate(Mode.PERMISSIVE, State.UNSIGNED, release) is Fate.MERGED_WITH_WARNING


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_no_use_is_no_use_in_any_mode(release: int) -> None:
    for state in NEVER:
        assert {fate(mode, state, release) for mode in Mode} == {Fate.SKIPPED}
    for state in USELESS:
        assert fate(Mode.PERMISSIVE, state, release) is Fate.SKIPPED
        assert fate(Mode.DISABLED, state, release) is Fate.ENDS_THE_MERGE


def test_the_table_has_every_release_once() -> None:
    rows = list(table())
    for mode in Mode:
        mine = [row for row in rows if row.mode is mode]
        covered = [n for row in mine for n in range(row.releases[0], row.releases[1] + 1)]
        assert covered == list(RELEASES)
        for row in mine:
            for release in range(row.releases[0], row.releases[1] + 1):
                assert row.fates == tuple((state, fate(mode, state, release)) for state in State)
    assert [(row.mode, row.releases) for row in rows] == [
        (Mode.ENFORCED, (252, 262)),
        (Mode.PERMISSIVE, (252, 258)),
        (Mode.PERMISSIVE, (259, 262)),
        (Mode.DISABLED, (252, 258)),
        (Mode.DISABLED, (259, 262)),
    ]


def test_policies_of_modes() -> None:
    assert policy(Mode.ENFORCED, Kind.SYSEXT, unsigned=False) == (
        "root=signed+absent:usr=signed+absent"
    )
    assert policy(Mode.ENFORCED, Kind.CONFEXT, unsigned=False) == "root=signed+absent"
    for mode, unsigned in ((Mode.ENFORCED, True), (Mode.PERMISSIVE, False), (Mode.DISABLED, False)):
        assert policy(mode, Kind.CONFEXT, unsigned=unsigned) == (
            "root=verity+signed+unprotected+absent"
        )


def test_the_administrators_policy_holds_in_every_mode() -> None:
    for mode in Mode:
        text = policy(mode, Kind.SYSEXT, unsigned=True, own=["root=signed+absent"])
        assert not assess(parse(text), SEEN[State.UNSIGNED], systemd_version=262).accepts
        usr = Facts({name.replace("root", "usr"): found for name, found in SIGNED.items()})
        assert not assess(parse(text), usr, systemd_version=262).accepts


def test_policies_that_allow_nothing_together_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        policy(Mode.ENFORCED, Kind.CONFEXT, unsigned=False, own=["root=encrypted"])
    assert "root=encrypted" in caught.value.hint
