"""Components for systemd-pcrlock: what is in which file, names, and what is not overwritten."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from executables import make_pe
from sysgraft.errors import OutputError, UsageError
from sysgraft.formats import pcrlock
from sysgraft.seal import pcrlock as seal_pcrlock
from sysgraft.seal import prediction as seal_prediction
from sysgraft.seal.assembly import Settings
from sysgraft.seal.pcrlock import components, safe_name
from sysgraft.seal.pcrlock_files import write_components
from sysgraft.seal.prediction import BootRequest
from uki_kit import Kit, make_kit, make_stub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.seal.prediction import Prediction

ALL: Final = (4, 11, 12, 13)


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """An image, a boot loader, and files to put beside the image."""
    kit = make_kit(tmp_path / "kit", monkeypatch)
    kit.stub.write_bytes(make_stub("257.13-1"))
    magic = b"#### LoaderInfo: systemd-boot 257.13-1 ####\0"
    kit.file("boot.efi", make_pe([(".text", b"\xc3" * 300), (".sdmagic", magic)]))
    kit.file("one.raw", b"one")
    kit.file("two.raw", b"two")
    kit.file("token.cred", b"secret")
    kit.build("linux.efi", "--cmdline", "quiet")
    kit.build("debug.addon.efi", "--cmdline", "debug", kernel=False)
    return kit


def predict(
    kit: Kit,
    sets: Mapping[str, tuple[str, ...]] | None = None,
    *,
    pcrs: tuple[int, ...] = (),
    settings: Settings | None = None,
    image: str = "linux.efi",
    extras: tuple[str, ...] = (),
) -> Prediction:
    named = (
        (name, tuple(str(kit.folder / each) for each in files))
        for name, files in (sets or {}).items()
    )
    request = BootRequest(
        uki=str(kit.folder / image) if image else "",
        loaders=(str(kit.folder / "boot.efi"),) if image else (),
        extras=tuple(str(kit.folder / each) for each in extras),
        sets=tuple(named),
        settings=settings or Settings(cmdline="console=tty0"),
    )
    return seal_prediction.predict(request, pcrs=pcrs, banks=("sha1", "sha256"), phases=[""])


def _items(sets: Mapping[str, tuple[str, ...]] | None) -> list[tuple[str, tuple[str, ...]]]:
    return list(sets.items()) if sets else []


def written(folder: Path) -> dict[str, tuple[pcrlock.Record, ...]]:
    """All components in a folder, by their paths in it."""
    return {
        str(path.relative_to(folder)): pcrlock.parse(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names(records: tuple[pcrlock.Record, ...], prediction: Prediction) -> list[tuple[int, str]]:
    """What was measured, by its digests; the last one that has the same."""
    known = {
        (each.pcr, each.digests["sha256"]): each.name
        for one in prediction.sets
        for each in one.events
    }
    return [(each.pcr or 0, known[each.pcr or 0, each.digests["sha256"]]) for each in records]


TWO: Final = {"current": ("one.raw", "token.cred"), "next": ("two.raw", "debug.addon.efi")}


def test_layout(kit: Kit, tmp_path: Path) -> None:
    prediction = predict(kit, TWO)
    paths = write_components(prediction, str(tmp_path / "out"), replace=False)
    found = written(tmp_path / "out")
    assert [os.path.relpath(path, tmp_path / "out") for path in paths] == list(found)
    image = found.pop("650-uki.pcrlock.d/889-linux.efi.pcrlock")
    assert [each.pcr for each in image] == [4] + 10 * [11]
    assert {path: names(records, prediction) for path, records in found.items()} == {
        "630-boot-loader-code.pcrlock.d/899-boot.efi.pcrlock": [(4, "boot.efi")],
        "652-entry-config.pcrlock.d/898-linux.efi.pcrlock": [
            (12, "command line given to the stub"),
            (12, "command line given to the stub"),
        ],
        "653-entry-sysext.pcrlock.d/900-absent.pcrlock": [],
        "660-addons.pcrlock.d/899-next.pcrlock": [(4, "debug.addon.efi")],
        "660-addons.pcrlock.d/900-absent.pcrlock": [],
        "662-sidecar-config.pcrlock.d/899-current.pcrlock": [(12, "Credentials initrd")],
        "662-sidecar-config.pcrlock.d/899-next.pcrlock": [(12, "command line of addons")],
        "663-sidecar-sysext.pcrlock.d/899-current.pcrlock": [(13, "System extension initrd")],
        "663-sidecar-sysext.pcrlock.d/899-next.pcrlock": [(13, "System extension initrd")],
        "670-uki-kernel.pcrlock.d/899-linux.efi.pcrlock": [(4, ".linux")],
    }


def test_what_is_where(kit: Kit) -> None:
    """All of a boot but the firmware's own, once, and in each PCR in its order."""
    for name, files in TWO.items():
        prediction = predict(kit, {name: files})
        found = [each for part in components(prediction) for each in part.events]
        (one,) = prediction.sets
        own = [e for e in one.events if e.component not in ("firmware", "separator")]
        for pcr in ALL:
            assert [e for e in found if e.pcr == pcr] == [e for e in own if e.pcr == pcr]


