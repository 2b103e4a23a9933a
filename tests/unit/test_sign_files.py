"""Trust stores from files, folders and variables on disk."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from sysgraft.errors import FormatError, InputError, LimitError
from sysgraft.formats import efivar, esl
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.folders import FOLDER_MAX
from sysgraft.sign.verify import files
from sysgraft.testing.certificates import make_identity
from sysgraft.testing.efivars import certificate_list, secure_boot_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sysgraft.sign.verify.trust import TrustStore

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
READERS: list[Callable[[str], TrustStore]] = [
    files.certificate,
    files.folder,
    files.signature_lists,
    files.dbx,
    files.efivars,
]


def sources(store: TrustStore) -> list[tuple[bytes, str]]:
    return [(each.certificate.der, each.source) for each in store.certificates]


def test_nobody_is_trusted_at_first() -> None:
    assert files.empty().certificates == ()
    assert files.empty().revocations is None


@pytest.mark.parametrize("read", READERS)
def test_what_is_not_there_is_named(read: Callable[[str], TrustStore], tmp_path: Path) -> None:
    path = str(tmp_path / "absent")
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.file == path


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_is_refused_at_once(read: Callable[[str], TrustStore], tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(InputError) as caught:
        read(str(path))
    assert caught.value.file == str(path)


@pytest.mark.parametrize("uri", ["file:{}", "file://{}", "file://localhost{}"])
def test_what_is_trusted_may_be_named_by_uri(tmp_path: Path, uri: str) -> None:
    one = make_identity("1")
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "one.crt").write_bytes(one.certificate_pem)
    (folder / "one.esl").write_bytes(certificate_list(one.certificate.der, owner=OWNER))
    where = uri.format(str(folder).replace(" ", "%20"))
    assert sources(files.certificate(f"{where}/one.crt")) == [
        (one.certificate.der, f"{folder}/one.crt")
    ]
    assert len(files.folder(where).certificates) == 1
    assert len(files.signature_lists(f"{where}/one.esl").certificates) == 1
    assert files.dbx(f"{where}/one.esl").revocations is not None
    assert "SecureBoot" in files.efivars(where).notes[0]


def test_a_file_gives_all_its_certificates(tmp_path: Path) -> None:
    one, two = make_identity("1"), make_identity("2")
    path = tmp_path / "bundle.pem"
    path.write_bytes(one.certificate_pem + two.certificate_pem)
    found = sources(files.certificate(str(path)))
    assert found == [(one.certificate.der, str(path)), (two.certificate.der, str(path))]
    path.write_bytes(one.key_pem)
    with pytest.raises(FormatError, match="neither a PEM nor a DER") as caught:
        files.certificate(str(path))
    assert caught.value.file == str(path)


def test_a_file_too_large_for_certificates_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.pem"
    path.write_bytes(bytes(MAX_BUNDLE + 1))
    with pytest.raises(LimitError, match="too large"):
        files.certificate(str(path))


# --- Folders -------------------------------------------------------------------------------------


def test_of_a_folder_only_files_named_crt_are_read(tmp_path: Path) -> None:
    one, two = make_identity("1"), make_identity("2")
    (tmp_path / "b.crt").write_bytes(one.certificate_pem)
    (tmp_path / "a.crt").write_bytes(two.certificate_pem)
    (tmp_path / "other.pem").write_bytes(make_identity("3").certificate_pem)
    (tmp_path / "HUGE.CRT").write_bytes(bytes(MAX_BUNDLE + 1))
    (tmp_path / "folder.crt").mkdir()
    store = files.folder(str(tmp_path))
    assert sources(store) == [
        (two.certificate.der, f"{tmp_path}/a.crt"),
        (one.certificate.der, f"{tmp_path}/b.crt"),
    ]
    assert store.notes == ()


def test_links_in_a_folder_are_followed_and_dead_ones_passed_over(tmp_path: Path) -> None:
    one = make_identity("1")
    folder = tmp_path / "verity.d"
    folder.mkdir()
    (tmp_path / "signer.pem").write_bytes(one.certificate_pem)
    (folder / "linked.crt").symlink_to("../signer.pem")
    (folder / "dead.crt").symlink_to("absent")
    assert [der for der, _ in sources(files.folder(str(folder)))] == [one.certificate.der]


def test_a_file_without_certificate_leaves_the_rest_of_the_folder(tmp_path: Path) -> None:
    one = make_identity("1")
    (tmp_path / "good.crt").write_bytes(one.certificate_pem)
    (tmp_path / "der.crt").write_bytes(one.certificate.der)
    (tmp_path / "masked.crt").touch()
    store = files.folder(str(tmp_path))
    assert sources(store) == [(one.certificate.der, f"{tmp_path}/good.crt")]
    assert [note.partition(":")[0] for note in store.notes] == [
        f"{tmp_path}/der.crt",
        f"{tmp_path}/masked.crt",
    ]


def test_a_folder_of_more_files_than_a_trust_store_has_is_refused(tmp_path: Path) -> None:
    for number in range(FOLDER_MAX):
        (tmp_path / f"{number}.crt").touch()
    assert len(files.folder(str(tmp_path)).notes) == FOLDER_MAX
    (tmp_path / "one-more.crt").touch()
    with pytest.raises(LimitError, match=f"more than {FOLDER_MAX} files") as caught:
        files.folder(str(tmp_path))
    assert caught.value.file == str(tmp_path)


def test_a_large_file_in_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "huge.crt").write_bytes(bytes(MAX_BUNDLE + 1))
    with pytest.raises(LimitError, match="too large") as caught:
        files.folder(str(tmp_path))
    assert caught.value.file == f"{tmp_path}/huge.crt"


def test_an_empty_folder_trusts_nobody_and_a_file_is_no_folder(tmp_path: Path) -> None:
    assert files.folder(str(tmp_path)).certificates == ()
    path = tmp_path / "file.crt"
    path.write_bytes(make_identity().certificate_pem)
    with pytest.raises(InputError):
        files.folder(str(path))


# --- Signature lists -----------------------------------------------------------------------------


def test_the_same_lists_trust_as_db_and_revoke_as_dbx(tmp_path: Path) -> None:
    one = make_identity("1")
    path = tmp_path / "db.esl"
    path.write_bytes(certificate_list(one.certificate.der, owner=OWNER))
    trusted = files.signature_lists(str(path))
    assert sources(trusted) == [(one.certificate.der, str(path))]
    assert trusted.revocations is None
    revoked = files.dbx(str(path))
    assert revoked.certificates == ()
    assert revoked.revocations is not None
    assert revoked.revocations.is_revoked(one.certificate)
    assert not revoked.revocations.is_revoked(make_identity("2").certificate)


def authenticated(value: bytes) -> bytes:
    """A ``.auth`` file: EFI_TIME, WIN_CERTIFICATE_UEFI_GUID with some PKCS#7, then the lists."""
    pkcs7 = bytes(200)
    time = struct.pack("<H6BIhBB", 2026, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0)
    head = struct.pack("<IHH", 24 + len(pkcs7), 0x0200, 0x0EF1)
    kind = UUID("4aafd29d-68df-49ee-8aa9-347d375665a7").bytes_le
    return time + head + kind + pkcs7 + value


