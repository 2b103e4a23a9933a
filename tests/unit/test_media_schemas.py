"""Every document of ``sysgraft media`` is what its published schema says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_schemas import errors_of

from media_kit import MediaKit, media_kit

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["media_kit"]


@pytest.mark.parametrize("verb", ["disk", "iso"])
def test_documents_with_much_and_with_little(
    verb: str, media_kit: MediaKit, tmp_path: Path
) -> None:
    (tmp_path / "one.sysext.raw").write_bytes(b"one")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay/file").write_bytes(b"file")
    words: list[str | Path] = ["--carry", tmp_path / "one.sysext.raw", "--efi-size-warn", "1"]
    if verb == "iso":
        words += ["--overlay", tmp_path / "overlay"]
    else:
        words += ["--partition", f"home={tmp_path / 'overlay/file'}"]
    large = tmp_path / "large.efi"
    large.write_bytes((media_kit.folder / "active.efi").read_bytes() + bytes(2_000_000))
    for arguments, code in (
        ((*media_kit.signed, *words), 0),
        (("--uki", large, "--plan", *words), 0),
        (("--uki", media_kit.path("unsigned.efi"), "--keys", media_kit.path("keys")), 1),
    ):
        done = media_kit.media(verb, tmp_path / "image", *arguments, "--json", "--force")
        assert done.code == code, done.err
        document = done.document
        assert next(iter(document)) == "schema"
        assert errors_of(f"media.{verb}", document) == []
    failed = [each for each in document["verified"] if not each["ok"]]
    assert [each["file"].rpartition("/")[2] for each in failed] == ["unsigned.efi"]
