"""Media that boot: what goes where, what it takes, what is refused, and that bytes repeat."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from command import sysgraft
from media_kit import MediaKit, media_kit, on_esp
from sysgraft.base.blob import BytesBlob, FileBlob, SubBlob
from sysgraft.formats import authvar, fat, gpt, gpt_check
from sysgraft.formats.esp import find_esp
from sysgraft.sign.authvar import sign_update
from sysgraft.sign.keys import load_certificate, load_private_key

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["media_kit"]

MIB = 1 << 20
UUIDS = ("f1a7e405-5d08-57b1-a49f-eadfb05abf11",)


@pytest.fixture(autouse=True)
def _no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.fixture
def sidecars(tmp_path: Path) -> Path:
    """A folder with files of names that the stub and installers take."""
    folder = tmp_path / "sidecars"
    for name in ("one.sysext.raw", "one.sysext.raw.pcrsig.json", "two.confext.raw", "x.cred"):
        (folder / "deep").mkdir(parents=True, exist_ok=True)
        (folder / "deep" / name).write_bytes(name.encode() * 100)
    (folder / "README").write_text("no extension")
    return folder


# --- What goes where -----------------------------------------------------------------------------


def test_a_disk_has_loader_images_keys_and_nothing_else(
    media_kit: MediaKit, tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    done = media_kit.media("disk", image, *media_kit.signed, "--default", "passive")
    assert done.code == 0, done.err
    files = on_esp(image)
    folder = media_kit.folder
    loader = (folder / "boot.efi").read_bytes()
    assert files == {
        "EFI/BOOT/BOOTX64.EFI": loader,
        "EFI/systemd/systemd-bootx64.efi": loader,
        "EFI/Linux/active.efi": (folder / "active.efi").read_bytes(),
        "EFI/Linux/passive.efi": (folder / "passive.efi").read_bytes(),
        "loader/loader.conf": (
            b"timeout 5\ndefault passive.efi\neditor no\nsecure-boot-enroll if-safe\n"
        ),
        **{
            f"loader/keys/auto/{name}.auth": (folder / f"keys/{name}.auth").read_bytes()
            for name in ("PK", "KEK", "db")
        },
    }
    for name in ("PK", "KEK", "db"):
        authvar.parse(files[f"loader/keys/auto/{name}.auth"])


def test_kairos_has_entries_of_text(media_kit: MediaKit, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    words = ("--layout", "kairos", "--title", "Kairos", "--tries", "3", "--console-mode", "max")
    more = ("--default", "active", "--timeout", "menu-force", "--secure-boot-enroll", "force")
    assert media_kit.media("disk", image, *media_kit.signed, *words, *more).code == 0
    files = on_esp(image)
    assert {"EFI/kairos/active.efi", "EFI/kairos/passive.efi"} < files.keys()
    assert files["loader/entries/active+3.conf"] == (
        b"title Kairos (active)\nsort-key active\nefi /EFI/kairos/active.efi\n"
    )
    assert files["loader/loader.conf"] == (
        b"timeout menu-force\ndefault active.conf\nconsole-mode max\neditor no\n"
        b"secure-boot-enroll force\n"
    )


def test_what_goes_beside_images_is_there_for_each(
    media_kit: MediaKit, sidecars: Path, tmp_path: Path
) -> None:
    image, deep = tmp_path / "disk.img", sidecars / "deep"
    words: list[str | Path] = [
        *(
            "--uki",
            f"a={media_kit.path('active.efi')}",
            "--uki",
            f"b={media_kit.path('passive.efi')}",
        ),
        *("--tries", "2"),
        *("--extra", deep / "one.sysext.raw", "--extra", f"b={deep / 'two.confext.raw'}"),
        *("--extra", deep / "one.sysext.raw.pcrsig.json"),
        *("--global", deep / "x.cred", "--global", media_kit.path("debug.addon.efi")),
        *("--global", deep / "two.confext.raw", "--carry", sidecars),
    ]
    done = media_kit.media("disk", image, *words, "--json")
    assert done.code == 0, done.err
    one, two = ((deep / name).read_bytes() for name in ("one.sysext.raw", "two.confext.raw"))
    files = on_esp(image)
    beside = {path: data for path, data in files.items() if not path.startswith(("EFI/B", "EFI/s"))}
    # The counter is in the name of the image, and not in that of the folder.
    assert {path for path in beside if path.startswith("EFI")} == {
        "EFI/Linux/a+2.efi",
        "EFI/Linux/a.efi.extra.d/one.sysext.raw",
        "EFI/Linux/a.efi.extra.d/one.sysext.raw.pcrsig.json",
        "EFI/Linux/b+2.efi",
        "EFI/Linux/b.efi.extra.d/one.sysext.raw",
        "EFI/Linux/b.efi.extra.d/one.sysext.raw.pcrsig.json",
        "EFI/Linux/b.efi.extra.d/two.confext.raw",
    }
    assert files["EFI/Linux/a.efi.extra.d/one.sysext.raw"] == one
    assert files["loader/extensions/two.confext.raw"] == two
    assert {"loader/addons/debug.addon.efi", "loader/credentials/x.cred"} < files.keys()
    assert {path for path in files if path.startswith("extensions/")} == {
        "extensions/one.sysext.raw",
        "extensions/one.sysext.raw.pcrsig.json",
        "extensions/two.confext.raw",
    }
    assert "keys" not in " ".join(files)
    groups = [each["group"] for each in done.document["files"]]
    assert {name: groups.count(name) for name in set(groups)} == {
        "boot loader": 2, "UKI": 2, "extra": 5, "shared": 3, "settings": 1, "carried": 3,
    }  # fmt: skip


def test_a_dbx_is_enrolled_too(media_kit: MediaKit, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    shutil.copytree(media_kit.folder / "keys", keys)
    pair = (f"--private-key={keys}/KEK.key", f"--certificate={keys}/KEK.pem")
    made = sysgraft(
        "keys", "sign", "dbx", media_kit.path("passive.efi"), "-o", keys / "dbx.auth", *pair
    )
    assert made.code == 0, made.err
    images = ("--uki", media_kit.path("active.efi"))
    image = tmp_path / "disk.img"
    assert media_kit.media("disk", image, *images, "--keys", keys).code == 0
    assert on_esp(image)["loader/keys/auto/dbx.auth"] == (keys / "dbx.auth").read_bytes()
    # What is revoked would not start.
    revoked = media_kit.media("disk", tmp_path / "no.img", *media_kit.signed[:4], "--keys", keys)
    assert revoked.code == 1
    assert "revocation" in revoked.out


@pytest.mark.parametrize("name", ["PK", "KEK", "db"])
def test_keys_of_another_set_are_found_out(name: str, media_kit: MediaKit, tmp_path: Path) -> None:
    """A file of another set of keys is signed by that one's."""
    keys = tmp_path / "keys"
    shutil.copytree(media_kit.folder / "keys", keys)
    shutil.copy(media_kit.folder / f"other/{name}.auth", keys / f"{name}.auth")
    words = ("--uki", media_kit.path("active.efi"), "--keys", keys, "--json")
    done = media_kit.media("disk", tmp_path / "disk.img", *words)
    assert done.code == 1
    failed = {
        each["file"].rpartition("/")[2]: each["reason"]
        for each in done.document["verified"]
        if not each["ok"] and each["file"].endswith(".auth")
    }
    # PK of another set is in order itself, and has not signed KEK; KEK likewise db.
    blamed = {"PK": "KEK", "KEK": "KEK", "db": "db"}[name]
    assert "not signed by a certificate of" in failed[f"{blamed}.auth"]
    assert not (tmp_path / "disk.img").exists()
    done = media_kit.media("disk", tmp_path / "disk.img", *words, "--allow-unverified")
    assert done.code == 0, done.err


