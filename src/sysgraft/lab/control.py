"""QEMU's control channel: what happens to the machine, as QMP tells it.

QMP is JSON, one object a line (QEMU docs/interop/qmp-spec.txt): a greeting, answers, and events.
Few commands are needed: one turns events on, two start a machine anew that asked for it.
"""

from __future__ import annotations

import json
import select
from typing import TYPE_CHECKING, Any, Final

from sysgraft.errors import ToolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

_MAX_LINE: Final = 1 << 20
_CHUNK: Final = 64 << 10


class Control:
    """The channel, from this end.

    Attributes:
        is_open: whether QEMU still holds the other end.
        version: QEMU's, once it has greeted.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._pending = b""
        self.is_open = True
        self.version = ""

    def events(self, seconds: float) -> list[dict[str, Any]]:
        """The events of the next while; at once when some are there.

        Args:
            seconds: how long to wait for the first one.

        Raises:
            ToolError: what comes is not QMP.
        """
        ready, _, _ = select.select([self._channel], [], [], seconds)
        if ready:
            self._receive()
        messages = list(self._messages())
        for message in messages:
            if "QMP" in message:
                self._greet(message["QMP"])
        return [message for message in messages if "event" in message]

    def _receive(self) -> None:
        try:
            data = self._channel.recv(_CHUNK)
        except ConnectionError:
            data = b""
        self.is_open = bool(data)
        self._pending += data
        if len(self._pending) > _MAX_LINE:
            raise ToolError("QEMU sends too much over its control channel")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while b"\n" in self._pending:
            line, _, self._pending = self._pending.partition(b"\n")
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict):
                raise ToolError("QEMU's control channel does not speak QMP")
            yield message

    def _greet(self, greeting: dict[str, Any]) -> None:
        number = greeting.get("version", {}).get("qemu", {})
        parts = (number.get(key, 0) for key in ("major", "minor", "micro"))
        self.version = ".".join(map(str, parts))
        self._send("qmp_capabilities")

    def restart(self) -> None:
        """Start the machine anew that stands still because it asked for that."""
        # Where a guest's wish for a restart is to stop the machine, ours would do so too.
        self._send("set-action", reboot="reset")
        self._send("system_reset")
        self._send("set-action", reboot="shutdown")
        self._send("cont")

    def _send(self, command: str, **arguments: str) -> None:
        message = {"execute": command, "arguments": arguments}
        self._channel.sendall(json.dumps(message).encode() + b"\n")
