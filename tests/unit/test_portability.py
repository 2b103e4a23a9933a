"""Linux-only calls stay in the rooms that talk to the machine: building works anywhere."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src" / "sysgraft"
ROOMS = {"host", "node", "lab"}

# Attributes of `os` that are not there, or not the same, on every system Python runs on.
OS_CALLS = {
    "chown", "chroot", "copy_file_range", "fork", "getegid", "geteuid", "getgid", "getuid",
    "getxattr", "ioctl", "lchown", "listxattr", "major", "makedev", "memfd_create", "minor",
    "mkfifo", "mknod", "pidfd_open", "posix_fadvise", "posix_fallocate", "posix_spawn", "pread",
    "preadv", "pwrite", "pwritev", "removexattr", "sched_getaffinity", "sched_setaffinity",
    "sendfile", "setns", "setxattr", "splice", "statvfs", "sync", "umask", "uname", "unshare",
    "killpg", "setsid", "O_DIRECT", "O_PATH", "O_TMPFILE", "O_NOFOLLOW",
}  # fmt: skip
MODULES = {
    "ctypes", "fcntl", "grp", "multiprocessing", "pty", "pwd", "resource", "select", "selectors",
    "signal", "socket", "subprocess", "syslog", "termios",
}  # fmt: skip
# Paths that exist on Linux only.
FOLDERS = ("/proc/", "/sys/", "/dev/", "/run/")


def machine_uses(source: str) -> Iterator[str]:
    """Each use of something that needs this kind of machine, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            names = imported_uses(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = (
                {f"os.{node.attr}"} if node.value.id == "os" and node.attr in OS_CALLS else set()
            )
        else:
            continue
        yield from (f"line {node.lineno}: {name}" for name in sorted(names))


def imported_uses(node: ast.ImportFrom) -> set[str]:
    """What ``from … import …`` takes that needs this kind of machine."""
    module = (node.module or "").partition(".")[0]
    if module == "os":
        return {f"os.{alias.name}" for alias in node.names if alias.name in OS_CALLS}
    return {module} & MODULES


ELSEWHERE = sorted(
    path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in ROOMS
)


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_call_needs_linux_outside_the_rooms_for_it(path: Path) -> None:
    assert list(machine_uses(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", sorted((SOURCE / "formats").rglob("*.py")), ids=lambda p: p.name)
def test_codecs_open_no_files(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    opens = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"open", "print", "input"}
    ]
    assert not imported & {"os", "io", "pathlib", "shutil", "tempfile", "logging", "time"}
    assert opens == []


@pytest.mark.parametrize(
    "source",
    ["import fcntl", "from os import fork", "import os\nos.listxattr('/')", "import os.path, pwd"],
)
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert list(machine_uses(source))
