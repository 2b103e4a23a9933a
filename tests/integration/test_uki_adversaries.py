"""Inputs that change, names that deceive old stubs, PINs in URIs, programs that become root's."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

import pytest

from executables import make_pe
from sysgraft.base.progress import NoProgress
from sysgraft.build.uki.build import build_uki
from sysgraft.build.uki.options import PcrKey, UkiOptions
from sysgraft.errors import InputError
from uki_kit import Kit, make_kit, make_stub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import SigningPair

GOOD, EVIL = b"GOOD" * 4, b"EVIL" * 4


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    return make_kit(tmp_path / "kit", monkeypatch)


class AtStep(NoProgress):
    """Does something when a step begins."""

    def __init__(self, label: str, action: Callable[[], None]) -> None:
        self._label = label
        self._action = action

    def start(self, label: str, total: int) -> None:
        del total
        if label == self._label:
            self._action()


def options_of(kit: Kit, initrd: Path, **more: Any) -> UkiOptions:
    return UkiOptions(
        linux=str(kit.kernel),
        stub=str(kit.stub),
        initrds=(str(initrd),),
        os_release="ID=x",
        hwids="",
        **more,
    )


@pytest.mark.parametrize("size", [16, 5 << 20])
@pytest.mark.parametrize("banks", [("sha1",), ("sha256", "sha512"), ()])
def test_what_changes_behind_its_times_is_never_signed_for(
    kit: Kit, signing_pair: SigningPair, size: int, banks: tuple[str, ...]
) -> None:
    """Memory that was mapped and dirty before changes the file and no time of it."""
    initrd = kit.file("initrd.img", (GOOD * (size // 16))[:size])
    output = kit.folder / "x.efi"
    with initrd.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[-16:] = EVIL
        swap = AtStep("writing", lambda: memory.__setitem__(slice(-16, None), GOOD))
        key = PcrKey(str(signing_pair.key))
        options = options_of(kit, initrd, pcr_banks=banks, pcr_keys=(key,))
        with pytest.raises(InputError, match=r"\.initrd changed after it was measured") as caught:
            build_uki(options, output, progress=swap)
        assert caught.value.file == str(initrd)
        assert not output.exists()
        # Unchanged, the same build succeeds.
        build_uki(options, output)
        assert output.exists()


def test_a_stub_that_changes_is_written_as_it_was_measured(
    kit: Kit, signing_pair: SigningPair
) -> None:
    """Its .sbat is read once and merged with others into one that is both measured and written."""
    data = make_stub()
    at = data.index(b"systemd,257")
    kit.stub.write_bytes(data)
    initrd = kit.file("initrd.img", GOOD)
    with kit.stub.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[at : at + 1] = b"S"
        swap = AtStep("writing", lambda: memory.__setitem__(slice(at, at + 1), b"s"))
        options = options_of(kit, initrd, pcr_keys=(PcrKey(str(signing_pair.key)),))
        report = build_uki(options, kit.folder / "x.efi", progress=swap)
    written = (kit.folder / "x.efi").read_bytes()
    assert b"Systemd,257" in written
    assert report.pcrs


@pytest.mark.parametrize("name", [".uname2", ".osrel_x", ".dtbx", ".sbatty"])
def test_names_that_begin_like_others_are_refused_for_old_stubs(kit: Kit, name: str) -> None:
    """Stubs before 257 compare the beginning of a name only."""
    kit.stub.write_bytes(make_stub("252.39"))
    result = kit.run(f"--section={name}:text", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert f"takes {name} for ." in result.err
    kit.stub.write_bytes(make_stub("257.13"))
    assert kit.run(f"--section={name}:text", "-o", kit.folder / "x.efi").code == 0


def test_a_profile_with_sbat_is_refused(kit: Kit) -> None:
    profile = kit.file("p.efi", make_pe([(".profile", b"ID=x"), (".sbat", b"sbat,1,x")]))
    result = kit.run(f"--join-profile={profile}", "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert "shim refuses an image with two" in result.err


@pytest.mark.parametrize(
    "words",
    [
        ("--pcr-certificate", "pkcs11:token=a?pin-value=SECRET"),
        ("--pcr-public-key", "pkcs11:token=a?module-path=/x&PIN-VALUE=SECRET"),
        ("--secureboot-private-key", "pkcs11:token=a?pin-value=SECRET"),
        ("--secureboot-certificate", "pkcs11:token=a;pin-value=SECRET"),
    ],
)
def test_a_pin_in_a_uri_is_not_repeated(
    kit: Kit, signing_pair: SigningPair, words: tuple[str, str]
) -> None:
    given = {
        "--pcr-private-key": str(signing_pair.key),
        "--secureboot-private-key": str(signing_pair.key),
        "--secureboot-certificate": str(signing_pair.certificate),
        words[0]: words[1],
    }
    options = [f"{name}={value}" for name, value in given.items()]
    result = kit.run(*options, "-o", kit.folder / "x.efi")
    assert result.code == 2
    assert "SECRET" not in result.err + result.out


@pytest.mark.root
def test_programs_that_become_roots_are_named(kit: Kit, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    for name, mode, owner in (("sudo", 0o4755, 1000), ("plain", 0o755, 1000), ("su", 0o4755, 0)):
        path = tree / "usr/bin" / name
        path.write_text("x")
        os.chown(path, owner, 0)
        path.chmod(mode)
    (tree / "init").write_text("x")
    result = kit.run(f"--initrd=dir:{tree}", "-o", kit.folder / "x.efi")
    assert result.code == 0, result.err
    note = next(line for line in result.err.splitlines() if "become root's" in line)
    assert "usr/bin/sudo" in note
    assert "plain" not in note
    assert "bin/su " not in note
    kept = kit.run(f"--initrd=dir:{tree}", "--owner=keep", "--force", "-o", kit.folder / "x.efi")
    assert "become root's" not in kept.err
