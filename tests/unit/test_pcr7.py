"""PCR 7: what real firmware measured, and which entry of db it says started a program."""

from __future__ import annotations

import json
import lzma
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

import pytest

from executables import image_digest, make_authority, make_pe, signature_of, signed_pe, with_table
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, InputError, UnsupportedError
from sysgraft.formats import efivar, esl, eventlog, variable_store, wincert
from sysgraft.formats.efivar import EfiVariable
from sysgraft.measure import events, pcr7
from sysgraft.seal import firmware_keys, secure_boot
from sysgraft.seal.image import read_executable
from sysgraft.seal.material import Source
from sysgraft.seal.secure_boot import judge
from sysgraft.testing.certificates import make_identity
from sysgraft.testing.efivars import FakeEfiVariables, certificate_list, secure_boot_values

if TYPE_CHECKING:
    from sysgraft.measure.events import Event
    from sysgraft.seal.firmware_keys import FirmwareKeys
    from sysgraft.seal.image import Executable
    from sysgraft.seal.secure_boot import Verdict

ASSETS: Final = Path(__file__).parents[1] / "assets"
BANKS: Final = ("sha1", "sha256", "sha384", "sha512")
OWNER: Final = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")

OURS = make_identity("ours")
SECOND = make_identity("second")
STRANGER = make_identity("stranger")
ROOT = make_authority("root")
LEAF = make_identity("leaf", issuer=ROOT)


def program(name: str, *pieces: tuple[str, bytes]) -> bytes:
    return make_pe([(".text", b"\xc3"), (".label", name.encode()), *pieces])


def loaded(name: str, data: bytes) -> Executable:
    return read_executable(Source(name, name, BytesBlob(data)))


def certificates(*identities: object) -> bytes:
    ders = [each.certificate.der for each in identities]  # type: ignore[attr-defined]
    return certificate_list(*ders, owner=OWNER)


def digest_entry(data: bytes, algorithm: str = "sha256") -> bytes:
    kind = {"sha256": esl.CERT_SHA256, "sha512": esl.CERT_SHA512}[algorithm]
    entry = esl.Signature(OWNER, image_digest(data, algorithm).value)
    return esl.serialise([esl.SignatureList(kind, (entry,))])


def keys(db: bytes, dbx: bytes = b"", *, on: int = 1) -> FirmwareKeys:
    databases = {"PK": certificates(STRANGER), "KEK": certificates(STRANGER), "db": db}
    values = secure_boot_values(secure_boot=on, databases=databases | ({"dbx": dbx} if dbx else {}))
    return firmware_keys.from_variables(FakeEfiVariables(values))


class Predicted(NamedTuple):
    """PCR 7 and what is refused."""

    events: tuple[Event, ...]
    addons: list[Verdict]


def predict(found: FirmwareKeys, *programs: bytes, addons: tuple[bytes, ...] = ()) -> Predicted:
    judged = [judge(found, loaded(f"{count}.efi", each)) for count, each in enumerate(programs)]
    beside = [judge(found, loaded(f"{count}.addon.efi", each)) for count, each in enumerate(addons)]
    return Predicted(secure_boot.predict(found, judged, beside, ("sha256",)), beside)


def authorities(found: Predicted) -> list[bytes]:
    """What is behind the owner in the entries that are measured."""
    kind = events.EV_EFI_VARIABLE_AUTHORITY
    values = [each.data for each in found.events if each.type == kind]
    assert all(each[:16] == efivar.IMAGE_SECURITY_DATABASE.bytes_le for each in values)
    assert all(each[32:52] == "db".encode("utf-16-le") + OWNER.bytes_le for each in values)
    return [each[52:] for each in values]


# --- What firmware measured ----------------------------------------------------------------------


def value_of(event: eventlog.Event) -> bytes:
    """The value in UEFI_VARIABLE_DATA."""
    _, units, size = struct.unpack_from("<16sQQ", event.data)
    assert len(event.data) == 32 + 2 * units + size
    return event.data[32 + 2 * units :]


