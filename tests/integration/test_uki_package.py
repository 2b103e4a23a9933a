"""``uki package``: the same files make the same bytes, and nothing else gets into a package."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from command import sysgraft
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.uki_package import makers
from sysgraft.formats import cpio, deb, rpm
from sysgraft.formats.compression import Compression, Decompressor
from sysgraft.formats.stream import BlobSource
from sysgraft.testing.certificates import make_identity
from uki_kit import RELEASE, Kit, make_kernel, make_kit, make_stub

if TYPE_CHECKING:
    from collections.abc import Callable

    from command import Result

pytestmark = [pytest.mark.oracle("rpmbuild"), pytest.mark.oracle("dpkg-deb")]

FORMATS = ("rpm", "deb")
PLACE = f"/usr/lib/modules/{RELEASE}"


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    kit = make_kit(tmp_path / "kit", monkeypatch)
    kit.build("linux.efi", "--cmdline", "quiet")
    for name in ("base", "debug", "fips"):
        kit.build(f"{name}.addon.efi", "--cmdline", name, kernel=False)
    kit.file("tool.sysext.raw", b"extension")
    kit.file("System.map", "map")
    kit.file("terms", "All of it.\n")
    return kit


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Has temporary files lie in a folder of that name."""

    def change(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)
        return folder

    return change


def package(
    kit: Kit, form: str, *words: str | Path, out: str = "out", uki: str = "linux.efi"
) -> Result:
    return sysgraft(
        *("uki", "package", kit.folder / uki, "--format", form, "--json"),
        *("--maintainer", "Some Body <body@example.org>", "--output", kit.folder / out),
        *(("--version", "6.12.1", "--release", "1") if form == "rpm" else ()),
        *words,
    )


def with_everything(kit: Kit) -> list[str | Path]:
    return [
        *("--extra", kit.folder / "base.addon.efi", "--extra", kit.folder / "tool.sysext.raw"),
        *("--addon", f"debug={kit.folder / 'debug.addon.efi'}"),
        *("--addon", f"fips={kit.folder / 'fips.addon.efi'}"),
        *("--kernel-file", kit.folder / "System.map", "--copyright", kit.folder / "terms"),
        *("--license", "GPL-2.0-only AND MIT", "--summary", "50 % smaller", "--vendor", "Us"),
    ]


def made(result: Result) -> dict[str, dict[str, Any]]:
    assert result.code == 0, result.err
    return {each["addon"] or "": each for each in result.document["packages"]}


def deb_files(path: str) -> dict[str, tarfile.TarInfo]:
    with open(path, "rb") as file:
        found = deb.read_package(BytesBlob(file.read()))
    assert found.compression is Compression.ZSTD
    source = Decompressor(BlobSource(found.data), found.compression)
    data = source.read(1 << 30)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {f"/{each.name.removeprefix('./')}": each for each in archive if each.isfile()}


# --- What is in them -----------------------------------------------------------------------------


def test_files_of_debian_packages(kit: Kit) -> None:
    packages = made(package(kit, "deb", *with_everything(kit)))
    name = f"linux-image-uki-{RELEASE}"
    assert {addon: each["name"] for addon, each in packages.items()} == {
        "": name,
        "debug": f"linux-image-uki-addon-debug-{RELEASE}",
        "fips": f"linux-image-uki-addon-fips-{RELEASE}",
    }
    assert packages[""]["files"] == [
        f"/usr/lib/kernel/install.d/00-{name}.install",
        f"/usr/lib/kernel/install.d/91-{name}.install",
        f"{PLACE}/System.map",
        f"{PLACE}/vmlinuz-virt.efi",
        f"{PLACE}/vmlinuz-virt.efi.extra.d/base.addon.efi",
        f"{PLACE}/vmlinuz-virt.efi.extra.d/tool.sysext.raw",
        f"/usr/share/doc/{name}/copyright",
    ]
    for each in packages.values():
        files = deb_files(each["file"])
        assert sorted(files) == each["files"]
        for path, info in files.items():
            assert (info.uid, info.gid, info.mtime) == (0, 0, 0)
            assert info.mode == (0o755 if path.endswith(".install") else 0o644)
    subprocess.run(["dpkg-deb", "-x", packages[""]["file"], kit.folder / "x"], check=True)
    unpacked = kit.folder / f"x{PLACE}/vmlinuz-virt.efi"
    assert unpacked.read_bytes() == (kit.folder / "linux.efi").read_bytes()


