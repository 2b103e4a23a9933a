"""The options of ``sysgraft pcr replay`` and ``sysgraft pcr explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value
from sysgraft.cli.pcr_options import BOOT

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

_LOG: Final[Options] = [
    (
        ("log",),
        {
            "metavar": "LOG",
            "help": "the firmware's event log, "
            "as in /sys/kernel/security/tpm0/binary_bios_measurements",
        },
    ),
    (
        ("--userspace-log",),
        value("FILE", "systemd's log, as in /run/log/systemd/tpm2-measure.log"),
    ),
]
_TPM: Final[Options] = [
    (
        ("--values",),
        value(
            "FILE|DIR",
            "what the TPM holds: a folder like /sys/class/tpm/tpm0, or JSON, as of lab run",
            dest="tpm",
        ),
    ),
]
_CEL: Final[Options] = [
    (
        ("--cel",),
        switch("both logs as one canonical event log in JSON on stdout, instead of all else"),
    ),
    *JSON,
]

REPLAY_EXAMPLE: Final = """\
Which values the event logs of a machine lead to. With --values these are held to the values of the
TPM: exit code 1 if the logs do not lead there, or if the values lack a PCR that the logs tell of.

examples:
  sysgraft pcr replay /sys/kernel/security/tpm0/binary_bios_measurements \\
      --values /sys/class/tpm/tpm0
  sysgraft pcr replay event-log.bin --events --bank sha256
  sysgraft pcr replay event-log.bin --userspace-log tpm2-measure.log --cel
"""
REPLAY: Final[Options] = [
    *_LOG,
    *_TPM,
    (
        ("--bank",),
        several("BANK", "which banks (default: all that the log has)", dest="banks"),
    ),
    (("--events",), switch("list what was measured, in order")),
    *_CEL,
]

EXPLAIN_EXAMPLE: Final = """\
Which measurement of a boot is not as approved, and which file made it so. Approved is what
sysgraft pcr predict --json told (--approved), else the files as they are now (--uki and --extra, or
--esp and --entry). Which file changed an archive's digest is found if its content is at hand: among
the files as they are now, or those of --known. With --values nothing is ok that the TPM does not
confirm in the bank that was compared.

examples:
  sysgraft pcr explain event-log.bin --approved approved.json --esp /efi --entry active
  sysgraft pcr explain event-log.bin --uki linux.efi --extra linux.efi.extra.d --known old/
  sysgraft pcr explain event-log.bin --approved approved.json --values /sys/class/tpm/tpm0
"""
EXPLAIN: Final[Options] = [
    *_LOG,
    *_TPM,
    (
        ("--approved",),
        several("FILE", "what was approved: a document of sysgraft pcr predict --json"),
    ),
    (
        ("--known",),
        several("FILE|DIR", "files that may have been there, such as other versions"),
    ),
    *BOOT,
    (
        ("--pcr",),
        several("N", "which PCRs, also as 11+13 (default: 4, 11, 12, 13)", dest="pcrs"),
    ),
    (("--bank",), value("BANK", "sha1, sha256, sha384, sha512 (default: sha256)")),
    *_CEL,
]
