"""Whatever a guest sends, the lab tells what it understood and nothing breaks."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import SysgraftError
from sysgraft.formats import tpm_commands
from sysgraft.lab import afterwards, answers, serial

NAMES = st.sampled_from(
    ["kernel", "sysext", "confext", "status", "output", "os-release", "systemd", "file:x", "end"]
)
ITEMS = st.lists(st.tuples(NAMES | st.text(max_size=8), st.binary(max_size=64)), max_size=8)


def sent(items: list[tuple[str, bytes]]) -> bytes:
    return b"".join(
        name.encode(errors="replace") + b" %d\n" % len(data) + data + b"\n" for name, data in items
    )


@given(st.binary(max_size=300))
def test_any_bytes_are_answers_of_some_kind(data: bytes) -> None:
    answers.parse(data)
    afterwards.read_ima(data)
    afterwards.read_records(data)
    serial.readable(data)


@given(ITEMS, st.integers(0, 700))
def test_items_cut_anywhere_are_those_before_the_cut(
    items: list[tuple[str, bytes]], cut: int
) -> None:
    data = sent(items)
    whole, _ = answers.split(data)
    part, complete = answers.split(data[:cut])
    assert set(part) <= set(whole)
    answers.parse(data[:cut])
    if complete:
        assert b"end " in data[:cut]


@given(st.dictionaries(st.from_regex(r"[a-z:.-]{1,20}", fullmatch=True), st.binary(), max_size=6))
def test_what_the_probe_sends_comes_back(items: dict[str, bytes]) -> None:
    items.pop("end", None)
    found, complete = answers.split(sent(list(items.items())) + b"end 0\n\n")
    assert (found, complete) == (items, True)


@given(st.binary(max_size=200))
def test_a_list_of_records_may_hold_any_json(data: bytes) -> None:
    for text in (b"[]", b"{}", b"1", b'{"pcr": 1, "digests": 5}', b'{"pcr": 1, "digests": [1]}'):
        assert afterwards.read_records(b"\x1e" + text + b"\x1e" + data) == ()


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_the_serial_port_may_say_anything_in_any_pieces(pieces: list[bytes]) -> None:
    file = io.BytesIO()
    log = serial.SerialLog(file)
    for piece in pieces:
        place = file.tell()
        file.write(piece)
        file.seek(place)
        log.read()
    assert log.data == b"".join(pieces)


@given(st.binary(max_size=120))
def test_a_tpm_may_answer_anything(data: bytes) -> None:
    framed = b"\x80\x01" + (len(data) + 10).to_bytes(4, "big") + bytes(4) + data
    for answer in (data, framed):
        try:
            tpm_commands.read_banks(answer)
            tpm_commands.read_pcrs(answer, 0x000B)
        except SysgraftError:
            pass
