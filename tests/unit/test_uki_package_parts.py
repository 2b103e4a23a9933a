"""Names, texts, scripts, spec and control files of packages with UKIs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.build.uki_package import names, plugins, scripts, texts
from sysgraft.build.uki_package.contents import Content, Item
from sysgraft.build.uki_package.control import control
from sysgraft.build.uki_package.facts import Facts
from sysgraft.build.uki_package.names import Version
from sysgraft.build.uki_package.scripts import Places
from sysgraft.build.uki_package.spec import spec
from sysgraft.errors import InputError, OutputError, ToolError, UsageError
from sysgraft.formats.deb import parse_control
from sysgraft.host import copying, tool_version
from sysgraft.host.tools import TOOLS, Tool

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.build.uki_package.options import Format

KERNEL = "6.19.8-200.fc43.x86_64"
PLACES = Places(
    KERNEL,
    "vmlinuz-virt.efi",
    "/usr/lib/kernel/install.d/91-x.install",
    "/usr/lib/kernel/install.d/00-x.install",
)
FACTS = Facts(
    name="kernel-uki-virt",
    version=Version("6.19.8", "200.fc43"),
    architecture="x86_64",
    kernel_version=KERNEL,
    summary="A summary",
    description=("one", "", "two"),
    maintainer="Some Body <body@example.org>",
    vendor="",
    license="MIT",
    url="",
    requires=(),
    recommends=(),
    provides=(),
    conflicts=(),
    standalone=False,
)
MAIN = Content("kernel-uki-virt", "", (Item(PLACES.uki),), (PLACES.folder, PLACES.extra))
ADDON = Content(
    "kernel-uki-virt-addon-debug",
    "debug",
    (Item(f"{PLACES.extra}/debug.addon.efi"),),
    (PLACES.extra,),
)


# --- Names and versions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "form", "architecture", "version"),
    [
        (KERNEL, "rpm", "x86_64", "6.19.8-200.fc43"),
        ("5.14.0-503.40.1.el9_5.aarch64", "rpm", "aarch64", "5.14.0-503.40.1.el9_5"),
        ("6.12.117+deb13-cloud-amd64", "deb", "amd64", "6.12.117+deb13-1"),
        ("6.8.0-45-generic", "deb", "amd64", "6.8.0-1"),
        ("6.6.1", "deb", "arm64", "6.6.1-1"),
    ],
)
def test_versions_that_follow(kernel: str, form: Format, architecture: str, version: str) -> None:
    assert str(names.package_version(Version("", ""), kernel, form, architecture)) == version


@pytest.mark.parametrize(
    ("kernel", "form", "option"),
    [
        ("6.12.117+deb13-cloud-amd64", "rpm", "--version"),
        ("6.19.8-200.fc43.x86_64+debug", "rpm", "--version"),
        ("6.19.8-200.fc43.aarch64", "rpm", "--version"),
        ("6.6.1", "rpm", "--version"),
        ("next", "deb", "--version"),
    ],
)
def test_versions_that_do_not_follow(kernel: str, form: Format, option: str) -> None:
    with pytest.raises(UsageError, match=option):
        names.package_version(Version("", ""), kernel, form, "x86_64")
    given_ones = Version("7", "8")
    assert names.package_version(given_ones, kernel, form, "x86_64") == given_ones


@pytest.mark.parametrize("form", ["rpm", "deb"])
@pytest.mark.parametrize("bad", ["1:2", "1 2", "1%{x}", "1\n2", "-1", "1/2", "é", "1;2", "$(x)"])
def test_versions_that_are_refused(form: Format, bad: str) -> None:
    with pytest.raises(UsageError, match="is not possible"):
        names.package_version(Version(bad, "1"), KERNEL, form, "x86_64")
    with pytest.raises(UsageError, match="is not possible"):
        names.package_version(Version("1", bad), KERNEL, form, "x86_64")


def test_a_release_with_a_hyphen_is_refused() -> None:
    with pytest.raises(UsageError):
        names.package_version(Version("1", "2-3"), KERNEL, "deb", "amd64")


def test_names_of_packages() -> None:
    assert names.package_name("", KERNEL, "rpm") == "kernel-uki-virt"
    debian = names.package_name("", KERNEL, "deb")
    assert debian == "linux-image-uki-6.19.8-200.fc43.x86-64"
    addon = names.addon_package_name(debian, "debug", KERNEL, "deb")
    assert addon == "linux-image-uki-addon-debug-6.19.8-200.fc43.x86-64"
    # What apt keeps for as long as the kernel runs ends with the kernel's version.
    assert re.fullmatch(r"linux-.*-6\.19\.8-200\.fc43\.x86-64", addon)
    assert names.addon_package_name("mine", "debug", KERNEL, "deb") == "mine-addon-debug"


@pytest.mark.parametrize("bad", ["", ".", "..", "a..b", "a/b", "-a", "a b", "a'b", "a%b", "x" * 65])
def test_kernel_versions_that_are_refused(bad: str) -> None:
    with pytest.raises(UsageError):
        names.check_kernel_version(bad)


@pytest.mark.parametrize("bad", ["A B", "a/b", "%{name}", "a\n", "", "UPPER", "a_b"])
def test_debian_names_that_are_refused(bad: str) -> None:
    if bad:
        with pytest.raises(UsageError):
            names.package_name(bad, KERNEL, "deb")
    with pytest.raises(UsageError):
        names.check_addon_name(bad)


# --- Texts ---------------------------------------------------------------------------------------


@given(st.text())
def test_no_text_leaves_its_line(text: str) -> None:
    try:
        line = texts.one_line(text, "--summary")
    except UsageError:
        return
    assert "\n" not in line
    assert line.isprintable()


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=50))
def test_no_per_cent_sign_means_anything(text: str) -> None:
    try:
        quoted = texts.in_spec(texts.one_line(text, "--summary"))
    except UsageError:
        return
    assert re.fullmatch(r"([^%]|%%)*", quoted)
    assert not quoted.startswith("%")


@given(st.text(alphabet=" .\n:ab", max_size=60))
def test_a_folded_text_stays_in_its_field(text: str) -> None:
    lines = texts.some_lines(text, "--description")
    paragraph = f"Package: x\nDescription: y\n{texts.folded(lines)}\n"
    assert parse_control(paragraph.encode()) == {"package": "x", "description": "y"}
    assert not re.search(r"^ \.(?!$)", texts.folded(lines), re.MULTILINE)


@pytest.mark.parametrize(
    "bad",
    [
        "a\nb",
        "a, b",
        "%{lua:x}",
        "a; b",
        "",
        "$(x)",
        "a" * 2000,
        "`x`",
        "a\0",
        "foo bar baz",
        "foo bar",
        "a >= 1 b",
    ],
)
def test_dependencies_that_are_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="one package"):
        texts.dependency(bad, "--depends")


@pytest.mark.parametrize(
    "good",
    [
        "a >= 1:2~3-4",
        "a (>= 1.2~) | b",
        "(a if b)",
        "/usr/bin/x",
        "a(x86-64) = 1",
        "a:any",
        "a (>= 1)",
        "a >= 1",
    ],
)
def test_dependencies(good: str) -> None:
    assert texts.dependency(good, "--depends") == good


# --- Spec and control ----------------------------------------------------------------------------


def test_fields_of_the_spec() -> None:
    text = spec(replace(FACTS, summary="100 % sure", requires=("a >= 1",)), [MAIN, ADDON], PLACES)
    lines = text.splitlines()
    for line in (
        "Name: kernel-uki-virt",
        "Version: 6.19.8",
        "Release: 200.fc43",
        "Summary: 100 %% sure",
        "Provides: installonlypkg(kernel)",
        f"Provides: kernel-uname-r = {KERNEL}",
        f"Requires: kernel-modules-core-uname-r = {KERNEL}",
        "Requires: a >= 1",
        "Recommends: uki-direct",
        "%package -n kernel-uki-virt-addon-debug",
        "Requires: kernel-uki-virt = 6.19.8-200.fc43",
        f"%attr(0644,root,root) {PLACES.uki}",
        f"%dir {PLACES.folder}",
    ):
        assert line in lines, line
    assert "Vendor:" not in text


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, version=Version("6.19.8", "201.fc43")),
        replace(FACTS, version=Version("1", "1"), kernel_version="6.12.1-a-b"),
    ],
)
def test_what_can_be_made_anew_for_a_kernel_can_be_updated(facts: Facts) -> None:
    """dnf updates nothing that is to be side by side, and one kernel's files are there once."""
    assert "installonlypkg" not in spec(facts, [MAIN, ADDON], PLACES)
    assert spec(FACTS, [MAIN, ADDON], PLACES).count("Provides: installonlypkg(kernel)") == 2


