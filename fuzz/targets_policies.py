"""Targets: PCR values, signed policies, LUKS2 headers and short answers."""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from command import sysgraft
from log_kit import values_of
from luks2_kit import TPM2_TOKEN, metadata, volume
from repair import luks2 as repair_luks2
from seeds import public_pem, rsa_identity
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import SysgraftError
from sysgraft.formats import (
    luks2,
    pcr_values,
    pcrlock,
    pcrsig,
    pcrsig_early,
    strict_json,
    tpm_commands,
)
from sysgraft.measure.tpm_name import pem_name
from sysgraft.seal import plan_signatures
from sysgraft.seal.binding import bindings_of
from sysgraft.seal.pcrlock import components
from sysgraft.seal.prediction import predict
from sysgraft.seal.replay import replay_files
from target import File, Target
from targets_images import clean_result
from targets_logs import _good_log, _log_file, boot

if TYPE_CHECKING:
    from collections.abc import Sequence

LUKS: Final = File("luks.img")


SIGNATURES: Final = File("pcrsig.json")


VALUES: Final = File("pcrs.json")


# --- Values and policies -------------------------------------------------------------------------


@functools.cache
def values() -> Sequence[bytes]:
    """Values of a TPM."""
    found = values_of(_good_log())
    return (json.dumps(found).encode(), json.dumps({"pcrs": {"sha256": found["sha256"]}}).encode())


def read_values(data: bytes) -> None:
    """Values of PCRs, and the log held against them."""
    pcr_values.parse(data)
    replay_files(_log_file(), values=VALUES.put(data))


@functools.cache
def signature_documents() -> Sequence[bytes]:
    """Signed policies."""
    entries = [
        {
            "pcrs": [11, *more],
            "pkfp": "ab" * 32,
            **ref,
            "pol": "cd" * 32,
            "sig": base64.b64encode(bytes(range(64))).decode(),
        }
        for more in ([], [12], [12, 13])
        for ref in ({}, {"ref": "initrd"})
    ]
    return tuple(
        json.dumps(each, separators=(",", ":")).encode()
        for each in ({"sha256": entries}, {"sha1": entries[:1], "sha256": entries[1:]})
    )


def read_signatures(data: bytes) -> None:
    """A signature file, by systemd and by the script in the initrd."""
    pcrsig_early.taken(data)
    pcrsig_early.left_out(data)
    assert pcrsig_early.room(data) >= 0
    plan_signatures.read_beside("x", data)
    plan_signatures.read_embedded("x", data)
    found = pcrsig.parse(data)
    assert pcrsig.parse(pcrsig.render(found)) == found
    pcrsig.merge(found, found)


def check_signatures(data: bytes) -> bool:
    """``pcr check``: only what was signed opens anything."""
    result = sysgraft(
        "pcr",
        "check",
        SIGNATURES.put(data),
        *_boot_words(),
        "--pcr",
        "11+13",
        "--public-key",
        _public_key(),
    )
    assert result.code or _signed(data) & _signed(signed_documents()[0]), "nobody signed that"
    return clean_result(result)


def _signed(document: bytes) -> set[tuple[bytes, bytes]]:
    """The policies of a document with their signatures."""
    found = pcrsig.parse(document)["sha256"]
    return {(each.policy, each.signature) for each in found if each.signature}


def _boot_words() -> tuple[str, ...]:
    return ("--uki", boot().uki, "--extra", boot().extras[0])


@functools.cache
def signed_documents() -> Sequence[bytes]:
    """Policies that are signed for the boot there is."""
    key, output = File("pcr.key").put(rsa_identity().key_pem), File("signed.json").put(b"")
    words = ("--private-key", key, "--output", output, "--force", "--phase", "enter-initrd")
    result = sysgraft("pcr", "sign", *_boot_words(), "--pcr", "11+13", *words)
    assert result.code == 0, result.err
    return (Path(output).read_bytes(), *signature_documents())


@functools.cache
def _public_key() -> str:
    return File("public.pem").put(public_pem(rsa_identity()))


def read_pcrlock(data: bytes) -> None:
    """A component of systemd-pcrlock."""
    found = pcrlock.parse(data)
    assert pcrlock.parse(pcrlock.render(found).encode()) == found


