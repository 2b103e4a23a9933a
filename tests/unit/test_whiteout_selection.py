"""What of a tree is kept, what is counted, what is refused, and what becomes of deletions."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode, Tree, check_tree
from sysgraft.build.path_rules import Rules
from sysgraft.build.selection import select
from sysgraft.build.sources.model import (
    AbsentContent,
    Entry,
    Layer,
    LeftOut,
    Options,
    Workspace,
)
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.errors import InputError, UsageError
from sysgraft.host.spool import Spool


def entry(path: str, mode: int = stat.S_IFREG | 0o644, data: bytes = b"data") -> Entry:
    content = BytesBlob(data) if stat.S_ISREG(mode) else None
    return Entry(path.encode(), Inode(mode, content=content, target=b"t" * stat.S_ISLNK(mode)))


def run(options: Options, *entries: Entry, partial: bool = False) -> tuple[Tree, Workspace]:
    merger = TreeMerger(options)
    merger.add(Layer("layer", entries, whiteout_names=True, is_partial=partial))
    with Spool() as spool:
        workspace = Workspace(options, spool, ())
        tree = select(merger.root, workspace)
    check_tree(tree)
    return tree, workspace


def paths(options: Options, *entries: Entry) -> list[str]:
    return [path.decode() for path in run(options, *entries)[0]]


USR = entry("usr/a")
DEVICE = stat.S_IFCHR | 0o600


def test_a_sysext_is_usr_and_the_rest_is_counted() -> None:
    others = [entry("var/lib/x", data=b"12345"), entry("var/y"), entry("usrfoo/z"), entry("etc/e")]
    tree, workspace = run(Options(), USR, *others)
    assert list(tree) == [b"", b"usr", b"usr/a"]
    [left] = workspace.left_out
    assert (left.reason, left.files, left.directories, left.size) == ("outside", 4, 4, 17)
    assert len(left.examples) == 3


def test_a_confext_is_etc() -> None:
    assert paths(Options(kind="confext"), USR, entry("etc/x")) == ["", "etc", "etc/x"]


def test_folders_nobody_lists_are_plain_and_as_old_as_the_epoch() -> None:
    tree, _ = run(Options(source_date_epoch=77), USR)
    assert {(tree[path].mode, tree[path].mtime) for path in (b"", b"usr")} == {(0o40755, 77)}


def test_further_prefixes() -> None:
    files = [USR, entry("opt/x"), entry("optional"), entry("var/lib/x/y"), entry("var/log/z")]
    options = Options(include_paths=("/opt", "var/lib/x/", "/srv/none"))
    found = ["", "opt", "opt/x", "usr", "usr/a", "var", "var/lib", "var/lib/x", "var/lib/x/y"]
    assert paths(options, *files, entry("srv/other")) == found


@pytest.mark.parametrize("prefix", ["/", "", "../usr", "/opt/../etc", "."])
def test_prefixes_that_are_none(prefix: str) -> None:
    with pytest.raises(UsageError, match="not a path prefix"):
        run(Options(include_paths=(prefix,)), USR)


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("/usr/share/doc", {"usr/share/doc", "usr/share/doc/x.txt"}),
        ("usr/share/*", {"usr/share/doc", "usr/share/doc/x.txt", "usr/share/b.bin"}),
        ("*.txt", {"usr/share/doc/x.txt"}),
        ("usr/share/?.bi[mn]", {"usr/share/b.bin"}),
        ("share", set()),
    ],
)
def test_excluded_paths(pattern: str, gone: set[str]) -> None:
    files = [USR, entry("usr/share/doc/x.txt"), entry("usr/share/b.bin")]
    everything = set(paths(Options(), *files))
    tree, workspace = run(Options(excludes=(pattern,)), *files)
    assert {path.decode() for path in tree} == everything - gone
    counted = sum(left.files + left.directories for left in workspace.left_out)
    assert counted == len(gone)


def test_names_that_are_no_text_can_be_excluded() -> None:
    odd = Entry(b"usr/\xff\xfe", USR.inode)
    assert paths(Options(excludes=("usr/\udcff*",)), USR, odd) == ["", "usr", "usr/a"]


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        (stat.S_IFBLK, "a block device"),
        (stat.S_IFIFO, "a FIFO"),
        (stat.S_IFSOCK, "a socket"),
    ],
)
def test_what_an_extension_must_not_hold(mode: int, what: str) -> None:
    special = entry("usr/special", mode | 0o600)
    with pytest.raises(InputError, match=f"{what} cannot be in an extension: /usr/special"):
        run(Options(), USR, special)
    assert paths(Options(excludes=("usr/special",)), USR, special) == ["", "usr", "usr/a"]
    assert paths(Options(), USR, replace(special, path=b"dev/x")) == ["", "usr", "usr/a"]


def test_character_devices_are_refused() -> None:
    device = Entry(b"usr/null", Inode(DEVICE, rdev=(1, 3)))
    with pytest.raises(InputError, match="a character device"):
        run(Options(), USR, device)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        (Options(), "usr/lib/os-release"),
        (Options(kind="confext"), "etc/os-release"),
        (Options(kind="confext", include_paths=("/usr",)), "usr/lib/os-release"),
    ],
)
def test_whole_operating_systems_are_refused(options: Options, path: str) -> None:
    files = [USR, entry("etc/x"), entry(path)]
    with pytest.raises(InputError, match="whole operating system") as caught:
        run(options, *files)
    assert caught.value.hint == f"leave it out with --exclude /{path}"
    assert path not in paths(replace(options, excludes=(path,)), *files)


@pytest.mark.parametrize("options", [Options(), Options(kind="confext")])
def test_an_os_release_that_is_left_out_anyway_is_no_matter(options: Options) -> None:
    other = "etc/os-release" if options.kind == "sysext" else "usr/lib/os-release"
    assert paths(options, USR, entry("etc/x"), entry(other))


def test_a_sysext_may_bring_etc_os_release_if_asked_to() -> None:
    kept = Options(include_paths=("/etc",))
    assert "etc/os-release" in paths(kept, USR, entry("etc/os-release"))


def test_nothing_to_keep() -> None:
    with pytest.raises(InputError, match="nothing but folders in /usr") as caught:
        run(Options(), entry("etc/x"), entry("usr/empty", stat.S_IFDIR | 0o755))
    assert caught.value.hint == "1 file lies elsewhere: etc/x"


def test_an_empty_hierarchy_is_none() -> None:
    with pytest.raises(InputError, match="no files in /usr") as caught:
        run(Options(), entry("usr", stat.S_IFDIR | 0o755), entry("etc/x"), entry("etc/y"))
    assert caught.value.hint == "2 files lie elsewhere: etc/x, etc/y"


def test_a_hierarchy_must_be_a_folder() -> None:
    with pytest.raises(InputError, match="/usr is not a folder"):
        run(Options(), entry("usr", stat.S_IFLNK | 0o777))


def test_files_that_run_with_others_rights_are_noted() -> None:
    _, workspace = run(Options(), USR, entry("usr/bin/su", stat.S_IFREG | 0o4755))
    assert workspace.notes == [
        "run with their owner's or group's rights (setuid, setgid): usr/bin/su"
    ]


def test_a_file_whose_data_went_by_is_refused() -> None:
    inode = Inode(stat.S_IFREG | 0o644, content=AbsentContent(5))
    with pytest.raises(InputError, match="hard link to a file of a lower layer"):
        run(Options(), USR, Entry(b"usr/b", inode))


DELETIONS = (
    entry("usr/.wh.gone"),
    entry("usr/d/.wh..wh..opq"),
    entry("usr/d/x"),
    entry("etc/.wh.e"),
)


def test_deletions_of_the_systems_files_are_an_error() -> None:
    with pytest.raises(
        InputError, match="delete 2 paths that none of them holds: usr/d, usr/gone"
    ) as e:
        run(Options(), USR, *DELETIONS, partial=True)
    assert "--whiteouts drop" in e.value.hint
    assert "--whiteouts keep" in e.value.hint


def test_deletions_can_be_dropped() -> None:
    tree, workspace = run(Options(whiteouts="drop"), USR, *DELETIONS, partial=True)
    assert list(tree) == [b"", b"usr", b"usr/a", b"usr/d", b"usr/d/x"]
    assert LeftOut("whiteouts", 2, examples=("usr/d", "usr/gone")) in workspace.left_out
    assert tree[b"usr/d"].xattrs == ()


def test_deletions_can_be_kept_as_overlayfs_knows_them() -> None:
    tree, workspace = run(Options(whiteouts="keep"), USR, *DELETIONS, partial=True)
    assert tree[b"usr/gone"].mode == stat.S_IFCHR
    assert tree[b"usr/gone"].rdev == (0, 0)
    assert tree[b"usr/d"].xattrs == ((b"trusted.overlay.opaque", b"y"),)
    assert workspace.notes == ["2 paths hide files of the system the extension is for"]


def test_one_deletion_is_no_plural() -> None:
    _, workspace = run(Options(whiteouts="keep"), USR, DELETIONS[0], partial=True)
    assert workspace.notes == ["1 path hides files of the system the extension is for"]


@pytest.mark.parametrize(
    ("path", "options", "is_left_out"),
    [
        ("var/lib/private", Options(), True),
        ("usr/secret", Options(), False),
        ("usr/secret", Options(excludes=("usr/secret",)), True),
        ("usr/secret/below/x", Options(excludes=("/usr/secret",)), True),
        ("lib/secret", Options(), False),
        ("lib/secret", Options(excludes=("usr/lib/secret",)), True),
        ("lib/secret", Options(excludes=("lib/secret",)), False),
        ("lib", Options(kind="confext"), True),
        ("var/lib", Options(include_paths=("/var/lib/x",)), False),
        ("var/lib/x", Options(include_paths=("/var/lib/x",), excludes=("var",)), False),
        ("var/lib/y", Options(include_paths=("/var/lib/x",)), True),
    ],
)
def test_what_is_left_out_whatever_it_holds(path: str, options: Options, is_left_out: bool) -> None:
    assert Rules(options).leave_out(path.encode()) is is_left_out


@pytest.mark.parametrize("marker", [".wh..wh..opq", "usr/.wh..wh..opq", ".wh.usr"])
def test_a_whole_hierarchy_cannot_be_hidden(marker: str) -> None:
    with pytest.raises(InputError, match=r"hide everything|/usr is not a folder"):
        run(Options(whiteouts="keep"), entry(marker), partial=True)


def test_whole_images_have_no_deletions_left() -> None:
    tree, _ = run(Options(), USR, *DELETIONS)
    assert list(tree) == [b"", b"usr", b"usr/a", b"usr/d", b"usr/d/x"]


def test_overlay_whiteouts_in_a_folder_are_deletions_too() -> None:
    with pytest.raises(InputError, match="delete 1 path that"):
        run(Options(), USR, entry("usr/w", stat.S_IFCHR))
