"""``sysgraft uki sign``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.resign import Target
from sysgraft.build.uki_sign import sign_executable
from sysgraft.cli.output import counted
from sysgraft.cli.signing import signing_pair
from sysgraft.errors import in_file
from sysgraft.formats.x509 import MAX_BUNDLE, load_certificates
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.formats.x509 import Certificate


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Sign one executable."""
    # Firmware takes the signer's certificate from the signature, so that it may not be left out.
    arguments.nocerts = False
    pair = signing_pair(arguments)
    if pair.key.kind == "ec":
        out.note("note: firmware that is built without elliptic curves takes no EC signatures")
    report = sign_executable(
        arguments.file,
        pair,
        target=Target(arguments.output, replace=arguments.force),
        drop_others=arguments.replace,
        chain=[each for path in arguments.add_certificate for each in _certificates(path)],
        progress=out.progress,
    )
    if out.json_wanted:
        payload = {
            "file": report.path,
            "digest": {
                "algorithm": report.digest.algorithm,
                "value": report.digest.value.hex(),
            },
            "size": report.size,
            "signatures": report.signatures,
            "kept": report.kept,
        }
        out.json("uki.sign", 1, payload)
        return 0
    out.text(f"{report.path}  ({counted(report.signatures, 'signature')})")
    out.table([(report.digest.algorithm, report.digest.value.hex())], indent=2)
    return 0


def _certificates(path: str) -> tuple[Certificate, ...]:
    with in_file(path):
        return load_certificates(read_small(path, MAX_BUNDLE, "certificate"))
