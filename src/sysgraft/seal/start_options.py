"""With which command line an image is started, and what systemd-boot measures of it.

A boot entry, or whoever asks, may give one; systemd-boot up to v254 gives an image that is an entry
by itself its own. The profile stands in front of it as ``@N`` (systemd-boot(7), systemd-stub(7)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.systemd import OLDEST
from sysgraft.formats import pe, uki
from sysgraft.measure import cmdline

if TYPE_CHECKING:
    from sysgraft.seal.image import UkiImage
    from sysgraft.seal.material import Material, Source

_IMPLIED: Final = range(OLDEST, 255)
"""Releases of systemd-boot that give an image its own command line, and measure it."""
_LOADER: Final = "systemd-boot"


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How an image is started.

    Attributes:
        profile: the profile that is asked for.
        given: the command line that somebody wrote for this boot, None if nobody did.
        loader: release of the systemd-boot that starts it; 0 if it is started otherwise.
        is_own_entry: whether the image is a boot entry by itself.
    """

    profile: int
    given: str | None
    loader: int
    is_own_entry: bool

    def is_ignored(self, version: int) -> bool:
        """Whether the stub of that release takes load options with this text for binary data."""
        return self.profile != 0 and not cmdline.is_text(self.given or "@", version)

    def passed(self, image: UkiImage | None) -> str | None:
        """The command line that the image is started with, None if there is none."""
        if self.given is not None or image is None:
            return self.given
        embedded = image.text(".cmdline")
        if embedded is None or not self.is_own_entry or self.loader not in _IMPLIED:
            return None
        if self.loader == OLDEST:
            return embedded.removesuffix("\n")
        return cmdline.mangle(embedded, self.loader)

    def measured_by_loader(self, image: UkiImage | None) -> str | None:
        """What systemd-boot measures, None if it measures nothing."""
        if not self.loader:
            return None
        selector = f"@{self.profile}" if self.profile else ""
        return " ".join(filter(None, (selector, self.passed(image)))) or None


def start_options(material: Material, profile: int | None, given: str | None) -> StartOptions:
    """How the image of a boot entry is started.

    Args:
        material: the entry.
        profile: another profile than the entry's.
        given: another command line than the entry's.

    Raises:
        FormatError: the boot loader is no executable.
    """
    return StartOptions(
        profile=material.profile if profile is None else profile,
        given=material.options if given is None else given,
        loader=loader_release(material.loaders[-1]) if material.loaders else 0,
        is_own_entry=material.is_own_entry,
    )


def loader_release(loader: Source) -> int:
    """The release of a systemd-boot; 0 if it is another program.

    Raises:
        FormatError: it is no executable.
    """
    found = uki.stub_of(loader.blob, pe.parse(loader.blob))
    return found.major if found and found.name == _LOADER else 0
