"""Whom to trust: certificates with where each came from, and what is revoked.

A store holds only what its user named: files, a folder like ``verity.d``, EFI signature lists,
or the firmware's own databases. Certificates found inside signatures never get here. Nothing
here opens files; contents come with the name to call them by.

Two questions are asked of stores, and signature lists and firmware answer them differently. Who
may sign an extension is for systemd to say, which takes PK, KEK and db; which executables may
start is for the firmware, which takes db alone, and in it digests of executables too
(`for_executables`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.errors import FormatError, in_file
from sysgraft.formats import esl
from sysgraft.formats.efivar import GLOBAL_VARIABLE, IMAGE_SECURITY_DATABASE
from sysgraft.formats.revocations import Revocations
from sysgraft.formats.x509 import load_certificates, parse_certificate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.formats.efivar import EfiVariable
    from sysgraft.formats.x509 import Certificate
    from sysgraft.host.efivars import EfiVariables

_SUFFIX: Final = ".crt"
"""What systemd reads in verity.d; files with other suffixes are not looked at."""
_DATABASES: Final = (
    ("PK", GLOBAL_VARIABLE),
    ("KEK", GLOBAL_VARIABLE),
    ("db", IMAGE_SECURITY_DATABASE),
)
"""Variables whose certificates the kernel trusts, UEFI §32.3 and §32.6."""
_FOR_EXECUTABLES: Final = ("db",)
"""Those of them that decide which executables the firmware starts, UEFI §32.5.3.3."""
_ACCEPTED_DIGEST: Final = "sha256"
"""The digest of executables that creates trust: the only one that EDK II computes of an unsigned
one (DxeImageVerificationHandler). Others can only revoke."""
_REVOKED: Final = ("dbx", IMAGE_SECURITY_DATABASE)
_AUTH_START: Final = 20
_AUTH: Final = b"\x00\x02\xf1\x0e" + UUID("4aafd29d-68df-49ee-8aa9-347d375665a7").bytes_le
"""What EFI_VARIABLE_AUTHENTICATION_2 (UEFI §8.2.2) has behind its time stamp and length: revision
0x0200, WIN_CERT_TYPE_EFI_GUID, EFI_CERT_TYPE_PKCS7_GUID."""


class TrustedCertificate(NamedTuple):
    """A certificate that may sign, and where the trust in it comes from."""

    certificate: Certificate
    source: str


class TrustedImage(NamedTuple):
    """An executable that may start whoever signed it, and where the trust in it comes from.

    Attributes:
        algorithm: of its digest, as ``hashlib`` has it.
        digest: its Authenticode digest.
        source: what names it.
    """

    algorithm: str
    digest: bytes
    source: str


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Whom to trust.

    Attributes:
        certificates: who may sign; a revoked one stays, and fails by its revocation.
        revocations: what is revoked; None if nobody said.
        notes: what was left out of the store and why, a sentence each.
        images: executables that are trusted by their digest.
    """

    certificates: tuple[TrustedCertificate, ...] = ()
    revocations: Revocations | None = None
    notes: tuple[str, ...] = ()
    images: tuple[TrustedImage, ...] = ()

    def __or__(self, other: TrustStore) -> TrustStore:
        """Trust in what either store trusts, less what either revokes."""
        return TrustStore(
            self.certificates + other.certificates,
            _both(self.revocations, other.revocations),
            self.notes + other.notes,
            self.images + other.images,
        )


def _both(one: Revocations | None, other: Revocations | None) -> Revocations | None:
    if one is None:
        return other
    return one if other is None else one | other


def from_certificates(data: bytes, source: str) -> TrustStore:
    """Trust in the certificate of a file, PEM or DER, or in all of a PEM bundle.

    Raises:
        FormatError: it holds none, or a broken one.
    """
    with in_file(source):
        found = load_certificates(data)
    return TrustStore(tuple(TrustedCertificate(each, source) for each in found))


def from_folder(files: Mapping[str, bytes], source: str) -> TrustStore:
    """Trust in the certificates of a folder like ``verity.d``, read as systemd reads it.

    Each file ``NAME.crt`` has one certificate, PEM. One that cannot be read is left out with a
    note, an empty one stands for "masked"; of several in a file the first counts.

    Args:
        files: contents by file name.
        source: the folder.
    """
    certificates: list[TrustedCertificate] = []
    notes: list[str] = []
    for name in sorted(files):
        path = f"{source}/{name}"
        if not name.endswith(_SUFFIX):
            notes.append(f"{path}: not read, its name does not end in {_SUFFIX}")
            continue
        try:
            found = _read_pem(files[name])
        except FormatError as error:
            notes.append(f"{path}: not trusted: {error.message}")
            continue
        certificates.append(TrustedCertificate(found[0], path))
        if len(found) > 1:
            notes.append(f"{path}: holds {len(found)} certificates, only the first is trusted")
    return TrustStore(tuple(certificates), notes=tuple(notes))


