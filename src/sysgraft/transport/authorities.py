"""The system's certificate authorities, where OpenSSL does not know their place.

OpenSSL looks where it was built to look. An interpreter that was brought to another distribution,
as the bundle for nodes is, finds nothing there. Which authorities there are is the system's matter.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

# As Go has them (crypto/x509, root_linux.go): Debian, Fedora, openSUSE, OpenELEC, RHEL, Alpine.
_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def default_context() -> ssl.SSLContext:
    """What checks servers' certificates with the system's authorities.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` count, as everywhere; other places are looked at only if
    they are not set and there is nothing where OpenSSL looks.
    """
    context = ssl.create_default_context()
    places = ssl.get_default_verify_paths()
    named = {places.openssl_cafile_env, places.openssl_capath_env} & os.environ.keys()
    if not (named or places.cafile or places.capath):
        for path in filter(os.path.isfile, _FILES):
            context.load_verify_locations(cafile=path)
            break
    return context