def mistaken(what: str) -> bytes:
    identity = make_identity("1")
    lists = certificate_list(identity.certificate.der, owner=OWNER)
    return {
        "auth": authenticated(lists),
        "empty auth": authenticated(b""),
        "der": identity.certificate.der,
        "pem": identity.certificate_pem,
        "torn": lists[:-1],
    }[what]


@pytest.mark.parametrize("read", [files.signature_lists, files.dbx])
@pytest.mark.parametrize(
    ("what", "hint"),
    [
        ("auth", "this looks like an authenticated variable (.auth); give the .esl"),
        ("empty auth", "this looks like an authenticated variable (.auth); give the .esl"),
        ("der", "this looks like a certificate; give signature lists (.esl) that hold it"),
        ("pem", "this looks like a certificate; give signature lists (.esl) that hold it"),
        ("torn", ""),
    ],
)
def test_other_files_in_place_of_lists_are_recognised(
    read: Callable[[str], TrustStore], what: str, hint: str, tmp_path: Path
) -> None:
    path = tmp_path / "db"
    path.write_bytes(mistaken(what))
    with pytest.raises(FormatError) as caught:
        read(str(path))
    assert (caught.value.hint, caught.value.file) == (hint, str(path))


def test_lists_longer_than_any_variable_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.esl"
    path.write_bytes(bytes(esl.MAX_SIGNATURE_LISTS + 1))
    for read in (files.signature_lists, files.dbx):
        with pytest.raises(LimitError, match="too large"):
            read(str(path))


# --- Firmware variables --------------------------------------------------------------------------


def test_a_folder_of_variables_is_read_like_the_firmwares(tmp_path: Path) -> None:
    one, two = make_identity("1"), make_identity("2")
    databases = {
        "db": certificate_list(one.certificate.der, owner=OWNER),
        "dbx": certificate_list(two.certificate.der, owner=OWNER),
    }
    for (name, guid), variable in secure_boot_values(databases=databases).items():
        (tmp_path / f"{name}-{guid}").write_bytes(efivar.serialise(variable))
    store = files.efivars(str(tmp_path))
    assert [der for der, _ in sources(store)] == [one.certificate.der]
    assert store.revocations is not None
    assert store.revocations.is_revoked(two.certificate)
    (tmp_path / f"SecureBoot-{efivar.GLOBAL_VARIABLE}").unlink()
    assert files.efivars(str(tmp_path)).certificates == ()
