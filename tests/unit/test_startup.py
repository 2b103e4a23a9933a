"""Starting is cheap: what a call does not need is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Packages that cost tens of milliseconds each, and modules of the library that pull in others.
HEAVY = frozenset(
    {
        "asyncio", "backports", "concurrent", "cryptography", "ctypes", "email", "hashlib", "http",
        "inspect", "isal", "json", "logging", "lz4", "msgspec", "multiprocessing", "rich", "shutil",
        "socket", "ssl", "subprocess", "tarfile", "tempfile", "tomllib", "typing_extensions",
        "unittest", "urllib", "urllib3", "uuid", "xml", "zipfile",
    }
)  # fmt: skip
# argparse formats help with gettext, shutil (terminal size) and what shutil loads.
HELP_NEEDS = frozenset({"shutil"})


def loaded_after(code: str) -> set[str]:
    """Top-level names of the modules a new interpreter has loaded after `code`.

    What the interpreter's own start loads (site, .pth files) does not count.
    """
    script = (
        f"import sys; before = set(sys.modules)\n{code}\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_importing_sysgraft_loads_nothing_heavy() -> None:
    assert not loaded_after("import sysgraft") & HEAVY


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["ext", "--help"]])
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    code = (
        f"sys.argv = ['sysgraft', *{argv!r}]\n"
        "from sysgraft.cli.main import entry\n"
        "try:\n    entry()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert not (loaded_after(code) & HEAVY) - HELP_NEEDS


def test_the_library_itself_is_not_loaded_for_help() -> None:
    code = (
        "sys.argv = ['sysgraft', '--help']\n"
        "from sysgraft.cli.main import entry\n"
        "try:\n    entry()\nexcept SystemExit:\n    pass\n"
        "sys.modules = {n.removeprefix('sysgraft.'): m for n, m in sys.modules.items()}"
    )
    assert not loaded_after(code) & {"build", "image", "formats", "sign", "host", "transport"}
