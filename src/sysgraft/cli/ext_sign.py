"""``sysgraft ext sign``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.build.resign import ResignReport, Target, join_signature, sign_image
from sysgraft.cli.signing import signing_pair
from sysgraft.errors import UsageError
from sysgraft.host.small import read_small
from sysgraft.sign.join import joined_partition
from sysgraft.sign.pair import load_certificate_file

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output

# What systemd-repart takes for --join-signature: the size of the partition it goes into.
_SIGNATURE_MAX: Final = 16384


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Sign one image."""
    target = Target(arguments.output, replace=arguments.force)
    if arguments.join_signature:
        report = _join(arguments, target, out)
    else:
        pair = signing_pair(arguments)
        report = sign_image(arguments.file, pair, target=target, progress=out.progress)
    show(report, "ext.sign", out)
    return 0


def _join(arguments: argparse.Namespace, target: Target, out: Output) -> ResignReport:
    if arguments.private_key or not arguments.certificate:
        raise UsageError("--join-signature goes with --certificate and without --private-key")
    pkcs7 = read_small(arguments.join_signature, _SIGNATURE_MAX, "PKCS#7 signature")
    certificate = load_certificate_file(arguments.certificate)
    return join_signature(
        arguments.file,
        lambda root_hash: joined_partition(pkcs7, root_hash, certificate),
        target=target,
        progress=out.progress,
    )


def show(report: ResignReport, schema: str, out: Output) -> None:
    """Say what was written; `ext unsign` says the same."""
    if out.json_wanted:
        payload = {
            "file": report.path,
            "rootHash": report.root_hash.hex(),
            "size": report.size,
            "signed": report.signed,
        }
        out.json(schema, 1, payload)
        return
    out.text(f"{report.path}  ({'signed' if report.signed else 'unsigned'})")
    out.table([("root hash", report.root_hash.hex())], indent=2)
