"""What systemd-sysext 257 and 262 merge, and what is seen then: as ``ext lint`` foretells.

Images without dm-verity, since a container has no device-mapper; signatures are for the guests of
``tests/boot/test_extensions.py``.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from lint_kit import OPAQUE, WHITEOUT, Maker, file, link
from sysgraft.base.tree import Inode
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.folder import read_base
from sysgraft.image.lint.lint import LintOptions, lint_images
from sysgraft.image.lint.places import hierarchies
from sysgraft.image.lint.scene import Scene
from sysgraft.image.lint.subjects import Opened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conftest import DebianFolder
    from lint_kit import Content

pytestmark = [
    pytest.mark.root,
    pytest.mark.oracle("debian-13"),
    pytest.mark.oracle("debian-sid"),
]

# $1 is the program; what is on stdout are the files that are seen, and what is in them.
MERGE: Final = """
cp -a /mnt/host/. /mnt/work
mount --bind /mnt/work /mnt/work
mount --make-rshared /mnt/work
"$@" --root=/mnt/work merge >&2 || echo "it failed" >&2
cd /mnt/work
find usr etc opt -type l -printf '%p -> %l\\n'
find usr etc opt -type f ! -path '*/.systemd-*' -exec sh -c 'echo "$1 = $(cat "$1")"' _ {} \\;
"""
OS_RELEASE: Final = {"ID": "debian", "VERSION_ID": "13"}
BASE: Final = {
    "usr/lib/os-release": "".join(f"{key}={value}\n" for key, value in OS_RELEASE.items()),
    "usr/bin/true": "base",
    "usr/share/base/one": "base",
    "usr/share/base/two": "base",
    "usr/local/bin/local": "base",
    "etc/site.conf": "base",
    "opt/base/opt": "base",
}
ID: Final = "ID=_any\n"


@dataclass(frozen=True)
class Case:
    """A set of extensions.

    Attributes:
        images: files of each, by name.
        releases: release files of those that have not the usual one.
        called: what their release files are called, if not after them.
        policy: of the merge.
        merged_folders: what is merged.
        kind: of all of them.
    """

    images: Mapping[str, Mapping[str, Content]]
    releases: Mapping[str, str] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    policy: str = ""
    merged_folders: str = "default"
    kind: Kind = Kind.SYSEXT


GOOD: Final = {"good": {"usr/bin/good": "good"}}
LAX: Final = Inode(
    0o100644, content=file(ID).content, xattrs=((b"user.extension-release.strict", b"0"),)
)
RELEASES: Final = "usr/lib/extension-release.d/extension-release"
CASES: Final = {
    "one": Case(GOOD),
    "another host": Case(
        {**GOOD, "other": {"usr/bin/other": "other"}}, releases={"other": "ID=fedora\n"}
    ),
    "another version": Case(
        {**GOOD, "other": {"usr/bin/other": ""}}, releases={"other": "ID=debian\nVERSION_ID=12\n"}
    ),
    "this host": Case(
        {**GOOD, "other": {"usr/bin/other": ""}}, releases={"other": "ID=debian\nVERSION_ID=13\n"}
    ),
    "another scope": Case(
        {**GOOD, "other": {"usr/bin/other": ""}},
        releases={"other": "ID=_any\nSYSEXT_SCOPE=initrd\n"},
    ),
    "an empty release file": Case({**GOOD, "other": {"usr/x": ""}}, releases={"other": "\n"}),
    "os-release inside": Case({**GOOD, "other": {"usr/lib/os-release": "ID=debian\n"}}),
    "misnamed": Case({**GOOD, "other": {"usr/bin/other": ""}}, called={"other": "renamed"}),
    "a version behind the name": Case(
        {"other_1.2": {"usr/bin/o": "o"}}, called={"other_1.2": "other"}
    ),
    "ambiguous": Case(
        {**GOOD, "other": {f"{RELEASES}.one": LAX, f"{RELEASES}.two": LAX}},
        called={"other": "three"},
    ),
    "any name will do": Case(
        {**GOOD, "other": {f"{RELEASES}.one": LAX, "usr/bin/other": "other"}},
        called={"other": "three"},
    ),
    "a policy that wants more": Case(GOOD, policy="root=signed+absent"),
    "a policy that takes it": Case(GOOD, policy="root=unprotected+absent:usr=absent"),
    "layers": Case(
        {
            "fw_10": {"usr/share/demo": "ten", "usr/share/dir/ten": ""},
            "fw_9": {"usr/share/demo": "nine", "usr/share/dir/nine": "", "usr/bin/true": "nine"},
            "Fw_11": {"usr/share/demo": "upper case", "usr/share/base/one": "eleven"},
        }
    ),
    "deletions": Case(
        {
            "a": {
                "usr/share/base": OPAQUE,
                "usr/share/base/new": "a",
                "usr/share/x/y": "a",
            },
            "b": {"usr/bin/true": WHITEOUT, "usr/share/x": link("base")},
        }
    ),
    "everything is outside": Case({"a": {"etc/x": "a", "srv/x": "a"}}),
    "opt": Case({"a": {"opt/base/opt": "a", "opt/more": "a", "etc/x": "a"}}),
    "fewer folders": Case(
        {"a": {"usr/bin/a": "a", "usr/local/bin/local": "a", "usr/games/a": "a", "opt/a": "a"}},
        merged_folders="kairos",
    ),
    "configuration": Case(
        {
            "a": {"etc/site.conf": "a", "etc/new.conf": "a", "usr/bin/a": "a"},
            "b": {"etc/new.conf": "b"},
        },
        kind=Kind.CONFEXT,
    ),
}


class Machine:
    """One systemd, and the folder it merges into."""

    def __init__(self, folder: DebianFolder, release: int, work: Path) -> None:
        self._folder = folder
        self.release = release
        self._work = work
        self.host = work / "host"
        for path, content in BASE.items():
            place = self.host / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        (self.host / "run").mkdir()

    def images(self, case: Case) -> list[Path]:
        make = Maker(self._work)
        return [
            make.bare(
                name,
                files,
                kind=case.kind,
                release=case.releases.get(name, ID),
                called=case.called.get(name, ""),
            )
            for name, files in case.images.items()
        ]

    def merge(self, case: Case, images: list[Path]) -> tuple[set[str], tuple[str, ...]]:
        """What is seen, and what was said to be used."""
        store = self.host / f"var/lib/{'extensions' if case.kind is Kind.SYSEXT else 'confexts'}"
        store.mkdir(parents=True)
        for image in images:
            shutil.copy(image, store)
        env = {}
        if case.merged_folders != "default":
            paths = [f"/{path.decode()}" for path in hierarchies(case.merged_folders)]
            env = {"SYSTEMD_SYSEXT_HIERARCHIES": ":".join(paths)}
        policy = [f"--image-policy={case.policy}"] if case.policy else []
        done = self._folder.run(
            ["sh", "-euc", MERGE, "sh", f"systemd-{case.kind}", *policy],
            binds={self.host: "/mnt/host", self._empty(): "/mnt/work"},
            env=env,
        )
        used = re.search(r"Using extensions '(.*)'\.", done.stderr)
        return set(done.stdout.splitlines()), tuple(used[1].split("', '")) if used else ()

    def _empty(self) -> Path:
        (self._work / "merged").mkdir()
        return self._work / "merged"


@pytest.fixture(params=[257, 262])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    name = {257: "debian13", 262: "debian_sid"}[request.param]
    return Machine(request.getfixturevalue(name), request.param, tmp_path)


def foretold(case: Case, images: list[Path], machine: Machine) -> tuple[set[str], list[str]]:
    """What we say will be seen, and used, the lowest layer first."""
    options = LintOptions(
        systemd_version=machine.release,
        image_policy=case.policy or None,
        os_release=OS_RELEASE,
        hierarchies=case.merged_folders,
        host_root=str(machine.host),
    )
    report = lint_images(images, options)
    used = [file for merge in report.merges for file in merge.merged]
    base = read_base(str(machine.host))
    opened = Opened(used, machine.release)
    scene = Scene(opened.subjects, machine.release, hierarchies(case.merged_folders), base)
    view = scene.views[case.kind]
    seen = {path: each.inode for path, each in view.seen.items()}
    seen |= {path: inode for path, inode in base.items() if not view.is_known(path)}
    lines = {line for path, inode in seen.items() if (line := _line(path, inode))}
    return lines, [file.rpartition("/")[2] for file in used]


def _line(path: bytes, inode: Inode) -> str:
    if inode.is_symlink:
        return f"{path.decode()} -> {inode.target.decode()}"
    content = inode.content
    text = content.read_at(0, content.size).decode().rstrip("\n") if content else ""
    return f"{path.decode()} = {text}".split("\n")[0] if content else ""


@pytest.mark.parametrize("name", CASES)
def test_systemd_merges_what_is_foretold(machine: Machine, name: str) -> None:
    case = CASES[name]
    images = machine.images(case)
    seen, used = foretold(case, images, machine)
    really_seen, really_used = machine.merge(case, images)
    assert sorted(really_used) == sorted(used)
    really_seen = {line for line in really_seen if " = " in line or " -> " in line}
    assert really_seen == seen


@pytest.mark.parametrize(
    ("beside", "is_read"),
    [
        ("good.sysext.roothash", True),
        ("good.sysext.raw.roothash", False),
        ("good.roothash", False),
    ],
)
def test_systemd_reads_files_beside_an_image_by_the_names_we_say(
    machine: Machine, beside: str, is_read: bool
) -> None:
    """A root hash that is read demands dm-verity, which this image does not have."""
    case = CASES["one"]
    (image,) = machine.images(case)
    sidecar = image.with_name(beside)
    sidecar.write_text("00" * 32)
    report = lint_images([image])
    assert ("sidecar-name" in {each.code for each in report.findings}) is not is_read
    _, used = machine.merge(case, [image, sidecar])
    assert bool(used) is not is_read
