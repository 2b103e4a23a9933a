"""A session with a PKCS#11 token: find the module and the token, log in, explain errors.

The module is a shared library of whoever made the token; p11-kit's proxy stands for all that a
machine has. It is loaded by python-pkcs11, the optional extra ``sysgraft[hsm]``. A command tries a
PIN once, never twice: tokens lock themselves after a few wrong ones. What is in a token is known
to `sysgraft.sign.pkcs11`.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any, Final

from sysgraft.errors import KeyMaterialError
from sysgraft.host.small import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from pkcs11 import Session, Token

    from sysgraft.sign.keys import Passphrase
    from sysgraft.sign.pkcs11_uri import Pkcs11Uri

MODULE_VARIABLE: Final = "SYSGRAFT_PKCS11_MODULE"
"""Path of the module to use where the URI names none."""
DEFAULT_MODULE: Final = "p11-kit-proxy"
MAX_PIN: Final = 4096
"""Bytes of a file with a PIN; tokens take 4 to 255."""

# Where distributions keep libraries; a module is in one of these, or in a folder in one of these.
_LIBRARIES: Final = (
    *(f"/usr/lib/{machine}-linux-gnu" for machine in ("x86_64", "aarch64", "riscv64")),
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/homebrew/lib",
)
_FOLDERS: Final = ("pkcs11", "softhsm", "")
_SUFFIXES: Final = (".so", ".dylib")

# What module, slot and token say of themselves (RFC 7512 §2.3), by attribute of the URI.
_SAID: Final[Mapping[str, Callable[[Any, Token], object]]] = {
    "library-manufacturer": lambda module, _: module.manufacturer_id,
    "library-description": lambda module, _: module.library_description,
    "library-version": lambda module, _: "{}.{}".format(*module.library_version),
    "slot-manufacturer": lambda _, token: token.slot.manufacturer_id,
    "slot-description": lambda _, token: token.slot.slot_description,
    "token": lambda _, token: token.label,
    "manufacturer": lambda _, token: token.manufacturer_id,
    "model": lambda _, token: token.model,
    "serial": lambda _, token: token.serial,
}
_REASONS: Final = {
    "PinIncorrect": "the PIN is wrong",
    "PinInvalid": "the PIN has characters that the token does not take",
    "PinLenRange": "the PIN is too short or too long",
    "PinLocked": "the PIN is locked, after too many wrong ones",
    "PinExpired": "the PIN has expired and has to be changed first",
    "UserPinNotInitialized": "the token has no user PIN yet",
    "DeviceRemoved": "the token was removed",
    "TokenNotPresent": "the token was removed",
}


def load_module() -> ModuleType:
    """python-pkcs11.

    Raises:
        KeyMaterialError: it is not installed.
    """
    try:
        import pkcs11  # noqa: PLC0415  an optional extra
    except ImportError as error:
        raise KeyMaterialError(
            "keys in a token (pkcs11:) need the Python package python-pkcs11",
            hint="install sysgraft[hsm]",
        ) from error
    return pkcs11


@contextlib.contextmanager
def token_errors(uri: Pkcs11Uri) -> Iterator[None]:
    """What the token answers becomes `KeyMaterialError`, about this URI."""
    library = load_module()
    try:
        yield
    except KeyMaterialError as error:
        error.file = error.file or uri.text
        raise
    except library.PKCS11Error as error:
        raise KeyMaterialError(explain(error), file=uri.text) from error


def explain(error: Exception) -> str:
    """A sentence for what a token answered; most answers have nothing but a name."""
    name = type(error).__name__
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return _REASONS.get(name) or f"the token refused: {str(error) or words}"


def open_token(uri: Pkcs11Uri) -> Token:
    """The one token that the URI names.

    Raises:
        KeyMaterialError: there is none, or more than one.
    """
    with token_errors(uri):
        # One file under two names would be initialised twice, which modules refuse.
        module = load_module().lib(os.path.realpath(_module_path(uri)))
        ready = load_module().TokenFlag.TOKEN_INITIALIZED
        found: list[Token] = [token for token in module.get_tokens() if token.flags & ready]
        fitting = [token for token in found if _fits(uri, module, token)]
    if len(fitting) == 1:
        return fitting[0]
    problem = "more than one token fits" if fitting else "there is no such token"
    labels = sorted({token.label for token in fitting or found})
    known = f"the module has the tokens {', '.join(labels)}" if labels else "the module has none"
    raise KeyMaterialError(problem, hint=known, file=uri.text)


def _fits(uri: Pkcs11Uri, module: Any, token: Token) -> bool:  # noqa: ANN401  a C extension's
    if uri.slot_id not in (None, token.slot.slot_id):
        return False
    return all(_plain(_SAID[name](module, token)) == text for name, text in uri.token.items())


def _plain(said: object) -> str:
    """Fields in a token are padded with blanks, and not always text."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text.rstrip("\0").rstrip()


