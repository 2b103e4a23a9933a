"""PKCS#11 URIs, and what is said where a token cannot be reached."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import KeyMaterialError, SysgraftError, UsageError
from sysgraft.sign.pair import load_certificate_file, load_signer
from sysgraft.sign.pkcs11_session import MODULE_VARIABLE, explain, open_token
from sysgraft.sign.pkcs11_uri import MAX_URI, Pkcs11Uri, parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def test_a_uri_is_taken_apart() -> None:
    text = (
        "pkcs11:token=My%20HSM;manufacturer=Acme;object=db%20key;id=%00%ff%2D;type=private;"
        "slot-id=327?module-name=softhsm2&pin-source=file:/run/my%20pin"
    )
    assert parse(text) == Pkcs11Uri(
        text=text,
        token={"token": "My HSM", "manufacturer": "Acme"},
        label="db key",
        id=b"\x00\xff-",
        type="private",
        slot_id=327,
        module_name="softhsm2",
        pin_source="/run/my pin",
    )


@pytest.mark.parametrize("text", ["pkcs11:", "PKCS11:", "pkcs11:?"])
def test_a_uri_may_choose_nothing(text: str) -> None:
    assert parse(text) == Pkcs11Uri(text=text, token={})


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/run/pin", "/run/pin"),
        ("pin", "pin"),
        ("file:/run/pin", "/run/pin"),
        ("file:///run/pin", "/run/pin"),
        ("file%3A%2F%2Flocalhost/run/pin", "/run/pin"),
    ],
)
def test_a_pin_is_in_a_file(source: str, path: str) -> None:
    assert parse(f"pkcs11:object=x?pin-source={source}").pin_source == path


@pytest.mark.parametrize(
    "text",
    [
        "pkcs12:token=x",
        "token=x",
        "pkcs11:colour=green",  # unknown
        "pkcs11:x-vendor=1",
        "pkcs11:object",  # no value
        "pkcs11:object=x;",  # an empty attribute
        "pkcs11:object=x;object=y",  # twice
        "pkcs11:pin-source=/x",  # belongs into the query
        "pkcs11:object=x?object=y",
        "pkcs11:object=x?pin-source=/x&pin-source=/y",
        "pkcs11:type=key",
        "pkcs11:slot-id=-1",
        "pkcs11:slot-id=1e3",
        "pkcs11:slot-id=",
        "pkcs11:slot-id=%d9%a1",  # an Arabic digit
        "pkcs11:token=%ff",  # no UTF-8
        "pkcs11:token=\udcff",  # likewise, as Python has such a byte of the command line
        "pkcs11:id=\udcff",
        "pkcs11:token=a%00b",
        "pkcs11:object=x?pin-source=|echo 1234",
        "pkcs11:object=x?pin-source=file://elsewhere/pin",
        "pkcs11:object=" + "x" * MAX_URI,
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize("query", ["pin-value=1234", "module-name=x&pin-value=1234"])
def test_a_pin_in_the_uri_is_refused_and_not_repeated(query: str) -> None:
    with pytest.raises(KeyMaterialError, match="pin-value") as caught:
        parse(f"pkcs11:object=x?{query}")
    assert "pin-source=file:" in caught.value.hint
    assert "1234" not in f"{caught.value}{caught.value.hint}"


@given(st.text(max_size=60))
def test_any_text_is_refused_or_read(text: str) -> None:
    for each in (text, f"pkcs11:{text}", f"pkcs11:object=a?{text}", f"pkcs11:id=%{text}"):
        try:
            assert parse(each).text == each
        except SysgraftError as error:
            assert error.message  # noqa: PT017


# --- Modules -------------------------------------------------------------------------------------


def test_without_python_pkcs11_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "pkcs11":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    for load in (load_signer, load_certificate_file):
        with pytest.raises(KeyMaterialError, match="python-pkcs11") as caught:
            load("pkcs11:token=x;object=y")
        assert "sysgraft[hsm]" in caught.value.hint


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("module-path={}/absent.so", "there is no PKCS#11 module {}/absent.so"),
        ("module-path={}&module-name=absent", "module absent was not found"),
        ("module-path={}", "module p11-kit-proxy was not found"),
        ("module-name=absent", "module absent was not found"),
        ("module-name=../evil", "name without a folder"),
        ("module-path={}/text.so", "refused"),
        ("module-path={}/other.so", "refused"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_named(tmp_path: Path, query: str, message: str) -> None:
    import pkcs11._pkcs11  # noqa: PLC0415 - only with the extra

    (tmp_path / "text.so").write_text("no library\n")
    (tmp_path / "other.so").symlink_to(pkcs11._pkcs11.__file__)
    uri = f"pkcs11:object=x?{query.format(tmp_path)}"
    with pytest.raises(KeyMaterialError, match=message.format(tmp_path)) as caught:
        load_signer(uri, b"1234")
    assert (caught.value.file or uri) == uri


def test_without_a_module_of_any_kind_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MODULE_VARIABLE, raising=False)
    monkeypatch.setattr("sysgraft.sign.pkcs11_session._LIBRARIES", (str(tmp_path),))
    with pytest.raises(KeyMaterialError, match="p11-kit-proxy was not found") as caught:
        load_signer("pkcs11:object=x", b"1234")
    assert MODULE_VARIABLE in caught.value.hint
    (tmp_path / "pkcs11").mkdir()
    (tmp_path / "pkcs11/libp11-kit-proxy.dylib").write_text("no library\n")
    with pytest.raises(KeyMaterialError, match="refused"):
        load_signer("pkcs11:object=x", b"1234")


# --- Tokens that SoftHSM cannot play -------------------------------------------------------------


class FakeSlot:
    slot_id = 1
    manufacturer_id = "maker"
    slot_description = "reader"


class FakeToken:
    """A token whose flags and answers are chosen by the test."""

    label = "card"
    manufacturer_id = "maker"
    model = "one"
    serial = b"17  \0"
    slot = FakeSlot()

    def __init__(self, flags: int, answer: Exception) -> None:
        self.flags = flags | 0x400  # TOKEN_INITIALIZED
        self.pins: list[object] = []
        self._answer = answer

    def open(self, user_pin: object = None) -> object:
        self.pins.append(user_pin)
        raise self._answer


def insert(token: FakeToken, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Have every module hold just this token; the query of a URI for it."""
    import pkcs11  # noqa: PLC0415 - only with the extra

    class Module:
        manufacturer_id = "maker"
        library_description = "fake"
        library_version = (2, 40)

        def get_tokens(self) -> list[FakeToken]:
            return [token]

    (tmp_path / "fake.so").touch()
    monkeypatch.setattr(pkcs11, "lib", lambda _: Module())
    return f"module-path={tmp_path}/fake.so"


