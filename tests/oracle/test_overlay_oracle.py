"""What a target sees of layers, compared with what Linux' overlayfs shows of them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest

from lint_kit import FOLDER, OPAQUE, WHITEOUT, file, link, subject, tree
from sysgraft.image.lint.view import merge

if TYPE_CHECKING:
    from lint_kit import Content

# Paths and what is there: a kind, and content or target.
Layer: TypeAlias = dict[str, list[str]]

CASES: Final = 150
KINDS: Final = {
    "folder": lambda _: FOLDER,
    "opaque": lambda _: OPAQUE,
    "whiteout": lambda _: WHITEOUT,
    "file": file,
    "link": link,
}

# Mounts each case, the last layer on top, and prints all paths with what is there.
WORKER: Final = """
import json, os, stat, subprocess, sys
def make(folder, layer):
    os.mkdir(folder)
    for path, (kind, text) in sorted(layer.items()):
        place = folder + "/" + path
        if kind in ("folder", "opaque"):
            os.mkdir(place)
            if kind == "opaque":
                os.setxattr(place, "trusted.overlay.opaque", b"y")
        elif kind == "whiteout":
            os.mknod(place, stat.S_IFCHR, 0)
        elif kind == "link":
            os.symlink(text, place)
        else:
            with open(place, "w") as file:
                file.write(text)
def look(folder):
    found = {}
    for above, folders, files in os.walk(folder):
        for name in folders + files:
            place = above + "/" + name
            path = place[len(folder) + 1:]
            if not os.path.lexists(place):
                continue  # a whiteout in a folder of one layer is listed, and is not there
            if os.path.islink(place):
                found[path] = ["link", os.readlink(place)]
            elif os.path.isdir(place):
                found[path] = ["folder", ""]
            else:
                found[path] = ["file", open(place).read()]
    return found
answers = []
work = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", work], check=True)
for number, layers in enumerate(json.load(sys.stdin)):
    case = f"{work}/{number}"
    os.mkdir(case)
    for index, layer in enumerate(layers):
        make(f"{case}/{index}", layer)
    os.mkdir(f"{case}/merged")
    lower = ":".join(f"{case}/{index}" for index in reversed(range(len(layers))))
    command = ["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower}", f"{case}/merged"]
    subprocess.run(command, check=True)
    answers.append(look(f"{case}/merged"))
    subprocess.run(["umount", f"{case}/merged"], check=True)
print(json.dumps(answers))
"""


def random_layer(rng: random.Random, *, is_base: bool) -> Layer:
    """A layer with few names, so that they meet those of others."""
    kinds = ["folder", "folder", "file", "link", *([] if is_base else ["opaque", "whiteout"])]
    layer: Layer = {}
    for _ in range(rng.randint(1, 6)):
        parts = rng.choices("abc", k=rng.randint(1, 3))
        for depth in range(1, len(parts)):
            layer.setdefault("/".join(parts[:depth]), ["folder", ""])
        path = "/".join(parts)
        above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        if path not in layer and all(layer[each][0] in ("folder", "opaque") for each in above):
            layer[path] = [rng.choice(kinds), rng.choice("xyz")]
    return {
        path: each
        for path, each in layer.items()
        if all(
            layer[path[:end]][0] in ("folder", "opaque")
            for end in range(len(path))
            if path[end] == "/"
        )
    }


def seen(layers: list[Layer]) -> Layer:
    """What we say is seen."""
    files = [{f"usr/{path}": content(*each) for path, each in layer.items()} for layer in layers]
    subjects = [subject(str(number), each) for number, each in enumerate(files[1:])]
    found: Layer = {}
    for path, (inode, _) in merge(subjects, tree(files[0]), (b"usr",)).seen.items():
        if inode.content is not None:
            what = ["file", inode.content.read_at(0, inode.content.size).decode()]
        else:
            what = ["link", inode.target.decode()] if inode.is_symlink else ["folder", ""]
        found[path.decode().removeprefix("usr/")] = what
    return found


def content(kind: str, text: str) -> Content:
    return KINDS[kind](text)


@pytest.mark.root
def test_layers_look_as_overlayfs_shows_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = random.Random(20261127)
    cases = [
        [random_layer(rng, is_base=True), *(random_layer(rng, is_base=False) for _ in range(count))]
        for count in rng.choices((1, 2, 3), k=CASES)
    ]
    work = tmp_path_factory.mktemp("overlay")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", WORKER, work],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == CASES
    wrong = [
        (case, answer, ours)
        for case, answer in zip(cases, answers, strict=True)
        if (ours := seen(case)) != answer
    ]
    assert wrong == []
