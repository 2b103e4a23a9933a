"""``ext lint``: units, and what is read before the merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lint_kit import (
    INSTALLED,
    RELOADED,
    SERVICE,
    UNITS,
    UPHOLDS,
    Maker,
    codes,
    link,
    lint,
    running,
)
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint import commands

if TYPE_CHECKING:
    from sysgraft.base.tree import Inode


# --- Units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"demo.service": INSTALLED}, ["demo.service"]),
        (
            {
                "demo.service": SERVICE,
                "multi-user.target.wants/demo.service": link("../demo.service"),
            },
            ["multi-user.target.wants/demo.service"],
        ),
        ({"demo.service": SERVICE}, []),
        ({"demo.service": INSTALLED, "multi-user.target.d/10-demo.conf": UPHOLDS}, []),
        (
            {
                "demo.service": INSTALLED,
                "multi-user.target.upholds/demo.service": link("../demo.service"),
            },
            [],
        ),
        (
            {
                "demo.service": INSTALLED,
                "multi-user.target.d/10-demo.conf": UPHOLDS + "Upholds=\n",
            },
            ["demo.service"],
        ),
        (
            {
                "demo.timer": "[Timer]\nOnBootSec=1\n[Install]\nWantedBy=timers.target\n",
                "demo.service": INSTALLED,
                "timers.target.d/x.conf": "[Unit]\nUpholds = a.service \\\n  demo.timer\n",
            },
            [],
        ),
        (
            {
                "demo@.service": INSTALLED,
                "multi-user.target.d/x.conf": "[Unit]\nUpholds=demo@one.service\n",
            },
            [],
        ),
        (
            {"demo.service": INSTALLED, "x.target.d/x.conf": "[Install]\nUpholds=demo.service\n"},
            ["demo.service"],
        ),
    ],
)
def test_units_that_nobody_starts(
    make: Maker, files: dict[str, str | Inode], found: list[str]
) -> None:
    tree = {f"{UNITS}/{name}": content for name, content in files.items()}
    report = lint(make.image("a", tree, release=RELOADED))
    wanted = {"unit-never-starts": [f"/{UNITS}/{name}" for name in found]} if found else {}
    assert codes(report) == wanted


def test_units_that_systemd_does_not_hear_of(make: Maker) -> None:
    image = make.image("a", {f"{UNITS}/demo.service": SERVICE}, file_name="a.raw")
    assert codes(lint(image)) == {"no-manager-reload": [f"/{UNITS}/demo.service"]}
    image = make.image("a", {f"{UNITS}/demo.service": SERVICE}, release=RELOADED, file_name="a.raw")
    assert codes(lint(image)) == {}


def test_units_of_configuration_extensions(make: Maker) -> None:
    image = make.image("a", {"etc/systemd/system/demo.service": INSTALLED}, kind=Kind.CONFEXT)
    assert set(codes(lint(image))) == {"unit-never-starts", "no-manager-reload"}


# --- What is read before the merge ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "commands"),
    [
        ("udev/rules.d/1.rules", "udev-rules", ["udevadm control --reload", "udevadm trigger"]),
        (
            "udev/rules.d/1.rules",
            "udev-rules",
            ["-/usr/bin/udevadm control -R", "udevadm  trigger"],
        ),
        ("udev/hwdb.d/1.hwdb", "hwdb-update", ["systemd-hwdb --usr update", "udevadm trigger"]),
        ("sysusers.d/1.conf", "read-before-merge", ["systemd-sysusers"]),
        ("sysctl.d/1.conf", "read-before-merge", ["systemctl restart systemd-sysctl"]),
        ("binfmt.d/1.conf", "read-before-merge", ["systemctl restart systemd-binfmt"]),
        ("modules-load.d/1.conf", "read-before-merge", ["/usr/lib/systemd/systemd-modules-load"]),
    ],
)
def test_what_is_read_before_the_merge(
    make: Maker, path: str, code: str, commands: list[str]
) -> None:
    place = f"usr/lib/{path}"
    assert codes(lint(make.image("a", {place: ""}))) == {code: [f"/{place}"]}
    again = make.image("b", {place: "", **running(*commands)}, release=RELOADED)
    assert codes(lint(again)) == {}


def test_a_script_of_the_set_is_looked_into(make: Maker) -> None:
    rules = {"usr/lib/udev/rules.d/1.rules": ""}
    script = {"usr/libexec/again": "#!/bin/sh\nudevadm control --reload && udevadm trigger\n"}
    one = make.image("a", {**rules, **running("/usr/libexec/again now")}, release=RELOADED)
    assert codes(lint(one)) == {"udev-rules": ["/usr/lib/udev/rules.d/1.rules"]}
    assert codes(lint(one, make.image("b", script))) == {}


def test_tmpfiles_are_read_after_the_merge(make: Maker) -> None:
    assert codes(lint(make.image("a", {"usr/lib/tmpfiles.d/1.conf": ""}))) == {}


def test_units_beyond_all_measure_are_not_read_in_silence(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MAX_UNITS", 100)
    units = {f"{UNITS}/{name}.service": SERVICE * 2 for name in "ab"}
    image = make.image("a", dict(units), release=RELOADED)
    assert codes(lint(image)) == {"unreadable": [f"/{UNITS}/b.service"]}
    large = {f"{UNITS}/a.service": "x" * ((1 << 20) + 1)}
    monkeypatch.undo()
    image = make.image("b", dict(large), release=RELOADED)
    assert codes(lint(image)) == {"unreadable": [f"/{UNITS}/a.service"]}


@pytest.mark.parametrize("command", ["udevadm control --reload", "udevadm trigger", "udevadm info"])
def test_half_of_it_is_not_enough(make: Maker, command: str) -> None:
    files = {"usr/lib/udev/rules.d/1.rules": "", **running(command)}
    image = make.image("a", files, release=RELOADED)
    assert codes(lint(image)) == {"udev-rules": ["/usr/lib/udev/rules.d/1.rules"]}
