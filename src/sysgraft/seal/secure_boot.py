"""What firmware makes of each program under Secure Boot, and so what is in PCR 7.

Programs are judged as ``sysgraft uki verify`` judges them (`sysgraft.sign.verify.authenticode`);
then the entry of db that starts them is looked for as EDK II does it (DxeImageVerificationHandler):
for each signature the first certificate of db that it leads up to, else a digest of the program.
Programs that shim verifies are not known here: it measures more, and trusts more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats import esl, sbat, uki
from sysgraft.formats.authenticode_digest import compute
from sysgraft.formats.x509 import parse_certificate
from sysgraft.image.uki_structure import read_structure
from sysgraft.measure import pcr7
from sysgraft.sign.verify.authenticode import Judge
from sysgraft.sign.verify.authenticode_signature import judge_signature
from sysgraft.sign.verify.opened_signature import needed_digests, open_signature
from sysgraft.sign.verify.trust import TrustedCertificate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sysgraft.formats.esl import Signature
    from sysgraft.measure.events import Event
    from sysgraft.seal.firmware_keys import FirmwareKeys
    from sysgraft.seal.image import Executable
    from sysgraft.sign.verify.authenticode import ImageVerdict
    from sysgraft.sign.verify.opened_signature import Opened

_SHIM: Final = "shim,"
"""How the line about it begins in shim's section .sbat, which it has had since 15.3; older ones
are taken for what they are not."""
_NOW: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Firmware looks at no dates; only notes, which nobody reads here, would."""
_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})
_CURVES: Final = "it is signed with an elliptic curve, and much firmware takes only RSA"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the firmware makes of a program.

    Attributes:
        name: of its file.
        authority: the entry of db that starts it; None without Secure Boot.
        refused: why it does not start; empty if it does. An addon that is refused is not in PCR 4
            either, and the stub takes nothing from it.
        note: what a person should know; empty if nothing.
    """

    name: str
    authority: Signature | None = None
    refused: str = ""
    note: str = ""


def predict(
    keys: FirmwareKeys,
    programs: Sequence[Verdict],
    addons: Sequence[Verdict],
    banks: Sequence[str],
) -> tuple[Event, ...]:
    """Every event of PCR 7 until the kernel runs, in order.

    Args:
        keys: of the firmware.
        programs: what it loads until the image runs, in that order, the image last.
        addons: what the stub has it load then, in that order, also what is refused.
        banks: names of the hash algorithms.

    Raises:
        UnsupportedError: a program is refused, so nobody knows what is started instead.
    """
    for each in programs:
        if each.refused:
            raise _unknown(f"the firmware does not start it: {each.refused}", each.name)
    authorities = [each.authority for each in (*programs, *addons) if each.authority]
    return pcr7.predict(keys.variables, authorities, banks)


def judge(
    keys: FirmwareKeys, executable: Executable, known: Mapping[str, bytes] = _NOTHING
) -> Verdict:
    """What the firmware makes of a program.

    Args:
        keys: of the firmware.
        executable: the program.
        known: Authenticode digests of it that are known already, by algorithm.

    Raises:
        UnsupportedError: it cannot be known.
    """
    if not keys.variables.secure_boot:
        return Verdict(executable.name)
    if _is_shim(executable):
        raise _unknown("shim measures and trusts more than the firmware", executable.name)
    try:
        structure = read_structure(executable.blob)
    except FormatError as error:
        raise _unknown(
            f"firmwares may differ about it: {error.message}", executable.name
        ) from error
    opened = [open_signature(entry.pkcs7) for entry in structure.entries]
    wanted = _algorithms(keys, opened)
    digests = {name: known[name] for name in wanted & known.keys()}
    digests |= compute(executable.blob, executable.covered, wanted - known.keys())
    verdict = Judge(opened, keys.store, _NOW).verdict(digests)
    return _decided(keys, executable.name, verdict, opened, digests)


def _is_shim(executable: Executable) -> bool:
    section = executable.image.find(".sbat")
    if section is None:
        return False
    try:
        lines = sbat.parse(uki.read_text(executable.blob, section))
    except FormatError:
        return False
    return any(line.startswith(_SHIM) for line in lines)


def _algorithms(keys: FirmwareKeys, opened: Sequence[Opened]) -> frozenset[str]:
    in_db = {esl.IMAGE_DIGESTS[kind] for kind, _ in keys.entries if kind in esl.IMAGE_DIGESTS}
    return needed_digests(opened, keys.store) | in_db


def _decided(
    keys: FirmwareKeys,
    name: str,
    verdict: ImageVerdict,
    opened: Sequence[Opened],
    digests: Mapping[str, bytes],
) -> Verdict:
    trusted = verdict.trust.status == "ok"
    if verdict.revocation.status == "fail" or verdict.signature.status == "fail":
        # EDK II is laxer in places, and may have measured an entry before it refused.
        reason = verdict.revocation if verdict.revocation.status == "fail" else verdict.signature
        if trusted or _may_differ(opened):
            raise _unknown(f"firmwares may differ about it: {reason.reason}", name)
        return Verdict(name, refused=reason.reason)
    if not trusted:
        return Verdict(name, refused=verdict.trust.reason)
    authority, note = _authority(keys, name, opened, digests)
    return Verdict(name, authority, note=note)


def _may_differ(opened: Sequence[Opened]) -> bool:
    """Whether there is a signature that is not read here, and might be there."""
    return len(opened) > 1 or any(each.signature is None for each in opened)


def _authority(
    keys: FirmwareKeys, name: str, opened: Sequence[Opened], digests: Mapping[str, bytes]
) -> tuple[Signature, str]:
    """The entry that EDK II measures of a program that it starts, and a note."""
    for each in opened:
        if each.signature is None:
            continue
        entry = _certificate(keys, each, digests)
        if entry is not None:
            return entry, _CURVES if each.signature.signer.scheme.key == "ec" else ""
        algorithm = each.signature.digest.algorithm
        entry = _digest_entry(keys, {algorithm: digests[algorithm]})
        if entry is not None:
            return entry, ""
    found = _digest_entry(keys, {"sha256": digests["sha256"]}) if not opened else None
    others = {other: value for other, value in digests.items() if other != "sha256"}
    if found is None or _digest_entry(keys, others) is not None:
        raise _unknown("firmwares may differ about the entry of db that starts it", name)
    return found, ""


def _certificate(
    keys: FirmwareKeys, opened: Opened, digests: Mapping[str, bytes]
) -> Signature | None:
    """The first certificate of db that, as the only trusted one, makes a signature hold."""
    for kind, entry in keys.entries:
        if kind != esl.CERT_X509:
            continue
        try:
            certificate = parse_certificate(entry.data)
        except FormatError:
            continue
        alone = replace(
            keys.store, certificates=(TrustedCertificate(certificate, keys.source),), images=()
        )
        if judge_signature(opened, alone, _NOW).of(digests).holds:
            return entry
    return None


def _digest_entry(keys: FirmwareKeys, digests: Mapping[str, bytes]) -> Signature | None:
    for kind, entry in keys.entries:
        if digests.get(esl.IMAGE_DIGESTS.get(kind, "")) == entry.data:
            return entry
    return None


def _unknown(reason: str, file: str) -> UnsupportedError:
    return UnsupportedError(f"PCR {pcr7.PCR} cannot be known: {reason}", file=file)
