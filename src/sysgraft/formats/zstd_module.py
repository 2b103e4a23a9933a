"""The Python module that knows zstd, whichever this Python has.

Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def zstd_module() -> ModuleType:
    """``compression.zstd`` of Python 3.14 and newer, or the package with the same interface."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return importlib.import_module(name)
