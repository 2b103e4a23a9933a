"""Targets: EFI variables and what is enrolled in them."""

from __future__ import annotations

import functools
import struct
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from seeds import ec_identity, rsa_identity
from sysgraft.errors import SysgraftError
from sysgraft.formats import (
    authvar,
    efivar,
    esl,
    signature_input,
    variable_store,
)
from sysgraft.formats.revocations import Revocations
from sysgraft.host.signature_files import read_lists
from sysgraft.sign.authvar import sign_update
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.verify import trust as trust_store
from sysgraft.testing.efivars import FakeEfiVariables, certificate_list, secure_boot_values
from target import File, Target
from targets_sections import _OWNER
from targets_signatures import _ROOT_HASH, certificates
from targets_uki import ukis

if TYPE_CHECKING:
    from collections.abc import Sequence


@functools.cache
def signature_lists() -> Sequence[bytes]:
    """Databases of signatures."""
    some = certificate_list(
        ec_identity().certificate.der, rsa_identity().certificate.der, owner=_OWNER
    )
    hashes = signature_input.hash_list((bytes(32), _ROOT_HASH), _OWNER)
    tbs = UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
    revoked = esl.SignatureList(tbs, (esl.Signature(_OWNER, _ROOT_HASH + bytes(16)),))
    return (some, some + esl.serialise([hashes, revoked]), esl.serialise([hashes]))


def read_signature_list(data: bytes) -> None:
    """A database of signatures: as trust, as revocations, as a firmware's variable."""
    trust_store.from_dbx(data, "dbx")
    trust_store.from_signature_lists(data, "db", for_executables=True)
    lists = esl.parse(data)
    assert esl.parse(esl.serialise(lists)) == lists
    list(esl.image_digests(lists))
    revocations = Revocations.from_lists(lists)
    revocations.is_revoked(
        ec_identity("leaf", authority=True).certificate, (ec_identity().certificate,)
    )
    values = secure_boot_values(databases={"db": data, "dbx": data})
    trust_store.from_efivars(FakeEfiVariables(values), for_executables=True)


@functools.cache
def updates() -> Sequence[bytes]:
    """Signed updates of variables."""
    target = authvar.database("db")
    return tuple(
        authvar.serialise(
            sign_update(
                target,
                signature_lists()[0],
                key=load_private_key(identity.key_pem),
                certificate=identity.certificate,
                time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            )
        )
        for identity in (rsa_identity(), ec_identity())
    )


def read_update(data: bytes) -> bool:
    """A signed update: none that was damaged may hold."""
    authvar.is_update(data)
    found = authvar.parse(data)
    authvar.read_signature(found)
    holds = [
        authvar.verify(found, authvar.database("db"), identity.certificate)
        for identity in (ec_identity(), rsa_identity())
    ]
    signed = {(each.time, each.value) for each in map(authvar.parse, updates())}
    assert not any(holds) or (found.time, found.value) in signed, "an update holds nobody signed"
    return any(holds)


INPUT: Final = File("input")


def read_signature_input(data: bytes) -> None:
    """What somebody wants to enroll."""
    lists = read_lists([INPUT.put(data)], _OWNER)
    trust_store.from_folder({"a.crt": data, "b.der": data}, "folder")
    with suppress(SysgraftError):
        signature_input.certificates_in(lists)


def read_efivar(data: bytes) -> None:
    """A file of efivarfs."""
    found = efivar.parse(data)
    assert efivar.serialise(found) == data


@functools.cache
def stores() -> Sequence[bytes]:
    """A variable store of EDK II."""
    size = 8192
    kind = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
    volume = bytes(16) + kind + struct.pack("<Q4sIHHHBB", 0, b"_FVH", 0, 72, 0, 0, 0, 2)
    authenticated = UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
    body = authenticated + struct.pack("<IBBHI", size, 0x5A, 0xFE, 0, 0)
    for state, name, value in (
        (0x3F, "db", signature_lists()[0]),
        (0x3E, "PK", signature_lists()[2]),
        (0x3F, "SecureBoot", b"\1"),
    ):
        raw = (name + "\0").encode("utf-16-le")
        record_ = struct.pack("<HBBI28xII", 0x55AA, state, 0, 7, len(raw), len(value))
        body += (record_ + _OWNER.bytes_le + raw + value).ljust(
            -(-(60 + len(raw) + len(value)) // 4) * 4, b"\0"
        )
    return ((volume.ljust(72, b"\0") + body).ljust(size + 72, b"\xff"),)


def read_store(data: bytes) -> None:
    """A variable store."""
    for (name, _), variable in variable_store.parse(data).items():
        assert "\0" not in name
        assert variable.data in data


TARGETS: Final = (
    Target(name="esl", seeds=signature_lists, read=read_signature_list, weight=20),
    Target(name="authvar", seeds=updates, read=read_update, weight=20),
    Target(
        name="signature-input",
        seeds=lambda: (
            *signature_lists(),
            *updates()[:1],
            *certificates(),
            ukis()[0],
            b"# hashes\n" + b"ab" * 32 + b"\n" + b"CD" * 32 + b"\n",
        ),
        read=read_signature_input,
        weight=15,
    ),
    Target(
        name="efivar",
        seeds=lambda: (struct.pack("<I", 0x27) + signature_lists()[2], b"\x06\0\0\0\1"),
        read=read_efivar,
        weight=10,
    ),
    Target(name="variable-store", seeds=stores, read=read_store, weight=15),
)
