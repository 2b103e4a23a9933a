"""Targets: event logs, PCR policies and values, LUKS2, whole boot partitions, what a guest says."""

from __future__ import annotations

import base64
import functools
import io
import json
import lzma
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from command import sysgraft
from fat_image import FatImage, long_records, record, short
from log_kit import boot_events, make_addon, make_log, make_uki, old_log, values_of
from log_kit import record as userspace_record
from luks2_kit import TPM2_TOKEN, metadata, volume
from repair import fat as repair_fat
from repair import luks2 as repair_luks2
from seeds import ASSETS, OS_RELEASE, public_pem, rsa_identity, uki
from sysgraft.base import arch, version
from sysgraft.base.blob import BytesBlob
from sysgraft.build.uki.config import parse as parse_config
from sysgraft.cli.pcr_explain import as_json as explained_json
from sysgraft.cli.pcr_predict import as_json as predicted_json
from sysgraft.errors import SysgraftError
from sysgraft.firmware import inventory
from sysgraft.formats import (
    cel,
    eventlog,
    eventlog_events,
    luks2,
    pcr_values,
    pcrlock,
    pcrsig,
    pcrsig_early,
    strict_json,
    tpm_commands,
    tpm_userspace_log,
)
from sysgraft.lab import afterwards, answers, measured, serial
from sysgraft.measure import cmdline, sidecars
from sysgraft.measure.hints import hints
from sysgraft.measure.tpm_name import pem_name
from sysgraft.seal import approved, enrolment, plan_signatures
from sysgraft.seal.binding import bindings_of
from sysgraft.seal.enrolment_checks import Enrolment
from sysgraft.seal.explanation import ExplainRequest, explain
from sysgraft.seal.firmware_keys import read_keys
from sysgraft.seal.machine import read_machine as read_machine_files
from sysgraft.seal.pcrlock import components
from sysgraft.seal.prediction import BootRequest, predict
from sysgraft.seal.replay import replay_files
from sysgraft.sign.pcr_public import from_pem
from target import File, Target, as_text
from targets_efi import stores, ukis
from targets_images import _clean

if TYPE_CHECKING:
    from collections.abc import Sequence

_SMALL_LOG: Final = 24_000
LOG: Final = File("log")
ESP: Final = File("esp.img")
UKI: Final = File("any.efi")
STORE: Final = File("any.fd")
LUKS: Final = File("luks.img")
SIGNATURES: Final = File("pcrsig.json")
VALUES: Final = File("pcrs.json")
DOCUMENT: Final = File("approved.json")


# --- Files of a boot, in one folder for all processes --------------------------------------------


@functools.cache
def boot() -> BootRequest:
    """A UKI with sidecars; the folder goes away with the process that made it."""
    folder = Path(File("x.efi").put(make_uki())).parent
    extra = folder / "extra"
    extra.mkdir()
    for name, data in (("a.raw", b"a"), ("c.cred", b"c"), ("d.addon.efi", make_addon(b"debug"))):
        (extra / name).write_bytes(data)
    return BootRequest(uki=str(folder / "x.efi"), extras=(str(extra),))


@functools.cache
def logs() -> Sequence[bytes]:
    """Event logs, of both forms, and a real one."""
    events = boot_events(boot())
    real = lzma.decompress((ASSETS / "eventlog/ovmf-stub-257.bin.xz").read_bytes())
    return (
        make_log(events),
        old_log(events),
        real[:_SMALL_LOG] if len(real) > _SMALL_LOG else real,
    )


def read_log(data: bytes) -> None:
    """An event log, what its events mean, and what it comes to."""
    log = eventlog.parse(data)
    assert eventlog.parse(eventlog.serialise(log)).events == log.events
    for event in log.events[:300]:
        eventlog_events.describe(event)
        eventlog.startup_locality(event)
    eventlog_events.secure_boot(log.events)
    for bank in log.banks:
        with_bank = eventlog.replay
        try:
            with_bank(log, bank)
        except SysgraftError:
            continue
    hints(log.events)
    json.dumps(cel.records(log))


def find_logs(data: bytes) -> None:
    """Logs anywhere in the memory of a guest."""
    memory = data
    for number, found in enumerate(eventlog.find_logs(memory)):
        assert found.log.size <= len(data)
        if number > 50:
            break


def search_memory(data: bytes) -> None:
    """What the lab makes of a guest's memory."""
    measured.search(data, {"sha256": dict.fromkeys(range(24), bytes(32))})


def read_userspace_log(data: bytes) -> None:
    """The log of systemd."""
    records = tpm_userspace_log.parse(data)
    json.loads(cel.render(None, records))
    for each in records:
        assert each.text is None or isinstance(each.text, str)


