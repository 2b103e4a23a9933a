"""Targets: boot partitions and images, as their PCRs are predicted."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Final

from command import sysgraft
from fat_image import FatImage, long_records, record, short
from log_kit import make_addon, make_uki
from repair import fat as repair_fat
from seeds import uki
from sysgraft.cli.pcr_predict import as_json as predicted_json
from sysgraft.seal.firmware_keys import read_keys
from sysgraft.seal.pcrlock import components
from sysgraft.seal.prediction import BootRequest, predict
from target import File, Target
from targets_images import clean_result
from targets_logs import LOG, boot, logs
from targets_policies import _public_key
from targets_uki import ukis
from targets_variables import stores

if TYPE_CHECKING:
    from collections.abc import Sequence

ESP: Final = File("esp.img")


UKI: Final = File("any.efi")


STORE: Final = File("any.fd")


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
    return clean_result(result)


def cli_replay(data: bytes) -> bool:
    """The command line."""
    return clean_result(sysgraft("pcr", "replay", LOG.put(data), "--events"))


TARGETS: Final = (
    Target(
        name="pcr-predict", seeds=partitions, read=predict_partition, repair=repair_fat, weight=4
    ),
    Target(name="pcr-predict-all", seeds=ukis, read=predict_everything, weight=6),
    Target(name="pcr-7", seeds=stores, read=predict_with_keys, weight=8),
    Target(name="pcr-plan", seeds=partitions, read=plan_partition, repair=repair_fat, weight=0.7),
    Target(name="cli-pcr-replay", seeds=logs, read=cli_replay, weight=0.7),
)
