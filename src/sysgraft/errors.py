"""Every error sysgraft raises for bad input, in one tree.

    SysgraftError
     ├─ UsageError          the call makes no sense
     ├─ InputError          a file cannot be used
     │   ├─ TransferError   it could not be fetched from a server
     │   │   └─ BrokenTransferError   the connection broke
     │   └─ FormatError     its bytes break the format's rules
     │       ├─ TruncatedError    they end too early
     │       ├─ LimitError        they ask for more than the stated limit
     │       └─ UnsupportedError  they are valid, but not handled here
     ├─ KeyMaterialError    a key, certificate or passphrase does not work
     ├─ ToolError           an external program is missing or failed
     └─ OutputError         the result cannot be written
         └─ StuckError      the kernel does not come back from a write

The library raises these and never prints; the command line turns each into
``error: FILE: message`` plus the hint, exit code 2. A negative verdict (an image
that does not verify) is a result, not an error.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # everything loads this module: it must cost nothing
    from types import TracebackType
    from typing import ClassVar


class SysgraftError(Exception):
    """Base of all errors: a message, a hint on what to do, and the file it is about."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", file: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.file = file

    def __str__(self) -> str:
        """The message, led by the file where one is known."""
        return f"{self.file}: {self.message}" if self.file else self.message


class UsageError(SysgraftError):
    """The options or arguments contradict each other or name nothing."""

    code = "usage"


class InputError(SysgraftError):
    """An input cannot be read or is not what it has to be."""

    code = "input"


class TransferError(InputError):
    """A server that does not answer, or not with what was asked for."""

    code = "transfer"


class BrokenTransferError(TransferError):
    """A connection that broke; what was asked for may be asked for again."""

    code = "broken-transfer"


class FormatError(InputError):
    """Bytes that break the rules of their format."""

    code = "format"


class TruncatedError(FormatError):
    """Bytes that end before the structure they hold."""

    code = "truncated"


class LimitError(FormatError):
    """Bytes that would need more than the limit the parser states."""

    code = "limit"


class UnsupportedError(FormatError):
    """Valid bytes that use a feature this reader does not handle."""

    code = "unsupported"


class KeyMaterialError(SysgraftError):
    """A private key, certificate or passphrase that cannot be used."""

    code = "key"


class ToolError(SysgraftError):
    """An external program that is missing, too old, or failed."""

    code = "tool"


class OutputError(SysgraftError):
    """A result that cannot be written whole."""

    code = "output"


class StuckError(OutputError):
    """The kernel does not come back from a write to a device; further ones would wait as well."""

    code = "stuck"


class in_file:  # noqa: N801  reads as a statement: with in_file(path): …
    """Name the file an error is about, unless something deeper already did.

    ``OSError`` becomes `InputError` with the system's own words.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OutputError):
            return  # about what is written, not about what is read
        if isinstance(error, SysgraftError):
            error.file = error.file or self._name
        elif isinstance(error, OSError):
            raise InputError(error.strerror or str(error), file=self._name) from error