def replay(data: bytes) -> None:
    """``pcr replay``: firmware's log."""
    found = replay_files(LOG.put(data))
    assert found.ok in (True, False)


def explain_log(data: bytes) -> bool:
    """``pcr explain``: against files."""
    found = explain(ExplainRequest(log=LOG.put(data), boot=boot()))
    json.dumps(explained_json(found))
    return found.ok


@functools.cache
def _further() -> tuple[str, str, tuple[str, ...]]:
    """Systemd's log, values of a TPM, and files that may have been there before."""
    words = {11: ["enter-initrd", "leave-initrd"]}
    log = b"".join(userspace_record(11, word) for word in words[11])
    found = values_of(_good_log(), words)
    known = Path(File("old.raw").put(b"old"))
    (known.parent / "gone.cred").write_bytes(b"gone")
    return (
        File("userspace").put(log),
        File("values.json").put(json.dumps(found).encode()),
        (str(known.parent),),
    )


def explain_more(data: bytes) -> bool:
    """``pcr explain``: with everything that may be at hand, about other files than there are."""
    userspace, tpm, known = _further()
    request = ExplainRequest(
        log=LOG.put(data), boot=boot(), userspace_log=userspace, values=tpm, known=known
    )
    found = explain(request)
    json.dumps(explained_json(found))
    return found.ok