def _read_pem(data: bytes) -> tuple[Certificate, ...]:
    if not data:
        raise FormatError("the file is empty, which masks it")
    if b"-----BEGIN" not in data:
        raise FormatError("systemd reads certificates in PEM only")
    return load_certificates(data)


def from_signature_lists(data: bytes, source: str, *, for_executables: bool = False) -> TrustStore:
    """Trust in the certificates of EFI signature lists, such as a ``db.esl``.

    Args:
        data: the lists.
        source: what to call them.
        for_executables: whether to trust executables by their digest too.

    Raises:
        FormatError: they are not signature lists.
    """
    certificates: list[TrustedCertificate] = []
    images: list[TrustedImage] = []
    notes: list[str] = []
    for one in _read_lists(data, source):
        digest = esl.IMAGE_DIGESTS.get(one.type)
        if for_executables and digest == _ACCEPTED_DIGEST:
            images += (TrustedImage(digest, entry.data, source) for entry in one.signatures)
            continue
        if for_executables and digest:
            notes.append(
                f"{source}: {len(one.signatures)} digests of executables are not trusted: "
                f"they are {digest}, and firmware takes {_ACCEPTED_DIGEST}"
            )
            continue
        if one.type != esl.CERT_X509:
            notes.append(f"{source}: {len(one.signatures)} entries are no certificates")
            continue
        for entry in one.signatures:
            try:
                found = parse_certificate(entry.data)
            except FormatError as error:
                notes.append(f"{source}: a certificate is not trusted: {error.message}")
            else:
                certificates.append(TrustedCertificate(found, source))
    return TrustStore(tuple(certificates), notes=tuple(notes), images=tuple(images))


def from_dbx(data: bytes, source: str) -> TrustStore:
    """Trust in nobody, and distrust in what these EFI signature lists name.

    Raises:
        FormatError: they are not signature lists.
    """
    revocations = Revocations.from_lists(_read_lists(data, source))
    notes = tuple(f"{source}: {note}" for note in revocations.notes)
    return TrustStore(revocations=revocations, notes=notes)


def _read_lists(data: bytes, source: str) -> tuple[esl.SignatureList, ...]:
    with in_file(source):
        try:
            return esl.parse(data)
        except FormatError as error:
            error.hint = error.hint or _mistaken_for_lists(data)
            raise


def _mistaken_for_lists(data: bytes) -> str:
    """What the file seems to be instead of signature lists, and what to do; empty if unknown."""
    if data.startswith(_AUTH, _AUTH_START):
        return "this looks like an authenticated variable (.auth); give the .esl"
    # A certificate in DER is a SEQUENCE with a length of two bytes.
    if data.startswith((b"\x30\x82", b"-----BEGIN CERTIFICATE-----")):
        return "this looks like a certificate; give signature lists (.esl) that hold it"
    return ""


def from_efivars(variables: EfiVariables, *, for_executables: bool = False) -> TrustStore:
    """Trust in PK, KEK and db less dbx, if the firmware enforces them.

    They count only with SecureBoot=1 and SetupMode=0, said by the firmware, and if none of them
    can be written without a signature: otherwise whoever can write variables has chosen them.
    What dbx revokes is kept as revoked, so that a signature by it can be named.

    Args:
        variables: where to read them.
        for_executables: trust in db alone, and in executables by their digest too.

    Raises:
        InputError: the variables cannot be read.
        FormatError: a variable is not a signature database.
    """
    found = {name: variables.read(name, guid) for name, guid in (*_DATABASES, _REVOKED)}
    databases = {name: each for name, each in found.items() if each is not None}
    dbx = databases.pop("dbx", None)
    store = from_dbx(dbx.data if dbx else b"", f"dbx of {variables.source}")
    reason = _state_problem(variables) or _unprotected(found)
    if reason:
        note = f"no certificate of {variables.source} is trusted: {reason}"
        return store | TrustStore(notes=(note,))
    for name, variable in databases.items():
        if not for_executables or name in _FOR_EXECUTABLES:
            source = f"{name} of {variables.source}"
            store |= from_signature_lists(variable.data, source, for_executables=for_executables)
    return store


def _state_problem(variables: EfiVariables) -> str:
    """Why the firmware enforces nothing; empty if it does (UEFI §3.3, §32.3)."""
    for name, value in (("SecureBoot", b"\1"), ("SetupMode", b"\0")):
        state = variables.read(name, GLOBAL_VARIABLE)
        if state is None:
            return f"there is no variable {name}"
        if state.is_stored:
            return f"{name} is a stored variable, which the firmware's own is not"
        if state.data != value:
            return f"{name} is {_state_text(state.data)}, not {value[0]}"
    return ""


def _unprotected(databases: Mapping[str, EfiVariable | None]) -> str:
    """Which database anybody can write; empty if none. One of them opens the others."""
    for name, variable in databases.items():
        if variable is not None and not variable.is_authenticated:
            return (
                f"{name} can be written without a signature (attributes {variable.attributes:#x})"
            )
    return ""


def _state_text(state: bytes) -> str:
    return str(state[0]) if len(state) == 1 else f"of {len(state)} bytes"
