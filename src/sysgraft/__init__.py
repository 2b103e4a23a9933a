"""Signed system extensions for image-based Linux, from source to proof.

Begin here:

* `sysgraft.build_extension` makes a signed extension image from folders, packages and archives.
* `sysgraft.inspect_image` tells what an image is.
* `sysgraft.verify_image` proves it, or says which check fails and why.
* `sysgraft.load_pair` reads a key with its certificate; `sysgraft.trust_certificate`,
  `sysgraft.trust_folder` and `sysgraft.trust_efivars` say whom to trust.
* `sysgraft.sign_image` and `sysgraft.unsign_image` exchange its root-hash signature.

Every error for bad input is a `sysgraft.SysgraftError`; see `sysgraft.errors`. Runnable
examples are in the folder ``examples``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sysgraft.build.extension import BuildOptions, BuildReport, build_extension
    from sysgraft.build.resign import sign_image, unsign_image
    from sysgraft.build.sources.model import Options as SourceOptions
    from sysgraft.errors import SysgraftError
    from sysgraft.image.inspect import ImageInfo, inspect_image
    from sysgraft.image.verify import Verification, VerifyOptions, verify_image
    from sysgraft.sign.pair import SigningPair, load_pair
    from sysgraft.sign.verify.files import certificate as trust_certificate
    from sysgraft.sign.verify.files import efivars as trust_efivars
    from sysgraft.sign.verify.files import folder as trust_folder
    from sysgraft.sign.verify.trust import TrustStore

__version__ = "0.1.0"

# Each name with the module that holds it, and its name there: importing sysgraft loads none.
_HOMES = {
    "BuildOptions": ("sysgraft.build.extension", "BuildOptions"),
    "BuildReport": ("sysgraft.build.extension", "BuildReport"),
    "ImageInfo": ("sysgraft.image.inspect", "ImageInfo"),
    "SigningPair": ("sysgraft.sign.pair", "SigningPair"),
    "SourceOptions": ("sysgraft.build.sources.model", "Options"),
    "SysgraftError": ("sysgraft.errors", "SysgraftError"),
    "TrustStore": ("sysgraft.sign.verify.trust", "TrustStore"),
    "Verification": ("sysgraft.image.verify", "Verification"),
    "VerifyOptions": ("sysgraft.image.verify", "VerifyOptions"),
    "build_extension": ("sysgraft.build.extension", "build_extension"),
    "inspect_image": ("sysgraft.image.inspect", "inspect_image"),
    "load_pair": ("sysgraft.sign.pair", "load_pair"),
    "sign_image": ("sysgraft.build.resign", "sign_image"),
    "trust_certificate": ("sysgraft.sign.verify.files", "certificate"),
    "trust_efivars": ("sysgraft.sign.verify.files", "efivars"),
    "trust_folder": ("sysgraft.sign.verify.files", "folder"),
    "unsign_image": ("sysgraft.build.resign", "unsign_image"),
    "verify_image": ("sysgraft.image.verify", "verify_image"),
}

__all__ = [
    "BuildOptions",
    "BuildReport",
    "ImageInfo",
    "SigningPair",
    "SourceOptions",
    "SysgraftError",
    "TrustStore",
    "Verification",
    "VerifyOptions",
    "build_extension",
    "inspect_image",
    "load_pair",
    "sign_image",
    "trust_certificate",
    "trust_efivars",
    "trust_folder",
    "unsign_image",
    "verify_image",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  start-up stays free of it

    module, attribute = home
    return getattr(import_module(module), attribute)
