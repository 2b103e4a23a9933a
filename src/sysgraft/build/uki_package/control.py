"""The control files that dpkg-deb makes packages of.

Format: deb-control(5), Debian policy 5.3 and 7.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.build.uki_package.names import in_name
from sysgraft.build.uki_package.texts import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.build.uki_package.contents import Content
    from sysgraft.build.uki_package.facts import Facts

SYSTEMD: Final = "254"
"""The first release whose kernel-install puts UKIs where they belong by itself."""

_BLOCK: Final = 1024


def control(facts: Facts, content: Content, installed: int) -> str:
    """The control file of one package.

    Args:
        facts: of the package with the UKI.
        content: of the package that is meant.
        installed: bytes of its files.
    """
    fields = _addon_fields(facts) if content.addon else _main_fields(facts)
    common = {
        "Package": content.name,
        "Version": str(facts.version),
        "Architecture": facts.architecture,
        "Maintainer": facts.maintainer,
        "Installed-Size": str(-(-installed // _BLOCK)),
        "Section": "kernel",
        "Priority": "optional",
        "Homepage": facts.url,
    }
    lines = [f"{name}: {value}" for name, value in {**common, **fields}.items() if value]
    return "\n".join([*lines, *_description(facts, content)]) + "\n"


def _main_fields(facts: Facts) -> dict[str, str]:
    image = in_name(facts.kernel_version)
    modules = () if facts.standalone else (f"linux-image-{image} | linux-modules-{image}",)
    return {
        "Depends": _joined(facts.requires),
        "Recommends": _joined([*modules, *facts.recommends]),
        # A system without systemd needs none; one that is too old would install nothing.
        "Breaks": f"systemd (<< {SYSTEMD})",
        "Conflicts": _joined(facts.conflicts),
        "Provides": _joined(facts.provides),
    }


def _addon_fields(facts: Facts) -> dict[str, str]:
    return {
        "Depends": f"{facts.name} (= {facts.version})",
    }


def _joined(relations: Iterable[str]) -> str:
    return ", ".join(relations)


def _description(facts: Facts, content: Content) -> Iterator[str]:
    if content.addon:
        yield f"Description: addon {content.addon} of {facts.name}"
        text = f"It comes into force with the unified kernel image of Linux {facts.kernel_version}."
        yield folded([text])
    else:
        yield f"Description: {facts.summary}"
        yield folded(list(facts.description))
