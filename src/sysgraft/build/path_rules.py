"""Which paths an extension keeps, by its options alone.

Kept are ``/usr`` for a sysext, ``/etc`` for a confext (systemd-sysext(8)), and the prefixes asked
for. Patterns of `Options.excludes` are those of `fnmatch` on the whole path, with or without the
leading slash; ``*`` matches slashes too, and a folder that matches takes all below it along. What
becomes of a tree is decided in `sysgraft.build.selection`.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.base.tree import is_below, parent
from sysgraft.build.nodes import USR_MERGED
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sysgraft.build.sources.model import Options, TreeKind

_HIERARCHY: Final[dict[TreeKind, bytes]] = {"sysext": b"usr", "confext": b"etc", "root": b""}


def kept_prefixes(options: Options) -> tuple[bytes, ...]:
    """The path prefixes that are kept, without slashes at the ends.

    Raises:
        UsageError: a prefix to include is the root or has a ``..`` in it.
    """
    found = [_HIERARCHY[options.kind]]
    for text in options.include_paths:
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            raise UsageError(f"not a path prefix to include: {text!r}")
        prefix = "/".join(parts).encode("utf-8", "surrogateescape")
        # The usr-merge has moved what stood there.
        found.append(b"usr/" + prefix if prefix.split(b"/")[0] in USR_MERGED else prefix)
    return tuple(found)


class Rules:
    """What `Options` say of paths.

    Attributes:
        prefixes: see `kept_prefixes`.
    """

    def __init__(self, options: Options) -> None:
        self.prefixes = kept_prefixes(options)
        self._is_excluded = _matcher(options.excludes)

    @property
    def covers_usr(self) -> bool:
        """Whether something below ``/usr`` is kept, so that the usr-merge matters."""
        return any(prefix.partition(b"/")[0] == b"usr" for prefix in self.prefixes)

    def verdict(self, path: bytes) -> Literal["kept", "above", "outside", "excluded"]:
        """Of a path after the usr-merge whose folders are not excluded; ``above`` leads to kept."""
        if any(is_below(path, prefix) for prefix in self.prefixes):
            return "excluded" if self._is_excluded(path) else "kept"
        return "above" if any(is_below(prefix, path) for prefix in self.prefixes) else "outside"

    def leave_out(self, path: bytes) -> bool:
        """Whether nothing at or below the path of a source, before the usr-merge, is kept."""
        if self.covers_usr and path.partition(b"/")[0] in USR_MERGED:
            path = b"usr/" + path
        return any(self.verdict(each) in ("outside", "excluded") for each in (path, *parents(path)))


def _matcher(patterns: tuple[str, ...]) -> Callable[[bytes], bool]:
    # Latin-1 maps bytes to characters one to one, so that any name can be matched.
    texts = [pattern.lstrip("/").encode("utf-8", "surrogateescape") for pattern in patterns]
    tests = [re.compile(fnmatch.translate(text.decode("latin-1"))).match for text in texts]

    def matches(path: bytes) -> bool:
        return any(test(path.decode("latin-1")) for test in tests)

    return matches


def parents(path: bytes) -> Iterator[bytes]:
    """The folders above `path`, the nearest first, without the root."""
    while path := parent(path):
        yield path
