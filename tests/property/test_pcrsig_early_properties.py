"""What a signature file brings in the initrd, held against the script that collects it there.

The functions of the script are run by dash on whatever file; the result has to be JSON with the
very entries that `sysgraft.formats.pcrsig_early` says are taken.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sysgraft.formats import pcrsig
from sysgraft.formats.pcrsig_early import left_out, taken
from sysgraft.seal.early import tree

if shutil.which("dash") is None:
    pytest.skip("the program dash is missing", allow_module_level=True)

SCRIPT: Final = tree.files()[0].data.decode()
# Everything before the script begins to do something.
FUNCTIONS: Final = SCRIPT[: SCRIPT.index("\nfor program in ")]
CALLS: Final = 'merged "$1" || exit 9; all_taken "$1" && echo all || echo some\n'

HEX: Final = st.sampled_from(["ab" * 32, "AB" * 32, "0" * 64, "ab" * 31, "g" * 64, ""])
REFERENCES: Final = st.sampled_from(
    ["", "initrd", "a b/c[1]~^`", 'q"', "a\\b", "{", "é", "\t", "|"]
)
SIGNATURES: Final = st.sampled_from(["QUJD", "QUJD+/==", "====", "QQ", "Q\\/JD", ""])
PCRS: Final = st.lists(st.integers(0, 25), max_size=3)


def document(pcrs: str, bank: str = "sha256") -> bytes:
    """A file with one entry that is good but for its PCRs or its bank."""
    rest = '"pkfp":"' + "ab" * 32 + '","pol":"' + "cd" * 32 + '","sig":"QUJD"}]}'
    return f'{{"{bank}":[{{"pcrs":{pcrs},{rest}'.encode()


BANKS: Final = st.sampled_from(["sha1", "sha256", "sha384", "sha512", "sha3", "sm3_256", "shaX"])


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """An entry, mostly one that is good."""
    good = {"pcrs": [11, 13], "pkfp": "ab" * 32, "pol": "Cd" * 32, "sig": "QUJDRA=="}
    strategies = {"pcrs": PCRS, "pkfp": HEX, "ref": REFERENCES, "pol": HEX, "tbs": HEX}
    chosen = draw(st.sets(st.sampled_from([*strategies, "sig"]), max_size=2))
    for name in sorted(chosen):
        good[name] = draw(strategies.get(name, SIGNATURES))
    order = ["pcrs", "pkfp", "ref", "pol", "tbs", "sig"]
    if draw(st.integers(0, 9)) == 0:
        order = draw(st.permutations(order))
    return {name: good[name] for name in order if name in good}


DOCUMENTS: Final = st.dictionaries(BANKS, st.lists(entries(), max_size=3), max_size=3)
LAYOUTS: Final = st.sampled_from([None, 0, 1, "\t"])
PIECES: Final = st.sampled_from(
    b' |\t|\r\n|}|{|{"pcrs"|"sha256": [|\\|"|,|\x01|\x00|\xff|]|[|{"pcrs":[|"sha1" : [|{ '
    b"|\xef\xbb\xbf".split(b"|")
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file: JSON in some layout, then maybe damaged in a few places."""
    document = json.dumps(draw(DOCUMENTS), indent=draw(LAYOUTS), ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        document = document.replace('": ', '" : ').replace('", "', '" , "')
    data = document.encode()
    for _ in range(draw(st.integers(0, 3)) if draw(st.booleans()) else 0):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 0, 1, 2, 40]))
        data = data[:start] + draw(PIECES) + data[start + length :]
    return data


def _script(data: bytes) -> tuple[dict[str, list[dict[str, Any]]], bool]:
    """What the script makes of a file, and whether it took everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "file").write_bytes(data)
        (folder / "script").write_text(FUNCTIONS.replace("work=$run", "work=$2 #") + CALLS)
        done = subprocess.run(
            ["dash", "-c", f". {folder}/script", "script", f"{folder}/file", name],
            capture_output=True,
            check=True,
        )
    text, verdict = done.stdout.decode("ascii").rsplit("\n", 2)[:2]
    return json.loads(text), verdict == "all"


def _comparable(found: pcrsig.Signatures) -> dict[str, list[tuple[object, ...]]]:
    return {
        bank: [(e.pcrs, e.fingerprint, e.reference, e.policy, e.signature) for e in each]
        for bank, each in found.items()
    }


def _plain(document: dict[str, list[dict[str, Any]]]) -> dict[str, list[tuple[object, ...]]]:
    return {bank: [_fields(each) for each in entries] for bank, entries in document.items()}


def _fields(entry: dict[str, Any]) -> tuple[object, ...]:
    signature = entry["sig"].encode()
    if re.fullmatch(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", signature):
        signature = base64.b64decode(signature)
    fingerprint, policy = (bytes.fromhex(entry[name]) for name in ("pkfp", "pol"))
    return tuple(sorted(set(entry["pcrs"]))), fingerprint, entry.get("ref", ""), policy, signature


@settings(max_examples=120, deadline=None)
@given(files())
@example(b"")
@example(document("[01,13]"))
@example(document("[11, 07]"))
@example(document("[11,24]"))
@example(document("[ 0 , 23 ]"))
@example(document("[11]", bank="sha3"))
@example(document("[11]")[:-1] + b"," + document("[13]", bank="md5")[1:])
@example(document("[11]").replace(b'"pcrs"', b'"more":"x","pcrs"'))
@example(b'\xef\xbb\xbf{"sha256":[{"pcrs":[0],"pkfp":"' + b"a" * 64 + b'"}]}')
def test_the_script_takes_the_same_entries(data: bytes) -> None:
    document, all_taken = _script(data)
    assert _comparable(taken(data)) == _plain(document)
    assert all_taken == (left_out(data) == 0)


@given(files())
def test_what_is_written_here_is_taken_wholly(data: bytes) -> None:
    found = taken(data)
    known = {bank: [e for e in each if len(e.pcrs)] for bank, each in found.items()}
    again = pcrsig.render(known).encode()
    assert _comparable(taken(again)) == _comparable(found)
    assert left_out(again) == 0


@given(st.binary(max_size=200))
def test_nothing_makes_it_fail(data: bytes) -> None:
    assert taken(data) == {}
    assert left_out(data) == data.replace(b"\x01", b"").count(b'"pcrs"')