def test_files_of_rpm_packages(kit: Kit) -> None:
    packages = made(package(kit, "rpm", *with_everything(kit)))
    assert set(packages) == {"", "debug", "fips"}
    for each in packages.values():
        with open(each["file"], "rb") as file:
            found = rpm.read_package(BytesBlob(file.read()))
        files = [entry for entry in found.files if entry.mode & 0o170000 == 0o100000]
        assert sorted(entry.path.decode() for entry in files) == each["files"]
        assert found.name == each["name"]
        assert found.version == "6.12.1-1"
        main = not each["addon"]
        assert found.scriptlets == (("%pre", "%posttrans") if main else ("%posttrans",))
    for number in ("00", "91"):
        plugin = f"/usr/lib/kernel/install.d/{number}-kernel-uki-virt-{RELEASE}.install"
        assert plugin in packages[""]["files"]


def query(path: str, *words: str) -> str:
    done = subprocess.run(["rpm", "-qp", *words, path], capture_output=True, text=True, check=True)
    return done.stdout


def test_what_rpm_says(kit: Kit) -> None:
    packages = made(package(kit, "rpm", *with_everything(kit)))
    main = packages[""]["file"]
    shape = "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{BUILDHOST} %{BUILDTIME} %{SUMMARY}|%{VENDOR}"
    assert query(main, "--queryformat", shape) == (
        "kernel-uki-virt 6.12.1 1 x86_64 reproducible 0 50 % smaller|Us"
    )
    provides = query(main, "--provides").split("\n")
    assert f"kernel-uname-r = {RELEASE}" in provides
    # Release 1 is not the kernel's, so that a release 2 has to replace it.
    assert "installonlypkg(kernel)" not in provides
    requires = query(main, "--requires").split("\n")
    assert {"systemd >= 254", f"kernel-modules-core-uname-r = {RELEASE}"} <= set(requires)
    assert query(main, "--recommends").split() == ["uki-direct"]
    scripts = query(main, "--scripts")
    assert f"kernel-install add '{RELEASE}' '{PLACE}/vmlinuz-virt.efi' || exit $?" in scripts
    owners = query(main, "--queryformat", "[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMTIMES}\n]")
    assert set(owners.split("\n")) == {"root:root 0", ""}
    assert "kernel-uki-virt = 6.12.1-1" in query(packages["debug"]["file"], "--requires")
    done = subprocess.run(["rpm", "-K", "--nosignature", main], capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.oracle("cpio")
def test_what_rpm2cpio_unpacks(kit: Kit) -> None:
    main = made(package(kit, "rpm"))[""]["file"]
    folder = kit.folder / "unpacked"
    folder.mkdir()
    archive = subprocess.run(["rpm2cpio", main], capture_output=True, check=True).stdout
    subprocess.run(["cpio", "-id", "--quiet"], input=archive, cwd=folder, check=True)
    files = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}
    guard = f"usr/lib/kernel/install.d/00-kernel-uki-virt-{RELEASE}.install"
    assert files == {f"{PLACE[1:]}/vmlinuz-virt.efi", guard}
    unpacked = folder / f"{PLACE[1:]}/vmlinuz-virt.efi"
    assert unpacked.read_bytes() == (kit.folder / "linux.efi").read_bytes()


# --- The same bytes ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_bytes_in_any_folder(
    form: str,
    kit: Kit,
    tmp_path: Path,
    spool: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another folder, another time of files, another user's configuration, another umask."""
    first = made(package(kit, form, *with_everything(kit)))
    other = spool("elsewhere")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.rpmmacros").write_text(
        "%vendor Nobody\n%packager X\n%_binary_payload w9.gzdio\n%_build_id_links compat\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    for path in kit.folder.iterdir():
        if path.is_file():
            os.utime(path, (1, 1_900_000_000))
    before = os.umask(0o077)
    try:
        second = made(package(kit, form, *with_everything(kit), out="second"))
    finally:
        os.umask(before)
    assert [each["sha256"] for each in first.values()] == [
        each["sha256"] for each in second.values()
    ]
    assert not list(other.iterdir())


