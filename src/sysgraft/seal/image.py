"""A UKI as far as its measurement needs it: stub, sections of a profile, the kernel inside.

Nothing is hashed here; contents are blobs, and `sysgraft.seal.assembly` has them hashed together
with everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.errors import FormatError, InputError, UnsupportedError, UsageError, in_file
from sysgraft.formats import pe, uki
from sysgraft.formats.authenticode_digest import coverage

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.authenticode_digest import Coverage
    from sysgraft.seal.material import Source

KERNEL: Final = ".linux"
_WHOLE_NAMES: Final = 257
_OLD_NAMES: Final = tuple(name for name, since in uki.MEASURED.items() if since < _WHOLE_NAMES)
MAX_OVERLAP: Final = 16 << 20
"""Bytes that sections may have in common; those of real images have none."""


@dataclass(frozen=True, slots=True)
class Executable:
    """What the firmware loads.

    Attributes:
        name: of its file.
        blob: the file.
        image: its headers.
        covered: what its digest covers.
    """

    name: str
    blob: Blob
    image: pe.Image
    covered: Coverage

    @property
    def is_signed(self) -> bool:
        """Whether it has a certificate table."""
        return self.image.security[1] > 0


@dataclass(frozen=True, slots=True)
class Part:
    """A section and its content, as the stub sees it in memory."""

    name: str
    content: Blob

    @property
    def text(self) -> str:
        """The content as the stub reads a text: up to the first NUL.

        Raises:
            FormatError: it is too long, or not UTF-8.
        """
        if self.content.size > uki.MAX_TEXT:
            raise FormatError(f"the section {self.name} has {self.content.size} bytes of text")
        data, _, _ = self.content.read_at(0, self.content.size).partition(b"\0")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"the section {self.name} is not text in UTF-8") from error


@dataclass(frozen=True, slots=True)
class UkiImage:
    """A UKI.

    Attributes:
        executable: the whole file.
        version: release of the stub.
        profile: whose sections these are.
        parts: the sections of that profile that have content, in the order of the file.
        kernel: the executable inside it, as the firmware would load it; None if it is none.
    """

    executable: Executable
    version: int
    profile: int
    parts: tuple[Part, ...]
    kernel: Executable | None

    @property
    def has_cmdline(self) -> bool:
        """Whether it has a command line of its own."""
        return any(part.name == ".cmdline" for part in self.parts)

    def text(self, name: str) -> str | None:
        """The text in a section, None if there is none."""
        return next((part.text for part in self.parts if part.name == name), None)

    @property
    def signatures(self) -> bytes:
        """The content of ``.pcrsig``, empty if there is none."""
        return (self.text(uki.SIGNATURES) or "").encode()

    @property
    def public_key(self) -> bytes:
        """The content of ``.pcrpkey``, empty if there is none."""
        return (self.text(".pcrpkey") or "").encode()


def read_executable(source: Source) -> Executable:
    """Read the headers of an executable.

    Raises:
        FormatError: it is none, or one whose digest cannot be told.
        InputError: it cannot be read.
    """
    with in_file(source.label):
        image = pe.parse(source.blob)
        return Executable(source.name, source.blob, image, coverage(image))


def read_uki(source: Source, *, profile: int = 0, version: int | None = None) -> UkiImage:
    """Read a UKI.

    Args:
        source: the file.
        profile: whose sections are wanted.
        version: release of its stub, where the image does not say or is not to be believed.

    Raises:
        FormatError: it is no UKI, or one that the stub and this reader may read differently.
        UsageError: it has no such profile.
    """
    executable = read_executable(source)
    with in_file(source.label):
        image = executable.image
        if uki.kind_of(image) != "uki":
            raise FormatError("not a unified kernel image: it has no section .linux")
        _refuse_endless(executable)
        number = version or _stub_version(executable)
        check_names(image, number)
        parts = _parts(executable, profile)
        return UkiImage(executable, number, profile, parts, _kernel(parts))


def _refuse_endless(executable: Executable) -> None:
    """A thousand sections may all have the same gigabyte: that takes hours to hash."""
    size = sum(min(one.virtual_size, one.raw_size) for one in executable.image.sections)
    if size > executable.blob.size + MAX_OVERLAP:
        raise FormatError("its sections overlap")


def check_names(image: pe.Image, version: int) -> None:
    """Refuse what a stub up to v256 reads in its own way.

    It knows no profiles, and takes a section whose name only begins with one it knows for that one
    (``src/boot/efi/pe.c``, locate_sections).

    Raises:
        UnsupportedError: there is such a section.
    """
    if version >= _WHOLE_NAMES:
        return
    for name in (section.name for section in image.sections):
        if name == uki.PROFILE:
            raise UnsupportedError(f"the stub of systemd {version} knows no profiles")
        for known in _OLD_NAMES:
            if name.startswith(known) and name != known:
                raise UnsupportedError(
                    f"the stub of systemd {version} takes the section {name} for {known}"
                )


def _parts(executable: Executable, profile: int) -> tuple[Part, ...]:
    profiles = uki.profiles(executable.image.sections)
    if not 0 <= profile < len(profiles):
        raise UsageError(
            f"there is no profile {profile}: the image has {len(profiles)}", file=executable.name
        )
    return tuple(
        Part(section.name, uki.checked_content(executable.blob, section))
        for section in profiles[profile]
        if section.virtual_size
    )


def _stub_version(executable: Executable) -> int:
    stub = uki.stub_of(executable.blob, executable.image)
    if stub is None:
        raise FormatError(
            "the image does not say which stub it starts as",
            hint="give its release with --stub-version",
        )
    if stub.major > LATEST:
        raise UnsupportedError(
            f"the stub is of systemd {stub.major}; its rules are known up to {LATEST}",
            hint=f"--stub-version {LATEST} takes it for one of that release",
        )
    if stub.major < OLDEST:
        raise UnsupportedError(f"the stub is of systemd {stub.major}, older than {OLDEST}")
    return stub.major


def _kernel(parts: tuple[Part, ...]) -> Executable | None:
    content = next((part.content for part in parts if part.name == KERNEL), None)
    if content is None:
        raise FormatError("in this profile the section .linux is empty or missing")
    try:
        image = pe.parse(content)
        return Executable(KERNEL, content, image, coverage(image))
    except InputError:
        return None
