"""ukify's config file against Python's configparser, which is what ukify reads it with."""

from __future__ import annotations

import configparser

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.build.uki.config import UKI_KEYS, Config, parse
from sysgraft.errors import InputError

HEADS = ["[UKI]", "[PCRSignature:a]", "[PCRSignature:b c]", "[other]", "[UKI]x", "[]", "["]
KEYS = ["Linux", "Uname", "Cmdline", "Phases", "PCRPrivateKey", "Other", ""]
TEXTS = ["", "x", "y z", "a=b", "#", "# c", "v # c", "v#c", "[UKI]", "Linux=x"]
INDENTS = ["", " ", "  ", "\t", "    "]

lines = st.one_of(
    st.builds(
        lambda indent, key, equals, text: f"{indent}{key}{equals}{text}",
        st.sampled_from(INDENTS),
        st.sampled_from(KEYS),
        st.sampled_from(["=", " = ", ""]),
        st.sampled_from(TEXTS),
    ),
    st.builds(str.__add__, st.sampled_from(INDENTS), st.sampled_from([*HEADS, *TEXTS])),
)
files = st.builds(
    lambda body, end: end.join(["[UKI]", *body]),
    st.lists(lines, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
)


def as_ukify_reads_it(text: str) -> dict[str, dict[str, str]]:
    """The sections, as ukify 257 and 262 have them."""
    parser = configparser.ConfigParser(
        comment_prefixes="#",
        inline_comment_prefixes="#",
        delimiters="=",
        empty_lines_in_values=False,
        interpolation=None,
        strict=False,
    )
    parser.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def as_read_here(text: str) -> Config | None:
    try:
        return parse(text, "ukify.conf")
    except InputError:
        return None


@given(files)
def test_what_is_read_is_what_ukify_reads(text: str) -> None:
    found = as_read_here(text)
    if found is None:
        return
    theirs = as_ukify_reads_it(text.replace("\r\n", "\n"))
    named = {UKI_KEYS[key]: value for key, value in theirs.pop("UKI").items()}
    assert found.settings == {
        name: value for name, value in named.items() if value or name in ("uname", "cmdline")
    }
    groups = {name.partition(":")[2]: group for name, group in theirs.items() if group}
    own = {"PCRPrivateKey": "pcr_private_key", "Phases": "phases"}
    assert found.signatures == {
        name: {own[key]: value for key, value in group.items()} for name, group in groups.items()
    }


@given(st.lists(st.sampled_from(["Linux", "Uname", "Cmdline"])), st.sampled_from(INDENTS))
def test_what_ukify_reads_is_read(keys: list[str], indent: str) -> None:
    text = "\n".join(["[UKI]", *(f"{indent}{key} = {number}" for number, key in enumerate(keys))])
    found = as_read_here(text)
    assert found is not None
    assert found.settings == {
        UKI_KEYS[key]: value for key, value in as_ukify_reads_it(text)["UKI"].items()
    }


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    as_read_here(text)
    as_read_here(f"[UKI]\n{text}")