@pytest.mark.parametrize("form", FORMATS)
def test_the_time_of_a_package(form: str, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    option = made(package(kit, form, "--source-date-epoch", "1700000000"))[""]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    variable = made(package(kit, form, out="second"))[""]
    assert option["sha256"] == variable["sha256"]
    if form == "rpm":
        assert query(option["file"], "--queryformat", "%{BUILDTIME}") == "1700000000"
    else:
        times = {info.mtime for info in deb_files(option["file"]).values()}
        assert times == {1_700_000_000}
    assert package(kit, form, "--source-date-epoch", str(1 << 32), out="third").code == 2


# --- Other architectures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "names"),
    [(0xAA64, ("aarch64", "arm64")), (0x5064, ("riscv64", "riscv64"))],
)
def test_other_architectures(machine: int, names: tuple[str, str], kit: Kit) -> None:
    kernel = kit.file("vmlinuz-other", make_kernel(machine=machine))
    stub = kit.file("other.stub", make_stub(machine=machine))
    kit.build("other.efi", f"--linux={kernel}", f"--stub={stub}", f"--uname={RELEASE}")
    for form, name in zip(FORMATS, names, strict=True):
        result = package(kit, form, uki="other.efi")
        found = made(result)[""]["file"]
        assert result.document["architecture"] == name
        if form == "rpm":
            assert query(found, "--queryformat", "%{ARCH} %{OS}") == f"{name} linux"
        else:
            field = subprocess.run(
                ["dpkg-deb", "-f", found, "Architecture"], capture_output=True, check=True
            )
            assert field.stdout.decode().strip() == name


# --- What is reported ----------------------------------------------------------------------------


def test_the_report_for_a_person(kit: Kit) -> None:
    result = sysgraft(
        *("uki", "package", kit.folder / "linux.efi", "--format", "deb"),
        *("--maintainer", "a", "--output", kit.folder / "out"),
    )
    assert result.code == 0
    assert f"unsigned UKI of Linux {RELEASE} for amd64" in result.out
    assert ".linux" in result.out
    assert "the UKI has no signature" in result.err
    assert "--copyright" in result.err


def test_a_signed_uki_arrives_signed(kit: Kit) -> None:
    identity = make_identity("db")
    key, certificate = (
        kit.file("db.key", identity.key_pem),
        kit.file("db.pem", identity.certificate_pem),
    )
    kit.build("signed.efi", f"--private-key={key}", f"--certificate={certificate}")
    result = package(kit, "deb", uki="signed.efi")
    main = made(result)[""]["file"]
    assert result.document["signed"] is True
    assert "signature" not in result.err
    pair = (f"--private-key={key}", f"--certificate={certificate}")
    kit.build("own.addon.efi", "--cmdline=x", *pair, kernel=False)
    extra, addon = (kit.folder / f"{name}.addon.efi" for name in ("own", "base"))
    more = package(kit, "deb", "--extra", extra, f"--addon=x={addon}", uki="signed.efi", out="2")
    assert [line for line in more.document["notes"] if "signature" in line] == [
        f"{addon} has no signature: with Secure Boot on, it does not count"
    ]
    subprocess.run(["dpkg-deb", "-x", main, kit.folder / "x"], check=True)
    verified = sysgraft(
        *("uki", "verify", kit.folder / f"x{PLACE}/vmlinuz-virt.efi"),
        *("--certificate", certificate),
    )
    assert verified.code == 0, verified.out


def test_an_initrd_that_cannot_be_read_is_a_note(kit: Kit) -> None:
    kit.build("strange.efi", f"--initrd={kit.file('initrd', b'no archive')}")
    result = package(kit, "deb", uki="strange.efi")
    assert result.document["uki"]["initrds"] == []
    assert "what is in the initrd cannot be told" in result.err


