"""What the verbs of ``sysgraft keys`` tell alike: certificates, databases, times, owners."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sysgraft.cli.epoch import source_date_epoch
from sysgraft.errors import FormatError, UsageError
from sysgraft.formats import esl
from sysgraft.formats.x509 import parse_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.cli.output import Output
    from sysgraft.formats.x509 import Certificate


def time_option(text: str | None) -> datetime:
    """The value of ``--time``; without one ``$SOURCE_DATE_EPOCH``, else now.

    Raises:
        UsageError: it is no time.
    """
    if text is None:
        seconds = source_date_epoch(None)
        return datetime.now(UTC) if seconds is None else _at(seconds)
    if text.isascii() and text.isdecimal():
        return _at(int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--time wants a time, not {text!r}",
            hint="such as 2026-01-31T12:00:00Z, or seconds since 1970",
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _at(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{seconds} seconds since 1970 are no time") from None


def owner_option(text: str | None) -> UUID | None:
    """The value of ``--owner``.

    Raises:
        UsageError: it is no UUID.
    """
    try:
        return UUID(text) if text else None
    except ValueError:
        raise UsageError(f"--owner wants a UUID, not {text!r}") from None


def time_text(time: datetime) -> str:
    """A time as RFC 3339 writes it, in UTC."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def certificate_fields(certificate: Certificate) -> dict[str, object]:
    """A certificate in JSON."""
    return {
        "subject": certificate.subject,
        "fingerprint": certificate.fingerprint.hex(),
        "notBefore": time_text(certificate.not_before),
        "notAfter": time_text(certificate.not_after),
    }


def database_fields(name: str, lists: tuple[esl.SignatureList, ...]) -> dict[str, object]:
    """What a database holds, in JSON."""
    return {
        "name": name,
        "certificates": [
            {"owner": str(owner), **certificate_fields(certificate)}
            for owner, certificate in _certificates(lists)
        ],
        "hashes": _hashes(lists),
        "entries": sum(len(each.signatures) for each in lists),
    }


def show_databases(databases: Mapping[str, tuple[esl.SignatureList, ...]], out: Output) -> None:
    """What databases hold, for people: a line for each certificate."""
    rows = [
        (name, text)
        for name, lists in databases.items()
        for text in _entry_lines(lists) or ["nothing"]
    ]
    names = [name for name, _ in rows]
    # Each name once, as a heading of its lines.
    shown = [
        (name if at == names.index(name) else "", text) for at, (name, text) in enumerate(rows)
    ]
    out.table(shown, indent=2)


def _entry_lines(lists: tuple[esl.SignatureList, ...]) -> list[str]:
    certificates = [certificate for _, certificate in _certificates(lists)]
    lines = [validity(each) for each in certificates]
    hashes = _hashes(lists)
    if hashes:
        lines.append("1 SHA-256 hash" if hashes == 1 else f"{hashes} SHA-256 hashes")
    others = sum(len(each.signatures) for each in lists) - len(certificates) - hashes
    if others:
        lines.append("1 other entry" if others == 1 else f"{others} other entries")
    return lines


def validity(certificate: Certificate) -> str:
    """A certificate on one line."""
    until = f"until {certificate.not_after:%Y-%m-%d}"
    return f"{certificate.subject}, {until}, SHA-256 {certificate.fingerprint.hex()}"


def _hashes(lists: tuple[esl.SignatureList, ...]) -> int:
    return sum(len(each.signatures) for each in lists if each.type == esl.CERT_SHA256)


def _certificates(lists: tuple[esl.SignatureList, ...]) -> Iterator[tuple[UUID, Certificate]]:
    """Those that can be read, with their owners."""
    for each in lists:
        if each.type != esl.CERT_X509:
            continue
        for entry in each.signatures:
            try:
                yield entry.owner, parse_certificate(entry.data)
            except FormatError:
                continue
