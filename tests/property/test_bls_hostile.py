"""Any bytes are a boot loader entry, any name has a counter or none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.formats import bls

words = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=1, max_size=8)
keys = st.sampled_from(["title", "options", "initrd", "extra", "linux", "unknown"])


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry(data: bytes) -> None:
    for text in (data, b"title " + data, b"options '" + data + b"'"):
        entry = bls.parse(text)
        for value in (entry.title, entry.options, *(v for pair in entry.others for v in pair)):
            assert "\0" not in value
            value.encode("utf-16-le")
            assert len(value.encode("utf-16-le")) == 2 * len(value)


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=40))
def test_text_that_ucs2_has_is_kept(text: str) -> None:
    line = text.translate({ord(c): None for c in "\0\r\n"}).strip(" \t")
    value = line[1:-1] if line[:1] in ("'", '"') and line[-1:] == line[:1] else line
    assert bls.parse(f"title {line}".encode()).title == value


@given(
    st.lists(st.tuples(keys, words), max_size=12), st.sampled_from(["\n", "\r", "\r\n", "\n \n"])
)
def test_lines_are_what_was_written(pairs: list[tuple[str, str]], end: str) -> None:
    written = [(key, f"x{word}") for key, word in pairs]
    entry = bls.parse(end.join(f" {key}\t {value} " for key, value in written).encode())

    def of(key: str) -> list[str]:
        return [value for name, value in written if name == key]

    assert entry.options == " ".join(of("options"))
    assert (list(entry.initrds), list(entry.extras)) == (of("initrd"), of("extra"))
    assert (entry.title, entry.linux) == ((of("title") or [""])[-1], (of("linux") or [""])[-1])
    assert entry.others == tuple(("unknown", value) for value in of("unknown"))


@given(st.text("+-.0123efi/", max_size=20), st.sampled_from(["", ".efi", ".conf"]))
def test_counters_come_out_whole(stem: str, suffix: str) -> None:
    name = stem + suffix
    found = bls.split_counter(name)
    if found.left is None:
        assert found == (name, None, None)
    else:
        assert name.startswith(found.name.rpartition(".")[0] + "+")
        assert found.name.endswith((".efi", ".conf"))
        if found.done is not None and "+0" not in name and "-0" not in name:
            counter = f"+{found.left}-{found.done}", f"+{found.left}"
            assert name.endswith(tuple(each + suffix for each in counter))
    assert bls.extra_folder(name).endswith(".extra.d")


@given(st.text("ab.+", max_size=8), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_counted_names_survive(stem: str, left: int, done: int) -> None:
    for suffix in (".efi", ".conf"):
        assert bls.split_counter(f"{stem}+{left}-{done}{suffix}") == (stem + suffix, left, done)
        assert bls.split_counter(f"{stem}+{left}{suffix}") == (stem + suffix, left, 0)
