"""Run by the interpreter that is to be bundled (``python -I probe.py``): JSON on stdout.

Reads ``{"modules": […], "distributions": […]}`` from stdin. It knows the standard library only:
sysgraft need not be installed for that interpreter.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from importlib import metadata, util


def interpreter() -> dict[str, object]:
    """What it is and where its parts are."""
    program = getattr(sys, "_base_executable", "") or sys.executable
    return {
        "implementation": sys.implementation.name,
        "version": list(sys.version_info[:3]),
        "program": os.path.realpath(program),
        "library": os.path.realpath(sysconfig.get_path("stdlib")),
        "extensions": os.path.realpath(sysconfig.get_config_var("DESTSHARED") or ""),
        "suffixes": [sysconfig.get_config_var("EXT_SUFFIX") or "", ".abi3.so", ".so"],
    }


def place_of(module: str) -> str:
    """The folder of a package, the file of a module; empty if it is not installed."""
    try:
        spec = util.find_spec(module)
    except ImportError:
        return ""
    if spec is None:
        return ""
    folders = list(spec.submodule_search_locations or ())
    return os.path.realpath(folders[0] if folders else spec.origin or "")


def about(name: str) -> dict[str, str]:
    """Version and folder of what tells of an installed distribution; empty if it is not."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return {}
    return {"version": found.version, "folder": os.path.realpath(getattr(found, "_path", ""))}


def main() -> None:
    """Answer the question."""
    question = json.load(sys.stdin)
    answer = {
        **interpreter(),
        "modules": {name: place_of(name) for name in question["modules"]},
        "distributions": {name: about(name) for name in question["distributions"]},
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
