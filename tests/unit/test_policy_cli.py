"""``sysgraft policy show`` and ``sysgraft policy check``."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.cli import policy as policy_cli
from sysgraft.cli.output import Output
from sysgraft.errors import FormatError, InputError, UsageError
from sysgraft.formats import gpt, partition_types

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    policy_cli.fill(parser.add_subparsers().add_parser("policy"))
    arguments = parser.parse_args(["policy", *words])
    code: int = arguments.run(arguments, Output())
    return code


IMAGES: dict[str, tuple[str, ...]] = {
    "plain.raw": ("root",),
    "signed.raw": ("root", "root-verity", "root-verity-sig"),
    "usr.raw": ("usr", "usr-verity", "usr-verity-sig", "home"),
}


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty partitions in images in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, designators in IMAGES.items():
        size = 1 << 20
        parts = tuple(map(partition, range(len(designators)), designators))
        table = gpt.new_table(size, disk_uuid=UUID(int=99), partitions=parts)
        data = bytearray(size)
        for offset, piece in gpt.render(table, size):
            data[offset : offset + len(piece)] = piece
        (tmp_path / name).write_bytes(data)


def partition(index: int, designator: str) -> gpt.Partition:
    arch = None if designator == "home" else "x86-64"
    return gpt.Partition(
        index=index,
        type_uuid=partition_types.type_uuid(designator, arch),
        uuid=UUID(int=index + 1),
        first_lba=40 + 8 * index,
        last_lba=47 + 8 * index,
        attributes=gpt.READ_ONLY,
    )


def test_show_explains_the_strict_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "@sysext-strict") == 0
    text = capsys.readouterr().out
    assert "policy     root=signed+absent:usr=signed+absent\n" in text
    assert "long form  root=signed+absent:usr=signed+absent:=unused+absent\n" in text
    assert ["root-verity-sig", "unprotected+absent", "-", "-", "-"] in map(
        str.split, text.splitlines()
    )
    assert "254 to 262  refused      refused      refused        signature checked" in text
    assert "warning" not in text


def test_show_warns_of_verity_beside_signed(capsys: pytest.CaptureFixture[str]) -> None:
    policy = "root=verity+signed+absent:usr=verity+signed+absent"
    run("show", policy, "--systemd-version", "262")
    newest = capsys.readouterr().out
    run("show", policy, "--systemd-version", "258")
    older = capsys.readouterr().out
    bad_signature = "a bad or unknown signature is let through"
    assert bad_signature in newest
    assert bad_signature not in older
    assert "an unsigned image is let through" in newest
    assert "an unsigned image is let through" in older


def test_show_says_which_versions_do_not_understand_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("show", "root=signed+absent+erofs")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["252", "to", "259", *["not", "understood"] * 4] in rows
    with pytest.raises(FormatError, match="260 knows it"):
        run("show", "root=signed+absent+erofs", "--systemd-version", "259")


def test_show_gives_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    run("show", "root=signed+read-only-on+erofs", "--json")
    document = json.loads(capsys.readouterr().out)
    assert next(iter(document)) == "schema"
    assert document["schema"] == "sysgraft.policy.show/1"
    assert document["policy"] == "root=signed+read-only-on+erofs"
    assert document["partitions"][0] == {
        "designator": "root",
        "use": ["signed"],
        "readOnly": True,
        "growfs": None,
        "fstypes": ["erofs"],
    }
    assert document["enforcement"][-1] == {
        "systemdVersion": 262,
        "plain": "refused",
        "unsigned": "refused",
        "badSignature": "refused",
        "signed": "signature checked",
    }
    assert [row["systemdVersion"] for row in document["enforcement"]] == list(range(252, 263))


@pytest.mark.parametrize("verb", ["show", "check"])
def test_a_version_without_policies_is_refused(verb: str) -> None:
    files = ["x.raw"] if verb == "check" else []
    with pytest.raises(UsageError, match="systemd 253 has no image policies"):
        run(verb, "*", *files, "--systemd-version", "253")


@pytest.mark.usefixtures("images")
def test_check_says_no_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "@sysext-strict", "signed.raw", "plain.raw") == 1
    good, bad = capsys.readouterr().out.splitlines()
    assert good.endswith(" signed.raw")
    assert "plain.raw: root is unprotected, the policy wants signed+absent" in bad


@pytest.mark.usefixtures("images")
def test_check_says_yes_when_every_image_is_allowed() -> None:
    assert run("check", "@sysext-strict", "signed.raw", "usr.raw") == 0
    assert run("check", "root=unprotected", "plain.raw") == 0


@pytest.mark.usefixtures("images")
def test_check_gives_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "root=signed", "plain.raw", "signed.raw", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "sysgraft.policy.check/1"
    assert document["ok"] is False
    assert [image["ok"] for image in document["images"]] == [False, True]
    assert document["images"][0]["violations"][0]["designator"] == "root"


@pytest.mark.usefixtures("images")
def test_check_names_a_file_it_cannot_read() -> None:
    with pytest.raises(InputError) as caught:
        run("check", "*", "missing.raw")
    assert caught.value.file == "missing.raw"


def test_check_refuses_what_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "text.raw"
    path.write_bytes(b"no image")
    with pytest.raises(FormatError) as caught:
        run("check", "*", str(path))
    assert caught.value.file == str(path)
