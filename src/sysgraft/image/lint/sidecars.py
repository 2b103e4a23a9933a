"""Files beside an image, with its root hash or signature, under names systemd does not look for.

systemd takes the image's name without ``.raw`` and puts ``.roothash``, ``.roothash.p7s``,
``.verity``, ``.usrhash`` or ``.usrhash.p7s`` behind it (``verity_settings_load`` and
``dissect_image`` in ``src/shared/dissect-image.c``). What is called otherwise is not found, and the
image is merged unprotected where the policy allows it, without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.host import folders
from sysgraft.image import names
from sysgraft.image.lint.finding import found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene, Subject

SUFFIXES: Final = (".roothash", ".roothash.p7s", ".verity", ".usrhash", ".usrhash.p7s")
"""Of all files systemd looks for."""


def check(scene: Scene) -> Iterator[Finding]:
    """The neighbours of every image that has no dm-verity inside."""
    for subject in scene.subjects:
        if subject.dissection.verity is None:
            yield from _judge(subject)


def _judge(subject: Subject) -> Iterator[Finding]:
    folder, _, file = subject.file.rpartition("/")
    there = folders.names_in(folder or ("/" if subject.file.startswith("/") else "."))
    stem = file.removesuffix(".raw")
    for suffix in SUFFIXES:
        if stem + suffix in there:
            continue
        for wrong in (file + suffix, names.image_name(file) + suffix):
            if wrong in there:
                problem = f"systemd looks for {stem}{suffix} and not for {wrong}"
                yield found("sidecar-name", problem, subject.file)
