"""Connections: which proxy, which certificates, and whether plain HTTP is good enough.

As curl and the container tools do, proxies are taken from the environment, and hosts on this
machine never go through one.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from sysgraft.base.text import one_line
from sysgraft.errors import TransferError
from sysgraft.transport.authorities import default_context

if TYPE_CHECKING:
    from collections.abc import Collection
    from urllib.parse import SplitResult

CONNECT_SECONDS: Final = 15.0
"""How long a connection may take to be made."""

SILENCE_SECONDS: Final = 60.0
"""How long a server may say nothing."""

_PORTS: Final = {"http": 80, "https": 443}


class Pools:
    """Gives the pool of connections for an address.

    Args:
        insecure: ``HOST`` or ``HOST:PORT`` that may speak plain HTTP or show any certificate.
        plain: whether every host may speak plain HTTP.
    """

    def __init__(self, insecure: Collection[str], *, plain: bool = False) -> None:
        self._plain = plain
        self._insecure = frozenset(name.lower() for name in insecure)
        self._pools: dict[tuple[str, bool], urllib3.PoolManager] = {}

    def is_insecure(self, host: str) -> bool:
        """Whether `host`, with or without its port, was named as insecure."""
        return host.lower() in self._insecure or _without_port(host.lower()) in self._insecure

    def for_url(self, url: str) -> urllib3.PoolManager:
        """The pool for an address.

        Raises:
            TransferError: it is neither HTTPS nor plain HTTP to a host that may speak that, or
                the proxy's address makes no sense.
        """
        parts = split_address(url)
        host = host_and_port(parts)
        insecure = self.is_insecure(host)
        if parts.scheme != "https" and not (parts.scheme == "http" and (insecure or self._plain)):
            shown = one_line(f"{parts.scheme}://{host}"[:100])
            raise TransferError(f"{shown} is not secure", file=host, hint=_INSECURE_HINT)
        key = (_proxy(parts.scheme, parts), insecure)
        if key not in self._pools:
            self._pools[key] = _make(*key)
        return self._pools[key]


_INSECURE_HINT: Final = "if that is all right, name it: --insecure-registry HOST:PORT"


# What every program takes apart alike: no user, no backslash, no space, nothing but ASCII.
_ADDRESS: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?(?:[/?#][!-\[\]-~]*)?"
)


def split_address(url: str) -> SplitResult:
    """The parts of an address that may come from anywhere.

    Raises:
        TransferError: it is none.
    """
    try:
        parts = urlsplit(url) if _ADDRESS.fullmatch(url) else None
    except ValueError:
        parts = None
    if parts is None:
        raise TransferError(f"not an address: {public_address(url)}")
    return parts


def public_address(url: str) -> str:
    """`url` for a message: without name and password, query and fragment, which may be secrets.

    Of what is no address, hardly anything is left where it cannot be told which part is which.
    """
    head = re.split(r"[?#]", url, maxsplit=1)[0]
    if "@" in url[len(head) :] and not _ADDRESS.fullmatch(url):
        scheme, slashes, _ = head.partition("//")
        head = f"{scheme}//…" if slashes else "…"
    return one_line(head.rpartition("@")[2][:100])


def host_and_port(parts: SplitResult) -> str:
    """``HOST`` or ``HOST:PORT`` of an address, without the scheme's own port.

    Raises:
        TransferError: it has no host, or a port that is none.
    """
    try:
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host = None, None
    if not host:
        raise TransferError(f"an address without a host: {public_address(parts.geturl())}")
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _PORTS.get(parts.scheme)) else f"{host}:{port}"


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


def _proxy(scheme: str, parts: SplitResult) -> str:
    host = parts.hostname or ""
    with_port = f"{host}:{parts.port or _PORTS.get(scheme)}"
    if is_loopback(host) or proxy_bypass(host) or proxy_bypass(with_port):
        return ""
    proxy = getproxies().get(scheme, "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _make(proxy: str, insecure: bool) -> urllib3.PoolManager:  # noqa: FBT001 - a cache's key
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENCE_SECONDS)
    context = default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if not proxy:
        return urllib3.PoolManager(ssl_context=context, timeout=timeout)
    try:
        return urllib3.ProxyManager(
            proxy, ssl_context=context, timeout=timeout, proxy_headers=_login(proxy)
        )
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise TransferError("the proxy's address in the environment makes no sense") from error


def _login(proxy: str) -> dict[str, str]:
    """The header that shows a proxy who we are, where its address has a name and a password."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return urllib3.make_headers(proxy_basic_auth=pair)