@pytest.mark.parametrize(
    ("log", "pcrs", "on"),
    [
        ("eventlog/ovmf-stub-257.bin.xz", "eventlog/ovmf-stub-257.pcrs.json", False),
        ("lab/debian-257.log.xz", "lab/debian-257.pcrs.json", True),
    ],
)
def test_events_and_pcr_are_those_of_a_real_boot(log: str, pcrs: str, *, on: bool) -> None:
    logged = eventlog.parse(lzma.decompress((ASSETS / log).read_bytes())).events
    real = [each for each in logged if each.pcr == 7]
    state, pk, kek, db, dbx = (value_of(each) for each in real[:5])
    assert state == bytes((on,))
    variables = pcr7.Variables(secure_boot=on, pk=pk, kek=kek, db=db, dbx=dbx)
    used = [esl.parse(db)[0].signatures[0]] * 2 if on else []
    found = pcr7.predict(variables, used, BANKS)
    assert [(each.type, each.data, dict(each.digests)) for each in found] == [
        (each.type, each.data, dict(each.digests)) for each in real
    ]
    values = json.loads((ASSETS / pcrs).read_text())
    for bank in BANKS:
        assert events.value(found, 7, bank).hex() == values[bank]["7"]


def test_dbt_is_measured_only_where_it_is_there() -> None:
    without = pcr7.configuration(pcr7.Variables(secure_boot=True), BANKS)
    with_it = pcr7.configuration(pcr7.Variables(secure_boot=True, dbt=b"x"), BANKS)
    assert [each.data[32:] for each in without] == [
        each.encode("utf-16-le") + value
        for each, value in (
            ("SecureBoot", b"\1"),
            ("PK", b""),
            ("KEK", b""),
            ("db", b""),
            ("dbx", b""),
        )
    ]
    assert with_it[:5] == without
    assert with_it[5].data[32:] == b"d\0b\0t\0x"


# --- Which entry ---------------------------------------------------------------------------------


def test_one_entry_counts_once_and_several_in_the_order_of_the_programs() -> None:
    found = predict(
        keys(certificates(OURS, SECOND)),
        signed_pe(program("loader"), SECOND),
        signed_pe(program("image"), OURS),
        addons=(signed_pe(program("addon"), SECOND),),
    )
    assert authorities(found) == [SECOND.certificate.der, OURS.certificate.der]
    assert not any(each.refused for each in found.addons)


def test_of_several_certificates_above_a_signature_the_first_in_db_counts() -> None:
    image = signed_pe(program("image"), LEAF)
    for order in ((ROOT, LEAF), (LEAF, ROOT)):
        found = predict(keys(certificates(STRANGER, *order)), image)
        assert authorities(found) == [order[0].certificate.der]


def test_the_first_signature_that_counts_decides() -> None:
    image = signed_pe(program("image"), STRANGER, SECOND, OURS)
    assert authorities(predict(keys(certificates(OURS, SECOND)), image)) == [SECOND.certificate.der]


def test_a_digest_in_db_is_measured_itself() -> None:
    unsigned = program("unsigned")
    db = certificates(OURS) + digest_entry(unsigned)
    digest = image_digest(unsigned).value
    assert authorities(predict(keys(db), unsigned)) == [digest]
    strangers = signed_pe(unsigned, STRANGER)
    assert authorities(predict(keys(db), strangers)) == [digest]


def test_a_certificate_goes_before_a_digest() -> None:
    image = program("image")
    db = digest_entry(image) + certificates(OURS)
    assert authorities(predict(keys(db), signed_pe(image, OURS))) == [OURS.certificate.der]


def test_digests_that_only_some_firmware_looks_at_leave_it_open() -> None:
    image = program("image")
    db = digest_entry(image) + digest_entry(image, "sha512")
    with pytest.raises(UnsupportedError, match="firmwares may differ"):
        predict(keys(db), image)


