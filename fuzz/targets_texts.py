"""Targets: what a guest or a machine says, and short texts."""

from __future__ import annotations

import functools
import io
import lzma
from typing import TYPE_CHECKING, Final

from seeds import ASSETS, OS_RELEASE, public_pem, rsa_identity
from sysgraft.base import arch, version
from sysgraft.build.uki.config import parse as parse_config
from sysgraft.errors import SysgraftError
from sysgraft.firmware import inventory
from sysgraft.formats import (
    pcrsig,
)
from sysgraft.lab import afterwards, answers, serial
from sysgraft.measure import cmdline, sidecars
from sysgraft.seal import enrolment
from sysgraft.seal.enrolment_checks import Enrolment
from sysgraft.seal.machine import read_machine as read_machine_files
from sysgraft.sign.pcr_public import from_pem
from target import Target, as_text
from targets_logs import LOG, _further, logs
from targets_policies import LUKS, _public_key, luks_volumes, read_json, signed_documents

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    Target(
        name="strict-json",
        seeds=lambda: _JSON,
        read=read_json,
        tokens=_JSON,
        weight=20,
    ),
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
