"""Every error sysgraft raises for bad input, in one tree.

    SysgraftError
     ├─ UsageError          the call makes no sense
     ├─ InputError          a file cannot be used
     │   └─ FormatError     its bytes break the format's rules
     │       ├─ TruncatedError    they end too early
     │       ├─ LimitError        they ask for more than the stated limit
     │       └─ UnsupportedError  they are valid, but not handled here
     ├─ KeyMaterialError    a key, certificate or passphrase does not work
     ├─ ToolError           an external program is missing or failed
     └─ OutputError         the result cannot be written

The library raises these and never prints; the command line turns each into
``error: FILE: message`` plus the hint, exit code 2. A negative verdict (an image
that does not verify) is a result, not an error.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@contextmanager
def in_file(name: str) -> Iterator[None]:
    """Name the file an error is about, unless something deeper already did.

    ``OSError`` becomes `InputError` with the system's own words.
    """
    try:
        yield
    except SysgraftError as error:
        error.file = error.file or name
        raise
    except OSError as error:
        raise InputError(error.strerror or str(error), file=name) from error
