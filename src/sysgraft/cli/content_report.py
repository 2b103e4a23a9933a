"""How commands tell what is in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.output import counted, human_size

if TYPE_CHECKING:
    from sysgraft.image.content import Summary


def content_json(content: Summary) -> dict[str, object]:
    """Its part of a document."""
    return {
        "files": content.files,
        "directories": content.directories,
        "symlinks": content.symlinks,
        "others": content.others,
        "bytes": content.content_bytes,
    }


def content_words(content: Summary) -> str:
    """It in a few words."""
    directories = "directory" if content.directories == 1 else "directories"
    words = [
        counted(content.files, "file"),
        f"{content.directories} {directories}",
        counted(content.symlinks, "symbolic link"),
        *([counted(content.others, "special file")] if content.others else []),
        human_size(content.content_bytes),
    ]
    return ", ".join(words)