def test_an_addition_is_no_whole_database(media_kit: MediaKit, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    shutil.copytree(media_kit.folder / "keys", keys)
    pair = (f"--private-key={keys}/KEK.key", f"--certificate={keys}/KEK.pem")
    revoked = media_kit.path("passive.efi")
    output = ("--append", "-o", keys / "dbx.auth")
    made = sysgraft("keys", "sign", "dbx", revoked, *output, *pair)
    assert made.code == 0, made.err
    words = ("--uki", media_kit.path("active.efi"), "--keys", keys)
    done = media_kit.media("disk", tmp_path / "disk.img", *words)
    assert (done.code, "signed as an addition" in done.out) == (1, True), done.out


def test_firmware_takes_one_platform_key(media_kit: MediaKit, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    shutil.copytree(media_kit.folder / "keys", keys)
    update = sign_update(
        authvar.database("PK"),
        (keys / "PK.esl").read_bytes() + (keys / "KEK.esl").read_bytes(),
        key=load_private_key((keys / "PK.key").read_bytes()),
        certificate=load_certificate((keys / "PK.pem").read_bytes()),
        time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (keys / "PK.auth").write_bytes(authvar.serialise(update))
    words = ("--uki", media_kit.path("active.efi"), "--keys", keys)
    done = media_kit.media("disk", tmp_path / "disk.img", *words)
    assert (done.code, "there are 2 entries in it" in done.out) == (1, True), done.out


# --- Verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["disk", "iso"])
def test_what_would_not_start_with_the_keys_is_not_written(
    verb: str, media_kit: MediaKit, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    keys = ("--keys", media_kit.path("keys"))
    for words, loader, reason in (
        (("--uki", media_kit.path("unsigned.efi"), *keys), "boot.efi", "unsigned"),
        ((*media_kit.signed[:4], *keys), "unsigned-boot.efi", "unsigned"),
        ((*media_kit.signed[:4], "--keys", media_kit.path("other")), "boot.efi", "trust"),
        (
            (*media_kit.signed, "--extra", media_kit.path("debug.addon.efi")),
            "boot.efi",
            "debug.addon.efi",
        ),
    ):
        done = media_kit.media(verb, image, *words, loader=loader)
        assert done.code == 1
        assert reason in done.out
        assert "nothing was written" in done.err
        assert not image.exists()
        planned = media_kit.media(verb, image, *words, "--plan", "--json", loader=loader)
        assert (planned.code, planned.document["ok"]) == (1, False)
    done = media_kit.media(verb, image, *words, "--allow-unverified", "--json")
    assert (done.code, done.document["ok"], done.document["written"]) == (0, False, True)
    assert image.exists()


def test_a_boot_loader_is_signed_on_the_way(media_kit: MediaKit, tmp_path: Path) -> None:
    image, keys = tmp_path / "disk.img", media_kit.path("keys")
    pair = ("--private-key", f"{keys}/db.key", "--certificate", f"{keys}/db.pem")
    done = media_kit.media("disk", image, *media_kit.signed, *pair, loader="unsigned-boot.efi")
    assert done.code == 0, done.err
    assert on_esp(image)["EFI/BOOT/BOOTX64.EFI"] == (media_kit.folder / "boot.efi").read_bytes()


# --- Disks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_disk_has_the_partitions_that_were_given(
    sector: int, media_kit: MediaKit, tmp_path: Path
) -> None:
    image, root, home = tmp_path / "disk.img", tmp_path / "root", tmp_path / "home"
    root.write_bytes(b"root" * 300_001)
    home.write_bytes(b"home")
    words: list[str | Path] = [
        *(
            "--partition",
            f"root={root}",
            "--partition",
            f"home:{UUIDS[0]}={home}",
            "--partition",
            f"root={home}",
        ),
        *("--partition", f"0FC63DAF-8483-4772-8E79-3D69D8477DE4={home}"),
        *("--sector-size", str(sector)),
    ]
    done = media_kit.media("disk", image, *media_kit.signed, *words, "--json")
    assert done.code == 0, done.err
    with image.open("rb") as file:
        blob = FileBlob(file)
        table = gpt.parse(blob)
        assert gpt_check.problems(blob, table) == ()
        assert table.sector_size == sector
        assert [each.name for each in table.partitions] == [
            "esp", "root-x86-64", "home", "root-x86-64", "linux-generic",
        ]  # fmt: skip
        assert all(each.offset % MIB == 0 for each in table.partitions)
        assert str(table.partitions[2].uuid) == UUIDS[0]
        found = SubBlob(blob, table.partitions[1].offset, root.stat().st_size)
        assert found.read_at(0, found.size) == root.read_bytes()
        volume = fat.open_volume(find_esp(blob))
        assert (volume.geometry.bits, volume.geometry.sector_size) == (32, sector)
        assert volume.label == "ESP"
        assert volume.geometry.serial == int(done.document["esp"]["serial"], 16)
    told = done.document["partitions"]
    assert [(each["uuid"], each["offset"], each["size"]) for each in told] == [
        (str(each.uuid), each.offset, each.size) for each in table.partitions
    ]


def test_sizes_are_what_was_asked_for(media_kit: MediaKit, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"

    def made(*words: str) -> dict[str, Any]:
        done = media_kit.media("disk", image, *media_kit.signed, *words, "--json", "--force")
        assert done.code == 0, done.err
        assert done.document["size"] == image.stat().st_size
        return done.document

    assert made()["esp"]["fat"] == 32
    assert made("--size", "100M")["esp"]["size"] == 98 * MIB
    assert made("--size", "100M", "--esp-size", "64MiB")["esp"]["size"] == 64 * MIB
    assert made("--esp-size", "20M")["esp"]["fat"] == 16
    use = made("--esp-size", "2G")
    assert use["esp"]["size"] == 2 << 30
    assert sum(each["allocated"] for each in use["files"]) == use["esp"]["files"]
    assert use["esp"]["files"] + use["esp"]["overhead"] + use["esp"]["free"] == 2 << 30
    # What nobody writes takes no room where files may have holes.
    assert image.stat().st_blocks * 512 < 16 * MIB


def test_too_small_is_refused_before_anything_is_written(
    media_kit: MediaKit, tmp_path: Path
) -> None:
    image, large = tmp_path / "disk.img", tmp_path / "large.sysext.raw"
    with large.open("wb") as file:
        file.truncate(5 * MIB)
    words: tuple[str | Path, ...] = (*media_kit.signed, "--extra", large)
    for more, message in (
        (("--esp-size", "8M"), "are missing"),
        (("--size", "8M"), "are missing"),
        (("--size", "1M"), "no room for an EFI system partition"),
        (("--size", "20M", "--esp-size", "40M"), "are missing"),
        (("--esp-size", "1M"), "too small"),
        (("--size", "much"), "not a size"),
    ):
        done = media_kit.media("disk", image, *words, *more)
        assert done.code == 2
        assert message in done.err
        assert not image.exists()
    with large.open("wb") as file:
        file.truncate(1 << 32)
    done = media_kit.media("disk", image, *words, "--plan")
    assert done.code == 2
    assert "4294967295 at most" in done.err


def test_a_plan_writes_nothing(media_kit: MediaKit, tmp_path: Path) -> None:
    done = media_kit.media("disk", tmp_path / "disk.img", *media_kit.signed, "--plan")
    assert done.code == 0
    assert "EFI/Linux/active.efi" in done.out
    assert list(tmp_path.iterdir()) == []


# --- ISO images ----------------------------------------------------------------------------------


def test_an_iso_image_is_a_disk_as_well(
    media_kit: MediaKit, sidecars: Path, tmp_path: Path
) -> None:
    image, overlay = tmp_path / "image.iso", tmp_path / "overlay"
    (overlay / "docs").mkdir(parents=True)
    (overlay / "docs/größe.txt").write_text("read me")
    words = ("--carry", sidecars, "--overlay", overlay, "--volume-id", "UKI_ISO_INSTALL")
    done = media_kit.media("iso", image, *media_kit.signed, *words, "--json")
    assert done.code == 0, done.err
    assert "EFI/BOOT/BOOTX64.EFI" in on_esp(image)
    assert not [path for path in on_esp(image) if path.startswith("extensions")]
    with image.open("rb") as file:
        blob = FileBlob(file)
        table = gpt.parse(blob)
        assert gpt_check.problems(blob, table) == ()
        (esp,) = table.partitions
        boot = SubBlob(blob, esp.offset, esp.size).read_at(0, 512)
        # Where the partition begins is said in it too.
        assert int.from_bytes(boot[28:32], "little") == esp.first_lba
        descriptor = blob.read_at(16 * 2048, 2048)
        assert descriptor[40:72] == b"UKI_ISO_INSTALL".ljust(32)
    groups = {each["path"]: each["group"] for each in done.document["files"]}
    assert groups["docs/größe.txt"] == "overlay"
    assert groups["extensions/one.sysext.raw"] == "carried"


def test_an_overlay_takes_no_place_that_is_taken(media_kit: MediaKit, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    (overlay / "boot").mkdir(parents=True)
    (overlay / "boot/efi.img").write_text("mine")
    done = media_kit.media("iso", tmp_path / "x.iso", *media_kit.signed, "--overlay", overlay)
    assert (done.code, "have it twice" in done.err) == (2, True)
    (overlay / "boot/efi.img").unlink()
    (overlay / "link").symlink_to("boot")
    done = media_kit.media("iso", tmp_path / "x.iso", *media_kit.signed, "--overlay", overlay)
    assert (done.code, "files and folders only" in done.err) == (2, True)


# --- Repeatable ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["disk", "iso"])
def test_the_same_files_give_the_same_bytes(verb: str, media_kit: MediaKit, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(media_kit.folder, other)
    one, two = tmp_path / "one", tmp_path / "two"
    assert media_kit.media(verb, one, *media_kit.signed).code == 0
    assert MediaKit(other).media(verb, two, *MediaKit(other).signed).code == 0
    assert one.read_bytes() == two.read_bytes()
    seeds = ("--seed", "f1a7e405-5d08-57b1-a49f-eadfb05abf11")
    assert media_kit.media(verb, two, *media_kit.signed, *seeds, "--force").code == 0
    assert one.read_bytes() != two.read_bytes()
    epoch = ("--source-date-epoch", "1700000000")
    assert media_kit.media(verb, two, *media_kit.signed, *epoch, "--force").code == 0
    assert one.read_bytes() != two.read_bytes()
    assert "replace it" in media_kit.media(verb, two, *media_kit.signed).err


def test_readers_find_no_volume_where_none_is() -> None:
    # The guard of `on_esp`: it would not pass on an image without one.
    with pytest.raises(Exception, match="neither a FAT volume"):
        find_esp(BytesBlob(bytes(MIB)))
