"""systemd-pcrlock of the Debian sid folder, with a software TPM and logs of a boot."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from replay_tpm import replayed
from sysgraft.formats import eventlog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from conftest import DebianSid
    from sysgraft.formats.eventlog import Log

PROGRAM: Final = "/usr/lib/systemd/systemd-pcrlock"
SHIPPED: Final = "usr/lib/pcrlock.d"
FIRMWARE: Final = ("350-", "400-", "500-", "700-")
"""What components of systemd that are about firmware begin with."""


@dataclass(frozen=True, slots=True)
class Values:
    """What systemd-pcrlock predicts.

    Attributes:
        pcrs: values in SHA-256 by PCR; one that was dropped is not there.
        messages: what it said.
    """

    pcrs: dict[int, set[str]]
    messages: str


def shipped_components(debian_sid: DebianSid, folder: Path, *, prefixes: Iterable[str]) -> Path:
    """A folder with those of systemd's own components whose names begin so."""
    folder.mkdir()
    for each in (debian_sid.root / SHIPPED).iterdir():
        if each.name.startswith(tuple(prefixes)):
            (shutil.copytree if each.is_dir() else shutil.copy)(each, folder / each.name)
    return folder


def predict(
    debian_sid: DebianSid,
    work: Path,
    log: Log,
    components: Iterable[Path],
    *,
    pcrs: str = "4+11+12+13",
    userspace: Log | None = None,
    userspace_log: bytes = b"",
) -> Values:
    """``systemd-pcrlock predict`` after a boot with this log.

    Args:
        debian_sid: has the program.
        work: a new folder for everything.
        log: the firmware's.
        components: folders with them.
        pcrs: which are wanted.
        userspace: what the running system extended.
        userspace_log: the log of that.
    """
    work.mkdir()
    (work / "log").write_bytes(eventlog.serialise(log))
    (work / "userspace").write_bytes(userspace_log)
    folders = {folder: f"/mnt/components-{number}" for number, folder in enumerate(components)}
    with replayed(work, log, *([userspace] if userspace else [])):
        done = debian_sid.run(
            [PROGRAM, "predict", f"--pcr={pcrs}", "--json=short"]
            + [f"--components={place}" for place in folders.values()],
            binds={work: "/mnt/work", **folders},
            env={
                "SYSTEMD_TPM2_DEVICE": "swtpm:path=/mnt/work/tpm",
                "SYSTEMD_MEASURE_LOG_FIRMWARE": "/mnt/work/log",
                "SYSTEMD_MEASURE_LOG_USERSPACE": "/mnt/work/userspace",
            },
        )
    found = json.loads(done.stdout).get("sha256", [])
    return Values({each["pcr"]: set(each["values"]) for each in found}, done.stderr)