def open_session(uri: Pkcs11Uri, token: Token, passphrase: Passphrase) -> tuple[Session, str]:
    """A session in which private keys can be used, and the PIN it was opened with.

    Args:
        uri: names the file with the PIN, if any.
        token: the token.
        passphrase: the PIN or what asks for it, used if the URI does not say where it is.

    Raises:
        KeyMaterialError: the token wants a PIN, and there is none or a wrong one.
    """
    flags = load_module().TokenFlag
    if not token.flags & flags.LOGIN_REQUIRED:
        return token.open(), ""
    if token.flags & flags.USER_PIN_LOCKED:
        raise KeyMaterialError("the PIN is locked, after too many wrong ones", file=uri.text)
    if token.flags & flags.PROTECTED_AUTHENTICATION_PATH:
        return _log_in(uri, token, load_module().types.PROTECTED_AUTH), ""
    pin = _read_pin(uri, passphrase)
    return _log_in(uri, token, pin), pin


def _log_in(uri: Pkcs11Uri, token: Token, pin: object) -> Session:
    library = load_module()
    try:
        return token.open(user_pin=pin)
    except library.UserAlreadyLoggedIn:
        # Whoever logs in does so for the whole process.
        return token.open()
    except library.PinIncorrect as error:
        final = token.flags & library.TokenFlag.USER_PIN_FINAL_TRY
        hint = "one more wrong PIN locks the token" if final else ""
        raise KeyMaterialError(explain(error), hint=hint, file=uri.text) from error


def _read_pin(uri: Pkcs11Uri, passphrase: Passphrase) -> str:
    if uri.pin_source:
        secret = read_secret(uri.pin_source, MAX_PIN, "PIN")
        secret = secret.removesuffix(b"\n").removesuffix(b"\r")
    elif passphrase is None:
        raise KeyMaterialError(
            "the token wants a PIN and none is given",
            hint="give it with pin-source=file:… in the URI, --passphrase-file or the "
            "environment variable that option names",
            file=uri.text,
        )
    else:
        secret = passphrase() if callable(passphrase) else passphrase
    if not secret:
        raise KeyMaterialError("the PIN is empty", file=uri.text)
    try:
        return secret.decode("utf-8")
    except UnicodeDecodeError:
        raise KeyMaterialError("the PIN is not UTF-8", file=uri.text) from None


def _module_path(uri: Pkcs11Uri) -> str:
    """The module's file.

    Raises:
        KeyMaterialError: it is not there.
    """
    path, name = uri.module_path, uri.module_name
    if not path and not name:
        path = os.environ.get(MODULE_VARIABLE, "")
    name = name or DEFAULT_MODULE
    if path and not os.path.isdir(path):
        if not os.path.isfile(path):
            raise KeyMaterialError(f"there is no PKCS#11 module {path}")
        return path
    for candidate in _candidates([path] if path else list(_places()), name):
        if os.path.isfile(candidate):
            return candidate
    raise KeyMaterialError(
        f"the PKCS#11 module {name} was not found",
        hint="give its path with module-path=… in the URI, or "
        f"{'install p11-kit or ' if name == DEFAULT_MODULE else ''}set {MODULE_VARIABLE}",
    )


def _places() -> Iterator[str]:
    for library in _LIBRARIES:
        yield from (os.path.join(library, folder) for folder in _FOLDERS)


def _candidates(folders: list[str], name: str) -> Iterator[str]:
    # A name is no way to another folder.
    if os.path.basename(name) != name:
        raise KeyMaterialError(f"module-name is a name without a folder, not {name!r}")
    for folder in folders:
        for suffix in _SUFFIXES:
            yield os.path.join(folder, name + suffix)
            yield os.path.join(folder, f"lib{name}{suffix}")
