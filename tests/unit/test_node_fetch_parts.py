"""Names of extension images elsewhere, digests, validators, and files in layers: the pure parts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from image_kit import sha256, tar_of
from sysgraft.base import arch
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, InputError, LimitError, OutputError, UsageError
from sysgraft.formats.allowance import Allowance
from sysgraft.formats.oci import parse_digest
from sysgraft.host import space
from sysgraft.host.architecture import this_architecture
from sysgraft.node import fetch_layers
from sysgraft.node.fetch_layers import Search, StoredLayer, contents
from sysgraft.node.fetch_uri import (
    image_reference,
    last_name,
    name_in_url,
    parse_uri,
    stated_digest,
)
from sysgraft.transport.plain import check_address, validator_of
from sysgraft.transport.pools import public_address

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("uri", "kind", "place"),
    [
        ("https://host/a.raw?x=1", "web", "https://host/a.raw?x=1"),
        ("HTTP://host/a.raw", "web", "HTTP://host/a.raw"),
        ("file:/tmp/x", "file", "/tmp/x"),
        ("file:///tmp/x%20y", "file", "/tmp/x%20y"),
        ("file://localhost/tmp/x", "file", "/tmp/x"),
        ("file:relative/x", "file", "relative/x"),
        ("/tmp/a:b", "file", "/tmp/a:b"),
        ("x.raw", "file", "x.raw"),
        ("oci:host/a:1", "registry", "host/a:1"),
        ("oci://host/a:1", "registry", "host/a:1"),
        ("docker:a", "image", "a"),
        ("docker://a/b:c", "image", "a/b:c"),
        ("container:quay.io/a", "image", "quay.io/a"),
    ],
)
def test_uris(uri: str, kind: str, place: str) -> None:
    assert parse_uri(uri) == (kind, place)


@pytest.mark.parametrize(
    "uri", ["", "oci:", "docker://", "file:", "file://", "file://host/x", "ftp://h/x", "a\0b"]
)
def test_uris_that_name_nothing(uri: str) -> None:
    with pytest.raises(UsageError):
        parse_uri(uri)


def test_digests() -> None:
    hexadecimal = "Ab" * 32
    for text in (hexadecimal, f"sha256:{hexadecimal}", f" SHA256:{hexadecimal}\n"):
        assert str(stated_digest(text)) == "sha256:" + "ab" * 32
    assert stated_digest("") is None
    for text in ("ab", "sha256:", "sha512:" + "ab" * 64, "md5:00", "x" * 64, "sha256:" + "a" * 63):
        with pytest.raises(UsageError, match="not a SHA-256 digest"):
            stated_digest(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/b.sysext.raw?token=x#y", "b.sysext.raw"),
        ("https://h/a%20b.raw", "a b.raw"),
        ("https://h/..%2f..%2fetc%2fpasswd", "passwd"),
        ("https://h/%2e%2e", ""),
        ("https://h/a%00b", ""),
        ("https://h/a%0ab", ""),
        ("https://h/%ff", ""),
        ("https://h/dir/", ""),
        ("https://h", ""),
        ("https://h/" + "x" * 256, ""),
    ],
)
def test_names_in_addresses(url: str, name: str) -> None:
    assert name_in_url(url) == name


def test_names_of_paths() -> None:
    assert last_name("a/b/c.raw") == "c.raw"
    assert last_name("..") == last_name("") == last_name("a/\x1b[2J") == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host:5/x?token=secret#secret", "https://host:5/x"),
        ("https://host/x?mail=a@b", "https://host/x"),
        ("https://me:secret@host/x?a=b", "host/x"),
        ("https://me:secret?x@host/y", "https://…"),
        ("https://ho st/x?t=a@secret", "https://…"),
        ("me:secret?x@host", "…"),
        ("host/x", "host/x"),
    ],
)
def test_addresses_in_messages(url: str, shown: str) -> None:
    assert public_address(url) == shown


@pytest.mark.parametrize(
    "url",
    ["http:host/x", "https://me:secret@host/x", "https:///x?secret", "https://h:99999/secret?"],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_address(url)
    assert "secret" not in str(caught.value) or "?secret" not in url


def test_references_with_a_password_are_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        image_reference("me:secret@host/x")
    assert "secret" not in str(caught.value)
    assert str(image_reference("host:5/x")) == "host:5/x:latest"


class FakeAnswer:
    """Headers only."""

    def __init__(self, **headers: str) -> None:
        self._headers = {name.replace("_", "-"): text for name, text in headers.items()}

    def header(self, name: str) -> str:
        return self._headers.get(name, "")


DATE = "Tue, 15 Nov 1994 12:45:26 GMT"
LATER = "Tue, 15 Nov 1994 12:45:27 GMT"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"ETag": '"a"'}, '"a"'),
        ({"ETag": 'W/"a"', "Last_Modified": DATE, "Date": LATER}, ""),
        ({"ETag": "a"}, ""),
        ({"Last_Modified": DATE, "Date": LATER}, DATE),
        ({"Last_Modified": DATE, "Date": DATE}, ""),
        ({"Last_Modified": DATE}, ""),
        ({"Last_Modified": "soon", "Date": DATE}, ""),
        ({"Last_Modified": "Tue, 15 Nov 1994 12:45:26 -0000", "Date": LATER}, ""),
        ({}, ""),
    ],
)
def test_validators(headers: dict[str, str], found: str) -> None:
    assert validator_of(FakeAnswer(**headers)) == found  # type: ignore[arg-type]


# --- Files in layers -----------------------------------------------------------------------------


def search(*layers: dict[str, bytes | str]) -> Search:
    found = Search(Allowance())
    for items in layers:
        data = tar_of(items)
        found.add(StoredLayer(BytesBlob(data), parse_digest(sha256(data))))
    return found


def content(*layers: dict[str, bytes | str]) -> bytes:
    return b"".join(contents(search(*layers).the_one(), Allowance()))


@pytest.mark.parametrize(
    "layers",
    [
        ({"x.sysext.raw": b"right"},),
        ({"a": b"", "deep/x.confext.raw": b"right", "z.raw.txt": b"", "raw": b"-"},),
        ({"x.raw": b"old"}, {"x.raw": b"right"}),
        ({"old.raw": b"old"}, {".wh.old.raw": b"", "new.raw": b"right"}),
        ({"d/old.raw": b"old"}, {".wh.d": b"", "new.raw": b"right"}),
        ({"d/old.raw": b"old"}, {"d/new.raw": b"right", "d/.wh..wh..opq": b""}),
        ({"d/old.raw": b"old"}, {"d": b"a file", "new.raw": b"right"}),
        ({"d/old.raw": b"old"}, {"d/old.raw": "->new", "new.raw": b"right"}),
        ({"x.raw": b"right"}, {"y/.wh.x.raw": b"", ".wh.x.ra": b"", "x.rawe": b""}),
        ({"x.raw": b"right", ".wh.x.raw": b""},),  # deletions concern lower layers
    ],
)
def test_the_one_file(layers: tuple[dict[str, bytes | str], ...]) -> None:
    assert content(*layers) == b"right"


def test_no_file_and_several() -> None:
    with pytest.raises(InputError, match="holds no extension image"):
        content({"x": b"", "l.raw": "->x"})
    with pytest.raises(InputError, match="holds no extension image"):
        content({"x.raw": b"1"}, {".wh.x.raw": b""})
    with pytest.raises(UsageError, match=r"several extension images: a/y\.raw, x\.sysext\.raw"):
        content({"x.sysext.raw": b"1"}, {"a/y.raw": b"2"})
    with pytest.raises(UsageError, match="and 10 more"):
        content({f"{number:02}.raw": b"" for number in range(20)})
    with pytest.raises(FormatError, match="a hard link"):
        content({"x": b"1", "x.raw": "=x"})


def test_layers_that_are_not_the_stated_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="uncompressed layer"):
        Search(Allowance()).add(
            StoredLayer(BytesBlob(tar_of({"a": b""})), parse_digest(sha256(b"other")))
        )
    monkeypatch.setattr(fetch_layers, "MAX_FOUND", 1)
    with pytest.raises(LimitError, match="more than 1"):
        search({"a.raw": b"", "b.raw": b""})


# --- The machine ---------------------------------------------------------------------------------


def test_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.statvfs(tmp_path)
    fields = list(status)
    values = {"f_frsize": 4096, "f_blocks": 100, "f_bfree": 20, "f_bavail": 10}
    fields[1:5] = [values["f_frsize"], values["f_blocks"], values["f_bfree"], values["f_bavail"]]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert space.free_bytes("/x") == 20 * 4096
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert space.free_bytes("/x") == 10 * 4096
    space.check_space("/x", 40960)
    with pytest.raises(OutputError, match="40961 bytes are needed, 40960 are free"):
        space.check_space("/x", 40961)
    fields[2] = 0
    assert space.free_bytes("/x") is None
    space.check_space("/x", 1 << 60)
    monkeypatch.undo()
    with pytest.raises(OutputError):
        space.free_bytes(str(tmp_path / "none"))


def test_this_architecture() -> None:
    assert this_architecture() == arch.normalize(os.uname().machine)
