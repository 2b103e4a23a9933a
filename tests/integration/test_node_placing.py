"""What lies beside boot images: which sets a file goes to, and what goes with it."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from node_root import KAIROS, Root, listing, make_root
from sysgraft.node.candidates import candidates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GENERIC = "var/lib/sysgraft"
IMAGE = "fw.sysext.raw"


@pytest.fixture(params=[KAIROS, GENERIC], ids=["kairos", "generic"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    root = make_root(tmp_path, state=request.param)
    fill(root)
    return root


@pytest.fixture
def kairos(tmp_path: Path) -> Root:
    root = make_root(tmp_path)
    fill(root)
    for entry in ("active", "passive", "recovery", "custom"):
        root.uki(entry)
    return root


def fill(root: Root) -> None:
    for name in ("fw", "fw_1", "fw_2", "other"):
        root.write(f"{root.state}/extensions/{name}.sysext.raw", name)
    root.write(f"{root.state}/sidecars/net.cred", "secret")
    root.write(f"{root.state}/sidecars/debug.addon.efi", "MZ")


def images(root: Root) -> str:
    return "EFI/kairos" if root.state == KAIROS else "EFI/Linux"


def esp(root: Root) -> dict[str, str | bytes]:
    """What lies on the ESP beside images and entries."""
    return {
        path.removeprefix("EFI/").removeprefix("kairos/").removeprefix("Linux/"): data
        for path, data in listing(root.esp).items()
        if ".extra." in path or (path.startswith("loader/") and not path.endswith(".conf"))
    }


def place(root: Root, *words: str, verb: str = "enable", code: int = 0) -> str:
    done = root.run(verb, *words, "--placement", "esp")
    assert done.code == code, done.err
    return done.out + done.err


# --- Which sets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stubs", "folders"),
    [
        ((257, 257), ["one.efi.extra.d", "two.efi.extra.d"]),
        ((258, 257), ["one.efi.extra.d", "two.efi.extra.d"]),
        ((258, 262), ["loader/extensions"]),
        ((262,), ["loader/extensions"]),
        ((252,), ["one.efi.extra.d"]),
    ],
)
def test_what_is_for_all(root: Root, stubs: tuple[int, ...], folders: list[str]) -> None:
    """Stubs look for extensions of all images since 258; before, each image gets its own copy."""
    for name, stub in zip(("one", "two"), stubs, strict=False):
        root.uki(name, stub)
    place(root, "fw", "--common")
    assert sorted(os.path.dirname(path) for path in esp(root)) == folders
    listed = root.run("list", "--json").document["placed"]
    is_global = folders == ["loader/extensions"]
    expected = ["common"] if is_global else ["one", "two"][: len(stubs)]
    assert [each["entry"] for each in listed] == expected
    assert place(root, "fw", "--common") == f"note: {IMAGE} lies there already\n"
    place(root, "fw", "--common", verb="disable")
    assert esp(root) == {}


def test_an_image_without_a_release_takes_no_global_extensions(root: Root) -> None:
    root.uki("one", 262)
    root.write(f"efi/{images(root)}/two.efi", b"MZ no executable at all")
    place(root, "fw", "--common")
    assert "loader/extensions/fw.sysext.raw" not in esp(root)


def test_addons_and_credentials_for_all_and_for_one(root: Root) -> None:
    for name in ("one", "two"):
        root.uki(name)
    for words in (("net", "--common"), ("net", "--entry", "one"), ("debug", "--common")):
        assert root.run("enable", *words).code == 0
    assert esp(root) == {
        "loader/credentials/net.cred": b"secret",
        "one.efi.extra.d/net.cred": b"secret",
        "loader/addons/debug.addon.efi": b"MZ",
    }
    listed = root.run("list", "--json").document["placed"]
    assert sorted((each["file"], each["entry"]) for each in listed) == [
        ("debug.addon.efi", "common"),
        ("net.cred", "common"),
        ("net.cred", "one"),
    ]
    assert root.run("remove", "net").code == 0
    assert root.run("disable", "debug", "--common").code == 0
    assert esp(root) == {}
    assert not os.path.exists(root.path / root.state / "sidecars/net.cred")
    assert os.path.exists(root.path / root.state / "sidecars/debug.addon.efi")


def test_entries_by_role_and_by_name(kairos: Root) -> None:
    kairos.uki("active_debug")
    place(kairos, "fw", "--active")
    assert sorted(esp(kairos)) == [
        f"active.efi.extra.d/{IMAGE}",
        f"active_debug.efi.extra.d/{IMAGE}",
    ]
    place(kairos, "fw", "--entry", "custom")
    place(kairos, "fw", "--active", verb="disable")
    assert sorted(esp(kairos)) == [f"custom.efi.extra.d/{IMAGE}"]
    out = place(kairos, "fw", "--recovery", verb="disable")
    assert out == f"note: {IMAGE} does not lie there\n"


def test_boot_counters_are_no_part_of_a_name(tmp_path: Path) -> None:
    root = make_root(tmp_path, state=GENERIC)
    fill(root)
    root.uki("new+2-1", 257)
    root.uki("old+3", 254)
    place(root, "fw", "--entry", "new", "--entry", "old")
    # Up to 254 stubs take the counter for a part of their own name.
    assert sorted(esp(root)) == [f"new.efi.extra.d/{IMAGE}", f"old+3.efi.extra.d/{IMAGE}"]


@pytest.mark.parametrize("words", [("--entry", "nobody"), ("--recovery",)])
def test_there_is_no_such_entry(root: Root, words: tuple[str, ...]) -> None:
    root.uki("active")
    message = root.refused("enable", "fw", *words, "--placement", "esp")
    assert "it has no UKI that is" in message


def test_there_is_no_image_at_all(root: Root) -> None:
    message = root.refused("enable", "fw", "--common", "--placement", "esp")
    assert "it has no UKI" in message


def test_there_is_no_partition(root: Root) -> None:
    (root.esp / "EFI").rmdir()
    message = root.refused("enable", "fw", "--active", "--placement", "esp")
    assert "no EFI system partition is mounted" in message
    nowhere = ("--esp", str(root.path / "nowhere"))
    message = root.refused("enable", "fw", "--active", "--placement", "esp", *nowhere)
    assert message.endswith("nowhere: there is no such folder")
    assert root.run("enable", "fw", "--active").code == 0


@pytest.mark.parametrize("where", ["boot", "boot/efi", "efi"])
def test_where_the_partition_is_mounted(tmp_path: Path, where: str) -> None:
    root = make_root(tmp_path)
    fill(root)
    root.uki("active")
    if where != "efi":
        (root.path / where).parent.mkdir(exist_ok=True)
        root.esp.rename(root.path / where)
    place(root, "fw", "--active")
    assert (root.path / where / "EFI/kairos/active.efi.extra.d" / IMAGE).read_bytes() == b"fw"


# --- What goes with it ----------------------------------------------------------------------------


def test_signed_policies_go_with_their_extension(kairos: Root) -> None:
    for name in ("fw", "other"):
        kairos.write(f"{KAIROS}/extensions/{name}.pcrsig.json", f"policy {name}")
    place(kairos, "fw", "--active")
    place(kairos, "other", "--active")
    assert [os.path.basename(path) for path in sorted(esp(kairos))] == [
        "fw.pcrsig.json", IMAGE, "other.pcrsig.json", "other.sysext.raw",
    ]  # fmt: skip
    place(kairos, "fw", "--active", verb="disable")
    assert [os.path.basename(path) for path in sorted(esp(kairos))] == [
        "other.pcrsig.json",
        "other.sysext.raw",
    ]


def test_another_content_is_placed_anew(kairos: Root) -> None:
    place(kairos, "fw", "--active")
    kairos.write(f"{KAIROS}/extensions/{IMAGE}", "FW")  # of the same size
    assert place(kairos, "fw", "--active") == (
        f"EFI/kairos/active.efi.extra.d/{IMAGE}: placed for active\n"
    )
    assert esp(kairos) == {f"active.efi.extra.d/{IMAGE}": b"FW"}


def test_what_somebody_else_has_put_there_stays(kairos: Root) -> None:
    theirs = "EFI/kairos/active.efi.extra.d"
    kairos.write(f"efi/{theirs}/mine.cred", "mine")
    kairos.write(f"efi/{theirs}/README.txt", "read me")
    place(kairos, "fw", "--active")
    place(kairos, "fw", "--active", verb="disable")
    assert listing(kairos.esp / theirs) == {"mine.cred": b"mine", "README.txt": b"read me"}
    kairos.write(f"efi/{theirs}/folder/x", "x")
    message = kairos.refused("enable", "fw", "--active", "--placement", "esp")
    assert "it is no file, and would not come along" in message


# --- Upgrades -------------------------------------------------------------------------------------


def sets(root: Root) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(esp(root)):
        folder, _, name = path.partition(".efi.extra.d/")
        found.setdefault(folder, []).append(name)
    return found


def policies(root: Root) -> None:
    for name in ("fw_1", "fw_2"):
        root.write(f"{root.state}/extensions/{name}.pcrsig.json", f"policy {name}")


def test_the_version_before_stays_for_passive_with_its_policy(kairos: Root) -> None:
    policies(kairos)
    place(kairos, "fw_1", "--active")
    place(kairos, "other", "--active", "--passive")
    assert kairos.run("upgrade", "fw_2").code == 0
    assert sets(kairos) == {
        "active": ["fw_2.pcrsig.json", "fw_2.sysext.raw", "other.sysext.raw"],
        "passive": ["fw_1.pcrsig.json", "fw_1.sysext.raw", "other.sysext.raw"],
    }
    # gc keeps what an entry has; rolled back, the pair of active is that of passive.
    kairos.run("gc")
    assert sorted(os.listdir(kairos.store)) == [
        "fw_1.pcrsig.json", "fw_1.sysext.raw", "fw_2.pcrsig.json", "fw_2.sysext.raw",
        "other.sysext.raw",
    ]  # fmt: skip
    assert kairos.run("rollback", "fw").code == 0
    assert sets(kairos)["active"] == ["fw_1.pcrsig.json", "fw_1.sysext.raw", "other.sysext.raw"]
    kairos.run("gc")
    assert "fw_2.sysext.raw" not in os.listdir(kairos.store)
    assert "fw_2.pcrsig.json" not in os.listdir(kairos.store)


def test_policies_are_found_whatever_the_order_of_a_folder(kairos: Root) -> None:
    """The policy is written first or last: neither is taken for a version of the extension."""
    policies(kairos)
    for names in (("fw_1.pcrsig.json", "fw_1.sysext.raw"), ("fw_1.sysext.raw", "fw_1.pcrsig.json")):
        folder = kairos.esp / "EFI/kairos/active.efi.extra.d"
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_bytes((kairos.store / name).read_bytes())
        assert kairos.run("upgrade", "fw_2").code == 0
        assert sets(kairos) == {
            "active": ["fw_2.pcrsig.json", "fw_2.sysext.raw"],
            "passive": ["fw_1.pcrsig.json", "fw_1.sysext.raw"],
        }
        assert kairos.run("remove", "fw_2").code == 0
        kairos.write(f"{KAIROS}/extensions/fw_2.sysext.raw", "fw_2")
        policies(kairos)


def test_upgrades_of_what_is_not_enabled(kairos: Root) -> None:
    message = kairos.refused("upgrade", "fw_2")
    assert "no active entry has another version of fw" in message
    kairos.run("enable", "fw_1", "--passive", "--recovery")
    kairos.refused("upgrade", "fw_2")


def test_older_versions_only_if_that_is_wanted(kairos: Root) -> None:
    kairos.run("enable", "fw_2", "--active")
    assert "fw_1 is older than fw_2" in kairos.refused("upgrade", "fw_1")
    assert kairos.run("upgrade", "fw_1", "--downgrade").code == 0
    links = {path: data for path, data in listing(kairos.store).items() if "/" in path}
    assert sorted(links) == ["active/fw_1.sysext.raw", "passive/fw_2.sysext.raw"]


def test_an_upgrade_by_another_name(kairos: Root) -> None:
    kairos.run("enable", "other", "--active")
    kairos.run("enable", "fw", "--active")
    assert kairos.run("upgrade", "fw_2", "--replaces", "other").code == 0
    links = [path for path in listing(kairos.store) if "/" in path]
    assert sorted(links) == [
        "active/fw.sysext.raw", "active/fw_2.sysext.raw", "passive/other.sysext.raw",
    ]  # fmt: skip


def test_what_is_for_all_is_kept_for_the_others(kairos: Root) -> None:
    """The links of others stay: passive and recovery still have the version for all."""
    kairos.run("enable", "fw_1", "--common")
    assert kairos.run("upgrade", "fw_2").code == 0
    for entry, file in (("active", "fw_2"), ("passive", "fw_1"), ("recovery", "fw_1")):
        kairos.booted(entry)
        assert candidates(kairos.node(), [])[0].name == file, entry
    before = listing(kairos.store)
    done = kairos.run("upgrade", "fw_2")
    assert (done.code, done.out, listing(kairos.store)) == (0, "", before)


def test_an_upgrade_from_elsewhere(kairos: Root) -> None:
    kairos.put("tool_1", "active")
    image = kairos.image("tool_2")
    done = kairos.run("upgrade", image)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "tool_2.sysext.raw: installed",
        "tool_1.sysext.raw: enabled for passive",
        "tool_2.sysext.raw: enabled for active",
        "tool_1.sysext.raw: disabled for active",
    ]
    kairos.refused("upgrade", kairos.image("tool_3", signer=None))


def test_nothing_to_roll_back(kairos: Root) -> None:
    kairos.run("enable", "fw_1", "--active", "--passive")
    assert "no other version of fw_1" in kairos.refused("rollback", "fw_1")
    assert "no other version of nothing" in kairos.refused("rollback", "nothing")
    assert "no other version of f*" in kairos.refused("rollback", "f*")


def test_roll_backs_of_one_kind(kairos: Root) -> None:
    for kind in ("extensions", "confexts"):
        suffix = "sysext" if kind == "extensions" else "confext"
        for number, role in ((1, "passive"), (2, "active")):
            name = f"c_{number}.{suffix}.raw"
            kairos.write(f"{KAIROS}/{kind}/{name}")
            kairos.link(f"{KAIROS}/{kind}/{role}/{name}", f"../{name}")
    assert kairos.run("rollback", "c", "--type", "confext").code == 0
    assert "active/c_2.sysext.raw" in listing(kairos.store)
    assert sorted(path for path in listing(kairos.confexts) if "/" in path) == [
        "active/c_1.confext.raw",
        "passive/c_1.confext.raw",
    ]


# --- What goes, and what stays --------------------------------------------------------------------


def test_gc(kairos: Root) -> None:
    kairos.run("enable", "fw_2", "--entry", "custom")
    place(kairos, "other", "--recovery")
    text = '[[map]]\nextension = "fw"\nentries = ["recovery"]\n'
    kairos.write("usr/lib/sysgraft/config.toml", text)
    before = listing(kairos.path)
    done = kairos.run("gc", "--dry-run", "--json")
    assert {each["file"] for each in done.document["changes"]} == {
        "fw_1.sysext.raw",
        "net.cred",
        "debug.addon.efi",
    }
    assert listing(kairos.path) == before
    (kairos.path / "usr/lib/sysgraft/config.toml").unlink()
    kairos.run("gc", "--keep", "1")
    assert sorted(os.listdir(kairos.store)) == ["custom", "fw_2.sysext.raw", "other.sysext.raw"]
    assert sorted(os.listdir(kairos.path / KAIROS / "sidecars")) == ["debug.addon.efi", "net.cred"]


def test_gc_of_a_system_without_anything(tmp_path: Path) -> None:
    root = Root(tmp_path / "root", tmp_path)
    root.write("etc/os-release", "ID=x\n")
    assert root.run("gc", "--dry-run").code == 0
    assert listing(root.path) == {"etc/os-release": b"ID=x\n"}
    assert not (root.path / "var").exists()


def test_gc_stops_where_the_partition_cannot_be_read(kairos: Root) -> None:
    (kairos.esp / "EFI/kairos/active.efi.extra.d").write_bytes(b"")
    kairos.refused("gc")


# --- Hostile places -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "EFI", "EFI/kairos", "EFI/kairos/active.efi.extra.d", "EFI/kairos/SYSGRAFT.NEW",
        "EFI/kairos/active.efi.extra.old",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "words",
    [
        ("enable", "other", "--active", "--placement", "esp"),
        ("disable", "fw", "--active", "--placement", "esp"),
        ("remove", "fw"),
        ("upgrade", "fw_2", "--replaces", "fw"),
    ],
    ids=lambda words: words[0],
)
def test_links_on_the_partition_are_not_followed(
    kairos: Root, tmp_path: Path, place: str, words: tuple[str, ...]
) -> None:
    set_folder = "efi/EFI/kairos/active.efi.extra.d"
    kairos.write(f"{set_folder}/{IMAGE}", "fw")
    real = kairos.esp / place
    hidden = tmp_path / "hidden"
    if real.exists():
        real.rename(hidden)
    else:
        hidden.mkdir()
        (hidden / "precious").write_bytes(b"mine")
    real.symlink_to(hidden)
    before = listing(hidden)
    verb, *more = words
    done = kairos.run(verb, *more)
    assert listing(hidden) == before
    assert done.code == 2, (done.out, done.err)
    assert "it is a symbolic link, which is not followed here" in done.err
    assert done.err.count("error: ") == 1
    assert (kairos.store / IMAGE).exists()


def test_links_among_the_files_of_a_set(kairos: Root, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = kairos.esp / "EFI/kairos/active.efi.extra.d"
    folder.mkdir()
    (folder / "x.raw").symlink_to(tmp_path / "secret")
    message = kairos.refused("enable", "fw", "--active", "--placement", "esp")
    assert message.endswith("x.raw: it is no file, and would not come along")


# --- No room, and read-only -----------------------------------------------------------------------


@contextmanager
def mounted(esp: Path, size: str, *, read_only: bool = False) -> Iterator[None]:
    saved = esp.with_name("saved")
    esp.rename(saved)
    esp.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", esp], check=True)
    try:
        subprocess.run(["cp", "-a", f"{saved}/.", esp], check=True)
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", esp], check=True)
        yield
    finally:
        # A few files that were read stay open as long as the process lasts.
        subprocess.run(["umount", "--lazy", esp], check=True)


@pytest.mark.root
def test_a_partition_that_is_full(kairos: Root) -> None:
    kairos.write(f"{KAIROS}/extensions/{IMAGE}", os.urandom(300 << 10))
    kairos.write(f"{KAIROS}/extensions/fw_1.sysext.raw", os.urandom(120 << 10))
    with mounted(kairos.esp, "700k"):
        place(kairos, "fw_1", "--active")
        message = kairos.refused("enable", "fw", "--active", "--passive", "--placement", "esp")
        assert "are needed while it is changed" in message
        ballast = os.open(kairos.esp / "ballast", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space"):
            while True:
                os.write(ballast, bytes(4096))
        os.close(ballast)
        kairos.refused("enable", "other", "--active", "--placement", "esp")
        message = kairos.refused("enable", "other", "--recovery", "--placement", "esp")
        assert sorted(esp(kairos)) == ["active.efi.extra.d/fw_1.sysext.raw"]
        # Removing needs room for what stays only.
        (kairos.esp / "ballast").unlink()
        place(kairos, "fw_1", "--active", verb="disable")


@pytest.mark.root
def test_a_partition_that_is_read_only_is_so_again(kairos: Root) -> None:
    with mounted(kairos.esp, "4m", read_only=True):
        place(kairos, "fw", "--active")
        assert sorted(esp(kairos)) == [f"active.efi.extra.d/{IMAGE}"]
        assert os.statvfs(kairos.esp).f_flag & os.ST_RDONLY
        message = place(kairos, "fw", "--entry", "nobody", code=2)
        assert "boot entry nobody" in message
        assert os.statvfs(kairos.esp).f_flag & os.ST_RDONLY