def test_a_standalone_package_asks_for_no_modules() -> None:
    text = spec(replace(FACTS, standalone=True), [MAIN], PLACES)
    assert "modules-core" not in text
    debian = replace(FACTS, standalone=True)
    assert "Recommends" not in control(debian, MAIN, 10)


@pytest.mark.parametrize("text", ["%files", "  %post", "ends with \\", "# x", " #x"])
def test_lines_that_would_mean_something_to_rpm(text: str) -> None:
    with pytest.raises(UsageError, match="rpm package"):
        spec(replace(FACTS, description=(text,)), [MAIN], PLACES)


def test_fields_of_the_control_file() -> None:
    facts = replace(FACTS, architecture="amd64", requires=("a (>= 1)", "b"))
    assert parse_control(control(facts, MAIN, 5000).encode()) == {
        "package": "kernel-uki-virt",
        "version": "6.19.8-200.fc43",
        "architecture": "amd64",
        "maintainer": "Some Body <body@example.org>",
        "installed-size": "5",
        "section": "kernel",
        "priority": "optional",
        "depends": "a (>= 1), b",
        "recommends": "linux-image-6.19.8-200.fc43.x86-64 | linux-modules-6.19.8-200.fc43.x86-64",
        "breaks": "systemd (<< 254)",
        "description": "A summary",
    }
    assert "Depends: kernel-uki-virt (= 6.19.8-200.fc43)\n" in control(facts, ADDON, 1)


