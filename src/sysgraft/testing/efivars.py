"""EFI variables without a firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import OutputError
from sysgraft.formats import efivar, esl
from sysgraft.host.efivars_changing import STORED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sysgraft.formats.efivar import EfiVariable


class FakeEfiVariables:
    """Variables held in memory.

    Implements `sysgraft.host.efivars_changing.ChangingEfiVariables`.

    Args:
        values: variables by name and GUID.
        source: what messages call them.
        read_only: whether every change is refused.

    Attributes:
        changes: the names of what was written or removed, in order.
    """

    def __init__(
        self,
        values: Mapping[tuple[str, UUID], EfiVariable],
        source: str = "fake efivars",
        *,
        read_only: bool = False,
    ) -> None:
        self._values = dict(values)
        self._source = source
        self._read_only = read_only
        self.changes: list[str] = []

    @property
    def source(self) -> str:
        """What messages call them."""
        return self._source

    def read(self, name: str, guid: UUID) -> EfiVariable | None:
        """One variable, None if it was not given."""
        return self._values.get((name, guid))

    def names(self, guid: UUID) -> tuple[str, ...]:
        """The names of a vendor's variables, sorted."""
        return tuple(sorted(name for name, vendor in self._values if vendor == guid))

    def require_writable(self) -> None:
        """Raise `OutputError` if it was made for that."""
        if self._read_only:
            raise OutputError("EFI variables cannot be changed here", file=self._source)

    def write(self, name: str, guid: UUID, data: bytes) -> None:
        """Keep a value."""
        self.require_writable()
        self.changes.append(name)
        self._values[name, guid] = efivar.EfiVariable(STORED, data)

    def remove(self, name: str, guid: UUID) -> None:
        """Forget a value."""
        self.require_writable()
        self.changes.append(name)
        self._values.pop((name, guid), None)


def secure_boot_values(
    *,
    secure_boot: int | None = 1,
    setup_mode: int | None = 0,
    databases: Mapping[str, bytes] | None = None,
) -> dict[tuple[str, UUID], EfiVariable]:
    """Variables of a firmware: the two states (None leaves one out), and PK, KEK, db, dbx.

    They have the attributes that firmware gives them.
    """
    states = {"SecureBoot": secure_boot, "SetupMode": setup_mode}
    values = {
        (name, efivar.GLOBAL_VARIABLE): efivar.EfiVariable(efivar.STATE_ATTRIBUTES, bytes((state,)))
        for name, state in states.items()
        if state is not None
    }
    for name, value in (databases or {}).items():
        image = name in ("db", "dbx")
        guid = efivar.IMAGE_SECURITY_DATABASE if image else efivar.GLOBAL_VARIABLE
        values[name, guid] = efivar.EfiVariable(efivar.DATABASE_ATTRIBUTES, value)
    return values


def certificate_list(*ders: bytes, owner: UUID) -> bytes:
    """A signature database with these certificates: one list each, since lengths differ."""
    return esl.serialise(
        esl.SignatureList(esl.CERT_X509, (esl.Signature(owner, der),)) for der in ders
    )
