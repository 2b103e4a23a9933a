"""Any commands in any order, cut short anywhere: sets stay whole, and the next command repairs.

A power cut is an exception at some call that changes something and at all later ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_root import KAIROS, Root, listing, make_root
from sysgraft.host import renaming

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.node.store import Flaw

NAMES: Final = ("fw_1", "fw_2", "fw_3", "tool")
ENTRIES: Final = ("active", "passive", "recovery")
CHANGING: Final = ("mkdir", "rename", "replace", "rmdir", "unlink", "link", "symlink", "fsync")

name = st.sampled_from(NAMES)
profiles = st.lists(
    st.sampled_from(["--active", "--passive", "--recovery", "--common"]),
    min_size=1,
    max_size=3,
    unique=True,
)
placement = st.sampled_from([(), ("--placement", "esp")])
commands = st.one_of(
    st.builds(
        lambda verb, what, where, place: (verb, what, *where, *place),
        st.sampled_from(["enable", "disable"]),
        name,
        profiles,
        placement,
    ),
    name.map(lambda what: ("upgrade", what, "--downgrade")),
    st.just(("rollback", "fw")),
    name.map(lambda what: ("remove", what)),
    st.just(("gc", "--keep", "1")),
)
steps = st.lists(
    st.tuples(commands, st.one_of(st.just(0), st.integers(1, 40)), st.booleans()), max_size=6
)


class PowerCutError(BaseException):
    """Nothing happens any more."""


def put(root: Root, what: str) -> None:
    root.write(f"{KAIROS}/extensions/{what}.pcrsig.json", f"policy {what}")
    root.write(f"{KAIROS}/extensions/{what}.sysext.raw", f"image {what}" * 50)


def run(root: Root, words: tuple[str, ...], cut: int, *, exchanges: bool) -> int:
    """A command that is cut short at a step, 0 for none; its code, or -1."""
    done = 0

    def stepped(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            nonlocal done
            done += 1
            if cut and done >= cut:
                raise PowerCutError
            return call(*arguments, **more)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for each in CHANGING:
            patch.setattr(os, each, stepped(getattr(os, each)))
        patch.setattr(shutil, "copyfileobj", stepped(shutil.copyfileobj))
        exchange = renaming.exchange if exchanges else lambda *_: False
        patch.setattr("sysgraft.node.esp_sets.exchange", stepped(exchange))
        patch.setattr("sysgraft.node.leftovers.sync_all", stepped(lambda _: None))
        try:
            result = root.run(words[0], *words[1:])
        except PowerCutError:
            return -1
    assert result.code in (0, 1, 2), result
    assert "unexpected" not in result.err, result.err
    return result.code


def check_sets(root: Root) -> None:
    """Each set on the partition is whole: no image without its policy, nothing half."""
    for entry in ENTRIES:
        found = listing(root.esp / f"EFI/kairos/{entry}.efi.extra.d")
        names = {file.partition(".")[0] for file in found}
        assert set(found) == {
            f"{each}{end}" for each in names for end in (".sysext.raw", ".pcrsig.json")
        }, entry
        for each in names:
            assert found[f"{each}.sysext.raw"] == f"image {each}".encode() * 50
            assert found[f"{each}.pcrsig.json"] == f"policy {each}".encode()


def check_store(root: Root) -> None:
    """No link leads to an image that is gone, and no image is half."""
    store = root.node().stores[0]
    flaws: list[Flaw] = []
    for profile in store.profiles():
        store.enabled(profile, flaws)
    assert flaws == []
    for stored in store.files():
        assert (root.store / stored.file).read_bytes() == f"image {stored.name}".encode() * 50


@settings(max_examples=60)
@given(steps)
def test_sets_are_whole_at_any_time(given_steps: list[tuple[tuple[str, ...], int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = make_root(Path(folder))
        for each in NAMES:
            put(root, each)
        for entry in ENTRIES:
            root.uki(entry)
        for words, cut, exchanges in given_steps:
            run(root, words, cut, exchanges=exchanges)
            check_sets(root)
            check_store(root)
        put(root, "tool")
        assert run(root, ("enable", "tool", "--recovery"), 0, exchanges=True) == 0
        left = [path for path in listing(root.path) if "SYSGRAFT" in path or ".old" in path]
        assert left == []
        assert [path for path in listing(root.store) if ".sysgraft-" in path] == []
        check_sets(root)