# --- Scripts -------------------------------------------------------------------------------------


def all_scripts() -> dict[str, str]:
    found = {
        "plugin": plugins.beside(PLACES, ["b.addon.efi", "a.sysext.raw"]),
        "guard": plugins.guard(PLACES),
    }
    for kind, made in (
        ("deb", scripts.debian_scripts(PLACES)),
        ("deb-addon", scripts.debian_addon_scripts(PLACES)),
    ):
        found |= {f"{kind}-{name}": text for name, text in made.items()}
    for kind, made in (
        ("rpm", scripts.rpm_scripts(PLACES)),
        ("rpm-addon", scripts.rpm_addon_scripts(PLACES)),
    ):
        found |= {f"{kind}-{name}": f"#!/bin/sh\n{text}\n" for name, text in made.items()}
    return found


@pytest.mark.oracle("shellcheck")
@pytest.mark.parametrize("name", all_scripts())
def test_shellcheck_finds_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(all_scripts()[name])
    done = subprocess.run(
        ["shellcheck", tmp_path / "script"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Notes what kernel-install is called with; no --entry-type is known."""
    program = tmp_path / "bin/kernel-install"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1" = --help ] || echo "$@" >> {tmp_path}/calls\n')
    program.chmod(0o755)
    return tmp_path / "calls"


def call(script: str, *words: str, folder: Path) -> int:
    path = folder / "script"
    path.write_text(script)
    return subprocess.run(
        ["sh", path, *words],
        env={"PATH": f"{folder}/bin:/usr/bin:/bin"},
        check=False,
    ).returncode


@pytest.mark.parametrize(
    ("script", "words", "called"),
    [
        ("postinst", ("configure", ""), f"add {KERNEL} {PLACES.uki}"),
        ("postinst", ("configure", "1.0"), f"add {KERNEL} {PLACES.uki}"),
        ("postinst", ("abort-remove",), f"add {KERNEL} {PLACES.uki}"),
        ("postinst", ("triggered", "x"), ""),
        ("prerm", ("remove",), f"remove {KERNEL}"),
        ("prerm", ("upgrade", "2.0"), ""),
        ("preinst", ("install",), ""),
        ("preinst", ("upgrade", "2.0"), ""),
        ("prerm", ("deconfigure", "in-favour", "x"), ""),
        ("prerm", ("failed-upgrade", "1.0"), ""),
    ],
)
def test_what_maintainer_scripts_do(
    script: str, words: tuple[str, ...], called: str, calls: Path
) -> None:
    text = scripts.debian_scripts(PLACES)[script]
    for _ in range(2):
        assert call(text, *words, folder=calls.parent) == 0
    said = calls.read_text().splitlines() if calls.exists() else []
    assert said == ([called] * 2 if called else [])


def test_a_maintainer_script_fails_where_kernel_install_does(calls: Path) -> None:
    (calls.parent / "bin/kernel-install").write_text("#!/bin/sh\nexit 3\n")
    for name, word in (("postinst", "configure"), ("prerm", "remove")):
        text = scripts.debian_scripts(PLACES)[name]
        assert call(text, word, folder=calls.parent) == 3


@pytest.mark.parametrize(
    ("layout", "command", "kernel", "image", "code"),
    [
        ("uki", "add", KERNEL, "vmlinuz-virt.efi", 0),
        ("bls", "add", KERNEL, "vmlinuz-virt.efi", 77),
        ("grub", "add", KERNEL, "vmlinuz-virt.efi", 77),
        ("bls", "add", KERNEL, "vmlinuz", 0),
        ("bls", "add", "6.0", "vmlinuz-virt.efi", 0),
        ("bls", "remove", KERNEL, "vmlinuz-virt.efi", 0),
    ],
)
def test_the_guard_stops_where_the_layout_is_another(
    layout: str, command: str, kernel: str, image: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "guard").write_text(plugins.guard(PLACES))
    done = subprocess.run(
        ["sh", tmp_path / "guard", command, kernel, "entry", f"/folder/{image}"],
        env={"KERNEL_INSTALL_LAYOUT": layout},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert ("is not installed" in done.stderr) == (code == 77)


@pytest.mark.parametrize("layout", ["bls", "other"])
def test_the_plugin_leaves_other_layouts_alone(layout: str, tmp_path: Path) -> None:
    assert run_plugin(tmp_path, "add", layout=layout) == set()


def run_plugin(
    folder: Path, command: str, *, kernel: str = KERNEL, layout: str = "uki", **more: str
) -> set[str]:
    """What is on the boot partition once the plugin was called."""
    image = folder / "vmlinuz-virt.efi"
    beside = folder / "vmlinuz-virt.efi.extra.d"
    beside.mkdir(exist_ok=True)
    (beside / "a.addon.efi").write_text("a")
    script = folder / "plugin"
    script.write_text(plugins.beside(PLACES, ["a.addon.efi", "gone.addon.efi"]))
    environment = {
        "PATH": "/usr/bin:/bin",
        "KERNEL_INSTALL_BOOT_ROOT": str(folder / "boot"),
        "KERNEL_INSTALL_ENTRY_TOKEN": "token",
        "KERNEL_INSTALL_LAYOUT": layout,
        **more,
    }
    words = [command, kernel, "entry", str(image)]
    subprocess.run(["sh", script, *words], env=environment, check=True)
    boot = folder / "boot"
    return {str(path.relative_to(boot)) for path in boot.rglob("*") if path.is_file()}


def test_the_plugin_adds_and_removes(tmp_path: Path) -> None:
    folder = f"EFI/Linux/token-{KERNEL}.efi.extra.d"
    there = tmp_path / "boot" / folder
    there.mkdir(parents=True)
    (there / "gone.addon.efi").write_text("old")
    (there / "mine.cred").write_text("mine")
    added = {f"{folder}/a.addon.efi", f"{folder}/mine.cred"}
    assert run_plugin(tmp_path, "add") == added
    assert run_plugin(tmp_path, "add", kernel="6.0") == added
    assert run_plugin(tmp_path, "remove", KERNEL_INSTALL_BOOT_ENTRY_TYPE="type1") == added
    assert run_plugin(tmp_path, "remove") == {f"{folder}/mine.cred"}
    (there / "mine.cred").unlink()
    run_plugin(tmp_path, "remove")
    assert not there.exists()


def test_the_plugin_goes_by_the_name_of_the_entry(tmp_path: Path) -> None:
    """What newer releases of systemd call an entry can be configured."""
    found = run_plugin(tmp_path, "add", KERNEL_INSTALL_ENTRY_NAME="mine")
    assert found == {"EFI/Linux/mine.efi.extra.d/a.addon.efi"}


def test_names_in_scripts_are_quoted_words() -> None:
    for text in all_scripts().values():
        assert shlex.split(text.replace("\n", " ; "), comments=False)


# --- Copies and tools ----------------------------------------------------------------------------


def test_a_copy_is_the_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"abc" * 1_000_000)
    copying.copy_file(str(source), copying.seen(str(source)), str(target), mode=0o640)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    # The target is there now.
    with pytest.raises(OutputError):
        copying.copy_file(str(source), copying.seen(str(source)), str(target), mode=0o640)


@pytest.mark.parametrize("given", [0, 1, 17])
def test_a_copy_where_the_kernel_stops(
    given: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may copy a part only, or nothing; the rest is read and written."""
    real = os.copy_file_range
    rest = [given]

    def some(reading: int, writing: int, count: int) -> int:
        count = min(count, rest[0])
        rest[0] -= count
        return real(reading, writing, count) if count else 0

    monkeypatch.setattr(os, "copy_file_range", some)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(100)))
    copying.copy_file(str(source), copying.seen(str(source)), str(target), mode=0o644)
    assert target.read_bytes() == bytes(range(100))


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"one")
    expected = copying.seen(str(source))
    source.write_bytes(b"two")
    with pytest.raises(InputError, match="changed"):
        copying.copy_file(str(source), expected, str(tmp_path / "target"), mode=0o644)


def test_a_tool_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOLS, "sh", Tool("true", "coreutils", (99,)))
    assert tool_version.version_of("tar")
    with pytest.raises(ToolError, match="too old, 99 is needed"):
        tool_version.version_of("sh")