def test_both_events_of_a_command_line_are_in_one_component(kit: Kit) -> None:
    """systemd-boot's and the stub's are the same: systemd-pcrlock would find the first twice."""
    settings = Settings(cmdline="console=tty0", secure_boot=False)
    prediction = predict(kit, TWO, settings=settings)
    (image,) = (each for each in components(prediction) if each.component == "652-entry-config")
    digest = hashlib.sha256("console=tty0\0".encode("utf-16-le")).digest()
    found = [each.digests["sha256"] for each in image.events if each.pcr == 12]
    assert found == [digest, digest]


def test_the_same_measurement_in_two_components_is_refused(kit: Kit) -> None:
    """Here, an addon says what the boot entry says."""
    settings = Settings(cmdline="debug")
    prediction = predict(kit, {"a": ("debug.addon.efi",)}, settings=settings)
    with pytest.raises(UsageError, match="PCR 12 gets the same measurement") as error:
        components(prediction)
    assert "--pcr" in error.value.hint
    without = predict(kit, {"a": ("debug.addon.efi",)}, settings=settings, pcrs=(4, 11, 13))
    assert {each.pcr for part in components(without) for each in part.events} == {4, 11}


@pytest.mark.parametrize("pcrs", [(13,), (11,), (4, 12)])
def test_only_pcrs_that_were_asked_for(kit: Kit, pcrs: tuple[int, ...]) -> None:
    found = components(predict(kit, TWO, pcrs=pcrs))
    assert {each.pcr for part in found for each in part.events} == set(pcrs)
    expected = {13: {"653-entry-sysext", "663-sidecar-sysext"}, 11: {"650-uki"}}
    rest = set(seal_pcrlock.PCRS) - expected[13]
    assert {part.component for part in found} == expected.get(pcrs[0], rest)


def test_sidecars_alone(kit: Kit) -> None:
    sets = {**TWO, "next": ("two.raw",)}
    found = components(predict(kit, sets, settings=Settings(version=262), image=""))
    assert [(part.component, part.name) for part in found] == [
        ("662-sidecar-config", "current"),
        ("662-sidecar-config", "next"),
        ("663-sidecar-sysext", "current"),
        ("663-sidecar-sysext", "next"),
    ]


def test_one_set_is_called_as_its_image(kit: Kit) -> None:
    found = components(predict(kit, extras=("one.raw",)))
    assert {part.name for part in found} == {"linux.efi", "boot.efi"}
    assert len(found) == 8


# --- Order of variants ---------------------------------------------------------------------------


