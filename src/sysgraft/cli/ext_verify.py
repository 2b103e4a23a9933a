"""``sysgraft ext verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base import arch, systemd
from sysgraft.cli.host_release import host_release
from sysgraft.cli.verdict import checks_json, signer_json, verify_each
from sysgraft.image.checks import ON_REQUEST
from sysgraft.image.verify import VerifyOptions, verify_image
from sysgraft.sign.verify import files as trust_files

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.image.verify import Verification
    from sysgraft.sign.verify.trust import TrustStore


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Verify images; 0 if all of them are good."""
    options = verify_options(arguments)
    return verify_each(
        arguments.files,
        lambda file: verify_image(file, options, progress=out.progress),
        as_json,
        out,
        schema="ext.verify",
        on_request=ON_REQUEST,
    )


def verify_options(arguments: argparse.Namespace) -> VerifyOptions:
    """The library's options for a command line."""
    systemd.check_release(arguments.systemd_version)
    return VerifyOptions(
        trust=trust_store(arguments),
        image_policy=arguments.image_policy,
        systemd_version=arguments.systemd_version,
        os_release=host_release(arguments.os_release),
        architecture=arch.normalize(arguments.arch) if arguments.arch else None,
        allow_skip=frozenset(arguments.allow_skip),
    )


def trust_store(arguments: argparse.Namespace) -> TrustStore:
    """What the options for certificates and revocations name."""
    store = trust_files.empty()
    for path in arguments.certificate:
        store |= trust_files.certificate(path)
    for folder in arguments.cert_dir:
        store |= trust_files.folder(folder)
    for path in arguments.esl:
        store |= trust_files.signature_lists(path)
    if arguments.dbx:
        store |= trust_files.dbx(arguments.dbx)
    if arguments.efivars:
        store |= trust_files.efivars(arguments.efivars)
    return store


def as_json(result: Verification) -> dict[str, object]:
    """One image's part of ``sysgraft.ext.verify/1``."""
    return {
        "file": result.file,
        "ok": result.ok,
        "type": str(result.kind) if result.kind else None,
        "architecture": result.architecture,
        "rootHash": result.root_hash.hex() if result.root_hash else None,
        "signer": signer_json(result.signer),
        "checks": checks_json(result.checks),
        "notes": list(result.notes),
    }
