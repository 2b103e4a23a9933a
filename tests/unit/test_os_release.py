"""os-release files: what systemd's parser gives, and nothing else."""

from __future__ import annotations

import pytest

from sysgraft.errors import FormatError, LimitError, UsageError
from sysgraft.formats import os_release


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        # Plain lines, blanks, comments.
        ("ID=debian\nVERSION_ID=13\n", {"ID": "debian", "VERSION_ID": "13"}),
        ("\n  ID = debian  \r\n", {"ID": "debian"}),
        ("# ID=a\n;ID=b\n ID=c", {"ID": "c"}),
        ("ID=a # not a comment\n", {"ID": "a # not a comment"}),
        ("no assignment\nID=a\n", {"ID": "a"}),
        ("A=\nB=", {"A": "", "B": ""}),
        ("A=1\nB=2\nA=3\n", {"A": "3", "B": "2"}),
        ("A=b=c\n", {"A": "b=c"}),
        # Quotes.
        ('A="x y"\n', {"A": "x y"}),
        ("A='x \"$y'\n", {"A": 'x "$y'}),
        ('A="it\'s" "so"\'!\'\n', {"A": "it'sso!"}),
        ('A="x"y z \n', {"A": "xy z"}),
        ('A=x"y"\n', {"A": 'x"y"'}),
        ('A="two\nlines"\n', {"A": "two\nlines"}),
        ('A="open\nB=2\n', {"A": "open\nB=2\n"}),
        # Escapes and continued lines.
        ("b=b\\\nc\nd= d\\\ne  \\\nf  \n", {"b": "bc", "d": "de  f"}),
        ("g=g\\ \nh= x y \ni=i\\", {"g": "g ", "h": "x y", "i": "i"}),
        ("a=\\ \\n \\t \\x \\' \n", {"a": " n t x '"}),
        ("c= ' \\n\\`\\\\\n'   \n", {"c": " \\n\\`\\\\\n"}),
        ('d= " \\n\\t\\$\\`\\\\\n"   \n', {"d": " \\n\\t$`\\\n"}),
        ('A="x\\\ny"\n', {"A": "xy"}),
        # A comment ends with its line, even after a backslash (since systemd 254).
        ("# old \\\nA=1\n", {"A": "1"}),
    ],
)
def test_a_file_is_read_as_systemd_reads_it(text: str, fields: dict[str, str]) -> None:
    assert os_release.parse(text.encode()) == fields


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ID=a\0b\n", "NUL"),
        (b"ID=\xff\n", "not UTF-8 at byte 3"),
        (b"ID=\xed\xa0\x80\n", "not UTF-8"),
        ("ID=\ufffe\n".encode(), "noncharacter"),
        ("ID=\ufdd0\n".encode(), "noncharacter"),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        os_release.parse(data)


def test_the_size_is_limited() -> None:
    os_release.parse(b"#" * os_release.MAX_SIZE)
    with pytest.raises(LimitError, match="65537 bytes"):
        os_release.parse(b"#" * (os_release.MAX_SIZE + 1))


def test_the_number_of_fields_is_limited() -> None:
    with pytest.raises(LimitError, match="1024 fields"):
        os_release.parse(b"".join(b"F%d=\n" % n for n in range(os_release.MAX_FIELDS + 1)))


def test_values_are_quoted_only_where_a_shell_needs_it() -> None:
    fields = {"ID": "_any", "VERSION_ID": "24.04", "A": "", "B": "x y", "C": '$(id) `"\\'}
    assert os_release.render(fields) == (
        b'ID=_any\nVERSION_ID=24.04\nA=\nB="x y"\nC="\\$(id) \\`\\"\\\\"\n'
    )


def test_no_fields_make_an_empty_file() -> None:
    assert os_release.render({}) == b""


@pytest.mark.parametrize("key", ["", "id", "1A", "A B", "A=B", "A\n", "É", "A-B"])
def test_a_key_that_is_no_variable_name_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="no os-release key"):
        os_release.render({key: "x"})


@pytest.mark.parametrize("value", ["a\nID=other", "a\r", "a\0", "\x1b[1m", "\ud800", "\uffff"])
def test_a_value_that_could_start_another_line_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="value of NAME"):
        os_release.render({"NAME": value})
