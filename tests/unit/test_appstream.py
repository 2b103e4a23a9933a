"""AppStream metainfo of firmware packages, and documents that want to do harm."""

from __future__ import annotations

import pytest

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import appstream

SAMPLE = b"""<?xml version="1.0" encoding="UTF-8"?>
<component type="firmware">
  <id>org.debian.firmware_kit</id>
  <name xml:lang="de">anders</name>
  <name>firmware-kit</name>
  <description><p>firmware <em>for</em> the kit</p></description>
  <provides>
    <firmware type="runtime">kit/a.bin</firmware>
    <firmware type="flashed">kit/flash.bin</firmware>
    <modalias>pci:v00001234d*</modalias>
    <binary>kit</binary>
  </provides>
</component>
"""


def test_what_a_package_provides() -> None:
    found = appstream.parse(SAMPLE)
    assert found == appstream.Component(
        "org.debian.firmware_kit", "firmware-kit", ("pci:v00001234d*",), ("kit/a.bin",)
    )


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><component><id>&b;</id></component>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]><component><id>&b;</id></component>',
        b"<component><id>",
        b"<other/>",
        b"",
        b"\xff\xfe",
        b"<a><component/></a>",
    ],
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        appstream.parse(data)


def test_nesting_has_a_limit() -> None:
    deep = b"<component>" + b"<p>" * 100 + b"</p>" * 100 + b"</component>"
    with pytest.raises(LimitError, match="64 deep"):
        appstream.parse(deep)


def test_a_document_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appstream, "MAX_SIZE", 10)
    with pytest.raises(LimitError):
        appstream.parse(SAMPLE)
