"""Names of container images, as Docker takes them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import UsageError
from sysgraft.formats.image_reference import parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "endpoint"),
    [
        ("debian", "docker.io/library/debian:latest", "registry-1.docker.io"),
        ("debian:12", "docker.io/library/debian:12", "registry-1.docker.io"),
        ("team/fw:1.0", "docker.io/team/fw:1.0", "registry-1.docker.io"),
        ("docker.io/debian", "docker.io/library/debian:latest", "registry-1.docker.io"),
        ("index.docker.io/a/b", "docker.io/a/b:latest", "registry-1.docker.io"),
        ("quay.io/kairos/x:v1", "quay.io/kairos/x:v1", "quay.io"),
        ("2048/game", "docker.io/2048/game:latest", "registry-1.docker.io"),
        ("localhost/x", "localhost/x:latest", "localhost"),
        ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000"),
        ("127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000"),
        (f"quay.io/x@{DIGEST}", f"quay.io/x@{DIGEST}", "quay.io"),
        (f"quay.io/x:1@{DIGEST}", f"quay.io/x:1@{DIGEST}", "quay.io"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest", "registry-1.docker.io"),
    ],
)
def test_names(text: str, full: str, endpoint: str) -> None:
    reference = parse_reference(text)
    assert (str(reference), reference.endpoint) == (full, endpoint)
    assert parse_reference(full) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "a:", "a@", "a b", "A", "quay.io/A", "quay.io/", "/a", "a//b", "a/../b", "a:t/",
        "-a", "a-", "a:-t", "a:" + "t" * 129, "x" * 256, "quay.io:port/a", "http://quay.io/a",
        "user@quay.io/a", "a@sha256:00", "a@md5:" + "0" * 32, "a\n", "quay.io/a?b", "ä",
    ],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


@given(st.text(alphabet="aA0.:/@-_[]\n ", max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference
    assert not {"..", "//", "\n", " "} & set(reference.path.split("/"))
