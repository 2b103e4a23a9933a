"""``catalog:NAME[@VERSION]``: an extension that a catalog names, fetched by its digest.

The catalogs are asked in the order they are given; the first that has the name counts, as for
Kairos' agent. They come from a file or over HTTPS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base import arch
from sysgraft.base.text import one_line
from sysgraft.build.sources.registry import open_registry_image
from sysgraft.errors import InputError, TransferError, UsageError, in_file
from sysgraft.formats.kairos_catalog import MAX_SIZE, Catalog, parse_catalog
from sysgraft.host.small import read_small
from sysgraft.transport.http import Http

if TYPE_CHECKING:
    from sysgraft.build.sources.model import Source, Workspace
    from sysgraft.transport.fetching import Fetching

KAIROS_CATALOG: Final = "https://kairos-io.github.io/hadron-layers/releases.json"
"""Where Kairos publishes its own; named in a hint, never asked by itself."""

_OK: Final = 200


def open_from_catalog(name: str, workspace: Workspace, fetching: Fetching) -> Source:
    """The extension that `name` stands for.

    Raises:
        UsageError: no catalog is given, or the version makes no sense.
        InputError: no catalog has it, or a catalog cannot be read.
    """
    places = workspace.options.catalogs
    if not places:
        raise UsageError(
            f"catalog:{name} needs a catalog",
            hint=f"ext build takes one: --catalog {KAIROS_CATALOG}",
        )
    wanted, _, version = name.partition("@")
    http = Http(workspace.options.insecure_registries)
    for place in places:
        with in_file(place):
            catalog = _read(place, http)
            if catalog.offers(wanted):
                reference = _find(catalog, wanted, version, workspace)
                return open_registry_image(reference, workspace, fetching)
    raise InputError(f"no catalog has an extension called {one_line(wanted)}")


def _find(catalog: Catalog, name: str, version: str, workspace: Workspace) -> str:
    options = workspace.options
    tag, reference = catalog.find(
        name,
        version,
        kind=options.kind,
        architecture=arch.normalize(options.architecture or arch.DEFAULT),
    )
    workspace.note(f"{one_line(name)} {one_line(tag)} is {reference}")
    return reference


def _read(place: str, http: Http) -> Catalog:
    if not place.startswith(("https://", "http://")):
        return parse_catalog(read_small(place, MAX_SIZE, "catalog"))
    with http.get(place, {}) as answer:
        if answer.status != _OK:
            raise TransferError(f"HTTP {answer.status}")
        return parse_catalog(answer.read_all(MAX_SIZE))
