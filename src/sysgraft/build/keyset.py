"""The keys of a machine's Secure Boot, measured boot and extensions: one folder, made at once.

PK, KEK and db with certificates, signature lists and signed updates for the firmware (UEFI 2.10
§32.3); a key that signs PCR policies; and, if wanted, a key of its own for extensions, which no
firmware needs to know. Each database may hold further certificates, which come from files.
The names of the files are those of ``auroraboot genkey``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sysgraft.base.ids import default_seed
from sysgraft.errors import UsageError
from sysgraft.formats import authvar, esl
from sysgraft.formats.signature_input import certificate_list
from sysgraft.host.output_folder import NewFile, check_place, write_folder
from sysgraft.host.signature_files import read_lists
from sysgraft.sign.authvar import sign_update
from sysgraft.sign.new_keys import Identity, NewKey, make_identity, make_key, pem
from sysgraft.sign.self_signed import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

PCR_BITS: Final = 2048
"""TPM 2.0 chips need not know longer RSA keys (TCG PC Client Platform TPM Profile, table 4)."""
DEFAULT_DAYS: Final = 3650
"""Firmware, kernel and systemd look at no dates, but people and auditors do."""

_SIGNED_BY: Final[Mapping[str, str]] = {"PK": "PK", "KEK": "PK", "db": "KEK", "dbx": "KEK"}
"""Whose key signs updates of each database (UEFI 2.10 §32.3.1); PK may sign all."""
_EXTENSION: Final = "extension"
_PCR_PRIVATE: Final = "tpm2-pcr-private.pem"
_PCR_PUBLIC: Final = "tpm2-pcr-public.pem"
FILES: Final = frozenset(
    (
        *(
            f"{name}.{kind}"
            for name in ("PK", "KEK", "db")
            for kind in ("key", "pem", "der", "esl", "auth")
        ),
        *(f"dbx.{kind}" for kind in ("esl", "auth")),
        *(f"{_EXTENSION}.{kind}" for kind in ("key", "pem", "der")),
        _PCR_PRIVATE,
        _PCR_PUBLIC,
    )
)
"""Every file a key set can have."""


@dataclass(frozen=True, slots=True)
class KeySetOptions:
    """How keys are made and what is trusted beside them.

    Attributes:
        rsa_bits: size of the Secure Boot and extension keys; that of the PCR key is fixed.
        days: how long the certificates are valid.
        owner: owner of the entries in the databases; None derives one from the set's name.
        extension_key: make a key for extensions too.
        kek_certificates: files with further certificates for KEK.
        db_certificates: files with further certificates, hashes or programs for db.
        dbx: files with what is revoked; without any there is no dbx.
        time: of the signed updates and the beginning of the certificates; None is now.
        passphrase: encrypts the private keys.
        replace: whether an existing key set may be replaced.
    """

    rsa_bits: int = 2048
    days: int = DEFAULT_DAYS
    owner: UUID | None = None
    extension_key: bool = False
    kek_certificates: Sequence[str] = ()
    db_certificates: Sequence[str] = ()
    dbx: Sequence[str] = ()
    time: datetime | None = None
    passphrase: bytes = field(default=b"", repr=False)
    replace: bool = False


@dataclass(frozen=True, slots=True)
class KeySetReport:
    """What was made.

    Attributes:
        folder: where the files are.
        files: their names.
        owner: owner of the entries that name no other.
        time: of the signed updates.
        encrypted: whether the private keys are.
        identities: the keys with certificates, by name.
        pcr_key: the key for PCR policies.
        databases: what PK, KEK, db and, if there is one, dbx hold.
        notes: what to know, a sentence each.
    """

    folder: str
    files: tuple[str, ...]
    owner: UUID
    time: datetime
    encrypted: bool
    identities: Mapping[str, Identity]
    pcr_key: NewKey
    databases: Mapping[str, tuple[esl.SignatureList, ...]]
    notes: tuple[str, ...]


def generate_keys(name: str, output: str, options: KeySetOptions | None = None) -> KeySetReport:
    """Make a key set.

    Args:
        name: what the certificates are called: ``NAME PK``, ``NAME KEK``, ``NAME db``.
        output: the folder to make; an empty one is used as it is.
        options: see there.

    Raises:
        UsageError: a name, size or duration that is not possible.
        InputError: a file with further entries cannot be read.
        OutputError: the folder is not empty, or cannot be written.
    """
    options = options or KeySetOptions()
    time = (options.time or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    owner = options.owner or default_seed(name)
    # All that can be refused comes before the keys, which take a while to make.
    further = _further_entries(options, owner)
    check_place(output, replace=options.replace, is_ours=FILES.__contains__)
    identities = dict(_identities(name, time, options))
    pcr_key = make_key(PCR_BITS, passphrase=options.passphrase)
    databases = dict(_databases(identities, further, owner))
    files = [*_key_files(identities, pcr_key), *_database_files(databases, identities, time)]
    write_folder(output, files, replace=options.replace, is_ours=FILES.__contains__)
    return KeySetReport(
        folder=output,
        files=tuple(sorted(file.name for file in files)),
        owner=owner,
        time=time,
        encrypted=bool(options.passphrase),
        identities=identities,
        pcr_key=pcr_key,
        databases=databases,
        notes=tuple(_notes(options)),
    )


def _identities(
    name: str, time: datetime, options: KeySetOptions
) -> Iterator[tuple[str, Identity]]:
    labels = ("PK", "KEK", "db", *((_EXTENSION,) if options.extension_key else ()))
    for common_name in (name, *(f"{name} {label}" for label in labels)):
        check_name(common_name)
    for label in labels:
        yield (
            label,
            make_identity(
                f"{name} {label}",
                bits=options.rsa_bits,
                time=time,
                days=options.days,
                passphrase=options.passphrase,
            ),
        )


def _databases(
    identities: Mapping[str, Identity],
    further: Mapping[str, tuple[esl.SignatureList, ...]],
    owner: UUID,
) -> Iterator[tuple[str, tuple[esl.SignatureList, ...]]]:
    for label in ("PK", "KEK", "db"):
        own = certificate_list(identities[label].certificate, owner)
        yield label, (own, *further.get(label, ()))
    if further["dbx"]:
        yield "dbx", further["dbx"]


def _further_entries(
    options: KeySetOptions, owner: UUID
) -> dict[str, tuple[esl.SignatureList, ...]]:
    files: dict[str, Sequence[str]] = {
        "KEK": options.kek_certificates,
        "db": options.db_certificates,
        "dbx": options.dbx,
    }
    found = {name: read_lists(paths, owner) for name, paths in files.items()}
    if any(each.type != esl.CERT_X509 for each in found["KEK"]):
        raise UsageError("what is added to KEK has to be certificates: nothing else signs updates")
    return found


def custom_certificates(folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files of ``--custom-cert-dir``: ``KEK`` and ``db``, each if it is there.

    Raises:
        UsageError: neither is there.
    """
    paths = {name: os.path.join(folder, name) for name in ("KEK", "db")}
    there = {name: (path,) if os.path.isfile(path) else () for name, path in paths.items()}
    if not any(there.values()):
        raise UsageError(f"the folder {folder} has neither a file db nor a file KEK")
    return there["KEK"], there["db"]