def test_what_has_more_records_goes_first(kit: Kit) -> None:
    """systemd-pcrlock takes the first that fits, and one without records fits always."""
    kit.build("more.addon.efi", "--cmdline", "more", kernel=False)
    addons = ("debug.addon.efi", "more.addon.efi")
    sets = {"a-none": (), "b-some": addons[:1], "c-all": addons, "absent": ("one.raw", addons[0])}
    found = [part for part in components(predict(kit, sets)) if part.component == "660-addons"]
    assert [os.path.basename(part.file) for part in found] == [
        "898-c-all.pcrlock",
        "899-absent.pcrlock",
        "899-b-some.pcrlock",
        "900-absent.pcrlock",
    ]


def test_nothing_to_measure_is_said_too(kit: Kit) -> None:
    """Another image in the same folder may well have a kernel that the firmware loads."""
    settings = Settings(version=262)
    (kernel,) = [
        part
        for part in components(predict(kit, TWO, settings=settings))
        if part.component == "670-uki-kernel"
    ]
    assert kernel.content == b'{"records":[]}\n'
    assert kernel.file == "670-uki-kernel.pcrlock.d/900-absent.pcrlock"


# --- What does not fit ---------------------------------------------------------------------------


def many(kit: Kit, count: int) -> dict[str, tuple[str, ...]]:
    for number in range(count):
        kit.file(f"n{number}.raw", f"{number}")
    return {f"set {number}": (f"n{number}.raw",) for number in range(count)}


def test_more_sets_than_a_policy_has_room_for(kit: Kit) -> None:
    found = components(predict(kit, many(kit, 8)))
    assert len([part for part in found if part.component == "663-sidecar-sysext"]) == 8
    with pytest.raises(UsageError, match="9 sets; systemd-pcrlock can do with 8") as error:
        components(predict(kit, many(kit, 9)))
    assert "pcr sign" in error.value.hint


def test_pcrs_that_systemd_has_components_for(kit: Kit) -> None:
    with pytest.raises(UsageError, match="PCR 4, 11, 12 and 13 only"):
        components(predict(kit, TWO, pcrs=(9,)))
    found = components(predict(kit, TWO, pcrs=(9, 11)))
    assert {each.pcr for part in found for each in part.events} == {11}


def test_pcr_4_has_room_for_half_as_many(kit: Kit) -> None:
    """systemd's own component of separators has two variants."""
    sets = {}
    for number in range(5):
        name = f"a{number}.addon.efi"
        kit.build(name, "--cmdline", f"n={number}", kernel=False)
        sets[str(number)] = (name,)
    with pytest.raises(UsageError, match=r"PCR 4 5 values.*room for 4"):
        components(predict(kit, sets))
    assert components(predict(kit, sets, pcrs=(12,)))
    sets.popitem()
    assert components(predict(kit, sets))


def test_two_sets_of_one_name(kit: Kit) -> None:
    files = [("same", (str(kit.folder / name),)) for name in ("one.raw", "two.raw")]
    request = BootRequest(uki=str(kit.folder / "linux.efi"), sets=tuple(files))
    with pytest.raises(UsageError, match="two sets are called same"):
        components(seal_prediction.predict(request))


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.raw+b_2-1~rc1.raw", "a.raw+b_2-1%7Erc1.raw"),
        ("../x/y z", "..%2Fx%2Fy%20z"),
        ("100%", "100%25"),
        ("é=\udcff", "%C3%A9%3D%FF"),
        ("x" * 96, "x" * 96),
        ("x" * 97, "x" * 63 + "=" + hashlib.sha256(b"x" * 97).hexdigest()[:32]),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_long_names_differ(kit: Kit, tmp_path: Path) -> None:
    """A set is called as all its files together, where nobody names it."""
    long = "+".join(f"extension-{number}.raw" for number in range(40))
    sets = {f"{long}+a": ("one.raw",), f"{long}+b": ("two.raw",), "/etc/passwd": ()}
    paths = write_components(predict(kit, sets), str(tmp_path / "out"), replace=False)
    assert len({path for path in paths if "/663" in path}) == 3
    assert all(Path(path).is_relative_to(tmp_path / "out") for path in paths)
    assert max(len(os.path.basename(path)) for path in paths) <= 3 + 1 + 96 + len(".pcrlock")


