"""``sysgraft ext verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base import arch, systemd
from sysgraft.cli.verdict import checks_json, show, signer_json
from sysgraft.errors import InputError, in_file
from sysgraft.formats import os_release
from sysgraft.host.small import read_small
from sysgraft.image.checks import ON_REQUEST
from sysgraft.image.verify import Verification, VerifyOptions, verify_image
from sysgraft.sign.verify import files as trust_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from sysgraft.cli.output import Output
    from sysgraft.sign.verify.trust import TrustStore


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Verify images; 0 if all of them are good."""
    options = verify_options(arguments)
    results, errors = [], []
    for file in arguments.files:
        try:
            result = verify_image(file, options, progress=out.progress)
        except InputError as error:
            # One unreadable file must not hide what there is to say of the others.
            errors.append(error)
            out.note(f"error: {error}")
            continue
        results.append(result)
        if not out.json_wanted:
            show(result.file, result.checks, result.notes, out, on_request=ON_REQUEST)
    good = not errors and all(result.ok for result in results)
    if out.json_wanted:
        out.json("ext.verify", 1, _document(good, results, errors))
    return 2 if errors else 0 if good else 1


def _document(
    good: bool,  # noqa: FBT001  the first field of what it makes
    results: Sequence[Verification],
    errors: Sequence[InputError],
) -> dict[str, object]:
    return {
        "ok": good,
        "images": [as_json(result) for result in results],
        "errors": [{"file": error.file, "message": error.message} for error in errors],
    }


def verify_options(arguments: argparse.Namespace) -> VerifyOptions:
    """The library's options for a command line."""
    systemd.check_release(arguments.systemd_version)
    return VerifyOptions(
        trust=_trust(arguments),
        image_policy=arguments.image_policy,
        systemd_version=arguments.systemd_version,
        os_release=_os_release(arguments.os_release),
        architecture=arch.normalize(arguments.arch) if arguments.arch else None,
        allow_skip=frozenset(arguments.allow_skip),
    )


def _trust(arguments: argparse.Namespace) -> TrustStore:
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


def _os_release(path: str | None) -> dict[str, str] | None:
    if path is None:
        return None
    with in_file(path):
        return os_release.parse(read_small(path, os_release.MAX_SIZE, "os-release file"))


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
