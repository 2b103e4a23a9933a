"""PCR 11 and PCR policies: systemd's own vectors, the stub's order, what cannot be predicted."""

from __future__ import annotations

import hashlib
from typing import Final

import pytest

from sysgraft.errors import UnsupportedError, UsageError
from sysgraft.formats import uki
from sysgraft.measure import pcr, pcr11
from sysgraft.measure.pcr11 import Measured
from sysgraft.measure.policy import (
    policy_auth_value,
    policy_authorize,
    policy_pcr,
    policy_reference,
    sealed_policy,
    selection,
)

LATEST: Final = 262

# test/units/TEST-70-TPM2.measure.sh: .linux is "HALLO\n", .initrd is "foobar\n".
HALLO: Final = b"HALLO\n"
FOOBAR: Final = b"foobar\n"
VECTORS: Final = {
    "": {
        "sha1": "5177e4ad69db92192c10e5f80402bf81bfec8a81",
        "sha256": "37b48bd0b222394dbe3cceff2fca4660c4b0a90ae9369ec90b42f14489989c13",
        "sha384": "5573f9b2caf55b1d0a6a701f890662d682af961899f0419cf1e2d5ea4a6a68c1"
        "f25bd4f5b8a0865eeee82af90f5cb087",
        "sha512": "961305d7e9981d6606d1ce97b3a9a1f92610cac033e9c39064895f0e306abc16"
        "80463d55767bd98e751eae115bdef3675a9ee1d29ed37da7885b1db45bb2555b",
    },
    "foo": {
        "sha1": "6765ee305db063040c454d32697d922b3d4f232b",
        "sha256": "21c49c1242042649e09c156546fd7d425ccc3c67359f840507b30be4e0f6f699",
        "sha384": "08d0b003a134878eee552070d51d58abe942f457ca85704131dd36f73728e732"
        "7ca837594bc9d5ac7de818d02a3d5dd2",
        "sha512": "65120f6ebc04b156421c6f3d543b2fad545363d9ca61c514205459e9c0e0b22e"
        "09c23605eae5853e38458ef3ca54e087168af8d8a882a98d220d9391e48be6d0",
    },
}
ALL_SECTIONS: Final = "8a625cbc3c497b9a86dcf4f6a32582895ce969bb"
"""SHA-1, phase foo, with "HALLO\\n" in each of the fourteen sections."""


def measured(name: str, content: bytes) -> Measured:
    return Measured(name, {bank: hashlib.new(bank, content).digest() for bank in pcr.BANKS})


TWO: Final = (measured(".initrd", FOOBAR), measured(".linux", HALLO))


def value(sections: tuple[Measured, ...], bank: str, phase: str, version: int = LATEST) -> bytes:
    after = pcr11.after_stub(bank, pcr11.in_order(sections, version))
    return pcr11.at_phase(bank, after, phase)


@pytest.mark.parametrize("phase", VECTORS)
@pytest.mark.parametrize("bank", pcr.BANKS)
def test_systemds_vectors(bank: str, phase: str) -> None:
    assert value(TWO, bank, phase).hex() == VECTORS[phase][bank]


def test_systemds_vector_with_all_sections() -> None:
    sections = tuple(measured(name, HALLO) for name in sorted(uki.MEASURED))
    assert len(sections) == 14
    assert value(sections, "sha1", "foo").hex() == ALL_SECTIONS


def test_the_definition_by_hand() -> None:
    def extended(before: bytes, data: bytes) -> bytes:
        return hashlib.sha256(before + hashlib.sha256(data).digest()).digest()

    expected = bytes(32)
    for data in (b".linux\0", HALLO, b".initrd\0", FOOBAR, b"enter-initrd", b"leave-initrd"):
        expected = extended(expected, data)
    assert value(TWO, "sha256", "enter-initrd:leave-initrd") == expected
    assert pcr.start("sha384") == bytes(48)


# src/fundamental/uki.h of each release, without .pcrsig, which is never measured.
OLDEST: Final = [".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey"]


@pytest.mark.parametrize(
    ("version", "names"),
    [
        (252, OLDEST),
        (253, OLDEST),
        (254, [*OLDEST[:6], ".uname", ".sbat", ".pcrpkey"]),
        (255, [*OLDEST[:6], ".uname", ".sbat", ".pcrpkey"]),
        (256, [*OLDEST[:4], ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"]),
        (257, [*OLDEST[:4], ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey",
               ".profile", ".dtbauto", ".hwids"]),
        (258, [*OLDEST[:4], ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey",
               ".profile", ".dtbauto", ".hwids", ".efifw"]),
    ],
)  # fmt: skip
def test_each_stub_measures_what_it_knows_in_its_order(version: int, names: list[str]) -> None:
    others = (".pcrsig", ".sbom", ".sdmagic", ".text")
    taken = [name for name in uki.KNOWN if name != ".dtbauto" or version >= 257]
    sections = [measured(name, name.encode()) for name in (*others, *reversed(taken))]
    assert [one.name for one in pcr11.in_order(sections, version)] == names


@pytest.mark.parametrize("version", [252, 256])
def test_stubs_that_mistake_one_section_for_another(version: int) -> None:
    sections = [measured(".linux", b"1"), measured(".dtbauto", b"2")]
    with pytest.raises(UnsupportedError, match=r"takes the section \.dtbauto for \.dtb"):
        pcr11.in_order(sections, version)
    assert len(pcr11.in_order(sections, 257)) == 2


# --- Phases and banks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", ""),
        (":", ""),
        (" ", ""),
        ("enter-initrd", "enter-initrd"),
        (" enter-initrd : leave-initrd ", "enter-initrd:leave-initrd"),
        ("storage-target-mode-start:storage-target-mode-stop:factory-reset",) * 2,
        ("sysinit:ready:shutdown:final", "sysinit:ready:shutdown:final"),
    ],
)
def test_phase_paths(given: str, path: str) -> None:
    assert pcr11.check_path(given) == path


