"""A software TPM that went through a boot: swtpm, with an event log replayed into it."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sysgraft.formats import eventlog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sysgraft.formats.eventlog import Algorithm, Log
    from sysgraft.measure.events import Event

# TPM 2.0 Library Part 2: TPM_ST_SESSIONS, TPM_CC_PCR_Extend; a session with an empty password.
_SESSIONS: Final = 0x8002
_PCR_EXTEND: Final = 0x182
_PASSWORD: Final = struct.pack(">IHBH", 0x4000_0009, 0, 0, 0)
_HEAD: Final = struct.Struct(">HII")
_STARTED: Final = 30.0

# TCG_EfiSpecIDEvent: no platform class, version 2.0, errata 0, UINTN of 64 bits.
_SPEC_ID: Final = b"Spec ID Event03\0" + struct.pack("<I4B", 0, 0, 2, 0, 2)
ALGORITHMS: Final = tuple(
    eventlog.Algorithm(number, size) for number, size in ((4, 20), (11, 32), (12, 48), (13, 64))
)


def make_log(events: Iterable[Event], algorithms: tuple[Algorithm, ...] = ALGORITHMS) -> Log:
    """A log as firmware keeps it of these events, which have digests of all algorithms."""
    listed = b"".join(struct.pack("<HH", each.identifier, each.size) for each in algorithms)
    data = _SPEC_ID + struct.pack("<I", len(algorithms)) + listed + b"\0"
    header = eventlog.Event(0, eventlog.EV_NO_ACTION, {"sha1": bytes(20)}, data)
    rest = (eventlog.Event(each.pcr, each.type, each.digests, each.data) for each in events)
    return eventlog.Log(algorithms, (header, *rest), 0, is_crypto_agile=True)


@contextmanager
def replayed(folder: Path, *logs: Log) -> Iterator[Path]:
    """A TPM extended with what these logs say; gives its socket, ``tpm`` in the folder."""
    state = folder / "state"
    state.mkdir()
    place = folder / "tpm"
    argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    argv += ["--server", f"type=unixio,path={place}", "--ctrl", f"type=unixio,path={place}.ctrl"]
    argv += ["--flags", "not-need-init,startup-clear"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE)
    try:
        with _connected(place, process) as connection:
            for log in logs:
                _extend(connection, log)
        yield place
    finally:
        process.terminate()
        process.communicate()


def _connected(place: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    """A connection, as soon as there can be one."""
    end = time.monotonic() + _STARTED
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(place))
        except OSError:
            # There is no socket yet, or one that nobody listens at.
            connection.close()
        else:
            return connection
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "swtpm does not start"
        time.sleep(0.01)


def _extend(connection: socket.socket, log: Log) -> None:
    numbers = {each.name: each.identifier for each in log.algorithms}
    for event in filter(lambda each: each.is_measured, log.events):
        digests = [struct.pack(">H", numbers[bank]) + each for bank, each in event.digests.items()]
        body = struct.pack(">I", len(digests)) + b"".join(digests)
        command = struct.pack(">II", event.pcr, len(_PASSWORD)) + _PASSWORD + body
        connection.sendall(_HEAD.pack(_SESSIONS, _HEAD.size + len(command), _PCR_EXTEND) + command)
        answer = connection.recv(4096)
        assert answer[6:10] == bytes(4), answer.hex()
