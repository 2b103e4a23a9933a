"""Images that do not go together, or are two things at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.formats.extension_release import ANY
from sysgraft.image.lint.finding import found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene, Subject


def check(scene: Scene) -> Iterator[Finding]:
    """Architectures of the set, and kinds of each image."""
    by_architecture: dict[str, list[str]] = {}
    for subject in scene.subjects:
        architecture = _architecture(subject)
        if architecture is not None:
            by_architecture.setdefault(architecture, []).append(subject.file)
    if len(by_architecture) > 1:
        listed = "; ".join(f"{name}: {' '.join(files)}" for name, files in by_architecture.items())
        everything = [file for files in by_architecture.values() for file in files]
        yield found("mixed-architectures", f"no host merges them all: {listed}", *everything)
    for subject in scene.subjects:
        if len(subject.kinds) > 1:
            problem = f"it has release files of both kinds, and is used as a {subject.kind} only"
            yield found("both-kinds", problem, subject.file)


def _architecture(subject: Subject) -> str | None:
    """What an image is for: by its release file, which systemd compares; None for any."""
    named = subject.release.architecture if subject.release else None
    return None if named == ANY else named or None
