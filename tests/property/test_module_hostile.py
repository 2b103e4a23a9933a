"""Modules, units, indexes and firmware of any kind give an answer or a format error."""

from __future__ import annotations

import lzma

from hypothesis import given
from hypothesis import strategies as st

from lint_kit import elf, module, xz
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import firmware_file, modinfo, module_signature, modules_dep, unit_file
from sysgraft.testing.certificates import make_identity

SIGNED = module(signer=make_identity("hostile", kind="p256"))
WORDS = st.text("ab =\\#;[]\n\r\t'%", max_size=80)


def read(data: bytes) -> None:
    blob = BytesBlob(data)
    for parse in (modinfo.parse, module_signature.parse):
        try:
            parse(blob)
        except FormatError:
            continue


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    read(data)
    read(b"\x7fELF\x02\x01\x01" + data)
    read(data + module_signature.MARK)
    modules_dep.listed(data)
    for name in (b"x", b"x.zst", b"x.xz"):
        firmware_file.problem(name, data)


@given(st.data())
def test_a_changed_module(data: st.DataObject) -> None:
    """One run of bytes overwritten anywhere, headers above all."""
    changed = bytearray(SIGNED)
    at = data.draw(st.integers(0, len(changed) - 1) | st.integers(0, 63))
    part = data.draw(st.binary(min_size=1, max_size=8))
    changed[at : at + len(part)] = part
    read(bytes(changed))


@given(st.integers(0, len(SIGNED)))
def test_a_module_that_was_cut(end: int) -> None:
    read(SIGNED[:end])


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text("ab =", max_size=9)))
def test_what_is_written_is_read(fields: dict[str, str]) -> None:
    section = b"".join(f"{key}={value}\0".encode() for key, value in fields.items())
    info = modinfo.parse(BytesBlob(elf({b".modinfo": section})))
    assert dict(info.fields) == fields


@given(WORDS | st.text(max_size=60))
def test_any_text_is_a_unit_file(text: str) -> None:
    unit = unit_file.parse(text.encode(errors="replace"))
    assert all("\n" not in value and key == key.strip() for _, key, value in unit.assignments)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Z][a-z]{1,6}", fullmatch=True),
            st.text("abc.=[]/ ", max_size=12).map(str.strip),
        ),
        max_size=6,
    )
)
def test_assignments_come_back(pairs: list[tuple[str, str]]) -> None:
    text = "[Unit]\n" + "".join(f"{key} = {value}\n" for key, value in pairs)
    assert [each[1:] for each in unit_file.parse(text.encode()).assignments] == pairs


@given(st.binary(max_size=2000), st.sampled_from([lzma.CHECK_NONE, lzma.CHECK_CRC32]))
def test_xz_that_linux_reads(data: bytes, check: int) -> None:
    assert firmware_file.problem(b"x.xz", xz(data, check)[: firmware_file.HEAD_SIZE]) == ""
