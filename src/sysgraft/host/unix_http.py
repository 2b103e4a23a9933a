"""HTTP over a Unix socket, as container daemons speak it."""

from __future__ import annotations

import http.client
import os
import socket
import stat


class UnixConnection(http.client.HTTPConnection):
    """A connection to a daemon of this machine.

    Args:
        path: of its socket.
        seconds: how long it may say nothing.
    """

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect; ``OSError`` if nobody listens."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def is_socket(path: str) -> bool:
    """Whether there is a socket at `path`."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
