"""The plugin as kernel-install calls it: what it asks of sysgraft, in which case."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from command import sysgraft
from sysgraft.errors import UsageError
from sysgraft.kernel.plugin.tree import PLUGIN, PluginOptions, files, write_plugin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Says how it was called, a word each line.
RECORDER = '#!/bin/sh\nprintf "%s\\n" "$@" >> "$RECORD"\necho >> "$RECORD"\n'
HAS_FIRMWARE = os.path.isdir("/sys/firmware/efi/efivars")


def call(
    folder: Path, *words: str, env: Mapping[str, str] | None = None, **options: Any
) -> list[list[str]]:
    """Run the plugin; the command lines it gave."""
    program = folder / "sysgraft"
    program.write_text(RECORDER)
    program.chmod(0o755)
    tree = folder / "tree"
    write_plugin(str(tree), PluginOptions(program=str(program), **options), replace=True)
    (folder / "staging").mkdir(exist_ok=True)
    record = folder / "record"
    record.unlink(missing_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "RECORD": str(record),
        "KERNEL_INSTALL_LAYOUT": "uki",
        "KERNEL_INSTALL_BOOT_ROOT": "/efi",
        "KERNEL_INSTALL_ENTRY_TOKEN": "a b",
        "KERNEL_INSTALL_STAGING_AREA": str(folder / "staging"),
        "KERNEL_INSTALL_CONF_ROOT": str(folder),
        **(env or {}),
    }
    subprocess.run([str(tree / PLUGIN), *words], check=True, env=environment)
    text = record.read_text() if record.exists() else ""
    return [block.splitlines() for block in text.split("\n\n") if block]


WHERE = ["--boot-path", "/efi", "--entry-token", "literal:a b"]


def test_a_uki_is_installed(tmp_path: Path) -> None:
    (tmp_path / "tries").write_text("3")
    found = call(tmp_path, "add", "6.1", "/efi/a b/6.1", "/usr/lib/modules/6.1/a b.efi", keep=2)
    begin = ["kernel", "install", "/usr/lib/modules/6.1/a b.efi", "--kernel-version", "6.1"]
    assert found == [[*begin, "--layout", "uki", "--keep", "2", "--tries", "3", *WHERE]]


def test_what_a_generator_made_comes_first(tmp_path: Path) -> None:
    staged = tmp_path / "staging/uki.efi"
    call(tmp_path, "list", "6.1")
    staged.write_bytes(b"uki")
    ((*words,),) = call(tmp_path, "add", "6.1", "/efi/t/6.1", "/boot/vmlinuz", "/boot/initrd")
    assert words[2] == str(staged)


@pytest.mark.parametrize(
    ("words", "layout"),
    [
        (("add", "6.1", "/efi/t/6.1", "/boot/vmlinuz"), "bls"),
        (("add", "6.1", "/efi/t/6.1", "/boot/vmlinuz"), "other"),
        (("add", "6.1", "/efi/t/6.1"), "uki"),
        (("inspect", "6.1"), "uki"),
    ],
)
def test_what_is_not_its_own_is_left_alone(
    tmp_path: Path, words: tuple[str, ...], layout: str
) -> None:
    assert call(tmp_path, *words, env={"KERNEL_INSTALL_LAYOUT": layout}) == []


def test_removing_is_for_ukis_whatever_the_layout(tmp_path: Path) -> None:
    more = {"KERNEL_INSTALL_LAYOUT": "bls", "KERNEL_INSTALL_BOOT_ROOT": "efi"}
    found = call(tmp_path, "remove", "6.1", "/efi/t/6.1", env=more, grub="/boot/grub/custom.cfg")
    assert found == [
        ["kernel", "remove", "6.1", "--layout", "uki", *WHERE],
        ["kernel", "grub", "--output", "/boot/grub/custom.cfg", *WHERE],
    ]


@pytest.mark.parametrize("command", ["add", "remove"])
def test_what_is_about_entries_of_type_1_leaves_ukis_alone(tmp_path: Path, command: str) -> None:
    """kernel-install of systemd 258 and newer with ``--entry-type=type1``."""
    more = {"KERNEL_INSTALL_BOOT_ENTRY_TYPE": "type1"}
    assert call(tmp_path, command, "6.1", "/efi/t/6.1", "/k.efi", env=more) == []


def test_entries_of_other_names_are_refused(tmp_path: Path) -> None:
    more = {"KERNEL_INSTALL_ENTRY_NAME": "a b-6.1"}
    assert len(call(tmp_path, "remove", "6.1", "/efi/t/6.1", env=more)) == 1
    with pytest.raises(subprocess.CalledProcessError):
        call(tmp_path, "remove", "6.1", "/efi/t/6.1", env={"KERNEL_INSTALL_ENTRY_NAME": "img"})


def test_what_a_generator_put_beside_the_uki_comes_along(tmp_path: Path) -> None:
    call(tmp_path, "list", "6.1")
    beside = tmp_path / "staging/uki.efi.extra.d"
    beside.mkdir()
    (beside / "a b.addon.efi").write_bytes(b"addon")
    ((*words,),) = call(tmp_path, "add", "6.1", "/efi/t/6.1", "/k.efi")
    assert words[words.index("--extra") + 1] == str(beside / "a b.addon.efi")


def test_the_firmware_is_told_only_where_there_is_one(tmp_path: Path) -> None:
    ((*words,),) = call(
        tmp_path, "add", "6.1", "/efi/t/6.1", "/k.efi", boot_entry=True, default="once", grow=True
    )
    assert ("--boot-entry" in words) is HAS_FIRMWARE
    assert ("--default" in words) is HAS_FIRMWARE
    assert "--grow" in words


@pytest.mark.parametrize(
    "options",
    [
        {"program": "/a b"},
        {"shim": "x$(y)", "boot_entry": True},
        {"shim": "x.efi"},
        {"keep": 0},
        {"default": "never"},
        {"grub": "/a;b"},
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        files(PluginOptions(**options))


@pytest.mark.oracle("shellcheck")
@pytest.mark.parametrize("more", [(), ("--boot-entry", "--default", "once", "--keep", "3")])
def test_shellcheck_finds_nothing(tmp_path: Path, more: tuple[str, ...]) -> None:
    done = sysgraft("kernel", "plugin", "--output", tmp_path, *more)
    assert done.code == 0, done.err
    subprocess.run(["shellcheck", str(tmp_path / PLUGIN)], check=True)
    assert os.access(tmp_path / PLUGIN, os.X_OK)
    # Nothing is replaced unless it is wished.
    assert sysgraft("kernel", "plugin", "--output", tmp_path).code == 2
    assert sysgraft("kernel", "plugin", "--output", tmp_path, "--force").code == 0
