"""The keys of a firmware: what it measures of them, and whom it lets start programs.

Read from a folder like efivarfs, from the keys that are to be enrolled (those of ``sysgraft keys
generate``), or from OVMF's variable store. What the firmware makes of a program is the matter of
`sysgraft.seal.secure_boot`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.errors import InputError, UnsupportedError, in_file
from sysgraft.formats import esl, variable_store
from sysgraft.formats.efivar import GLOBAL_VARIABLE, IMAGE_SECURITY_DATABASE
from sysgraft.host.efivars import EfivarsFolder
from sysgraft.host.signature_files import read_lists
from sysgraft.host.small import read_small
from sysgraft.measure import pcr7
from sysgraft.sign.verify import trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.formats.efivar import EfiVariable
    from sysgraft.formats.esl import Signature
    from sysgraft.host.efivars import EfiVariables
    from sysgraft.sign.verify.trust import TrustStore

_DATABASES: Final[Mapping[str, UUID]] = {
    "PK": GLOBAL_VARIABLE,
    "KEK": GLOBAL_VARIABLE,
    "db": IMAGE_SECURITY_DATABASE,
    "dbx": IMAGE_SECURITY_DATABASE,
    "dbt": IMAGE_SECURITY_DATABASE,
}
_KEYS_NEEDED: Final = ("PK", "KEK", "db")
_KEYS: Final = (*_KEYS_NEEDED, "dbx")
# OVMF's own switch (EDK II, SecurityPkg): SecureBoot is on if it is, and if there is a PK.
_ENABLED: Final = ("SecureBootEnable", UUID("f0a30bc7-af08-4556-99c4-001009c93a44"))


@dataclass(frozen=True, slots=True)
class FirmwareKeys:
    """What a firmware starts programs by.

    Attributes:
        variables: as they are measured.
        store: whom it trusts to start programs.
        source: where this comes from.
    """

    variables: pcr7.Variables
    store: TrustStore
    source: str

    @property
    def entries(self) -> Iterator[tuple[UUID, Signature]]:
        """The entries of db with their types, in the order in which they are tried."""
        for each in esl.parse(self.variables.db):
            yield from ((each.type, entry) for entry in each.signatures)


def read_keys(path: str) -> FirmwareKeys:
    """The variables in a folder like efivarfs, a folder of keys, or a variable store of OVMF.

    Raises:
        InputError: it is none of them, or cannot be read.
        UnsupportedError: the firmware does something that cannot be known.
    """
    if not os.path.isdir(path):
        return _from_store(path)
    if any(os.path.isfile(os.path.join(path, f"PK.{kind}")) for kind in ("esl", "auth")):
        return _from_key_files(path)
    return from_variables(EfivarsFolder(path))


def from_variables(variables: EfiVariables) -> FirmwareKeys:
    """The variables of a firmware.

    Raises:
        InputError: they cannot be read, or do not say whether Secure Boot is on.
        UnsupportedError: the firmware is in audit mode, which starts and measures everything.
    """
    state = variables.read("SecureBoot", GLOBAL_VARIABLE)
    if state is None or state.data not in (b"\0", b"\1"):
        raise InputError(
            "there is no variable SecureBoot that says on or off",
            file=variables.source,
            hint="give a copy of efivarfs, a folder of keys or a variable store",
        )
    audit = variables.read("AuditMode", GLOBAL_VARIABLE)
    if audit is not None and audit.data == b"\1":
        raise UnsupportedError(
            "PCR 7 cannot be known: the firmware is in audit mode", file=variables.source
        )
    found = {name: variables.read(name, guid) for name, guid in _DATABASES.items()}
    values = {name: each.data for name, each in found.items() if each is not None}
    return _keys(values, variables.source, secure_boot=state.data == b"\1")


def _from_key_files(folder: str) -> FirmwareKeys:
    """What the firmware has once the keys are enrolled, and Secure Boot is on."""
    values = {}
    for name in _KEYS:
        paths = [os.path.join(folder, f"{name}.{kind}") for kind in ("esl", "auth")]
        there = [path for path in paths if os.path.isfile(path)]
        if there:
            # Lists say themselves whose entries they are, so the owner given here is never used.
            values[name] = esl.serialise(read_lists(there[:1], GLOBAL_VARIABLE))
        elif name in _KEYS_NEEDED:
            raise InputError(f"the folder has no {name}.esl", file=folder)
    return _keys(values, folder, secure_boot=True)


def _from_store(path: str) -> FirmwareKeys:
    with in_file(path):
        found = variable_store.parse(read_small(path, variable_store.MAX_STORE, "variable store"))
    values = {name: _data(found, name, guid) for name, guid in _DATABASES.items()}
    enabled = _data(found, *_ENABLED) == b"\1" and bool(values["PK"])
    return _keys(values, path, secure_boot=enabled)


def _data(found: Mapping[tuple[str, UUID], EfiVariable], name: str, guid: UUID) -> bytes:
    variable = found.get((name, guid))
    return variable.data if variable else b""


def _keys(values: Mapping[str, bytes], source: str, *, secure_boot: bool) -> FirmwareKeys:
    variables = pcr7.Variables(
        secure_boot=secure_boot,
        **{name.lower(): values.get(name, b"") for name in _DATABASES},
    )
    store = trust.from_dbx(variables.dbx, f"dbx of {source}")
    store |= trust.from_signature_lists(variables.db, f"db of {source}", for_executables=True)
    return FirmwareKeys(variables, store, source)
