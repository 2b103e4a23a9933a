"""A TPM in software: swtpm, which keeps running when the machine ends, so that it can be asked.

QEMU and this process share one end of swtpm's control channel (an unnamed socket pair). While the
machine runs only QEMU speaks on it. Killing QEMU sends no shutdown; after that this process hands
swtpm a new data channel, reads the PCRs and ends it. The messages are those of swtpm's
``swtpm_ioctls.h``: a command's number and its data, big endian; the answer begins with a result.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, InputError, ToolError
from sysgraft.formats import tpm_commands
from sysgraft.host.background import background

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.host.background import Background
    from sysgraft.lab.report import Banks

PROGRAM: Final = "swtpm"

_INIT: Final = 2
_SHUTDOWN: Final = 3
_SET_DATA_CHANNEL: Final = 16
_U32: Final = struct.Struct(">I")
# Commands take milliseconds, making a key of the largest kind some seconds; the guest may have
# asked for one when it was ended.
_ANSWER_SECONDS: Final = 30.0
_END_SECONDS: Final = 5.0
_ATTEMPTS: Final = 50
_PAUSE: Final = 0.1


class Tpm:
    """A running TPM.

    Attributes:
        process: swtpm.
        machine_end: descriptor of the control channel for QEMU.
    """

    def __init__(self, process: Background, control: socket.socket) -> None:
        self.process = process
        self._control = control

    @property
    def machine_end(self) -> int:
        """Descriptor of the control channel, for QEMU to inherit."""
        return self._control.fileno()

    def power_on(self, state: str) -> None:
        """Have it read its state. QEMU does so once more, which changes nothing.

        Raises:
            ToolError: it did not start, or the state is in use or no TPM's.
        """
        self._control.settimeout(_ANSWER_SECONDS)
        try:
            result = self._command(_INIT, data=_U32.pack(0))
        except (OSError, FormatError) as error:
            self.process.wait(_END_SECONDS)
            raise self._failure(error) from error
        if result:
            raise ToolError(
                f"swtpm cannot use the TPM in this folder: {self.process.last_words()}",
                file=state,
                hint="another run may be using it",
            )

    def read_pcrs(self) -> Banks:
        """All PCRs of every bank; only when QEMU has ended.

        Raises:
            ToolError: swtpm does not answer, or not as a TPM does.
        """
        try:
            with self._data_channel() as channel:
                return _read_banks(channel)
        except (OSError, FormatError) as error:
            raise self._failure(error) from error

    @contextmanager
    def _data_channel(self) -> Iterator[socket.socket]:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            ours.settimeout(_ANSWER_SECONDS)
            yield ours

    def _hand_over(self, channel: socket.socket) -> None:
        """Give swtpm a data channel; it takes none before it has seen that QEMU's is gone."""
        self._control.settimeout(_ANSWER_SECONDS)
        self._forget_answers()
        for _ in range(_ATTEMPTS):
            if not self._command(_SET_DATA_CHANNEL, channel=channel):
                return
            time.sleep(_PAUSE)
        raise FormatError("it takes no new data channel")

    def _forget_answers(self) -> None:
        """What QEMU asked for and did not live to read."""
        waits = self._control.gettimeout()
        self._control.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._control.recv(tpm_commands.MAX_RESPONSE):
                pass
        self._control.settimeout(waits)

    def _command(
        self, number: int, *, data: bytes = b"", channel: socket.socket | None = None
    ) -> int:
        """The result of a control command; 0 is success."""
        descriptors = [] if channel is None else [channel.fileno()]
        socket.send_fds(self._control, [_U32.pack(number) + data], descriptors)
        return int(_U32.unpack(_receive(self._control, _U32.size))[0])

    def stop(self) -> None:
        """Have it write its state and end; one that does not is killed with its context."""
        with contextlib.suppress(OSError, FormatError):
            self._control.settimeout(_END_SECONDS)
            self._forget_answers()
            self._command(_SHUTDOWN)
        self.process.wait(_END_SECONDS)

    def _failure(self, error: Exception) -> ToolError:
        if self.process.status is not None:
            return self.process.failure()
        return ToolError(f"the TPM does not answer: {error}")


@contextmanager
def running_tpm(state: str, messages: str) -> Iterator[Tpm]:
    """A TPM as long as the context lasts.

    Args:
        state: the folder with its state; made if it is missing.
        messages: the file that gets what swtpm says.

    Raises:
        ToolError: swtpm is missing or does not start.
    """
    folder = os.path.abspath(state)  # swtpm goes to another folder before it looks
    if "," in folder:
        raise InputError("swtpm takes no folder with a comma in its path", file=state)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(f"no folder for the TPM: {error.strerror}", file=state) from error
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [PROGRAM, "socket", "--tpm2", "--tpmstate", f"dir={folder}"]
        argv += ["--ctrl", f"type=unixio,clientfd={theirs.fileno()}"]
        with background(argv, messages=messages, keep=[theirs.fileno()]) as process:
            theirs.close()
            tpm = Tpm(process, ours)
            try:
                tpm.power_on(state)
                yield tpm
            finally:
                tpm.stop()


def _read_banks(channel: socket.socket) -> Banks:
    banks = tpm_commands.read_banks(_ask(channel, tpm_commands.ask_banks()))
    return {
        tpm_commands.bank_name(algorithm): _read_bank(channel, algorithm, pcrs)
        for algorithm, pcrs in sorted(banks.items())
    }


def _read_bank(channel: socket.socket, algorithm: int, pcrs: tuple[int, ...]) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    for start in range(0, len(pcrs), tpm_commands.PCRS_AT_ONCE):
        some = pcrs[start : start + tpm_commands.PCRS_AT_ONCE]
        values |= tpm_commands.read_pcrs(
            _ask(channel, tpm_commands.ask_pcrs(algorithm, some)), algorithm
        )
    return values


def _ask(channel: socket.socket, command: bytes) -> bytes:
    channel.sendall(command)
    head = _receive(channel, 10)
    return head + _receive(channel, tpm_commands.response_size(head) - len(head))


def _receive(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = channel.recv(size - len(data))
        if not piece:
            raise FormatError("it closed the channel")
        data += piece
    return data
