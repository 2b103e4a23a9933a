"""Whom a node trusts: the firmware's keys, certificates of the system, certificates it is told.

Which of the sources count is configured; leaving the firmware out makes the own certificate the
only one, so that replacing it invalidates every extension signed before. What counts and is not
revoked is handed to systemd in ``/run/verity.d``, which knows no revocation itself.
"""

from __future__ import annotations

import base64
import os
import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import SysgraftError
from sysgraft.formats.efivar import IMAGE_SECURITY_DATABASE
from sysgraft.formats.x509 import MAX_BUNDLE
from sysgraft.host.files import cannot_write
from sysgraft.host.folders import names_in, read_folder
from sysgraft.host.output import atomic_output
from sysgraft.host.places import (
    below,
    is_plain_folder,
    make_plain_folder,
    remove_link,
    unlink_if_there,
)
from sysgraft.host.small import read_small
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.x509 import Certificate
    from sysgraft.node.node import Node

FIRMWARE: Final = "firmware"
SYSTEM: Final = "usr"
CONFIG: Final = "config"
VENDOR: Final = "/usr/lib/verity.d"
"""Certificates that are part of the system; ``/etc`` and ``/usr/local`` are not."""
EXPORTED: Final = "/run/verity.d"
"""Where systemd looks for certificates that are gone with this boot."""
_PREFIX: Final = "sysgraft-"


class Trusted(NamedTuple):
    """A certificate that counts.

    Attributes:
        certificate: as it is.
        source: where the trust in it comes from.
    """

    certificate: Certificate
    source: str


def node_trust(node: Node) -> TrustStore:
    """Whom the node trusts, with what is revoked.

    A source that cannot be read adds nobody, and a note. Where it cannot be told what is revoked,
    nobody is trusted: a revocation that does not count is none.
    """
    try:
        store = _revocations(node)
    except SysgraftError as error:
        note = f"nobody is trusted, since nobody can tell what is revoked: {error}"
        return TrustStore(notes=(note,))
    for source in node.settings.sources:
        try:
            store |= _SOURCES[source](node)
        except SysgraftError as error:
            store |= TrustStore(notes=(f"nobody is trusted by {source}: {error}",))
    return store


def _revocations(node: Node) -> TrustStore:
    """What the firmware has revoked; it counts also where its keys do not."""
    found = node.variables and node.variables.read("dbx", IMAGE_SECURITY_DATABASE)
    return trust.from_dbx(found.data, "dbx of the firmware") if found else TrustStore()


def _firmware(node: Node) -> TrustStore:
    if node.variables is None:
        return TrustStore(notes=("there are no EFI variables: firmware trusts nobody here",))
    return trust.from_efivars(node.variables)


def _system(node: Node) -> TrustStore:
    """Certificates of the system; a link among them may lead to what anybody can write."""
    folder = below(node.root, VENDOR)
    if not is_plain_folder(node.root, folder):
        return TrustStore()
    found: dict[str, bytes] = {}
    notes: list[str] = []
    for name in sorted(names_in(folder)):
        path = os.path.join(folder, name)
        if os.path.islink(path):
            notes.append(f"{path}: not trusted: it is a symbolic link")
        elif name.endswith(".crt"):
            found[name] = read_small(path, MAX_BUNDLE, "certificate", follow=False)
    return trust.from_folder(found, folder) | TrustStore(notes=tuple(notes))


def _config(node: Node) -> TrustStore:
    store = TrustStore()
    origin = node.settings.origins.get("certificates", "the configuration")
    for text in node.settings.certificates:
        if text.startswith("/"):
            path = below(node.root, text)
            is_plain_folder(node.root, os.path.dirname(path))
            store |= trust.from_certificates(
                read_small(path, MAX_BUNDLE, "certificate", follow=False), path
            )
        else:
            store |= trust.from_certificates(text.encode(), origin)
    return store


_SOURCES: Final = {FIRMWARE: _firmware, SYSTEM: _system, CONFIG: _config}


def trusted(store: TrustStore) -> tuple[Trusted, ...]:
    """The certificates that count: each once, none that is revoked."""
    found: dict[bytes, Trusted] = {}
    everyone = [each.certificate for each in store.certificates]
    for each in store.certificates:
        revoked = store.revocations and store.revocations.is_revoked(each.certificate, everyone)
        if not revoked:
            found.setdefault(each.certificate.der, Trusted(each.certificate, each.source))
    return tuple(found.values())


_VERITY_D: Final = ("/etc/verity.d", "/run/verity.d", "/usr/local/lib/verity.d", VENDOR)
"""Where systemd looks for certificates."""


def systemd_trust(node: Node, exported: Sequence[Trusted]) -> TrustStore:
    """Whom systemd itself trusts: what it is handed, and what lies in its folders.

    The kernel's own keys may come on top, and are not known here.
    """
    store = TrustStore(
        tuple(trust.TrustedCertificate(each.certificate, each.source) for each in exported)
    )
    for place in _VERITY_D:
        folder = below(node.root, place)
        if os.path.isdir(folder):
            found = read_folder(folder, suffix=".crt", limit=MAX_BUNDLE, what="certificate")
            store |= trust.from_folder(found, folder)
    known = {each.certificate.der: each for each in reversed(store.certificates)}
    return TrustStore(tuple(known.values()))


def export(certificates: tuple[Trusted, ...], root: str) -> tuple[str, ...]:
    """Have systemd trust these certificates, and none that were exported before.

    Returns:
        The files.

    Raises:
        OutputError: they cannot be written.
    """
    folder = below(root, EXPORTED)
    make_plain_folder(root, folder)
    wanted = {
        f"{_PREFIX}{each.certificate.fingerprint.hex()[:32]}.crt": each for each in certificates
    }
    for name in _names(folder):
        if name.startswith(_PREFIX) and name not in wanted:
            unlink_if_there(os.path.join(folder, name))
    for name, each in wanted.items():
        remove_link(os.path.join(folder, name))
        with atomic_output(os.path.join(folder, name), replace=True) as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(pem(each.certificate))
    return tuple(os.path.join(folder, name) for name in wanted)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise cannot_write(error, folder) from error


def pem(certificate: Certificate) -> bytes:
    """A certificate in PEM (RFC 7468)."""
    lines = textwrap.wrap(base64.b64encode(certificate.der).decode("ascii"), 64)
    text = ["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]
    return "\n".join(text).encode("ascii")
