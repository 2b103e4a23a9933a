"""WHENCE, as linux-firmware's own scripts read it."""

from __future__ import annotations

import pytest

from sysgraft.errors import LimitError
from sysgraft.formats import whence

SAMPLE = b"""\
**********
* WHENCE *
**********

This file attempts to document the origin.

--------------------------------------------------------------------------

Driver: iwlwifi - Intel Wireless Wifi

File: iwlwifi-1.ucode
Version: 1.2
RawFile: "intel/a b.bin"
File: c\\ d.bin
Link: intel/newest.bin -> a b.bin

Licence: Redistributable. See LICENCE.iwlwifi_firmware for details
  and LICENSE.other.

--------------------------------------------------------------------------

Driver: snd-maestro3, emu10k1 -- sound cards

Link: broken
File: ../outside.bin
File: iwlwifi-1.ucode
File:
Source: sources/

License: GPL-2. See GPL-2 for details. See amd/LICENSE.amdnpu too.
Info: not a licence
"""


def test_records() -> None:
    found = whence.parse(SAMPLE)
    (record,) = found.records
    assert record.drivers == ["iwlwifi"]
    assert [(e.path, e.target, e.is_raw) for e in record.entries] == [
        ("iwlwifi-1.ucode", "", False),
        ("intel/a b.bin", "", True),
        ("c d.bin", "", False),
        ("intel/newest.bin", "a b.bin", False),
    ]
    assert record.versions == ["1.2"]
    assert record.licence.startswith("Redistributable.")
    assert record.licence_files() == ("LICENCE.iwlwifi_firmware", "LICENSE.other")


def test_problems_name_their_line() -> None:
    problems = dict(whence.parse(SAMPLE).problems)
    assert problems == {
        24: "a Link without a target",
        25: "a name that leads out of the folder, or is none: '../outside.bin'",
        26: "'iwlwifi-1.ucode' was named in line 11 already",
        27: "a name that leads out of the folder, or is none: ''",
    }


def test_several_drivers_and_licence_files_in_folders() -> None:
    record = whence.parse(SAMPLE.replace(b"File: ../outside", b"File: inside")).records[1]
    assert record.drivers == ["snd-maestro3", "emu10k1"]
    assert record.licence_files() == ("GPL-2", "amd/LICENSE.amdnpu")
    assert "not a licence" not in record.licence


def test_a_whence_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whence, "MAX_SIZE", 10)
    with pytest.raises(LimitError):
        whence.parse(SAMPLE)


def test_terms_are_cut() -> None:
    record = whence.parse(b"File: a\nLicence: x\n" + b"y" * 70_000 + b"\n" * 9).records[0]
    assert len(record.licence) == whence.MAX_LICENCE