def test_addons_of_strangers_are_refused_and_measured_nowhere() -> None:
    found = predict(
        keys(certificates(OURS)),
        signed_pe(program("image"), OURS),
        addons=(signed_pe(program("a"), STRANGER), program("b"), signed_pe(program("c"), OURS)),
    )
    assert authorities(found) == [OURS.certificate.der]
    assert [bool(each.refused) for each in found.addons] == [True, True, False]


def test_a_program_that_is_refused_leaves_nothing_to_predict() -> None:
    found = keys(certificates(OURS))
    for image in (program("unsigned"), signed_pe(program("image"), STRANGER)):
        with pytest.raises(UnsupportedError, match="does not start it") as caught:
            predict(found, image)
        assert caught.value.file == "0.efi"


def test_what_is_trusted_and_revoked_may_have_been_measured() -> None:
    found = keys(certificates(OURS, SECOND), dbx=certificates(SECOND))
    both = signed_pe(program("a"), OURS, SECOND)
    with pytest.raises(UnsupportedError, match="firmwares may differ"):
        predict(found, signed_pe(program("image"), OURS), addons=(both,))


def test_a_signature_that_cannot_be_read_leaves_it_open() -> None:
    signed = signature_of(program("image"), OURS)
    table = wincert.serialise([wincert.Entry(b"0\0"), wincert.Entry(signed)])
    with pytest.raises(UnsupportedError, match="firmwares may differ"):
        predict(keys(certificates(OURS)), with_table(program("image"), table))


def test_shim_is_not_known() -> None:
    sbat = b"sbat,1,SBAT Version,sbat,1,about\nshim,4,UEFI shim,shim,1,about\n"
    image = signed_pe(program("shim", (".sbat", sbat)), OURS)
    with pytest.raises(UnsupportedError, match="shim"):
        predict(keys(certificates(OURS)), image)


def test_who_signs_with_an_elliptic_curve_is_told() -> None:
    curve = make_identity("curve", kind="p256")
    found = keys(certificates(curve))
    verdict = judge(found, loaded("x.efi", signed_pe(program("image"), curve)))
    assert "elliptic" in verdict.note


def test_without_secure_boot_nobody_asks_who_signed() -> None:
    found = predict(keys(certificates(OURS), on=0), program("unsigned"))
    assert not authorities(found)
    assert len(found.events) == 6


def test_digests_that_are_known_are_not_computed_again() -> None:
    executable = loaded("image.efi", program("image"))
    db = esl.serialise([esl.SignatureList(esl.CERT_SHA256, (esl.Signature(OWNER, b"\x11" * 32),))])
    assert judge(keys(db), executable).refused
    assert not judge(keys(db), executable, {"sha256": b"\x11" * 32}).refused


# --- Where variables come from -------------------------------------------------------------------


def test_firmware_that_does_not_say_whether_it_enforces_is_refused() -> None:
    for state in (None, 2):
        values = secure_boot_values(secure_boot=state)
        with pytest.raises(InputError, match="SecureBoot"):
            firmware_keys.from_variables(FakeEfiVariables(values))


def test_audit_mode_is_refused() -> None:
    values = secure_boot_values(secure_boot=0)
    values["AuditMode", efivar.GLOBAL_VARIABLE] = EfiVariable(efivar.STATE_ATTRIBUTES, b"\1")
    with pytest.raises(UnsupportedError, match="audit mode"):
        firmware_keys.from_variables(FakeEfiVariables(values))


def test_a_folder_of_variables_and_one_of_keys_say_the_same(tmp_path: Path) -> None:
    values = {"PK": certificates(SECOND), "KEK": certificates(ROOT), "db": certificates(OURS)}
    variables, lists = tmp_path / "efivars", tmp_path / "keys"
    variables.mkdir()
    lists.mkdir()
    for (name, guid), each in secure_boot_values(databases=values).items():
        (variables / efivar.file_name(name, guid)).write_bytes(efivar.serialise(each))
    for name, value in values.items():
        (lists / f"{name}.esl").write_bytes(value)
    wanted = pcr7.Variables(
        secure_boot=True, pk=values["PK"], kek=values["KEK"], db=values["db"], dbx=b""
    )
    assert firmware_keys.read_keys(str(variables)).variables == wanted
    assert firmware_keys.read_keys(str(lists)).variables == wanted
    (lists / "db.esl").unlink()
    with pytest.raises(InputError, match=r"no db\.esl"):
        firmware_keys.read_keys(str(lists))


