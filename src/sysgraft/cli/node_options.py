"""The options of ``sysgraft node``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

_NAME: Final = (("name",), {"metavar": "NAME", "help": "an extension's name, or a glob: 'k3s_*'"})
_SYSTEM: Final[Options] = [
    (("--root",), value("DIR", "a system that is not running, such as /sysroot", default="/")),
    (("--esp",), value("DIR", "where its EFI system partition is mounted (default: found)")),
    (("--store",), value("DIR", "its store of system extensions (default: the layout's)")),
    (("--layout",), value("NAME", "kairos or generic (default: what the system is)")),
    (("--grow",), switch("let a full folder of the ESP grow, which a power cut could break")),
]
_TYPE: Final = (
    ("--type",),
    value("TYPE", "sysext, confext or sidecars", choices=["sysext", "confext", "sidecars"]),
)
_PROFILES: Final[Options] = [
    (("--active",), switch("the active boot entries")),
    (("--passive",), switch("the passive ones")),
    (("--recovery",), switch("the recovery ones")),
    (("--common",), switch("all of them")),
    (("--entry",), several("NAME", "the boot entry of this name")),
]
_NOW: Final = (
    ("--now",),
    switch("change the running system too, if all that systemd finds will be merged"),
)
_PLACEMENT: Final = (
    ("--placement",),
    value(
        "WHERE",
        "store, or esp: beside the boot images, where the stub measures it (default: store)",
        choices=["store", "esp"],
        default="store",
    ),
)
_FETCH: Final[Options] = [
    (
        ("--digest",),
        value(
            "SHA256", "what the file must hash to; proves it where no signature does", default=""
        ),
    ),
    (("--force",), switch("replace another image of this name")),
    (
        ("--policy-signature",),
        value("FILE", "signed policies that go with it to the ESP (*.pcrsig.json)", default=""),
    ),
    (
        ("--insecure-registry",),
        several("HOST", "a host whose certificate is not checked, or that has none"),
    ),
]

LIST: Final[Options] = [*_PROFILES, _TYPE, *_SYSTEM, *JSON]
LIST_EXAMPLE: Final = """\
Lists what is installed and for which boot entries, and what lies beside boot images on the EFI
system partition. With --active and the like, only what those entries have.

examples:
  sysgraft node list
  sysgraft node list --active
  sysgraft node list --root /sysroot --esp /sysroot/efi --json
"""

STATUS: Final[Options] = [
    (
        ("--boot",),
        switch("for a unit before boot-complete.target: fails only if the configuration wants it"),
    ),
    *JSON,
]
STATUS_EXAMPLE: Final = """\
Tells what of this boot's extensions is merged now, as systemd says, and why the rest is not.
Exit 1 if something that was to be merged is not.

examples:
  sysgraft node status
  sysgraft node status --json
"""

INSTALL: Final[Options] = [
    (
        ("uri",),
        {"metavar": "URI", "help": "https: http: file: oci: docker:, a file, or a folder"},
    ),
    *_FETCH,
    _PLACEMENT,
    _TYPE,
    *_SYSTEM,
    *JSON,
]
INSTALL_EXAMPLE: Final = """\
Brings an extension, an addon or a credential into the store. It gets its name there from what is in
it, and only if a trusted signature or --digest proves it. Nothing is enabled by that; but of a
folder, as of install media, everything below it is installed and enabled: as the map of the
configuration has it, else for the active and the passive entries.

examples:
  sysgraft node install https://example.org/firmware-ubuntu-2404.sysext.raw
  sysgraft node install file:/tmp/firmware.sysext.raw
  sysgraft node install oci:registry.example.org/extensions/fwupd:2.1 --digest sha256:…
  sysgraft node install /run/initramfs/live --root /sysroot --esp /sysroot/efi
