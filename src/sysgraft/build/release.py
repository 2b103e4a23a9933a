"""The extension-release file an image gets: the sources' own, completed and put in place."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode, parent
from sysgraft.errors import FormatError, UsageError
from sysgraft.formats import extension_release, os_release
from sysgraft.formats.extension_release import ExtensionRelease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.tree import MutableTree, Tree
    from sysgraft.formats.extension_release import Kind


def brought_release(tree: Tree, name: str, kind: Kind) -> ExtensionRelease:
    """The release file that the sources bring for `name`; without fields where they bring none.

    Raises:
        FormatError: it is no regular file, or not in os-release's syntax.
    """
    inode = tree.get(extension_release.path(kind, name))
    if inode is None:
        return ExtensionRelease(kind, {})
    if inode.content is None:
        raise FormatError("the sources' extension-release is not a regular file")
    size = min(inode.content.size, os_release.MAX_SIZE + 1)
    return extension_release.parse(inode.content.read_at(0, size), kind)


def release_fields(
    brought: ExtensionRelease,
    architecture: str,
    *,
    wanted: Mapping[str, str],
    service_reload: bool,
    architecture_given: bool,
) -> ExtensionRelease:
    """The fields of the image's release file.

    Args:
        brought: what the sources say.
        architecture: what the image is built for.
        wanted: fields the caller sets, over all others.
        service_reload: whether systemd is to reload its units after the merge.
        architecture_given: whether the caller named the architecture, which then counts more
            than what the sources say.

    Raises:
        UsageError: the result would match no host, or contradict the image.
    """
    fields = {"ID": extension_release.ANY, **brought.fields}
    if architecture_given or "ARCHITECTURE" not in fields:
        fields["ARCHITECTURE"] = architecture
    if service_reload:
        fields["EXTENSION_RELOAD_MANAGER"] = "1"
    release = ExtensionRelease(brought.kind, {**fields, **wanted})
    if not release.id:
        raise UsageError("an extension-release without an ID matches no host")
    if release.architecture not in (extension_release.ANY, architecture):
        raise UsageError(
            f"ARCHITECTURE={release.architecture} in an image built for {architecture}",
            hint="name the architecture with --arch",
        )
    return release


def add_release(tree: MutableTree, name: str, release: ExtensionRelease, *, epoch: int) -> None:
    """Put the release file into the tree, over one the sources bring.

    Args:
        tree: of the image.
        name: of the extension.
        release: the fields.
        epoch: the file's time, in seconds.
    """
    path = extension_release.path(release.kind, name)
    _add_parents(tree, path, epoch)
    inode = Inode(
        mode=stat.S_IFREG | 0o644,
        mtime=epoch,
        content=BytesBlob(extension_release.render(release)),
    )
    # systemd up to 254 takes NAME.sysext.raw for an image called NAME.sysext (checked with 252),
    # and looks for a release file of that name; newer ones prefer the exact name.
    tree[path] = tree[path + f".{release.kind}".encode()] = inode


def _add_parents(tree: MutableTree, path: bytes, epoch: int) -> None:
    folder = parent(path)
    if folder not in tree:
        _add_parents(tree, folder, epoch)
        tree[folder] = Inode(mode=stat.S_IFDIR | 0o755, mtime=epoch)