@functools.cache
def other_logs() -> Sequence[bytes]:
    """Of boots with other sidecars, another command line, another image."""
    made = [_good_log()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x.efi").write_bytes(make_uki(cmdline=b"other"))
        for number, files in enumerate(({"a.raw": b"old", "gone.cred": b"gone"}, {"b.raw": b"b"})):
            extra = folder / f"extra{number}"
            extra.mkdir()
            for file, data in files.items():
                (extra / file).write_bytes(data)
            requests = [
                BootRequest(uki=uki_, extras=(str(extra),))
                for uki_ in (boot().uki, str(folder / "x.efi"))
            ]
            made += [make_log(boot_events(request)) for request in requests]
    return tuple(made)


@functools.cache
def _good_log() -> bytes:
    return logs()[0]


@functools.cache
def _log_file() -> str:
    return File("good-log").put(_good_log())


def explain_document(data: bytes) -> bool:
    """``pcr explain``: against a document that somebody wrote."""
    approved.parse(data)
    found = explain(ExplainRequest(log=_log_file(), approved=(DOCUMENT.put(data),)))
    json.dumps(explained_json(found))
    return found.ok


@functools.cache
def documents() -> Sequence[bytes]:
    """Predictions."""
    found = {"schema": approved.SCHEMA, **predicted_json(predict(boot(), banks=("sha256",)))}
    # Where the files are is different in every process.
    text = json.dumps(found).replace(os.path.dirname(boot().uki), "/boot")
    return (text.encode(),)


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
    """``pcr check``: none of these is a signature that opens anything."""
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
    assert result.code or b'"sig":' in data, "a policy counts that nobody signed"
    return _clean(result)


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


# --- Whole partitions ----------------------------------------------------------------------------


@functools.cache
def partitions() -> Sequence[bytes]:
    """A boot partition with a loader, a UKI, its sidecars and an entry."""
    image = FatImage(12, clusters=70)

    def file(name: str, data: bytes, alias: str) -> bytes:
        head = long_records(name, short(alias))
        return head + record(short(alias), image.put(data), len(data))

    def folder(name: str, *records: bytes) -> bytes:
        return record(short(name), image.folder(*records), attributes=0x10)

    entry = b"title x\nuki /EFI/Linux/x.efi\noptions quiet @1\nextra /loader/g.cred\n"
    extra = image.folder(
        file("a.sysext.raw", b"sysext" * 9, "A~1.RAW"),
        file("b.cred", b"secret", "B.CRE"),
        file("d.addon.efi", make_addon(b"debug"), "D~1.EFI"),
    )
    own = long_records("x.efi.extra.d", short("XEFI~1.D")) + record(
        short("XEFI~1.D"), extra, attributes=0x10
    )
    linux = folder("LINUX", file("x.efi", make_uki(), "X.EFI"), own)
    entries = folder("ENTRIES", file("e+3.conf", entry, "E~1.CON"))
    loader = folder("LOADER", entries, file("g.cred", b"g", "G.CRE"))
    image.set_root(folder("EFI", linux), loader)
    return (image.image(),)


def predict_partition(data: bytes) -> None:
    """``pcr predict --esp``."""
    found = predict(BootRequest(esp=ESP.put(data), entry="x"), banks=("sha256",))
    json.dumps(predicted_json(found))
    components(found)


def predict_everything(data: bytes) -> None:
    """``pcr predict`` of an image, all PCRs, with a firmware's keys."""
    request = BootRequest(uki=UKI.put(data), extras=boot().extras, efivars=_store())
    found = predict(request, pcrs=(4, 7, 9, 11, 12, 13), banks=("sha256",))
    json.dumps(predicted_json(found))


@functools.cache
def _store() -> str:
    return File("vars.fd").put(stores()[0])


def predict_with_keys(data: bytes) -> None:
    """PCR 7 from a variable store."""
    path = STORE.put(data)
    read_keys(path)
    request = BootRequest(uki=_signed_uki(), efivars=path)
    predict(request, pcrs=(7,), banks=("sha256",))


@functools.cache
def _signed_uki() -> str:
    return File("signed.efi").put(uki())


@functools.cache
def _old_partition() -> str:
    return File("old.img").put(partitions()[0])


def plan_partition(data: bytes) -> bool:
    """``pcr plan``: from a good partition to a damaged one."""
    result = sysgraft(
        "pcr",
        "plan",
        "--from",
        _old_partition(),
        "--to",
        ESP.put(data),
        "--json",
        "--public-key",
        _public_key(),
    )
    if result.code == 0:
        json.loads(result.out)
    return _clean(result)


def cli_replay(data: bytes) -> bool:
    """The command line."""
    return _clean(sysgraft("pcr", "replay", LOG.put(data), "--events"))


# --- What a guest says, and short texts ----------------------------------------------------------


@functools.cache
def guest_answers() -> Sequence[bytes]:
    """What the probe in a guest sends."""
    real = lzma.decompress((ASSETS / "lab/debian-257.answers.xz").read_bytes())
    items = (
        ("kernel", b"6.1"),
        ("sysext", b'[{"hierarchy": "/usr", "extensions": ["a"]}]'),
        ("os-release", OS_RELEASE),
        ("status", b"0"),
        ("output", b"hello"),
        ("end", b""),
    )
    made = b"".join(name.encode() + b" %d\n" % len(d) + d + b"\n" for name, d in items)
    return (made, real[:16000])


def read_answers(data: bytes) -> None:
    """Answers of a guest, its IMA log, its records, its serial port."""
    answers.parse(data)
    afterwards.read_ima(data)
    afterwards.read_records(data)
    serial.readable(data)
    log = serial.SerialLog(io.BytesIO(data))
    log.read()


def enroll(data: bytes) -> bool:
    """``pcr enroll``: whether anything speaks against it, by a machine's log and a volume."""
    log, _, header = data.partition(_VOLUME)
    key, (_, tpm, _) = from_pem(public_pem(rsa_identity())), _further()
    wanted = Enrolment(device=LUKS.put(_VOLUME + header), public_key=_public_key(), key=key)
    machine = read_machine_files(LOG.put(log), log=LOG.put(log), values=tpm)
    document = pcrsig.parse(signed_documents()[0])
    return enrolment.plan(wanted, machine, document).ok


_VOLUME: Final = b"LUKS\xba\xbe\0\2"


def machines() -> Sequence[bytes]:
    """A log, and the volume behind it."""
    return tuple(log + luks_volumes()[0] for log in logs())


def read_config(data: bytes) -> None:
    """The config file."""
    parse_config(as_text(data), "ukify.conf")


def read_versions(data: bytes) -> None:
    """Version strings, in UAPI order."""
    for one, other in zip(data.split(b"\n"), reversed(data.split(b"\n")), strict=True):
        assert version.compare(one, other) == -version.compare(other, one)
    texts = as_text(data).split("\n")
    sorted(texts, key=version.key)
    for text in texts:
        try:
            arch.normalize(text)
        except SysgraftError:
            continue


def read_cmdline(data: bytes) -> None:
    """Command lines, by the rules of each stub; and names of sidecars."""
    text = as_text(data)
    places = dict.fromkeys(kind.place for kind in sidecars.KINDS)
    entries = [sidecars.Entry(name) for name in text.split("\n")]
    for release in (252, 254, 255, 257, 258, 262):
        profile, rest = cmdline.split_profile(text, release)
        assert profile is None or profile >= 0
        cmdline.mangle(rest, release)
        cmdline.custom(text, release, secure_boot=False, embedded=True)
        cmdline.of_addons([text], [rest], release)
        cmdline.from_smbios(text, release)
        for place in places:
            sidecars.choose(place, entries, release)
            sidecars.skipped(place, entries, release)


def read_machine(data: bytes) -> None:
    """An inventory of a machine."""
    found = inventory.parse_machine(data)
    assert inventory.parse_machine(inventory.render_machine(found)) == found


_JSON: Final = (b'{"a": [1, -2.5e3, true, null, "\\u00e9\\n"], "b": {}}', b"[]", b'"x"')

TARGETS: Final = (
    Target(name="eventlog", seeds=logs, read=read_log, weight=30),
    Target(
        name="eventlog-in-memory",
        seeds=lambda: (bytes(5000) + logs()[0] + bytes(3000) + logs()[1],),
        read=find_logs,
        tokens=(b"Spec ID Event03\0", b"StartupLocality\0"),
        weight=10,
    ),
    Target(
        name="guest-memory",
        seeds=lambda: (bytes(2000) + logs()[0] + bytes(500),),
        read=search_memory,
        tokens=(b"Spec ID Event03\0",),
        weight=5,
    ),
    Target(
        name="userspace-log",
        seeds=lambda: (
            b"".join(userspace_record(11, word) for word in ("enter-initrd", "leave-initrd")),
            userspace_record(15, "file-system:/:x", "filesystem", digest_of="y"),
        ),
        read=read_userspace_log,
        tokens=(b"\x1e", b'"pcr"', b'"nv_index"', b'"digests"', b'"hashAlg"', b'"content_type"'),
        weight=20,
    ),
    Target(name="pcr-replay", seeds=logs, read=replay, weight=8),
    Target(name="pcr-explain", seeds=lambda: logs()[:1], read=explain_log, weight=5),
    Target(
        name="pcr-explain-document",
        seeds=documents,
        read=explain_document,
        tokens=(b'"events"', b'"sets"', b'"digests"', b'"pcr"', b'"files"', b'"sha256"', b'"type"'),
        weight=8,
    ),
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
        name="strict-json",
        seeds=lambda: _JSON,
        read=read_json,
        tokens=_JSON,
        weight=20,
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
    Target(
        name="pcr-predict", seeds=partitions, read=predict_partition, repair=repair_fat, weight=4
    ),
    Target(name="pcr-predict-all", seeds=ukis, read=predict_everything, weight=6),
    Target(name="pcr-7", seeds=stores, read=predict_with_keys, weight=8),
    Target(name="pcr-explain-more", seeds=other_logs, read=explain_more, weight=3),
    Target(name="pcr-plan", seeds=partitions, read=plan_partition, repair=repair_fat, weight=0.7),
    Target(name="cli-pcr-replay", seeds=logs, read=cli_replay, weight=0.7),
    Target(
        name="guest-answers",
        seeds=guest_answers,
        read=read_answers,
        tokens=(b"kernel ", b"sysext 10\n", b"end 0\n\n", b"file:a ", b"\x1e{", b"status 1\n0\n"),
        weight=15,
    ),
    Target(
        name="machine-inventory",
        seeds=lambda: (
            (
                b'{"schema": "sysgraft.firmware.scan/1", "architecture": "x86-64", "devices": '
                b'[{"bus": "pci", "name": "0000:00:02.0", "modalias": "pci:v1d2", "properties": '
                b'{"a": "b"}}], "loaded": [], "failures": [], "modules": ["e1000e"], "sources": '
                b'["sysfs"]}'
            ),
        ),
        read=read_machine,
        tokens=(b'"devices"', b'"loaded"', b'"failures"', b'"schema"', b'"properties"'),
        weight=8,
    ),
    Target(name="pcr-enroll", seeds=machines, read=enroll, weight=3),
    Target(
        name="ukify-config",
        seeds=lambda: (
            (
                b"[UKI]\nLinux=/v\nInitrd=a b\nCmdline=quiet\n splash\nSecureBootSigningTool=x\n"
                b"[PCRSignature:a]\nPhases=enter-initrd\nPCRPrivateKey=k\nPCRPublicKey=p\n# c\n"
            ),
        ),
        read=read_config,
        tokens=(
            b"[UKI]",
            b"[PCRSignature:",
            b"]",
            b"Linux=",
            b" # ",
            b"\n\t",
            b"PCRBanks=",
            b"SignKernel=yes",
        ),
        weight=10,
    ),
    Target(
        name="versions",
        seeds=lambda: (b"1.0\n1.0~rc1\n1.0^post\n2-3\n10\n009\nv1\narm64\naarch64\nx86-64",),
        read=read_versions,
        tokens=(b"~", b"^", b"-", b".", b"\n", b"00", b"amd64"),
        weight=15,
    ),
    Target(
        name="command-lines",
        seeds=lambda: (b"@1 root=/dev/vda quiet", b"a.raw\nb.cred\nc.addon.efi\nd.confext.raw"),
        read=read_cmdline,
        tokens=(b"@0 ", b"@", b"\t", b".raw", b".CRED", b".addon.efi", b"\x1f", b"\xc2\xa0"),
        weight=10,
    ),
)
