"""EFI variables: the file's form, the folder, and the stand-in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sysgraft.errors import InputError, LimitError, TruncatedError
from sysgraft.formats import efivar
from sysgraft.host.efivars import EfiVariables, EfivarsFolder
from sysgraft.testing.efivars import FakeEfiVariables, secure_boot_values

if TYPE_CHECKING:
    from pathlib import Path

DB = "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"


def test_attributes_are_four_little_endian_bytes_before_the_data() -> None:
    file = b"\x27\0\0\0data"
    variable = efivar.parse(file)
    assert variable.data == b"data"
    assert variable.attributes == (
        efivar.NON_VOLATILE
        | efivar.BOOTSERVICE_ACCESS
        | efivar.RUNTIME_ACCESS
        | efivar.TIME_BASED_AUTHENTICATED_WRITE_ACCESS
    )
    assert efivar.serialise(variable) == file


def test_short_and_long_files_are_refused() -> None:
    with pytest.raises(TruncatedError):
        efivar.parse(b"\7\0\0")
    with pytest.raises(LimitError):
        efivar.parse(bytes(efivar.MAX_VARIABLE + 1))


def test_a_folder_gives_attributes_and_data(tmp_path: Path) -> None:
    (tmp_path / DB).write_bytes(b"\x27\0\0\0lists")
    variables = EfivarsFolder(tmp_path)
    found = variables.read("db", efivar.IMAGE_SECURITY_DATABASE)
    assert found == efivar.EfiVariable(0x27, b"lists")
    assert variables.read("dbx", efivar.IMAGE_SECURITY_DATABASE) is None
    assert variables.read("db", efivar.GLOBAL_VARIABLE) is None
    assert variables.source == str(tmp_path)


def test_a_missing_folder_is_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        EfivarsFolder(tmp_path / "none").read("db", efivar.IMAGE_SECURITY_DATABASE)
    assert caught.value.file == str(tmp_path / "none")


def test_errors_name_the_variables_file(tmp_path: Path) -> None:
    (tmp_path / DB).write_bytes(b"\x27")
    with pytest.raises(TruncatedError) as caught:
        EfivarsFolder(tmp_path).read("db", efivar.IMAGE_SECURITY_DATABASE)
    assert caught.value.file == str(tmp_path / DB)
    (tmp_path / DB).unlink()
    (tmp_path / DB).mkdir()
    with pytest.raises(InputError):
        EfivarsFolder(tmp_path).read("db", efivar.IMAGE_SECURITY_DATABASE)


def test_the_fake_answers_like_a_folder(tmp_path: Path) -> None:
    values = secure_boot_values(databases={"PK": b"p", "db": b"d", "dbx": b"x"})
    for (name, guid), variable in values.items():
        file = efivar.serialise(variable)
        (tmp_path / efivar.file_name(name, guid)).write_bytes(file)
    both: tuple[EfiVariables, ...] = (FakeEfiVariables(values), EfivarsFolder(tmp_path))
    for variables in both:
        found = {
            name: variables.read(name, guid)
            for name, guid in (
                ("SecureBoot", efivar.GLOBAL_VARIABLE),
                ("SetupMode", efivar.GLOBAL_VARIABLE),
                ("PK", efivar.GLOBAL_VARIABLE),
                ("KEK", efivar.GLOBAL_VARIABLE),
                ("dbx", efivar.IMAGE_SECURITY_DATABASE),
            )
        }
        # The attributes are those OVMF gives these variables.
        assert found == {
            "SecureBoot": efivar.EfiVariable(0x06, b"\1"),
            "SetupMode": efivar.EfiVariable(0x06, b"\0"),
            "PK": efivar.EfiVariable(0x27, b"p"),
            "KEK": None,
            "dbx": efivar.EfiVariable(0x27, b"x"),
        }


def test_a_pipe_in_place_of_a_variable_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / DB)
    with pytest.raises(InputError, match="not a regular file") as caught:
        EfivarsFolder(tmp_path).read("db", efivar.IMAGE_SECURITY_DATABASE)
    assert caught.value.file == str(tmp_path / DB)


@pytest.mark.parametrize(
    ("attributes", "authenticated", "stored"),
    [
        (0x27, True, True),
        (0x26, True, False),
        (0x07, False, True),
        (0x06, False, False),
        (0x17, False, True),
        (0x37, False, True),
    ],
)
def test_attributes_say_who_can_change_a_variable(
    attributes: int, authenticated: bool, stored: bool
) -> None:
    variable = efivar.EfiVariable(attributes, b"")
    assert (variable.is_authenticated, variable.is_stored) == (authenticated, stored)
