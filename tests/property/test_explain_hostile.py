"""Whatever logs, documents and values hold, they are explained or refused in our words."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import log_kit
from log_kit import BOTH, make_addon, make_log, make_uki, write
from sysgraft.base.blob import BytesBlob
from sysgraft.cli.pcr_explain import as_json
from sysgraft.cli.pcr_predict import as_json as prediction_json
from sysgraft.errors import FormatError, SysgraftError
from sysgraft.formats import device_path, pcr_values
from sysgraft.formats.eventlog import Event
from sysgraft.measure import comparison, events
from sysgraft.seal import approved
from sysgraft.seal.archive_search import search
from sysgraft.seal.explanation import ExplainRequest, explain
from sysgraft.seal.file_changes import changes
from sysgraft.seal.known import AtHand, Content, gather
from sysgraft.seal.prediction import BootRequest, predict

if TYPE_CHECKING:
    from pathlib import Path

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["sha256", "EV_IPL", "archive", "00" * 32, "11"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)  # fmt: skip
texts = st.sampled_from(
    ["System extension initrd", "Entry credentials initrd", "quiet", ".cmdline", "x", ""]
)
measured = st.builds(
    lambda pcr, kind, data, text: Event(
        pcr, kind, log_kit.hashed(data, BOTH), events.wide(text) if text else data
    ),
    st.sampled_from([0, 4, 4, 7, 11, 12, 12, 13]),
    st.sampled_from([4, 5, 6, 13, 0x8000_0003, 0x8000_0007, 0xFFFF_FFFF]),
    st.binary(max_size=40),
    texts,
)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> BootRequest:
    folder = tmp_path_factory.mktemp("boot")
    write(folder, "x.efi", make_uki())
    for name, data in (
        ("a.raw", b"a"),
        ("b.raw", b"b"),
        ("c.cred", b"c"),
        ("d.addon.efi", make_addon(b"debug")),
    ):
        write(folder, f"extra/{name}", data)
    return BootRequest(uki=str(folder / "x.efi"), extras=(str(folder / "extra"),))


def explained(tmp_path: Path, log: bytes, boot: BootRequest, **more: Any) -> dict[str, object]:
    path = write(tmp_path, "log", log)
    return as_json(explain(ExplainRequest(log=str(path), boot=boot, **more)))


@relaxed
@given(data=st.data())
def test_a_log_with_anything_in_it(data: st.DataObject, boot: BootRequest, tmp_path: Path) -> None:
    found = log_kit.boot_events(boot)
    for each in data.draw(st.lists(measured, max_size=4)):
        found.insert(data.draw(st.integers(0, len(found))), each)
    for _ in range(data.draw(st.integers(0, 3))):
        del found[data.draw(st.integers(0, len(found) - 1))]
    document = explained(tmp_path, make_log(found), boot)
    json.dumps(document)
    same = [[e.digests["sha256"] for e in found if e.pcr == pcr] for pcr in (4, 11, 12, 13)]
    good = log_kit.boot_events(boot)
    wanted = [[e.digests["sha256"] for e in good if e.pcr == pcr] for pcr in (4, 11, 12, 13)]
    # PCR 4 may have more from the firmware; in all others any other digest is a finding.
    if same[1:] != wanted[1:]:
        assert document["ok"] is False
    if same == wanted:
        assert document["ok"] is True


@relaxed
@given(place=st.integers(0, 1 << 20), byte=st.integers(0, 255))
def test_a_changed_byte_in_a_log(place: int, byte: int, boot: BootRequest, tmp_path: Path) -> None:
    log = bytearray(make_log(log_kit.boot_events(boot)))
    log[place % len(log)] = byte
    with suppress(SysgraftError):
        json.dumps(explained(tmp_path, bytes(log), boot))


@relaxed
@given(length=st.integers(0, 1 << 20))
def test_a_log_cut_anywhere(length: int, boot: BootRequest, tmp_path: Path) -> None:
    log = make_log(log_kit.boot_events(boot))
    with suppress(SysgraftError):
        document = explained(tmp_path, log[: length % len(log)], boot)
        assert document["ok"] is False


def test_a_log_of_very_many_events(boot: BootRequest, tmp_path: Path) -> None:
    one = Event(13, 13, log_kit.hashed(b"x", BOTH), b"")
    other = Event(13, 13, log_kit.hashed(b"y", BOTH), b"")
    log = make_log([*log_kit.boot_events(boot), *([one, other] * 10_000)])
    assert explained(tmp_path, log, boot, pcrs=(13,))["ok"] is False


@pytest.mark.parametrize(
    ("pcr", "kind", "text"),
    [
        (4, 0x8000_0003, None),
        (4, 0x8000_0007, "Calling EFI Application from Boot Option"),
        (11, 13, ".linux"),
        (12, 13, "quiet"),
        (12, 13, "Entry {} initrd"),
        (13, 13, "System extension initrd"),
    ],
)
def test_a_log_full_of_different_events(
    pcr: int, kind: int, text: str | None, boot: BootRequest, tmp_path: Path
) -> None:
    """As many as a log may have: whatever takes each with each would never end."""
    flood = []
    for number in range(65_000):
        data = log_kit.image_event("\\x.efi") if text is None else events.wide(text.format(number))
        flood.append(Event(pcr, kind, {"sha256": number.to_bytes(32, "little")}, data))
    log = make_log([*log_kit.boot_events(boot, ("sha256",)), *flood], ("sha256",))
    document = explained(tmp_path, log, boot)
    assert document["ok"] is False
    assert len(json.dumps(document)) < 1_000_000


# --- Documents and values ------------------------------------------------------------------------


@relaxed
@given(data=st.data())
def test_any_document(data: st.DataObject, boot: BootRequest, tmp_path: Path) -> None:
    document = {"schema": approved.SCHEMA, **prediction_json(predict(boot))}
    holder: Any = document
    for _ in range(data.draw(st.integers(1, 6))):
        keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key]:
            break
        holder = holder[key]
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    holder[data.draw(st.sampled_from(keys))] = data.draw(values)
    with suppress(ValueError):
        path = write(tmp_path, "approved.json", json.dumps(document))
        with suppress(SysgraftError):
            explained(tmp_path, make_log(log_kit.boot_events(boot)), boot, approved=(str(path),))


@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_for_documents_and_values(data: bytes) -> None:
    with suppress(FormatError):
        approved.parse(data)
    with suppress(FormatError):
        pcr_values.parse(data)


@given(st.binary(max_size=200))
def test_any_device_path(data: bytes) -> None:
    device_path.file_of(data)
    device_path.loaded_file(data)


# --- Comparing -----------------------------------------------------------------------------------


def expected(digest: int) -> events.Event:
    return events.Event(13, "archive", "a", {"sha256": bytes([digest]) * 32}, data=b"a")


def logged(digest: int) -> Event:
    return Event(13, 13, {"sha256": bytes([digest]) * 32}, b"a")


numbers = st.lists(st.integers(0, 4), max_size=12)


def common_length(one: list[int], other: list[int]) -> int:
    """The length of the longest list that both have in their order, by trying all."""
    places = range(len(one))
    for length in range(min(len(one), len(other)), 0, -1):
        for chosen in combinations(places, length):
            rest = iter(other)
            if all(one[place] in rest for place in chosen):
                return length
    return 0


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), max_size=7))
def test_no_more_is_moved_than_has_to_be(wanted: list[int], found: list[int]) -> None:
    result = comparison.compare(
        [logged(each) for each in found], [expected(each) for each in wanted], "sha256"
    )
    lost = sum(each.expected is not None for each in result.differences)
    assert len(wanted) - lost == common_length(wanted, found)


@given(numbers, numbers)
def test_what_differs_accounts_for_all_events(wanted: list[int], found: list[int]) -> None:
    result = comparison.compare(
        [logged(each) for each in found], [expected(each) for each in wanted], "sha256"
    )
    assert (not result.differences) == (wanted == found)
    lost = sum(each.expected is not None for each in result.differences)
    extra = sum(each.found is not None for each in result.differences)
    assert len(wanted) - lost == len(found) - extra


# --- Searching -----------------------------------------------------------------------------------

file_lists = st.dictionaries(
    st.sampled_from([f"{letter}.raw" for letter in "abcdef"]),
    st.integers(0, 3),
    min_size=1,
    max_size=4,
)


def contents_at_hand() -> AtHand:
    found = AtHand()
    for number in range(4):
        key = bytes([number]) * 32
        data = bytes([number]) * number
        found.contents[key] = Content(key, number, BytesBlob(data), f"file{number}", "a.raw")
    found.named = {f"{letter}.raw": [bytes([0]) * 32] for letter in "abcdef"}
    found.named["a.raw"] = [bytes([number]) * 32 for number in range(4)]
    return found


def as_files(listed: dict[str, int]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, bytes([listed[name]]) * 32) for name in sorted(listed))


@settings(max_examples=40)
@given(file_lists, st.data())
def test_every_archive_with_one_change_is_found(base: dict[str, int], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(base)))
    changed = dict(base)
    change = data.draw(st.sampled_from(["missing", "replaced", "renamed", "added"]))
    if change == "missing" and len(base) > 1:
        del changed[name]
    elif change == "replaced":
        changed[name] = data.draw(st.integers(0, 3))
    elif change == "renamed":
        changed[data.draw(st.sampled_from(["a.raw", "f.raw", "x.raw"]))] = changed.pop(name)
        changed.pop("x.raw", None)
    else:
        changed["f.raw"] = data.draw(st.integers(0, 3))
    if not changed:
        return
    at_hand = contents_at_hand()
    target = {"System extension initrd": digest_of(changed)}
    found = search(target, [as_files(base)], at_hand, bank="sha256")
    assert found.files == as_files(changed)
    changes(as_files(base), as_files(changed), at_hand)


def digest_of(listed: dict[str, int]) -> bytes:
    """By another way than the search takes: the archive itself."""
    import hashlib  # noqa: PLC0415

    from sysgraft.formats import stub_archive  # noqa: PLC0415

    folder = stub_archive.Folder(".extra/sysext", 0o555, 0o444)
    files = [stub_archive.File(name, listed[name], listed[name]) for name in sorted(listed)]
    steps = stub_archive.pack(folder, files)
    whole = b"".join(
        step.head + bytes([int(str(step.key))]) * step.size + step.padding for step in steps
    )
    return hashlib.sha256(whole + stub_archive.TRAILER).digest()


def test_known_files_are_taken_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, "a/b/broken.efi", b"MZ")
    write(tmp_path, "a/x.efi", make_uki())
    write(tmp_path, "a/b/c/d/e/too-deep.raw", b"")
    found = gather(None, [str(tmp_path)], "sha256")
    assert set(found.named) == {"broken.efi", "x.efi"}
    assert len(found.programs) == 1
    assert {name for name, _ in found.sections} == {".osrel", ".cmdline", ".linux", ".initrd"}
