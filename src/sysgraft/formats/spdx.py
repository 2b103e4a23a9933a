"""A bill of materials as SPDX 2.3 JSON: which files a package holds, their digests and terms.

Spec: SPDX 2.3 (ISO/IEC 5962's successor), sections 6 to 11 and Annex "JSON". Fields nobody knows
anything for say ``NOASSERTION``. The document depends on its content and the time given alone.
It is written here, not read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSION: Final = "SPDX-2.3"
"""What the documents say they are."""

MAX_TIME: Final = 253_402_300_799
"""Seconds since the epoch of the last moment of the year 9999, the last that can be written."""

_UNKNOWN: Final = "NOASSERTION"
_NAMESPACE: Final = "https://spdx.org/spdxdocs"
_DOCUMENT: Final = "SPDXRef-DOCUMENT"
_PACKAGE: Final = "SPDXRef-Package"


@dataclass(frozen=True, slots=True)
class SpdxFile:
    """A file of the package.

    Attributes:
        path: relative to the root.
        sha1: of its content, lower-case hex; SPDX 2.3 demands it.
        sha256: likewise.
        terms: what is said of its licence; empty for nothing.
        comment: why it is there; empty for nothing.
    """

    path: str
    sha1: str
    sha256: str
    terms: str = ""
    comment: str = ""


def render(name: str, version: str, files: Sequence[SpdxFile], *, tool: str, created: int) -> bytes:
    """The document.

    Args:
        name: of the package.
        version: of it; empty for none.
        files: what it holds.
        tool: what made it, ``name-version``.
        created: seconds since the epoch, at most `MAX_TIME`.
    """
    ordered = sorted(files, key=lambda file: file.path)
    licences = _licences(ordered)
    digest = hashlib.sha256(
        "\n".join(f"{f.sha256} {f.path}" for f in ordered).encode("utf-8", "surrogateescape")
    )
    package = {
        "SPDXID": _PACKAGE,
        "name": name,
        **({"versionInfo": version} if version else {}),
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": True,
        "packageVerificationCode": {"packageVerificationCodeValue": _verification(ordered)},
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "licenseInfoFromFiles": sorted(licences.values()) or [_UNKNOWN],
        "copyrightText": _UNKNOWN,
    }
    document = {
        "spdxVersion": VERSION,
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": name,
        "documentNamespace": f"{_NAMESPACE}/{name}-{digest.hexdigest()[:32]}",
        "creationInfo": {"created": _time(created), "creators": [f"Tool: {tool}"]},
        "packages": [package],
        "files": [_file(number, file, licences) for number, file in enumerate(ordered)],
        "hasExtractedLicensingInfos": [
            {"licenseId": key, "extractedText": _readable(text)} for text, key in licences.items()
        ],
        "relationships": list(_relationships(len(ordered))),
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _readable(name: str) -> str:
    """Of a name that is not UTF-8, each byte that does not fit in hexadecimal digits."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _licences(files: Iterable[SpdxFile]) -> dict[str, str]:
    """An identifier for each of the terms."""
    terms = sorted({file.terms for file in files if file.terms})
    return {text: f"LicenseRef-{number}" for number, text in enumerate(terms, 1)}


def _file(number: int, file: SpdxFile, licences: Mapping[str, str]) -> dict[str, object]:
    comment = {"comment": _readable(file.comment)} if file.comment else {}
    return {
        "SPDXID": f"SPDXRef-File-{number}",
        "fileName": f"./{_readable(file.path)}",
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": file.sha1},
            {"algorithm": "SHA256", "checksumValue": file.sha256},
        ],
        "licenseConcluded": _UNKNOWN,
        "licenseInfoInFiles": [licences.get(file.terms, _UNKNOWN)],
        "copyrightText": _UNKNOWN,
        **comment,
    }


def _relationships(count: int) -> Iterable[dict[str, str]]:
    yield _relation(_DOCUMENT, "DESCRIBES", _PACKAGE)
    for number in range(count):
        yield _relation(_PACKAGE, "CONTAINS", f"SPDXRef-File-{number}")


def _relation(one: str, kind: str, two: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": two}


def _verification(files: Iterable[SpdxFile]) -> str:
    """Section 7.9: SHA-1 of the files' SHA-1 digests, sorted and joined."""
    joined = "".join(sorted(file.sha1 for file in files))
    return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
