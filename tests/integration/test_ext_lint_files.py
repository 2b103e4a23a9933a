"""``ext lint``: files in more than one layer, unusual ones, links to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lint_kit import (
    OPAQUE,
    WHITEOUT,
    Maker,
    codes,
    file,
    link,
    lint,
)
from sysgraft.base.tree import Inode
from sysgraft.image.lint.lint import LintOptions

if TYPE_CHECKING:
    from lint_kit import Content


# --- Files in more than one layer -----------------------------------------------------------------


def test_collision(make: Maker) -> None:
    one = make.image("b", {"usr/bin/demo": "one", "usr/bin/same": "x", "usr/bin/mode": "x"})
    two = make.image(
        "a", {"usr/bin/demo": "two", "usr/bin/same": "x", "usr/bin/mode": file("x", 0o755)}
    )
    report = lint(two, one)
    assert codes(report) == {
        "collision": ["/usr/bin/demo", "/usr/bin/mode"],
        "same-file": ["/usr/bin/same"],
    }
    texts = [each.problem for each in report.findings if each.code == "collision"]
    assert texts == [
        f"they differ in content; that of {one} is seen",
        f"they differ in mode or owner; that of {one} is seen",
    ]
    assert not report.ok


def test_which_is_seen_is_open_where_names_are_equal_as_versions(make: Maker) -> None:
    images = [make.image(name, {"usr/bin/demo": name}) for name in ("fw+1", "fw_1")]
    report = lint(*images)
    problems = [each.problem for each in report.findings if each.code == "collision"]
    assert problems == ["they differ in content; which of them is seen is open"]


def test_same_file_is_a_note(make: Maker) -> None:
    files: dict[str, Content] = {
        "usr/share/doc/licence": "text",
        "usr/share/doc/link": link("licence"),
    }
    report = lint(make.image("a", files), make.image("b", files))
    assert codes(report) == {"same-file": ["/usr/share/doc/licence", "/usr/share/doc/link"]}
    assert report.ok


def test_a_file_against_a_folder(make: Maker) -> None:
    one = make.image("a", {"usr/share/demo/one": "1", "usr/share/demo/two": "2"})
    two = make.image("b", {"usr/share/demo": link("other"), "usr/share/other/x": ""})
    report = lint(one, two)
    assert codes(report) == {"type-collision": ["/usr/share/demo"]}
    (found,) = report.findings
    assert found.problem == f"a link of {two} hides a folder of {one}"


def test_deletions_that_hide_what_another_has(make: Maker) -> None:
    one = make.image("a", {"usr/share/x/one": "1", "usr/share/y/two": "2", "usr/share/z": "3"})
    two = make.image("b", {"usr/share/x": WHITEOUT, "usr/share/y": OPAQUE})
    report = lint(one, two)
    assert codes(report) == {
        "hidden-by-whiteout": ["/usr/share/x", "/usr/share/x/one", "/usr/share/y/two"]
    }


def test_files_and_links_of_the_base_that_are_hidden(make: Maker) -> None:
    base = make.folder_of("base", {"usr/bin/true": "", "usr/lib/demo.conf": "old"})
    (make.folder / "base/usr/sbin").symlink_to("bin")
    image = make.image("a", {"usr/sbin/tool": "", "usr/lib/demo.conf": "new", "usr/bin/x": ""})
    report = lint(image, options=LintOptions(host_root=base))
    assert codes(report) == {
        "type-collision": ["/usr/sbin"],
        "replaces-base": ["/usr/lib/demo.conf"],
    }
    assert report.findings[0].problem == f"a folder of {image} hides a link of the base"


def test_release_files_collide_with_nobody(make: Maker) -> None:
    images = [
        make.image(f"demo_{number}", {f"usr/bin/{number}": ""}, called="demo") for number in (1, 2)
    ]
    assert codes(lint(*images)) == {"several-versions": []}


# --- Unusual files --------------------------------------------------------------------------------


def test_modes_owners_and_devices(make: Maker) -> None:
    image = make.image(
        "a",
        {
            "usr/bin/writable": file(mode=0o777),
            "usr/share/drop": Inode(0o41777),
            "usr/share/open": Inode(0o40777),
            "usr/bin/su": file(mode=0o4755),
            "usr/bin/cap": Inode(
                0o100755, content=file().content, xattrs=((b"security.capability", b"\1"),)
            ),
            "usr/share/owned": file(uid=1000),
            "usr/lib/null": Inode(0o20666, rdev=(1, 3)),
            "usr/lib/disk": Inode(0o60600, rdev=(8, 0)),
        },
    )
    assert codes(lint(image)) == {
        "world-writable": ["/usr/bin/writable", "/usr/lib/null", "/usr/share/open"],
        "device-node": ["/usr/lib/disk", "/usr/lib/null"],
        "setuid": ["/usr/bin/cap", "/usr/bin/su"],
        "owner": ["/usr/share/owned"],
    }


def test_links_to_nothing(make: Maker) -> None:
    base = make.folder_of("base", {"usr/lib/libbase.so.1": "", "usr/bin/true": ""})
    image = make.image(
        "a",
        {
            "usr/lib/good.so": link("libbase.so.1"),
            "usr/lib/absolute.so": link("/lib/libbase.so.1"),
            "usr/lib/up.so": link("../../usr/lib/good.so"),
            "usr/lib/outside": link("/var/lib/demo"),
            "usr/lib/bad.so": link("libnone.so"),
            "usr/lib/loop": link("loop"),
            "usr/lib/through": link("bad.so/x"),
        },
    )
    report = lint(image, options=LintOptions(host_root=base))
    assert codes(report) == {
        "dangling-link": ["/usr/lib/bad.so", "/usr/lib/loop", "/usr/lib/through"]
    }
    assert lint(image).findings == ()
