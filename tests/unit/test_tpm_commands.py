"""The TPM's commands against bytes that a TPM (swtpm 0.7.1) took and gave."""

from __future__ import annotations

import pytest

from sysgraft.errors import FormatError, LimitError, SysgraftError, TruncatedError
from sysgraft.formats import tpm_commands

BANKS = bytes.fromhex(
    "80010000002b00000000000000000500000004000403ffffff000b03ffffff000c03ffffff000d03ffffff"
)
# PCR 11 and 13 of the SHA-1 bank, after nothing but a start.
VALUES = bytes.fromhex(
    "80010000004800000000" "00000014" "00000001000403002800" "00000002"
    + ("0014" + "00" * 20) * 2
)  # fmt: skip


def test_the_commands_are_those_a_tpm_takes() -> None:
    assert tpm_commands.ask_banks().hex() == "8001000000160000017a000000050000000000000001"
    asked = tpm_commands.ask_pcrs(0x000B, (0, 11, 23))
    assert asked.hex() == "8001000000140000017e00000001000b03010880"


def test_banks_have_names_and_all_pcrs() -> None:
    banks = tpm_commands.read_banks(BANKS)
    assert [tpm_commands.bank_name(each) for each in banks] == [
        *("sha1", "sha256", "sha384", "sha512")
    ]
    assert set(banks.values()) == {tuple(range(24))}


def test_a_bank_without_pcrs_is_not_in_use() -> None:
    unused = BANKS.replace(bytes.fromhex("000403ffffff"), bytes.fromhex("000403000000"))
    assert 0x0004 not in tpm_commands.read_banks(unused)


def test_values_come_by_number() -> None:
    assert tpm_commands.read_pcrs(VALUES, 0x0004) == {11: bytes(20), 13: bytes(20)}


def test_values_of_another_bank_are_an_error() -> None:
    with pytest.raises(FormatError, match="2 values for 0 PCRs"):
        tpm_commands.read_pcrs(VALUES, 0x000B)


def test_what_the_tpm_refuses_is_said() -> None:
    refusal = bytes.fromhex("80010000000a00000101")
    with pytest.raises(FormatError, match="error 0x101"):
        tpm_commands.read_banks(refusal)


def test_another_capability_is_an_error() -> None:
    other = BANKS.replace(bytes.fromhex("0000000005"), bytes.fromhex("0000000006"))
    with pytest.raises(FormatError, match="capability 6"):
        tpm_commands.read_banks(other)


@pytest.mark.parametrize("length", range(len(BANKS)))
def test_a_part_of_an_answer_is_an_error(length: int) -> None:
    with pytest.raises(TruncatedError):
        tpm_commands.read_banks(BANKS[:length])


@pytest.mark.parametrize("answer", [BANKS, VALUES], ids=["banks", "values"])
def test_no_changed_bit_gets_past_our_errors(answer: bytes) -> None:
    for bit in range(8 * len(answer)):
        data = bytearray(answer)
        data[bit // 8] ^= 1 << bit % 8
        for read in (tpm_commands.read_banks, lambda b: tpm_commands.read_pcrs(b, 4)):
            try:
                read(bytes(data))
            except SysgraftError:
                continue


def with_size(answer: bytes) -> bytes:
    return answer[:2] + len(answer).to_bytes(4, "big") + answer[6:]


def test_huge_counts_are_refused() -> None:
    many = VALUES[:14] + b"\xff\xff\xff\xff" + VALUES[18:]
    with pytest.raises(LimitError):
        tpm_commands.read_pcrs(many, 4)
    digests = VALUES[:24] + b"\0\0\0\x09" + VALUES[28:]
    with pytest.raises(LimitError):
        tpm_commands.read_pcrs(digests, 4)
    long_mask = with_size(BANKS[:19] + b"\0\x04\xff" + bytes(255))
    with pytest.raises(LimitError):
        tpm_commands.read_banks(long_mask)


@pytest.mark.parametrize("size", [0, 9, 4097, 1 << 31])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(FormatError, match=f"says it has {size} bytes"):
        tpm_commands.response_size(b"\x80\x01" + size.to_bytes(4, "big") + bytes(4))