"""

ENABLE: Final[Options] = [_NAME, *_PROFILES, _NOW, _PLACEMENT, _TYPE, *_SYSTEM, *JSON]
ENABLE_EXAMPLE: Final = """\
examples:
  sysgraft node enable --active --passive firmware
  sysgraft node enable --common --now firmware-ubuntu-2404
  sysgraft node enable --entry customentry 'k3sv1.29.*'
  sysgraft node enable --active --placement esp early-firmware
"""
DISABLE: Final[Options] = ENABLE
DISABLE_EXAMPLE: Final = """\
examples:
  sysgraft node disable --common --now firmware
  sysgraft node disable --passive --placement esp early-firmware
"""

REMOVE: Final[Options] = [_NAME, _NOW, _TYPE, *_SYSTEM, *JSON]
REMOVE_EXAMPLE: Final = """\
Takes it from every boot entry, then out of the store.

examples:
  sysgraft node remove firmware-ubuntu-2404-2025.06.01
  sysgraft node remove --now 'k3s_1.29*'
"""

UPGRADE: Final[Options] = [
    (("uri",), {"metavar": "URI", "help": "the new version, as for install; or an installed one"}),
    (
        ("--replaces",),
        value("NAME", "what it takes the place of (default: its name's other version)", default=""),
    ),
    (("--downgrade",), switch("also to an older version")),
    _NOW,
    *_FETCH,
    _TYPE,
    *_SYSTEM,
    *JSON,
]
UPGRADE_EXAMPLE: Final = """\
The active entries get the new version, the passive ones what the active ones had: what is fallen
back to has run before. In the store this changes links, on the EFI system partition whole sets,
each with its signed policies.

examples:
  sysgraft node upgrade https://example.org/firmware_2.sysext.raw
  sysgraft node upgrade firmware_2 --now
"""

ROLLBACK: Final[Options] = [_NAME, _NOW, _TYPE, *_SYSTEM, *JSON]
ROLLBACK_EXAMPLE: Final = """\
Gives the active entries the version that the passive ones have.

example:
  sysgraft node rollback firmware --now
"""

GC: Final[Options] = [
    (
        ("--keep",),
        value(
            "N", "the N newest versions of each extension stay (default: 0)", type=int, default=0
        ),
    ),
    (("--dry-run",), switch("tell what would be removed")),
    *_SYSTEM,
    *JSON,
]
GC_EXAMPLE: Final = """\
Removes installed files that no boot entry has, and what interrupted commands have left.

examples:
  sysgraft node gc --dry-run
  sysgraft node gc --keep 1
"""

ACTIVATE: Final[Options] = [
    (("--boot",), switch("at boot: a broken configuration is passed over, with a note")),
    *JSON,
]
ACTIVATE_EXAMPLE: Final = """\
What sysgraft-node-activate.service runs at boot, before systemd-sysext.service: verifies each image
of this boot by itself and links the good ones into /run/extensions and /run/confexts. Exit 1 if one
was not as it should be.

examples:
  sysgraft node activate
  sysgraft node activate --json
"""

UNITS: Final[Options] = [
    (
        ("--output",),
        value("DIR", "the root of the tree that the files are written below", required=True),
    ),
    (
        ("--for",),
        value(
            "WHERE",
            "system, extension (beside the agent) or initrd (default: system)",
            choices=["system", "extension", "initrd"],
            default="system",
            dest="place",
        ),
    ),
    (
        ("--program",),
        value("PATH", "sysgraft on the node (default: /usr/bin/sysgraft)", default=""),
    ),
    (
        ("--systemd-version",),
        value("N", "of the node; 252 and 253 have no policies", type=int, default=254),
    ),
    (
        ("--timeout",),
        value("SECONDS", "for a merge (default: 90)", type=int, default=90),
    ),
    (("--store",), several("DIR", "a store that is not where the layouts have theirs")),
    (("--force",), switch("replace files that are there")),
    *JSON,
]
UNITS_EXAMPLE: Final = """\
The files belong into the image of the system; links in them enable the units.

examples:
  sysgraft node units --output tree
  sysgraft node units --output early --for initrd
"""