def _key_files(identities: Mapping[str, Identity], pcr_key: NewKey) -> Iterator[NewFile]:
    for name, identity in identities.items():
        der = identity.certificate.der
        yield NewFile(f"{name}.key", identity.key.private_pem, secret=True)
        yield NewFile(f"{name}.pem", pem("CERTIFICATE", der))
        yield NewFile(f"{name}.der", der)
    yield NewFile(_PCR_PRIVATE, pcr_key.private_pem, secret=True)
    yield NewFile(_PCR_PUBLIC, pcr_key.public_pem)


def _database_files(
    databases: Mapping[str, tuple[esl.SignatureList, ...]],
    identities: Mapping[str, Identity],
    time: datetime,
) -> Iterator[NewFile]:
    for name, lists in databases.items():
        value = esl.serialise(lists)
        signer = identities[_SIGNED_BY[name]]
        update = sign_update(
            authvar.database(name),
            value,
            key=signer.key.signer,
            certificate=signer.certificate,
            time=time,
        )
        yield NewFile(f"{name}.esl", value)
        yield NewFile(f"{name}.auth", authvar.serialise(update))


def _notes(options: KeySetOptions) -> Iterator[str]:
    if not options.db_certificates:
        yield (
            "db holds your certificate alone: firmware of add-in cards that Microsoft signed will "
            "not run, which can leave a machine without a display (see --db-certificate)"
        )
    if not options.passphrase:
        yield "the private keys are not encrypted: keep the folder where nobody else reads it"
