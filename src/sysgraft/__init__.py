"""Signed system extensions for image-based Linux, from source to proof.

Begin here:

* `sysgraft.build_extension` makes a signed extension image from folders, packages and archives.
* `sysgraft.inspect_image` tells what an image is.
* `sysgraft.verify_image` proves it, or says which check fails and why.
* `sysgraft.sign_image` and `sysgraft.unsign_image` exchange its root-hash signature.

Every error for bad input is a `sysgraft.SysgraftError`; see `sysgraft.errors`. Runnable
examples are in the folder ``examples``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sysgraft.build.extension import BuildOptions, BuildReport, build_extension
    from sysgraft.build.resign import sign_image, unsign_image
    from sysgraft.errors import SysgraftError
    from sysgraft.image.inspect import ImageInfo, inspect_image
    from sysgraft.image.verify import Verification, VerifyOptions, verify_image

__version__ = "0.1.0"

# Each name and the module that holds it: importing sysgraft loads none of them.
_HOMES = {
    "BuildOptions": "sysgraft.build.extension",
    "BuildReport": "sysgraft.build.extension",
    "ImageInfo": "sysgraft.image.inspect",
    "SysgraftError": "sysgraft.errors",
    "Verification": "sysgraft.image.verify",
    "VerifyOptions": "sysgraft.image.verify",
    "build_extension": "sysgraft.build.extension",
    "inspect_image": "sysgraft.image.inspect",
    "sign_image": "sysgraft.build.resign",
    "unsign_image": "sysgraft.build.resign",
    "verify_image": "sysgraft.image.verify",
}

__all__ = [
    "BuildOptions",
    "BuildReport",
    "ImageInfo",
    "SysgraftError",
    "Verification",
    "VerifyOptions",
    "build_extension",
    "inspect_image",
    "sign_image",
    "unsign_image",
    "verify_image",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  start-up stays free of it

    return getattr(import_module(home), name)
