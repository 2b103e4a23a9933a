"""What a running machine says of itself, as far as binding a volume to it needs that.

All of it is in files: the kernel's event log and PCRs, systemd's log, the signatures that this boot
collected, the extensions that are in use. Elsewhere, as in tests, other files stand for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.formats.eventlog_events import decode_text
from sysgraft.host.block import devices_below
from sysgraft.seal.log_files import read_log, read_userspace_log, read_values
from sysgraft.seal.replay import replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.eventlog import Log
    from sysgraft.formats.tpm_userspace_log import Record
    from sysgraft.seal.replay import Replay

EVENT_LOG: Final = "sys/kernel/security/tpm0/binary_bios_measurements"
PCRS: Final = "sys/class/tpm/tpm0"
USERSPACE_LOG: Final = "run/log/systemd/tpm2-measure.log"
SIGNATURES: Final = "run/systemd/tpm2-pcr-signature.json"
PUBLIC_KEY: Final = "run/systemd/tpm2-pcr-public-key.pem"
_EXTENSIONS: Final = (
    ("etc/extensions", "sysext"),
    ("run/extensions", "sysext"),
    ("var/lib/extensions", "sysext"),
    ("run/confexts", "confext"),
    ("var/lib/confexts", "confext"),
    ("usr/local/lib/confexts", "confext"),
    ("usr/lib/confexts", "confext"),
)
"""Where systemd looks for extensions (systemd-sysext(8)); not what came through the stub."""
_FROM_STUB: Final = "/.extra/"
"""Below this the stub puts what it has measured."""
_MAX_EXTENSIONS: Final = 1024


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that is in use, or will be.

    Attributes:
        path: where systemd finds it.
        kind: ``sysext`` or ``confext``.
        is_measured: whether it came through the stub.
        devices: what it lies on, as numbers of block devices.
    """

    path: str
    kind: str
    is_measured: bool
    devices: frozenset[str]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine.

    Attributes:
        root: where its files are.
        log: the firmware's event log.
        records: systemd's log.
        replay: what both lead to, held to the TPM's values.
        extensions: all that systemd finds outside an initrd.
    """

    root: str
    log: Log
    records: tuple[Record, ...]
    replay: Replay
    extensions: tuple[Extension, ...]

    def path(self, name: str) -> str:
        """One of its files."""
        return os.path.join(self.root, name)

    def measured_archives(self, pcr: int) -> tuple[str, ...]:
        """What the event log says was packed and measured into a PCR."""
        texts = (decode_text(event.data) or "" for event in self.log.events if event.pcr == pcr)
        return tuple(text for text in texts if text.endswith(" initrd"))


def read_machine(
    root: str = "/", *, log: str = "", userspace_log: str = "", values: str = ""
) -> Machine:
    """Read what a machine says of itself.

    Args:
        root: where its files are.
        log: another place of the event log.
        userspace_log: another place of systemd's log.
        values: another place of the PCRs.

    Raises:
        InputError: there is no event log, or no PCRs.
    """
    events = read_log(log or os.path.join(root, EVENT_LOG))
    place = userspace_log or os.path.join(root, USERSPACE_LOG)
    records = read_userspace_log(place) if userspace_log or os.path.exists(place) else ()
    tpm = read_values(values or os.path.join(root, PCRS))
    replayed = replay(
        events, records, tpm, banks=tuple(bank for bank in events.banks if bank in tpm)
    )
    return Machine(root, events, records, replayed, tuple(_extensions(root)))


def _extensions(root: str) -> Iterator[Extension]:
    count = 0
    for folder, kind in _EXTENSIONS:
        place = os.path.join(root, folder)
        names = sorted(os.listdir(place)) if os.path.isdir(place) else []
        for name in names:
            path = os.path.join(place, name)
            count += 1
            if name.startswith(".") or count > _MAX_EXTENSIONS:
                continue
            real = os.path.realpath(path)
            measured = os.path.join(root, _FROM_STUB.strip("/"), "")
            yield Extension(
                path, kind, real.startswith((measured, _FROM_STUB)), devices_below(real)
            )
