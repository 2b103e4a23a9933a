"""Images that other tools made, kept compressed."""

from __future__ import annotations

import lzma
from pathlib import Path

IMAGES = Path(__file__).parent / "assets/images"


def golden(name: str, folder: Path) -> Path:
    """An image, in a file of its own."""
    path = folder / f"{name.rpartition('/')[2]}.raw"
    path.write_bytes(lzma.decompress((IMAGES / f"{name}.raw.xz").read_bytes()))
    return path