@pytest.mark.parametrize("path", ["foo", "enter-initrd:", ":enter-initrd", "::", "Ready", "a:b"])
def test_phases_that_do_not_exist(path: str) -> None:
    with pytest.raises(UsageError, match="unknown boot phase") as caught:
        pcr11.check_path(path)
    assert "enter-initrd, leave-initrd" in caught.value.hint


def test_default_paths_are_paths() -> None:
    assert [pcr11.check_path(path) for path in pcr11.DEFAULT_PATHS] == list(pcr11.DEFAULT_PATHS)


@pytest.mark.parametrize("name", ["sha1", "SHA256", " sha384 ", "sha512"])
def test_banks(name: str) -> None:
    assert pcr.check_bank(name) == name.strip().lower()


@pytest.mark.parametrize("name", ["", "md5", "sha-256", "sm3_256", "sha224"])
def test_banks_that_do_not_exist(name: str) -> None:
    with pytest.raises(UsageError, match="unknown PCR bank"):
        pcr.check_bank(name)


# --- Policies ------------------------------------------------------------------------------------

# src/test/test-tpm2.c, calculate_policy_pcr: values of PCRs 0 to 15.
VALUES: Final = [
    bytes.fromhex(text)
    for text in (
        "2124793cbbe60c3a8637d3b84a5d054e87c351e1469a285acc04755e8b204dec",
        "bf7592f18adcfdc549fc0b94939f5069a24697f9cff4a0dca29014767b97559d",
        "4b00cff9dee3a364979b2dc241b34568a8ad49fcf2713df259e47dff8875feed",
        "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969",
        "368f85b3013041dfe203faaa364f00b07c5da7b1e5f1dbf2efb06fa6b9bd92de",
        "c97c40369691c8e4aa78fb3a52655cd193b780a838b8e23f5f476576919db5e5",
        "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969",
        "aa1154c9e0a774854ccbed4c8ce7e9b906b3d700a1a8db1772d0341a62dbe51b",
        "cfde439a2c06af3479ca6bdc60429b90553d65300c5cfcc40004a08c6b5ad81a",
        "9c2bac22ef5ec84fcdb71c3ebf776cba1247e5da980e5ee08e45666a2edf0b8b",
        "9885873f4d7348199ad286f8f2476d4f866940950f6f9fb9f945ed352dbdcbd2",
        "42400ab950d21aa79d12cc4fdef67d1087a39ad64900619831c0974dbae54e44",
        "767d064382e56ca1ad3bdcc6bc596112e6c2008b593d3570d24c2bfa64c4628c",
        "30c16133175959408c9745d8dafadef5daf4b39cb2be04df0d60089bd46d3cc4",
        "e3991b7ddd47be7e92726a832d6874c5349b52b789fa0db8b558c69fea29574e",
        "852dae3ecb992bdeb13d6002fefeeffdd90feca8b378d56681ef2c885d0e5137",
    )
]


@pytest.mark.parametrize(
    ("pcrs", "policy"),
    [
        ((8, 4, 7), "76532a0e16f7e6bf6b02918c11f75d99d729fab0cc81d0df2c4284a2c4fe6e05"),
        (range(16), "22be4f1674f792d6345cea9427701068f0e8d9f42755dcc0e927e545a68f9c13"),
    ],
)
def test_systemds_policies(pcrs: tuple[int, ...], policy: str) -> None:
    assert policy_pcr("sha256", {index: VALUES[index] for index in pcrs}).hex() == policy


# The same function called again, on what it gave (calculate_policy_pcr, d twice).
@pytest.mark.parametrize(
    ("pcrs", "policy"),
    [
        ((4, 7, 8), "97e64bcabb64c1fa4b726528644926c8029f5b4458b0575c98c04fe225629a0b"),
        (range(16), "7481fd1b116078eb3ac2456e4ad542c9b46b9b8eb891335771ca8e7c8f8e4415"),
    ],
)
def test_systemds_policies_on_top_of_another(pcrs: tuple[int, ...], policy: str) -> None:
    values = {index: VALUES[index] for index in pcrs}
    first = policy_pcr("sha256", values)
    assert policy_pcr("sha256", values, start=first).hex() == policy


