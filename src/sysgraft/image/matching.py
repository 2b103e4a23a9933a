"""Whether a systemd accepts an extension on a host: which release file counts, and does it match.

Follows systemd's ``open_extension_release_at`` (``src/basic/os-util.c``) and
``extension_release_validate`` (``src/shared/extension-util.c``) for v252 to v262. Strings are
compared as they are: there is no order of versions in here. It reads no files and does not look at
signatures; systemd looks at neither name nor host before it has mounted the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base import systemd
from sysgraft.formats.extension_release import ANY, ExtensionRelease, Kind
from sysgraft.image import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# systemd that began to …
BASE_NAME_SINCE: Final = 256  # … accept the release file of the name cut at "_" or "+"
ID_LIKE_SINCE: Final = 258  # … compare ID with the host's ID_LIKE too
CONFEXT_SINCE: Final = 254  # … know configuration extensions

DEFAULT_SCOPES: Final = ("system", "portable")

# Release files the scan passes over: systemd's hidden_or_backup_file().
_BACKUP_SUFFIXES: Final = frozenset(
    (
        *("ignore", "rpmnew", "rpmsave", "rpmorig", "dpkg-old", "dpkg-new", "dpkg-tmp"),
        *("dpkg-dist", "dpkg-bak", "dpkg-backup", "dpkg-remove", "ucf-new", "ucf-old"),
        *("ucf-dist", "swp", "bak", "old", "new"),
    )
)


class Candidate(NamedTuple):
    """One ``extension-release.NAME`` found in an image.

    Attributes:
        name: NAME.
        strict: the meaning of its ``user.extension-release.strict``, None where it has none.
        regular: whether it is a regular file; a link counts under its exact name only.
    """

    name: str
    strict: bool | None = None
    regular: bool = True


class Choice(NamedTuple):
    """The release file that counts.

    Attributes:
        name: its NAME, None where systemd refuses the image.
        rule: ``exact``, ``base-name``, ``xattr``; or ``none``, ``ambiguous``, ``invalid``.
        reason: one sentence.
    """

    name: str | None
    rule: str
    reason: str


class Verdict(NamedTuple):
    """Whether an extension matches a host.

    Attributes:
        ok: whether systemd would merge it.
        rule: the rule that decided: ``kind empty scope architecture id version level``.
        reason: one sentence with both sides' values.
    """

    ok: bool
    rule: str
    reason: str


def choose_release(
    filename: str,
    candidates: Sequence[Candidate],
    *,
    systemd_version: int = systemd.LATEST,
) -> Choice:
    """The release file systemd uses for the image file `filename`, a name without folders.

    The candidates are those in the folder of one kind, in any order. (v256.0 also cut the release
    files' own names at ``_`` and ``+``; its later releases do not, and neither does this.)
    """
    wanted = names.image_name(filename, systemd_version=systemd_version)
    if not names.is_valid(wanted):
        return Choice(None, "invalid", f"{filename!r} names no image")
    if any(candidate.name == wanted for candidate in candidates):
        return Choice(wanted, "exact", f"extension-release.{wanted} is the image's own")
    accepted = _accepted(wanted, candidates, systemd_version)
    if len(accepted) > 1:
        listed = " and ".join(sorted(choice.name or "" for choice in accepted))
        return Choice(None, "ambiguous", f"the release files of {listed} both could be meant")
    return accepted[0] if accepted else _nothing(wanted, candidates)


def _accepted(wanted: str, candidates: Sequence[Candidate], version: int) -> list[Choice]:
    base = names.base_name(wanted)
    if version >= BASE_NAME_SINCE and not names.is_valid(base):
        return []
    choices = []
    for candidate in candidates:
        if not candidate.regular or _passed_over(candidate.name):
            continue
        if version >= BASE_NAME_SINCE and candidate.name == base:
            reason = f"{wanted} without its version is {base}"
            choices.append(Choice(base, "base-name", reason))
        elif candidate.strict is False:
            reason = f"extension-release.{candidate.name} allows any image name"
            choices.append(Choice(candidate.name, "xattr", reason))
    return choices


def _nothing(wanted: str, candidates: Sequence[Candidate]) -> Choice:
    have = ", ".join(sorted(candidate.name for candidate in candidates)) or "no release file"
    return Choice(None, "none", f"the file name asks for {wanted!r}, the image has {have}")


def _passed_over(name: str) -> bool:
    suffix = f"extension-release.{name}".rpartition(".")[2]
    return not names.is_valid(name) or name.endswith("~") or suffix in _BACKUP_SUFFIXES


def match_host(
    extension: ExtensionRelease,
    host: Mapping[str, str],
    *,
    architecture: str | None,
    systemd_version: int = systemd.LATEST,
    scope: str = "system",
) -> Verdict:
    """Whether systemd `systemd_version` merges `extension` on `host`.

    Args:
        extension: the release file that counts.
        host: the fields of the host's os-release.
        architecture: the host's, in systemd's spelling; None leaves that rule out.
        systemd_version: 252 and newer.
        scope: ``system``, ``initrd`` or ``portable``: where it would be merged.
    """
    return (
        _match_kind(extension, systemd_version)
        or _match_place(extension, scope, architecture)
        or _match_id(extension, host, systemd_version)
        or _match_level(extension, host)
        or _match_version(extension, host)
    )


def _match_kind(extension: ExtensionRelease, systemd_version: int) -> Verdict | None:
    if extension.kind is Kind.CONFEXT and systemd_version < CONFEXT_SINCE:
        reason = f"systemd {systemd_version} has no configuration extensions, {CONFEXT_SINCE} does"
        return Verdict(ok=False, rule="kind", reason=reason)
    if not extension.fields:
        return Verdict(ok=False, rule="empty", reason="the extension's release file is empty")
    return None


def _match_place(
    extension: ExtensionRelease, scope: str, architecture: str | None
) -> Verdict | None:
    scopes = DEFAULT_SCOPES if extension.scopes is None else extension.scopes
    if scope not in scopes:
        listed = " ".join(scopes) or "nothing"
        reason = f"it is to be merged in the scope {scope!r}, and allows {listed}"
        return Verdict(ok=False, rule="scope", reason=reason)
    wanted = extension.architecture
    if wanted and architecture and wanted not in (ANY, architecture):
        reason = f"ARCHITECTURE={wanted} in the extension, the host is {architecture}"
        return Verdict(ok=False, rule="architecture", reason=reason)
    return None


def _match_id(
    extension: ExtensionRelease, host: Mapping[str, str], systemd_version: int
) -> Verdict | None:
    """Decide by ID; None where the versions have to."""
    host_id = host.get("ID")
    if not host_id:
        reason = "the host's os-release has no ID, systemd merges nothing there"
        return Verdict(ok=False, rule="id", reason=reason)
    if not extension.id:
        return Verdict(ok=False, rule="id", reason="the extension's release file has no ID")
    if extension.id == ANY:
        return Verdict(ok=True, rule="id", reason="the extension is for any host (ID=_any)")
    like = host.get("ID_LIKE", "").split() if systemd_version >= ID_LIKE_SINCE else []
    if extension.id in (host_id, *like):
        return None
    reason = f"ID={extension.id} in the extension, {' or '.join((host_id, *like))} on the host"
    return Verdict(ok=False, rule="id", reason=reason)


def _match_level(extension: ExtensionRelease, host: Mapping[str, str]) -> Verdict | None:
    """Decide by SYSEXT_LEVEL or CONFEXT_LEVEL, which counts only where both sides have it."""
    name = extension.kind.level_key
    level = host.get(name)
    if not level or not extension.level:
        return None
    return _compared("level", name, extension.level, level)


def _match_version(extension: ExtensionRelease, host: Mapping[str, str]) -> Verdict:
    version = host.get("VERSION_ID")
    if not version:
        reason = f"ID={extension.id} matches, and the host has no version to compare"
        return Verdict(ok=True, rule="version", reason=reason)
    if not extension.version_id:
        reason = f"no VERSION_ID in the extension, {version} on the host"
        return Verdict(ok=False, rule="version", reason=reason)
    return _compared("version", "VERSION_ID", extension.version_id, version)


def _compared(rule: str, name: str, extension: str, host: str) -> Verdict:
    if extension == host:
        return Verdict(ok=True, rule=rule, reason=f"{name}={host} on both sides")
    return Verdict(
        ok=False, rule=rule, reason=f"{name}={extension} in the extension, {host} on the host"
    )
