"""os-release files: what is written is what is read, and no input breaks the parser."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError
from sysgraft.formats import os_release

keys = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=40)


@given(st.dictionaries(keys, values, max_size=6))
def test_what_is_rendered_parses_to_the_same_fields(fields: dict[str, str]) -> None:
    assert os_release.parse(os_release.render(fields)) == fields


@given(st.one_of(st.binary(max_size=200), st.text("A=B\\\"' \t\r\n#;$x", max_size=60)))
def test_any_input_gives_fields_or_a_format_error(data: bytes | str) -> None:
    raw = data.encode() if isinstance(data, str) else data
    try:
        fields = os_release.parse(raw)
    except FormatError:
        return
    assert sum(len(k) + len(v) for k, v in fields.items()) <= len(raw)