@functools.cache
def pcrlock_documents() -> Sequence[bytes]:
    """Components as they are written for a prediction."""
    found = components(predict(boot(), banks=("sha256",)))
    return tuple(dict.fromkeys(each.content for each in found))


def read_json(data: bytes) -> None:
    """JSON."""
    found = strict_json.load(data, "it")
    json.dumps(found, allow_nan=False)


def read_tpm(data: bytes) -> None:
    """Answers of a TPM."""
    refused = 0
    readers = (
        tpm_commands.response_size,
        tpm_commands.read_banks,
        lambda answer: tpm_commands.read_pcrs(answer, 11),
    )
    for read in readers:
        try:
            read(data)
        except SysgraftError:
            refused += 1
    if refused == len(readers):
        raise SysgraftError("refused by all of them")


def read_public_name(data: bytes) -> None:
    """The TPM's name of a public key."""
    pem_name(data)


# --- LUKS2 ---------------------------------------------------------------------------------------


@functools.cache
def luks_volumes() -> Sequence[bytes]:
    """Headers with tokens."""
    signed = {
        **TPM2_TOKEN,
        "tpm2_pubkey": base64.b64encode(public_pem(rsa_identity())).decode(),
        "tpm2_pubkey_pcrs": [11, 13],
        "tpm2-pcrs": [],
        "tpm2-pin": True,
        "tpm2_pcrlock": False,
        "tpm2_srk": "AAAA",
        "tpm2_salt": "AAAA",
    }
    found = metadata(
        tokens={"0": TPM2_TOKEN, "1": signed, "2": {"type": "systemd-recovery", "keyslots": []}}
    )
    return (volume(found), volume(metadata(tokens={"0": signed}), seqids=(4, 5)))


def read_luks(data: bytes) -> None:
    """A LUKS2 header, and what its tokens want."""
    luks2.parse(BytesBlob(data))
    bindings_of(LUKS.put(data))


def read_luks_json(data: bytes) -> None:
    """As `read_luks`, of the JSON alone: the header around it is right."""
    if len(data) >= 0x3000:
        raise SysgraftError("too large for this header")
    read_luks(volume(data))


def luks_documents() -> Sequence[bytes]:
    """The JSON of headers."""
    return tuple(data[4096:16384].rstrip(b"\0") for data in luks_volumes())


TARGETS: Final = (
    Target(
        name="pcr-values",
        seeds=values,
        read=read_values,
        tokens=(b'"sha256"', b'"sha1"', b'"pcrs"', b'"24"', b'"0"'),
        weight=8,
    ),
    Target(
        name="pcrsig",
        seeds=signature_documents,
        read=read_signatures,
        tokens=(
            b'"pcrs"',
            b'"pkfp"',
            b'"pol"',
            b'"sig"',
            b'"ref"',
            b'"tbs"',
            b'"sha384"',
            b"[11,13]",
        ),
        weight=25,
    ),
    Target(
        name="pcr-check",
        seeds=signed_documents,
        read=check_signatures,
        tokens=(b'"pcrs"', b'"pkfp"', b'"sig"', b'"ref"'),
        weight=1,
    ),
    Target(
        name="pcrlock",
        seeds=pcrlock_documents,
        read=read_pcrlock,
        tokens=(b'"records"', b'"pcr"', b'"digests"', b'"hashAlg"'),
        weight=15,
    ),
    Target(
        name="tpm-answers",
        seeds=lambda: (
            bytes.fromhex("8001000000230000000001000000050000000200040300000a000b030008c1000000"),
            bytes.fromhex(
                "80010000003e00000000000000070000000100" + "0b0300080000000001" + "0020" + "ab" * 32
            ),
        ),
        read=read_tpm,
        weight=15,
    ),
    Target(
        name="tpm-name",
        seeds=lambda: (public_pem(rsa_identity()),),
        read=read_public_name,
        weight=5,
    ),
    Target(name="luks2", seeds=luks_volumes, read=read_luks, repair=repair_luks2, weight=20),
    Target(
        name="luks2-json",
        seeds=luks_documents,
        read=read_luks_json,
        tokens=(
            b'"tokens"',
            b'"keyslots"',
            b'"tpm2-pcrs"',
            b'"tpm2_pubkey_pcrs"',
            b'"type"',
            b'"tpm2-blob"',
        ),
        weight=15,
    ),
)
