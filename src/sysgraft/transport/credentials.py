"""Who one is for a registry: where container tools keep that.

Looked at, the first that has something: ``$REGISTRY_AUTH_FILE``, ``$DOCKER_CONFIG/config.json``,
``~/.docker/config.json``, Podman's ``auth.json`` in ``$XDG_RUNTIME_DIR/containers`` and
``~/.config/containers``. A helper that a file names (``docker-credential-…``) is asked.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, ToolError, in_file
from sysgraft.formats.docker_config import (
    HUB_KEY,
    MAX_SIZE,
    Credentials,
    parse_docker_config,
    parse_helper_answer,
)
from sysgraft.formats.image_reference import DOCKER_HUB
from sysgraft.host.run import run
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.formats.image_reference import ImageReference

_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS: Final = 30.0


def find_credentials(
    reference: ImageReference, environment: Mapping[str, str] = os.environ
) -> Credentials | None:
    """What is known for the registry of `reference`; None for nothing.

    Raises:
        InputError: a file that is there cannot be read.
        FormatError: its content makes no sense.
        ToolError: the helper it names is missing or failed.
    """
    for path in _files(environment):
        if not os.path.exists(path):
            continue
        with in_file(path):
            found = _in_file(read_small(path, MAX_SIZE, "file of credentials"), reference)
        if found is not None:
            return found
    return None


def _files(environment: Mapping[str, str]) -> Iterator[str]:
    home = environment.get("HOME", "")
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield named
    if folder := environment.get("DOCKER_CONFIG") or (home and f"{home}/.docker"):
        yield f"{folder}/config.json"
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield f"{runtime}/containers/auth.json"
    if folder := environment.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        yield f"{folder}/containers/auth.json"


def _in_file(data: bytes, reference: ImageReference) -> Credentials | None:
    config = parse_docker_config(data)
    host = reference.host
    helper = config.helper(host)
    if helper:
        kept = _ask_helper(helper, HUB_KEY if host == DOCKER_HUB else host)
        if kept is not None:
            return kept
    return config.credentials(host, reference.path)


def _ask_helper(name: str, server: str) -> Credentials | None:
    """What a helper has for `server`; it fails where it has nothing."""
    if not _HELPER.fullmatch(name):
        raise FormatError(f"not the name of a credential helper: {name[:60]!r}")
    program = f"docker-credential-{name}"
    done = run([program, "get"], stdin=server.encode(), timeout=_HELPER_SECONDS, check=False)
    if done.returncode == 0:
        return parse_helper_answer(done.stdout)
    if b"credentials not found" in done.stdout.lower():
        return None
    raise ToolError(
        f"{program} failed for {server}", hint="log in again, or remove it from the file"
    )