def test_a_kernel_version_rpm_cannot_compare_with(kit: Kit) -> None:
    kit.build("debian.efi", f"--linux={kit.file('k', make_kernel('6.12.1+deb13-cloud-amd64'))}")
    result = package(kit, "rpm", uki="debian.efi")
    assert "more than one hyphen" in result.err
    assert "kernel-uname-r" not in query(made(result)[""]["file"], "--provides")


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "%(touch {mark})",
        "%{{lua:io.open('{mark}', 'w')}}",
        "x %(touch {mark}) %%(touch {mark})",
        "x %{{expand:%(touch {mark})}}",
        "x %[1 + 1] %{{name}} $(touch {mark}) `touch {mark}` ${{HOME}}",
        "a\nProvides: everything",
        "a\n%post\ntouch {mark}",
        "a\n%pre -p <lua>\nos.execute('touch {mark}')",
        "a\n%include /etc/passwd",
        "a\r%post",
        "a\x85Provides: everything",
        "a\u2028%post",
        "a\\",
        'a"\'; touch {mark}; "',
        "# no comment",
        "x\n\n   indented\n.\n.z\n\ttab",
        "x\n  # no comment",
        "x # y %% 100 % %%%",
    ],
)
@pytest.mark.parametrize("option", ["--summary", "--description", "--license"])
def test_texts_break_out_of_nothing(option: str, text: str, kit: Kit) -> None:
    """They arrive as they are, or are refused; nothing in them is ever run."""
    mark = kit.folder / "mark"
    text = text.format(mark=mark)
    for form in FORMATS:
        result = package(kit, form, option, text, out=f"hostile-{form}")
        assert not mark.exists()
        if result.code:
            assert (result.code, result.err[:6]) == (2, "error:")
            assert "Traceback" not in result.err
            continue
        path = made(result)[""]["file"]
        if form == "rpm":
            tag = option.removeprefix("--").upper()
            assert query(path, "--queryformat", f"%{{{tag}}}") == text.expandtabs()
            assert query(path, "--provides").splitlines() == [
                "kernel-uki-virt = 6.12.1-1",
                "kernel-uki-virt(x86-64) = 6.12.1-1",
                f"kernel-uname-r = {RELEASE}",
            ]
            assert len(re.findall("scriptlet", query(path, "--scripts"))) == 3
        else:
            fields = subprocess.run(["dpkg-deb", "-f", path], capture_output=True, check=True)
            assert b"\nProvides" not in fields.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "a b"], "no name for a"),
        (["--name", "../a"], "no name for a"),
        (["--version", "1:1"], "--version"),
        (["--kernel-version", "6.0"], "--kernel-version says 6.0"),
        (["--file-name", "linux"], "NAME.efi"),
        (["--file-name", "../x.efi"], "no name for a UKI"),
        (["--file-name", "x.addon.efi"], "NAME.efi"),
        (["--extra", "{kit}/terms"], "nothing for the folder beside"),
        (["--extra", "{kit}/missing.addon.efi"], "No such file"),
        (["--extra", "{kit}/linux.addon.efi"], "no addon, but: uki"),
        (["--extra", "{kit}/broken.addon.efi"], "broken.addon.efi"),
        (["--addon", "debug"], "NAME=FILE"),
        (["--addon", "DEBUG={kit}/debug.addon.efi"], "no name for a package"),
        (["--extra", "{kit}/base.addon.efi", "--addon", "x={kit}/base.addon.efi"], "two files"),
        (["--extra", "{kit}/base.addon.efi", "--extra", "{kit}/other/BASE.addon.efi"], "two files"),
        (["--kernel-file", "{kit}/vmlinuz-virt.efi"], "two files"),
        (["--kernel-file", "{kit}"], "not a regular file"),
        (["--depends", "a\nb"], "--depends"),
        (["--provides", "%{{lua:x}}"], "--provides"),
        (["--copyright", "{kit}/missing"], "No such file"),
        (["--source-date-epoch", "-1"], "not possible"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_refused(form: str, words: list[str], said: str, kit: Kit) -> None:
    (kit.folder / "linux.addon.efi").write_bytes((kit.folder / "linux.efi").read_bytes())
    kit.file("broken.addon.efi", b"MZ")
    kit.file("vmlinuz-virt.efi", b"x")
    kit.file("other/BASE.addon.efi", (kit.folder / "base.addon.efi").read_bytes())
    result = package(kit, form, *(word.format(kit=kit.folder) for word in words))
    assert result.code == 2, result.out
    assert said in result.err
    assert "Traceback" not in result.err
    assert not (kit.folder / "out").exists()


def test_an_addon_of_another_kernel_or_machine(kit: Kit) -> None:
    kit.build("old.addon.efi", "--cmdline=x", "--uname=5.0", kernel=False)
    stub = kit.file("addonaa64.stub", make_stub(name="systemd-addon", machine=0xAA64))
    kit.build("arm.addon.efi", "--cmdline=x", f"--stub={stub}", kernel=False)
    for name, said in (("old", "for the kernel 5.0"), ("arm", "for arm64")):
        result = package(kit, "deb", "--extra", kit.folder / f"{name}.addon.efi")
        assert said in result.err


def test_what_is_no_uki(kit: Kit) -> None:
    assert "no UKI, but: addon" in package(kit, "deb", uki="debug.addon.efi").err
    kit.file("cut.efi", (kit.folder / "linux.efi").read_bytes()[:-700])
    cut = package(kit, "deb", uki="cut.efi")
    assert (cut.code, "cut.efi" in cut.err) == (2, True)
    assert package(kit, "deb", uki="missing.efi").code == 2


@pytest.mark.parametrize("release", ["../../etc", "6.1'$(x)", "6.1 %post", "x" * 65])
def test_a_uki_that_says_an_impossible_release(release: str, kit: Kit) -> None:
    kit.build("odd.efi", f"--section=.uname:{release}", "--uname=")
    for form in FORMATS:
        result = package(kit, form, "--version", "6.12.1", uki="odd.efi")
        assert (result.code, "no kernel version" in result.err) == (2, True), result.err


def test_a_uki_without_a_release(kit: Kit) -> None:
    kit.build("mute.efi", "--uname=")
    assert "does not say its kernel version" in package(kit, "deb", uki="mute.efi").err
    assert made(package(kit, "deb", "--kernel-version", "6.1-x", uki="mute.efi"))


def test_profiles_are_told_apart(kit: Kit) -> None:
    factory = kit.profile("factory", "--cmdline", "reset")
    kit.build("two.efi", "--profile=ID=main", f"--join-profile={factory}")
    words = ("--format", "deb", "--maintainer", "a", "--output", kit.folder / "out")
    shown = sysgraft("uki", "package", kit.folder / "two.efi", *words)
    assert shown.code == 0
    assert ".cmdline (profile 1)" in shown.out


def test_a_uki_for_a_machine_without_packages(kit: Kit) -> None:
    kernel = kit.file("k", make_kernel(machine=0x14C))
    stub = kit.file("s", make_stub(machine=0x14C))
    kit.build("x86.efi", f"--linux={kernel}", f"--stub={stub}", f"--uname={RELEASE}")
    assert "a UKI for x86 is not packaged" in package(kit, "rpm", uki="x86.efi").err


def test_a_debian_package_has_a_maintainer(kit: Kit) -> None:
    words = ("uki", "package", kit.folder / "linux.efi", "--output", kit.folder / "out")
    assert "maintainer" in sysgraft(*words, "--format", "deb").err
    assert sysgraft(*words, "--format", "rpm", "--version", "1", "--release", "1").code == 0


def test_files_of_the_kernel(kit: Kit) -> None:
    names = (".vmlinuz-virt.efi.hmac", "System.map")
    words = [word for name in names for word in ("--kernel-file", kit.file(name, "x"))]
    for form in FORMATS:
        files = made(package(kit, form, *words))[""]["files"]
        assert {f"{PLACE}/{name}" for name in names} < set(files)
    hidden = kit.file(".bashrc", "x")
    assert "no name for a file of the kernel" in package(kit, "deb", "--kernel-file", hidden).err


def test_existing_packages_stay(kit: Kit) -> None:
    first = made(package(kit, "deb"))[""]
    again = package(kit, "deb", "--summary", "another")
    assert again.code == 2
    assert "the file exists" in again.err
    with open(first["file"], "rb") as file:
        assert len(file.read()) == first["size"]
    assert made(package(kit, "deb", "--summary", "another", "--force"))[""] != first


def test_nothing_is_left_of_a_failure(
    kit: Kit, spool: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = spool("work")
    monkeypatch.setattr(makers, "spec", lambda *_: "Name: broken\n")
    result = package(kit, "rpm")
    assert result.code == 2
    assert "rpmbuild failed" in result.err
    assert not list(work.iterdir())
    assert not (kit.folder / "out").exists()


def test_a_temporary_folder_whose_name_means_something(
    kit: Kit, spool: Callable[[str], Path]
) -> None:
    spool("%{name} $(x)")
    result = package(kit, "rpm")
    assert result.code == 2
    assert "TMPDIR" in result.err


def test_initrd_sizes_of_a_uki(kit: Kit) -> None:
    plain = sysgraft("uki", "inspect", kit.folder / "linux.efi", "--json").document
    assert "initrds" not in plain["images"][0]
    found = sysgraft("uki", "inspect", kit.folder / "linux.efi", "--initrd-sizes", "--json")
    assert found.document["images"][0]["initrds"] == []
    assert json.loads(found.out)


def test_the_documents_are_what_their_schemas_say(kit: Kit) -> None:
    initrd = kit.file("initrd", one_file_initrd("usr/lib/modules/6.1/a.ko"))
    kit.build("linux.efi", f"--initrd={initrd}", "--force")
    for form in FORMATS:
        result = package(kit, form, *with_everything(kit))
        assert errors_of("uki.package", result.document) == []
        assert result.document["tool"].startswith(("rpmbuild 4", "rpmbuild 6", "dpkg-deb 1"))
        (sizes,) = result.document["uki"]["initrds"]
        assert sizes["kinds"] == [{"kind": "kernel modules", "files": 1, "size": 7}]
    inspected = sysgraft("uki", "inspect", kit.folder / "linux.efi", "--initrd-sizes", "--json")
    assert errors_of("uki.inspect", inspected.document) == []
    assert inspected.document["images"][0]["initrds"] == [sizes]
    shown = sysgraft("uki", "inspect", kit.folder / "linux.efi", "--initrd-sizes").out
    assert "kernel modules  7 B  100.0%  1 file" in shown


def errors_of(name: str, document: dict[str, Any]) -> list[str]:
    schemas = Path(__file__).parents[2] / "docs/reference/schemas"
    schema = json.loads((schemas / f"sysgraft.{name}-1.json").read_text())
    return [error.message for error in Draft202012Validator(schema).iter_errors(document)]


def one_file_initrd(path: str) -> bytes:
    tree = {b"": Inode(stat.S_IFDIR | 0o755)}
    steps = path.encode().split(b"/")
    for depth in range(1, len(steps)):
        tree[b"/".join(steps[:depth])] = Inode(stat.S_IFDIR | 0o755)
    tree[path.encode()] = Inode(stat.S_IFREG | 0o644, content=BytesBlob(b"module\n"))
    return b"".join(cpio.plan(tree).chunks())


def test_a_kernel_file_that_would_be_the_folder_beside(kit: Kit) -> None:
    name = "vmlinuz-virt.efi.extra.d"
    result = package(kit, "deb", "--kernel-file", kit.file(name, "x"), *with_everything(kit))
    assert result.code == 2
    assert "is the folder beside the UKI" in result.err


@pytest.mark.parametrize("form", FORMATS)
def test_what_names_and_releases_mean_is_noted(form: str, kit: Kit) -> None:
    kit.kernel.write_bytes(make_kernel("6.12.1_kit"))
    kit.build("odd.efi")
    result = package(kit, form, "--version", "6.12.1", uki="odd.efi")
    assert result.code == 0, result.err
    notes = "\n".join(result.document["notes"])
    assert ("needs another --name" in notes) == (form == "deb")
    assert ("a newer package replaces this one" in notes) == (form == "rpm")