ENABLED: Final = ("SecureBootEnable", UUID("f0a30bc7-af08-4556-99c4-001009c93a44"))


def record(name: str, guid: UUID, value: bytes, state: int = 0x3F) -> bytes:
    wide = (name + "\0").encode("utf-16-le")
    head = struct.pack("<HBBIQ16sIII", 0x55AA, state, 0, 7, 0, bytes(16), 0, len(wide), len(value))
    whole = head + guid.bytes_le + wide + value
    return whole + b"\xff" * (-len(whole) % 4)


def store(*records: bytes, size: int = 4096) -> bytes:
    """A variable store as OVMF has it."""
    kind = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
    volume = bytes(16) + kind + struct.pack("<Q4sIHHHBB", 0x84000, b"_FVH", 0, 72, 0, 0, 0, 2)
    signature = UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
    head = signature + struct.pack("<IBBHI", size, 0x5A, 0xFE, 0, 0)
    body = (head + b"".join(records)).ljust(size, b"\xff")
    return volume.ljust(72, b"\0") + body


def test_a_variable_store_says_what_the_firmware_would(tmp_path: Path) -> None:
    db = certificates(OURS)
    place = efivar.IMAGE_SECURITY_DATABASE
    databases = [
        record("db", place, b"old", state=0x3C),
        record("PK", efivar.GLOBAL_VARIABLE, certificates(SECOND)),
        record("db", place, db),
        record("db", efivar.GLOBAL_VARIABLE, b"of another namespace"),
    ]
    path = tmp_path / "VARS.fd"
    for enabled, is_on in ((b"\1", True), (b"\0", False)):
        path.write_bytes(store(*databases, record(*ENABLED, enabled)))
        found = firmware_keys.read_keys(str(path)).variables
        assert (found.secure_boot, found.db, found.kek) == (is_on, db, b"")
    path.write_bytes(store(record(*ENABLED, b"\1")))
    assert not firmware_keys.read_keys(str(path)).variables.secure_boot


def test_a_variable_that_is_being_replaced_counts_until_the_new_one_is_there() -> None:
    place = efivar.IMAGE_SECURITY_DATABASE
    old, new = record("db", place, b"old", state=0x3E), record("db", place, b"new")
    assert variable_store.parse(store(old))["db", place].data == b"old"
    assert variable_store.parse(store(old, new))["db", place].data == b"new"
    assert variable_store.parse(store(new, old))["db", place].data == b"new"
    half_written = record("db", place, b"", state=0x7F)
    assert not variable_store.parse(store(half_written))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        bytes(200),
        store()[:80],
        store()[:200],
        store()[:92] + b"\xff\xff" + store()[94:],
        store(size=20),
        store(record("x", OWNER, bytes(64))[:-8] + b"", size=150),
    ],
)
def test_a_broken_variable_store_is_refused(broken: bytes, tmp_path: Path) -> None:
    path = tmp_path / "VARS.fd"
    path.write_bytes(broken)
    with pytest.raises(FormatError) as caught:
        firmware_keys.read_keys(str(path))
    assert caught.value.file == str(path)


def test_assumptions_are_named() -> None:
    assert {"drivers", "vendor", "changes"} <= pcr7.ASSUMED.keys()


def types(found: tuple[Event, ...]) -> list[int]:
    return [each.type for each in found]


def test_the_separator_stands_between_settings_and_entries() -> None:
    found = predict(keys(certificates(OURS)), signed_pe(program("image"), OURS))
    assert types(found.events) == [
        *[events.EV_EFI_VARIABLE_DRIVER_CONFIG] * 5,
        events.EV_SEPARATOR,
        events.EV_EFI_VARIABLE_AUTHORITY,
    ]