# calculate_policy_authorize; the names are those of the test's own templates: of the RSA key from
# calculate_pubkey_name, of the other computed from its coordinates.
RSA_NAME: Final = bytes.fromhex(
    "000be78f74a470dd92e979ca067cdb2293a35f075e8560b436bd2ccea5da21486a07"
)
AUTHORIZED: Final = "95213a3784eaab04f427bc7e8851c2f1df0903be8e42428ec25dcefd907baff1"


def ecc_name(x: str, y: str) -> bytes:
    """Of a storage key on P-256: restricted, AES-128-CFB (TPMT_PUBLIC)."""
    area = bytes.fromhex(f"0023000b00030072000000060080004300100003001000 20{x}0020{y}")
    return b"\0\x0b" + hashlib.sha256(area).digest()


def test_systemds_policies_of_keys() -> None:
    assert policy_authorize(RSA_NAME).hex() == AUTHORIZED
    one = ecc_name(
        "238e02ee4fd5598add6b502429f1815418515e4b0d6551c8e816b38cb15451d1",
        "70c2d491769775ec43ccd5a571c429233e9d30cf0f486c2e01acd6cb32ba93b6",
    )
    assert one.hex() == "000b302787187ba19c82011c987bd2dcdbb652b3a543ccc5cb0b49c33d4caae604a6"
    other = ecc_name(
        "423a89da6f0998f510489ab9682706e762031ef8f9faef2a185eff67065a187e",
        "996f73291670cef9e303d6cd9fa19ddf2c9c1fb1e283324ca9acca07c405c8d0",
    )
    expected = "2a5b705e83f949c27ac4d2e79e54fb5fb0a60f0b37bbd54a0ee1022ba00d3628"
    assert policy_authorize(other).hex() == expected


def test_a_reference_is_part_of_the_policy() -> None:
    inner = hashlib.sha256(bytes(32) + bytes.fromhex("0000016a") + RSA_NAME).digest()
    reference = hashlib.sha256(b"initrd").digest()
    assert policy_reference("initrd") == reference
    assert policy_reference("") == b""
    expected = hashlib.sha256(inner + reference).digest()
    assert policy_authorize(RSA_NAME, reference) == expected
    assert sealed_policy(key_name=RSA_NAME, reference="initrd") == expected


def test_systemds_policies_of_passwords() -> None:
    # calculate_policy_auth_value.
    first = policy_auth_value()
    assert first.hex() == "8fcd2169ab92694e0c633f1ab772842b8241bbc20288981fc7ac1eddc1fddb0e"
    second = policy_auth_value(first)
    assert second.hex() == "759ebd5ed65100e0b4aa2d04b4b789c2672d92ecc9cdda4b5fa16a303132e008"


def test_what_a_volume_is_sealed_to() -> None:
    """The key first, whose policy forgets what came before; then PCRs, then the PIN."""
    values = {index: VALUES[index] for index in (4, 7, 8)}
    assert sealed_policy() == bytes(32)
    assert sealed_policy(values={}) == bytes(32)
    assert sealed_policy(values=values) == policy_pcr("sha256", values)
    assert sealed_policy(with_pin=True) == policy_auth_value()
    assert sealed_policy(key_name=RSA_NAME).hex() == AUTHORIZED
    digest = bytes.fromhex(AUTHORIZED)
    for command in (
        bytes.fromhex("0000017f 00000001 000b 03 900100")
        + hashlib.sha256(VALUES[4] + VALUES[7] + VALUES[8]).digest(),
        bytes.fromhex("0000016b"),
    ):
        digest = hashlib.sha256(digest + command).digest()
    assert sealed_policy(values=values, key_name=RSA_NAME, with_pin=True) == digest


def test_a_policy_of_systemd_measure() -> None:
    # systemd-measure 262 policy-digest, of the first vector.
    after = value(TWO, "sha256", "")
    expected = "c22af341d2137e3ddccea7b685d3fd1e0742b09cbd0524c544d50b95af928082"
    assert policy_pcr("sha256", {pcr11.INDEX: after}).hex() == expected


@pytest.mark.parametrize(
    ("bank", "pcrs", "selected"),
    [
        ("sha256", [11], "00000001 000b 03 000800"),
        ("sha1", [0, 7, 8, 23], "00000001 0004 03 810180"),
        ("sha384", [], "00000001 000c 03 000000"),
        ("sha512", [11, 13], "00000001 000d 03 002800"),
    ],
)
def test_selections_have_the_bytes_of_the_specification(
    bank: str, pcrs: list[int], selected: str
) -> None:
    assert selection(bank, pcrs) == bytes.fromhex(selected)


@pytest.mark.parametrize("index", [-1, 24, 1 << 40])
def test_pcrs_that_do_not_exist(index: int) -> None:
    with pytest.raises(UsageError, match=f"no PCR {index}"):
        policy_pcr("sha256", {index: bytes(32)})
