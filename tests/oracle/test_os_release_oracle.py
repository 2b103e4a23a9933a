"""os-release files, compared with systemd's reader and with a shell."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.formats import os_release

if TYPE_CHECKING:
    from pathlib import Path

TRICKY = (
    "A=plain\n",
    "A='x \"y'\n",
    "  A  =  x y  \n",
    'A="x" "y"\n',
    'A="x"y z\t\n',
    "A=x\\\ny\n",
    "A= d\\\ne  \\\nf  \n",
    "A=g\\ \n",
    'A="x\\\ny"\n',
    'A="\\a\\$b"\n',
    "A=1\n#A=2\n;A=3\n",
    "A=1\nA=2\n",
    "nothing\nA=1 # 2\n",
    "A=x\rB=y\r",
    "A='open",
)


def systemd_agrees(path: Path, key: str, value: str) -> bool:
    """Whether systemd finds exactly this value in the file."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    argv = ["systemd-analyze", "condition", f'ConditionOSRelease="{key}={quoted}"']
    env = {"SYSTEMD_OS_RELEASE": str(path), "PATH": "/usr/bin:/bin"}
    return subprocess.run(argv, env=env, capture_output=True, check=False).returncode == 0


@pytest.mark.oracle("systemd-analyze")
@pytest.mark.parametrize("text", TRICKY)
def test_systemd_finds_the_same_value(text: str, tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text(text, newline="")
    value = os_release.parse(text.encode())["A"]
    assert systemd_agrees(path, "A", value)
    assert not systemd_agrees(path, "A", value + "x")


@pytest.mark.oracle("sh")
def test_a_shell_that_sources_the_file_gets_the_values(tmp_path: Path) -> None:
    fields = {
        "A": "$(touch pwned) `id`",
        "B": 'it\'s "q" \\ !',
        "C": "~root/*?",
        "D": "",
        "E": "é a",
    }
    path = tmp_path / "os-release"
    path.write_bytes(os_release.render(fields))
    script = f'. {path}; printf "%s\\n" "$A" "$B" "$C" "$D" "$E"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.decode().splitlines() == list(fields.values())
    assert not (tmp_path / "pwned").exists()
