"""Unit files: sections, continued lines, comments, lists."""

from __future__ import annotations

import pytest

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import unit_file

TEXT = b"""# a comment
; another
Before=lost
[Unit]
Description = A unit = of ours
Upholds=a.service b.service
Upholds=
Upholds=c.service \\
# a comment between
   d.service
[Service]
ExecStart=/bin/sh -c 'a; b'
no assignment
[Service
Type=oneshot
"""


def test_a_unit_with_everything() -> None:
    unit = unit_file.parse(TEXT)
    assert unit.values("Unit", "Description") == ("A unit = of ours",)
    assert unit.words("Unit", "Upholds") == ("c.service", "d.service")
    assert unit.values("Service", "ExecStart") == ("/bin/sh -c 'a; b'",)
    assert unit.values("Service", "Type") == ("oneshot",)
    assert unit.values("Unit", "Type") == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[U]\nX=a\\\n\nY=b", ("a",)),
        (b"[U]\nX=a\\", ("a",)),
        (b"[U]\r\nX=a\r\n", ("a",)),
        (b"  [U]\n  X  =  a  \n", ("a",)),
        (b"[U]\nX=a\n[V]\nX=b\n[U]\nX=c\n", ("a", "c")),
        (b"", ()),
    ],
)
def test_forms(text: bytes, words: tuple[str, ...]) -> None:
    assert unit_file.parse(text).words("U", "X") == words


def test_what_is_no_unit_file() -> None:
    with pytest.raises(FormatError, match="byte 3"):
        unit_file.parse(b"[U]\xff")
    with pytest.raises(LimitError):
        unit_file.parse(b"x" * (unit_file.MAX_SIZE + 1))