# --- Files that are there already ----------------------------------------------------------------


def test_the_same_again_changes_nothing(kit: Kit, tmp_path: Path) -> None:
    first = write_components(predict(kit, TWO), str(tmp_path / "out"), replace=False)
    before = {path: (os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in first}
    assert write_components(predict(kit, TWO), str(tmp_path / "out"), replace=False) == first
    after = {path: (os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in first}
    assert after == before


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (("two.raw", "token.cred"), "663-sidecar-sysext.pcrlock.d/899"),
        (("one.raw", "token.cred", "debug.addon.efi"), "662-sidecar-config.pcrlock.d/899"),
        (("one.raw",), "662-sidecar-config.pcrlock.d/899"),
        (("token.cred",), "663-sidecar-sysext.pcrlock.d/899"),
    ],
)
def test_another_variant_of_the_name(
    kit: Kit, tmp_path: Path, files: tuple[str, ...], place: str
) -> None:
    """Also one with another number of records, which has another path."""
    out = tmp_path / "out"
    write_components(predict(kit, TWO), str(out), replace=False)
    before = written(out)
    changed = predict(kit, {**TWO, "current": files})
    with pytest.raises(OutputError, match="has other measurements") as error:
        write_components(changed, str(out), replace=False)
    assert error.value.file == f"{out}/{place}-current.pcrlock"
    assert written(out) == before
    paths = write_components(changed, str(out), replace=True)
    left = {str(path) for path in out.rglob("*.pcrlock")} - set(paths)
    # A set without an addon may be there under another name, of another call.
    assert {os.path.basename(path) for path in left} <= {"900-absent.pcrlock"}


def test_a_set_called_as_an_empty_one(kit: Kit, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for files in (("one.raw",), ("two.raw",), ()):
        write_components(predict(kit, {"absent": files, "x": ()}), str(out), replace=True)
    folder = out / "663-sidecar-sysext.pcrlock.d"
    assert [path.name for path in folder.iterdir()] == ["900-absent.pcrlock"]


def test_files_of_others_stay(kit: Kit, tmp_path: Path) -> None:
    folder = tmp_path / "out/663-sidecar-sysext.pcrlock.d"
    folder.mkdir(parents=True)
    others = ["mine.pcrlock", "300-other.pcrlock", "current.pcrlock", "abc-current.pcrlock"]
    for name in others:
        (folder / name).write_text("{}")
    write_components(predict(kit, TWO), str(tmp_path / "out"), replace=True)
    assert {path.name for path in folder.iterdir()} >= set(others)
    assert len(list(folder.iterdir())) == len(others) + 2


def test_what_is_no_file_is_not_replaced(kit: Kit, tmp_path: Path) -> None:
    place = tmp_path / "out/630-boot-loader-code.pcrlock.d/899-boot.efi.pcrlock"
    place.mkdir(parents=True)
    for replace in (False, True):
        with pytest.raises(OutputError):
            write_components(predict(kit, TWO), str(tmp_path / "out"), replace=replace)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_a_profile_has_a_name_of_its_own(kit: Kit, tmp_path: Path) -> None:
    profile = kit.profile("rescue", "--cmdline", "rescue")
    kit.build("two.efi", "--cmdline", "quiet", "--profile", "ID=main", "--join-profile", profile)
    out = str(tmp_path / "out")
    for number in (0, 1):
        settings = Settings(profile=number)
        write_components(predict(kit, image="two.efi", settings=settings), out, replace=False)
    found = sorted(path.name for path in Path(out, "650-uki.pcrlock.d").iterdir())
    assert [name[4:] for name in found] == ["two.efi.pcrlock", "two.efi@1.pcrlock"]
