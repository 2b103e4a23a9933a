"""The checks that look inside: name, extension-release and host-match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError
from sysgraft.formats.extension_release import ANY, Kind
from sysgraft.image import matching, names
from sysgraft.image.checks import Check, fail, ok, skipped
from sysgraft.image.content import open_filesystem, read_release, release_candidates

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.extension_release import ExtensionRelease
    from sysgraft.image.content import FileSystem
    from sysgraft.image.dissect import Dissection
    from sysgraft.image.verify import VerifyOptions

# A block of metadata can belong to a hundred files; a message names the first.
MAX_OWNERS: Final = 3
# systemd passes over an extension of either kind that holds this (extension_has_forbidden_content
# in src/shared/extension-util.c).
FORBIDDEN: Final = b"usr/lib/os-release"


class ContentChecks:
    """Reads the file system of one image and judges what is in it.

    Args:
        data: the data partition, or the whole bare file system.
        found: the image's partitions.
        filename: without folders.
        options: what to hold the image against.
    """

    def __init__(
        self,
        data: Blob,
        found: Dissection,
        filename: str,
        *,
        options: VerifyOptions,
    ) -> None:
        self._data = data
        self._found = found
        self._filename = filename
        self._options = options
        self._reader: FileSystem | None = None
        self.kind: Kind | None = names.kind_of(filename)
        self.notes: list[str] = []

    def owners_of(self, offset: int, length: int) -> str:
        """Who owns these bytes of the file system, as far as it can still be read."""
        try:
            owners = self._open().owners(offset, length)
        except FormatError:
            return ""
        more = len(owners) - MAX_OWNERS
        listed = ", ".join(owners[:MAX_OWNERS])
        return f"{listed} and {more} more" if more > 0 else listed

    def _open(self) -> FileSystem:
        if self._reader is None:
            self._reader = open_filesystem(self._data, self._found.data)
        return self._reader

    def run(self) -> tuple[Check, ...]:
        """The three checks; a file system that cannot be read fails them, or skips them."""
        try:
            return self._judge(self._open())
        except FormatError as error:
            return self._unreadable(error)

    def _unreadable(self, error: FormatError) -> tuple[Check, ...]:
        make = skipped if error.code == "unsupported" else fail
        found = [make(name, error.message) for name in ("name", "extension-release")]
        return (*found, self._no_host(error.message))

    def _no_host(self, reason: str) -> Check:
        required = self._options.os_release is not None or self._options.architecture is not None
        return skipped("host-match", reason, required=required)

    def _judge(self, reader: FileSystem) -> tuple[Check, ...]:
        self.kind = self.kind or _kind_of_content(reader)
        if self.kind is None:
            reason = "there is no extension-release file in it"
            return fail("name", reason), fail("extension-release", reason), self._no_host(reason)
        choice = matching.choose_release(
            self._filename,
            release_candidates(reader, self.kind),
            systemd_version=self._options.systemd_version,
        )
        if choice.name is None:
            reason = "no release file counts for this name"
            named = fail("name", choice.reason)
            return named, skipped("extension-release", reason), self._no_host(reason)
        release = read_release(reader, self.kind, choice.name)
        return ok("name", choice.reason), self._release(reader, release), self._host(release)

    def _release(self, reader: FileSystem, release: ExtensionRelease) -> Check:
        problem = self._release_problem(reader, release)
        if problem:
            return fail("extension-release", problem)
        fields = " ".join(f"{key}={value}" for key, value in release.fields.items())
        return ok("extension-release", fields)

    def _release_problem(self, reader: FileSystem, release: ExtensionRelease) -> str:
        """What makes the release file unusable on every host; empty if nothing does."""
        if not release.fields:
            return "the release file is empty"
        if not release.id:
            return "the release file has no ID"
        if reader.lookup(FORBIDDEN) is not None:
            return f"it brings /{printable(FORBIDDEN)}, which systemd refuses"
        named, built = release.architecture, self._found.architecture
        if named and built and named not in (ANY, built):
            return f"ARCHITECTURE={named}, but its partitions are for {built}"
        return ""

    def _host(self, release: ExtensionRelease) -> Check:
        options = self._options
        wanted, built = options.architecture, self._found.architecture
        if wanted and built and wanted != built:
            return fail("host-match", f"its partitions are for {built}, the host is {wanted}")
        if options.os_release is None:
            return self._architecture_only(release)
        verdict = matching.match_host(
            release,
            options.os_release,
            architecture=wanted,
            systemd_version=options.systemd_version,
        )
        return Check("host-match", "ok" if verdict.ok else "fail", verdict.reason)

    def _architecture_only(self, release: ExtensionRelease) -> Check:
        """Without the host's os-release, its architecture is all there is to compare."""
        wanted = self._options.architecture
        if wanted is None:
            return skipped("host-match", "no host was given to match", required=False)
        if release.architecture in (ANY, None, wanted):
            return ok("host-match", f"made for {release.architecture or 'any architecture'}")
        return fail("host-match", f"made for {release.architecture}, the host is {wanted}")


def _kind_of_content(reader: FileSystem) -> Kind | None:
    """The kind whose release files the image has; sysext where it has both."""
    return next((kind for kind in Kind if release_candidates(reader, kind)), None)
