"""Signed PCR policies: documents of systemd, hostile ones, joining and answering them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import pcrsig
from sysgraft.formats.pcrsig import Entry, attach, merge, parse, render

KEY: Final = bytes(range(32))
POLICY: Final = bytes(range(32, 64))
ENTRY: Final = Entry((11,), KEY, POLICY, b"signature")
OPEN: Final = replace(ENTRY, signature=b"")
FIELDS: Final[dict[str, Any]] = {
    "pcrs": [11],
    "pkfp": KEY.hex(),
    "pol": POLICY.hex(),
    "sig": "c2ln",
}


def document(**changes: object) -> str:
    """A document with one entry, with other fields; None leaves one out."""
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return json.dumps({"sha256": [fields]})


def test_a_document_of_systemd_measure_262_is_read() -> None:
    key = "74c8338f33473cfbc1cae84e356b3077faad1b7b8ff4e5724085fcf0f1be8e59"
    policy = "c22af341d2137e3ddccea7b685d3fd1e0742b09cbd0524c544d50b95af928082"
    to_sign = f"{policy}09e6c018d2c8c4903308613dd1b72484d57eadf12ec50ddc8f52e5accce470f2"
    text = (
        f'{{"sha256":[{{"pcrs":[11],"pkfp":"{key}","ref":"initrd","pol":"{policy}",'
        f'"tbs":"{to_sign}"}}]}}\n'
    )
    entry = Entry(
        (11,), bytes.fromhex(key), bytes.fromhex(policy), reference="initrd",
        to_sign=bytes.fromhex(to_sign),
    )  # fmt: skip
    assert parse(text) == {"sha256": (entry,)}
    compact = json.dumps(json.loads(render(parse(text))), separators=(",", ":"))
    assert compact + "\n" == text


def test_documents_have_the_words_of_ukify() -> None:
    text = render({"sha1": [ENTRY], "sha256": []})
    assert text == (
        f'{{"sha1": [{{"pcrs": [11], "pkfp": "{KEY.hex()}", "pol": "{POLICY.hex()}", '
        f'"sig": "c2lnbmF0dXJl"}}], "sha256": []}}'
    )
    assert parse(text) == {"sha1": (ENTRY,), "sha256": ()}


@pytest.mark.parametrize("padding", ["", " " * 5000, "\n", "\0\0", " \t\r\n\0 \0"])
def test_padding_is_passed_over(padding: str) -> None:
    for text in (document() + padding, (document() + padding).encode()):
        assert parse(text) == {"sha256": (Entry((11,), KEY, POLICY, b"sig"),)}


@pytest.mark.parametrize(
    ("changes", "entry"),
    [
        ({"sig": None}, OPEN),
        ({"pkfp": None, "sig": None}, replace(OPEN, fingerprint=b"")),
        ({"pcrs": [13, 11], "sig": None}, replace(OPEN, pcrs=(11, 13))),
        ({"pcrs": list(range(24)), "sig": None}, replace(OPEN, pcrs=tuple(range(24)))),
        ({"ref": "", "sig": None}, OPEN),
        ({"ref": "ä€", "sig": None}, replace(OPEN, reference="ä€")),
        ({"pol": POLICY.hex().upper(), "sig": None}, OPEN),
        ({"unknown": {"a": [1.5, None]}, "sig": None}, OPEN),
    ],
)
def test_fields_that_may_be_there_or_not(changes: dict[str, object], entry: Entry) -> None:
    assert parse(document(**changes)) == {"sha256": (entry,)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pcrs": None}, "does not name its PCRs"),
        ({"pcrs": []}, "does not name its PCRs"),
        ({"pcrs": 11}, "does not name its PCRs"),
        ({"pcrs": {"11": 1}}, "does not name its PCRs"),
        ({"pcrs": ["11"]}, "something that is no PCR"),
        ({"pcrs": [24]}, "something that is no PCR"),
        ({"pcrs": [-1]}, "something that is no PCR"),
        ({"pcrs": [11.0]}, "something that is no PCR"),
        ({"pcrs": [True]}, "something that is no PCR"),
        ({"pcrs": [1 << 4000]}, "something that is no PCR"),
        ({"pcrs": [[]]}, "something that is no PCR"),
        ({"pcrs": [11, 11]}, "names a PCR twice"),
        ({"pol": None}, "no policy digest"),
        ({"pol": ""}, "no policy digest"),
        ({"pol": "00" * 31}, "wrong length"),
        ({"pol": "00" * 33}, "wrong length"),
        ({"pol": 5}, "field pol that is not hexadecimal"),
        ({"pol": ["00" * 32]}, "field pol that is not hexadecimal"),
        ({"pol": "0" * 63}, "field pol that is not hexadecimal"),
        ({"pol": "0x" + "00" * 31}, "field pol that is not hexadecimal"),
        ({"pol": "\u0660" * 64}, "field pol that is not hexadecimal"),
        ({"pkfp": "00"}, "wrong length"),
        ({"pkfp": {}}, "field pkfp that is not hexadecimal"),
        ({"tbs": "zz"}, "field tbs that is not hexadecimal"),
        ({"sig": "c2l"}, "not base64"),
        ({"sig": "c2ln!"}, "not base64"),
        ({"sig": "ä"}, "not base64"),
        ({"sig": "c2ln\n"}, "not base64"),
        ({"sig": 1}, "not base64"),
        ({"sig": []}, "not base64"),
        ({"ref": 1}, "reference that is no text"),
        ({"ref": ["initrd"]}, "reference that is no text"),
        ({"ref": "a\0b"}, "reference that is no text"),
        ({"ref": "\ud800"}, "reference that is no text"),
    ],
)
def test_entries_that_are_wrong(changes: dict[str, object], words: str) -> None:
    with pytest.raises(FormatError, match=f"^a PCR signature of sha256 .*{words}"):
        parse(document(**changes))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("\0", "not JSON"),
        ("{", "not JSON"),
        ("{}x", "not JSON"),
        ("{'sha1': []}", "not JSON"),
        ("\ufeff{}", "not JSON"),
        (b"\xff{}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a":' * 100_000, "not JSON"),
        ('{"sha1": [' + "9" * 10_000 + "]}", "not JSON"),
        ('{"sha1": [NaN]}', "not JSON"),
        ('{"sha1": [{"x": -Infinity}]}', "not JSON"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ('"{}"', "not an object"),
        ("5", "not an object"),
        ('{"sha1": {}}', "sha1 are not a list"),
        ('{"sha1": null}', "sha1 are not a list"),
        ('{"sha1": "[]"}', "sha1 are not a list"),
        ('{"sha1": [[]]}', "of sha1 is not an object"),
        ('{"sha1": [null]}', "of sha1 is not an object"),
        ('{"sha1": [1e999]}', "of sha1 is not an object"),
        ('{"sha1": [], "sha1": []}', "name twice"),
        ('{"sha1": [{"pol": "", "pol": ""}]}', "name twice"),
        ('{"": []}', "no PCR bank"),
        ('{"SHA1": []}', "no PCR bank"),
        ('{"\\u001b[31m": []}', "no PCR bank"),
        ('{"' + "a" * 17 + '": []}', "no PCR bank"),
        ('{"sha1\\n": []}', "no PCR bank"),
    ],
)
def test_documents_that_are_wrong(text: str | bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words) as caught:
        parse(text)
    assert caught.value.message.isprintable()


def test_size_and_number_of_entries_are_limited() -> None:
    assert parse("{}".ljust(pcrsig.MAX_SIZE)) == {}
    with pytest.raises(LimitError, match="the limit is 4194304"):
        parse("{}".ljust(pcrsig.MAX_SIZE + 1))
    half = [{"pcrs": [1], "pol": "00" * 32}] * (pcrsig.MAX_ENTRIES // 2)
    assert len(parse(json.dumps({"sha1": half, "sha256": half}))["sha1"]) == len(half)
    with pytest.raises(LimitError, match="more than 8192"):
        parse(json.dumps({"sha1": half, "sha256": [*half, {}]}))


def test_unknown_fields_are_not_kept() -> None:
    assert json.loads(render(parse(document(unknown=1)))) == {"sha256": [FIELDS]}


# --- Joining and answering -----------------------------------------------------------------------


def other(number: int, **changes: Any) -> Entry:
    return replace(ENTRY, policy=bytes([number] * 32), **changes)


def test_joined_documents_hold_every_entry_once() -> None:
    one = {"sha256": (ENTRY, other(1)), "sha1": (ENTRY,)}
    two = {"sha512": (), "sha256": (other(2), other(1), other(1, signature=b"else"))}
    joined = merge(one, two)
    assert joined == {
        "sha256": (ENTRY, other(1), other(2), other(1, signature=b"else")),
        "sha1": (ENTRY,),
        "sha512": (),
    }
    assert list(joined) == ["sha256", "sha1", "sha512"]
    assert merge(joined, one, two) == joined
    assert merge() == {}


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        (ENTRY, True),
        (replace(ENTRY, fingerprint=b""), True),
        (replace(ENTRY, to_sign=b"x"), True),
        (replace(ENTRY, fingerprint=bytes(32)), False),
        (replace(ENTRY, policy=bytes(32)), False),
        (replace(ENTRY, pcrs=(11, 13)), False),
        (replace(ENTRY, reference="initrd"), False),
        (OPEN, False),
    ],
)
def test_a_signature_belongs_to_one_question(answer: Entry, *, fits: bool) -> None:
    asked = replace(OPEN, to_sign=POLICY)
    expected = replace(asked, signature=b"signature") if fits else asked
    assert attach({"sha256": (asked,)}, {"sha256": (answer,)}) == {"sha256": (expected,)}
    # The same in another bank answers nothing.
    assert attach({"sha1": (asked,)}, {"sha256": (answer,)}) == {"sha1": (asked,)}


def test_an_answer_tells_the_key_where_the_question_does_not() -> None:
    asked = replace(OPEN, fingerprint=b"")
    assert attach({"sha256": (asked,)}, {"sha256": (ENTRY,)}) == {"sha256": (ENTRY,)}


def test_each_question_gets_the_first_answer_that_fits() -> None:
    key = bytes(32)
    questions = (OPEN, replace(OPEN, fingerprint=key), replace(other(1), signature=b"old"))
    answers = (
        replace(ENTRY, fingerprint=key, signature=b"theirs"),
        ENTRY,
        replace(ENTRY, signature=b"later"),
        other(1, signature=b"new"),
        other(2, signature=b"nobody asked"),
    )
    assert attach({"sha256": questions, "sha1": ()}, {"sha256": answers}) == {
        "sha256": (ENTRY, answers[0], other(1, signature=b"new")),
        "sha1": (),
    }


def test_many_questions_are_answered_at_once() -> None:
    count = pcrsig.MAX_ENTRIES
    questions = [replace(OPEN, policy=number.to_bytes(32, "big")) for number in range(count)]
    answers = [replace(each, signature=b"s") for each in reversed(questions)]
    found = attach({"sha256": questions}, {"sha256": tuple(answers)})
    assert found == {"sha256": tuple(reversed(answers))}
