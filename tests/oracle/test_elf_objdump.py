"""What programs ask of the loader, as objdump tells it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sysgraft.formats.elf_dynamic import read_dynamic
from sysgraft.host.files import OpenFile
from sysgraft.host.run import which

pytestmark = pytest.mark.oracle("objdump")


def programs() -> list[str]:
    """Executables of this machine, and the libraries of its Python."""
    tools = [which(name) for name in ("sh", "objdump", "openssl", "mount", "ldconfig")]
    python = Path(sys.executable).resolve()
    compiled = sorted(Path(sys.prefix).rglob("*.so"))[:20]
    return [*filter(None, tools), str(python), *map(str, compiled)]


def test_programs_of_this_machine() -> None:
    checked = 0
    for path in programs():
        listing = subprocess.run(
            ["objdump", "-p", path], capture_output=True, text=True, check=True
        )
        said = re.findall(r"^ +(NEEDED|SONAME|RPATH|RUNPATH) +(\S+)$", listing.stdout, re.MULTILINE)
        found = read_dynamic(OpenFile(path))
        assert [value for key, value in said if key == "NEEDED"] == [*found.needed], path
        assert [value for key, value in said if key == "SONAME"] == [found.name] * bool(found.name)
        assert [value for key, value in said if key == "RPATH"] == [":".join(found.rpath)] * bool(
            found.rpath
        )
        assert [value for key, value in said if key == "RUNPATH"] == [
            ":".join(found.runpath)
        ] * bool(found.runpath)
        checked += bool(said)
    assert checked > 10
