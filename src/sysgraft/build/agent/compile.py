"""Run by the interpreter that is to be bundled (``python -I compile.py``): sources to byte code.

Reads ``[[SOURCE, PLACE], …]`` from stdin, where `PLACE` is the path that the code is told it has.
Writes each result behind its length (8 bytes, big-endian) to stdout. The same sources in the same
order give the same bytes: nothing but them has been compiled in this process before.
"""

from __future__ import annotations

import json
import marshal
import sys
from importlib import util

# PEP 552: a file made of its source's hash that is never held against it; there is no source.
_HEAD = util.MAGIC_NUMBER + b"\x01\0\0\0" + bytes(8)


def compiled(source: str, place: str) -> bytes:
    """What a ``.pyc`` file of a source holds."""
    with open(source, "rb") as file:
        code = compile(file.read(), place, "exec", dont_inherit=True, optimize=0)
    return _HEAD + marshal.dumps(code)


def main() -> None:
    """Answer the question."""
    for source, place in json.load(sys.stdin):
        data = compiled(source, place)
        sys.stdout.buffer.write(len(data).to_bytes(8, "big") + data)


if __name__ == "__main__":
    main()
