"""Names that break terminals, processes that collide, and folders that are somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from node_root import KAIROS, Root, listing, make_root
from sysgraft.node.activate import activate

if TYPE_CHECKING:
    from pathlib import Path

STORE: Final = f"{KAIROS}/extensions"
NAMES: Final = ("a\x1b[31mred", "a\nb", "a\u202eb", "a\rb", "a\x00b".replace("\x00", "\x7f"), "é")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return make_root(tmp_path)


def is_clean(text: str) -> bool:
    return all(c == "\n" or (c.isprintable() and c not in "\u202e\u2066") for c in text)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_store_that_break_terminals(root: Root, name: str) -> None:
    root.write(f"{STORE}/{name}.sysext.raw", "x")
    root.link(f"{STORE}/active/{name}.sysext.raw", f"../{name}.sysext.raw")
    root.link(f"{STORE}/active/gone{name}.raw", f"/x{name}")
    root.write(f"{STORE}/{name}/x.raw", "x")
    for words in (("list",), ("list", "--json"), ("enable", "x", "--active"), ("gc", "--dry-run")):
        done = root.run(*words)
        assert done.code in (0, 2)
        assert is_clean(done.out), repr(done.out)
        assert is_clean(done.err), repr(done.err)
        assert "unexpected" not in done.err


def test_a_name_that_is_no_utf_8(root: Root) -> None:
    place = os.path.join(os.fsencode(root.store), b"a\xff.sysext.raw")
    with open(place, "wb") as file:
        file.write(b"x")
    for words in (("list",), ("list", "--json"), ("gc", "--dry-run"), ("remove", "a*")):
        done = root.run(*words)
        assert done.code in (0, 2)
        assert "unexpected" not in done.err
        json.loads(done.out) if "--json" in words else done.out.encode()
    root.booted("active")
    assert activate(root.node()).images == ()


def test_processes_that_change_one_set_at_a_time_all_count(root: Root) -> None:
    """Extensions of all kinds, addons and credentials share the set of an entry."""
    root.uki("active")
    files = {f"{STORE}/e{n}.sysext.raw": f"e{n}" for n in range(3)}
    files |= {f"{KAIROS}/confexts/c{n}.confext.raw": f"c{n}" for n in range(2)}
    files |= {f"{KAIROS}/sidecars/s.cred": "s"}
    for path, data in files.items():
        root.write(path, os.urandom(200_000))
        root.write(f"{path}.seen", data)
        (root.path / f"{path}.seen").unlink()
    started = [
        subprocess.Popen(
            [
                sys.executable, "-m", "sysgraft", "node", "enable", name, "--active",
                "--placement", "esp", "--root", root.path,
            ],
            stderr=subprocess.PIPE,
        )
        for name in ("e0", "c0", "e1", "c1", "e2", "s")
    ]  # fmt: skip
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    found = listing(root.esp / "EFI/kairos/active.efi.extra.d")
    assert found == {os.path.basename(path): (root.path / path).read_bytes() for path in files}
    assert [path for path in listing(root.esp) if "SYSGRAFT" in path] == []


def test_a_process_that_is_killed_leaves_no_lock(root: Root) -> None:
    root.write(f"{STORE}/one.raw", "x")
    code = (
        "import os, sys\n"
        "from sysgraft.node import links\n"
        "links.enable = lambda *_: os._exit(9)\n"
        "from sysgraft.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    words = ["node", "enable", "one", "--active", "--root", str(root.path)]
    done = subprocess.run([sys.executable, "-c", code, *words], check=False)
    assert done.returncode == 9
    assert root.run("enable", "one", "--active").code == 0


def test_a_failure_to_hand_over_is_no_success(root: Root, tmp_path: Path) -> None:
    """A boot that handed over nothing, although something was enabled, is not well."""
    root.booted("active")
    root.put("one", "active")
    root.link("run/extensions", str(tmp_path))
    done = activate(root.node())
    assert not done.ok


def test_one_link_that_cannot_be_made(root: Root) -> None:
    """The others are made, and the unit fails."""
    root.booted("active")
    for name in ("one", "two"):
        root.put(name, "active")
    root.write("run/extensions/one.sysext.raw/somebody", "x")
    done = activate(root.node())
    assert (root.path / "run/extensions/two.sysext.raw").is_symlink()
    assert any("one.sysext.raw: Is a directory" in note for note in done.notes)
    assert not done.ok


@pytest.mark.parametrize("place", ["", "EFI", "EFI/kairos", "loader", "loader/entries"])
def test_a_partition_with_files_in_the_place_of_folders(root: Root, place: str) -> None:
    root.write(f"{STORE}/one.raw", "x")
    real = root.esp / place
    if real.exists():
        real.rename(root.path / "away")
    else:
        real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(b"")
    for words in (
        ("enable", "one", "--active", "--placement", "esp"),
        ("enable", "one", "--common", "--placement", "esp"),
    ):
        done = root.run(*words, "--esp", root.esp)
        assert (done.code, "unexpected" in done.err) == (2, False), done
    done = root.run("list", "--esp", root.esp)
    assert "unexpected" not in done.err


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x00" * 4096, os.urandom(5000)])
def test_images_on_the_partition_that_are_none(root: Root, data: bytes) -> None:
    root.uki("active")
    root.write("efi/EFI/kairos/broken.efi", data)
    root.write("efi/loader/entries/broken.conf", b"\xff\xfe\x00" * 100)
    root.write(f"{STORE}/one.raw", "x")
    done = root.run("enable", "one", "--common", "--placement", "esp")
    assert done.code == 0, done.err
    found = [path for path in listing(root.esp) if path.endswith("one.raw")]
    assert "EFI/kairos/active.efi.extra.d/one.raw" in found


def test_install_of_an_image_into_a_store_with_a_hostile_neighbour(
    root: Root, tmp_path: Path
) -> None:
    """Links that wait under the names that a store writes to are not written through."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    for name in ("fw.pcrsig.json", ".sysgraft-whole.json", "fw.sysext.raw"):
        (root.store / name).symlink_to(victim)
    policy = root.images / "policy.json"
    policy.write_text("{}")
    image = root.image("fw")
    done = root.run("install", image, "--force", "--policy-signature", policy)
    assert done.code == 0, done.err
    assert victim.read_bytes() == b"mine"
    assert (root.store / "fw.pcrsig.json").read_text() == "{}"
    assert not (root.store / "fw.pcrsig.json").is_symlink()
    assert not (root.store / "fw.sysext.raw").is_symlink()
    assert not (root.store / ".sysgraft-whole.json").is_symlink()