def flag(**wanted: bool) -> int:
    import pkcs11  # noqa: PLC0415 - only with the extra

    return sum(int(pkcs11.TokenFlag[name]) for name, on in wanted.items() if on)


def answers() -> Mapping[str, Exception]:
    import pkcs11.exceptions as answers  # noqa: PLC0415 - only with the extra

    return {name: kind() for name, kind in vars(answers).items() if isinstance(kind, type)}


@pytest.mark.parametrize(
    ("flags", "answer", "message", "hint"),
    [
        ({"USER_PIN_FINAL_TRY": True}, "PinIncorrect", "PIN is wrong", "one more wrong PIN locks"),
        ({"USER_PIN_COUNT_LOW": True}, "PinIncorrect", "PIN is wrong", ""),
        ({}, "PinLocked", "PIN is locked", ""),
        ({}, "UserPinNotInitialized", "no user PIN yet", ""),
        ({}, "DeviceRemoved", "was removed", ""),
        ({}, "SessionCount", "the token refused: session count", ""),
    ],
)
def test_what_a_token_answers_is_explained(
    flags: dict[str, bool],
    answer: str,
    message: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    token = FakeToken(flag(LOGIN_REQUIRED=True, **flags), answers()[answer])
    query = insert(token, monkeypatch, tmp_path)
    with pytest.raises(KeyMaterialError, match=message) as caught:
        load_signer(f"pkcs11:token=card?{query}", b"1234")
    assert token.pins == ["1234"]
    assert hint in caught.value.hint


def test_a_locked_token_is_not_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = FakeToken(flag(LOGIN_REQUIRED=True, USER_PIN_LOCKED=True), ValueError())
    query = insert(token, monkeypatch, tmp_path)
    with pytest.raises(KeyMaterialError, match="PIN is locked"):
        load_signer(f"pkcs11:token=card?{query}", b"1234")
    assert token.pins == []


def test_a_token_with_a_pin_pad_asks_for_the_pin_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pkcs11.types  # noqa: PLC0415 - only with the extra

    flags = flag(LOGIN_REQUIRED=True, PROTECTED_AUTHENTICATION_PATH=True)
    token = FakeToken(flags, answers()["FunctionCancelled"])
    query = insert(token, monkeypatch, tmp_path)
    with pytest.raises(KeyMaterialError, match="function cancelled"):
        load_signer(f"pkcs11:token=card?{query}", lambda: pytest.fail("asked"))
    assert token.pins == [pkcs11.types.PROTECTED_AUTH]


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("serial=17", True),
        ("library-version=2.40;slot-id=1", True),
        ("slot-description=reader;slot-manufacturer=maker;library-description=fake", True),
        ("serial=1", False),
        ("library-version=2.4", False),
        ("token=Card", False),
        ("slot-id=2", False),
    ],
)
def test_a_token_is_chosen_by_all_that_is_said(
    path: str, fits: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = FakeToken(0, ValueError())
    uri = parse(f"pkcs11:{path}?{insert(token, monkeypatch, tmp_path)}")
    if fits:
        assert open_token(uri) is token  # type: ignore[comparison-overlap]
    else:
        with pytest.raises(KeyMaterialError, match="no such token") as caught:
            open_token(uri)
        assert caught.value.hint == "the module has the tokens card"


def test_a_token_that_is_not_initialised_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = FakeToken(0, ValueError())
    token.flags = 0
    uri = parse(f"pkcs11:?{insert(token, monkeypatch, tmp_path)}")
    with pytest.raises(KeyMaterialError, match="no such token") as caught:
        open_token(uri)
    assert caught.value.hint == "the module has none"


def test_answers_with_a_message_keep_it() -> None:
    assert explain(answers()["GeneralError"]) == "the token refused: general error"
    assert explain(type(answers()["GeneralError"])("0x80001")) == "the token refused: 0x80001"
