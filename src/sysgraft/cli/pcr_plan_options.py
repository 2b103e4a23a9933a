"""The options of ``sysgraft pcr plan``, as argparse takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.option_kit import JSON, several, switch, value
from sysgraft.cli.pcr_options import BOOT, BOUND

if TYPE_CHECKING:
    from sysgraft.cli.verbs import Options

PLAN_EXAMPLE: Final = """\
An upgrade turns the EFI system partition --from into --to, one file at a time: each is written
under a name that nobody looks for, then renamed. Whatever can boot meanwhile is listed, old and new
files in every combination, and whether a signature for it is there: in the image, in *.pcrsig.json
beside it or in loader/extensions, or in --signatures. Exit 0: there is an order of steps that
passes only through signed combinations. Exit 1: there is none, or whether they are signed cannot be
known (no key is named anywhere), and which policies are missing.

examples:
  sysgraft pcr plan --from /efi --to new-esp --luks /dev/disk/by-partlabel/data
  sysgraft pcr plan --from /efi --to new-esp --public-key k.pem --missing p.json
  sysgraft pcr plan --from /efi --to new-esp --private-key k.key --output upgrade.pcrsig.json
"""

_TAKEN: Final = (
    "--loader",
    "--smbios-cmdline",
    "--stub-version",
    "--systemd-version",
    "--secure-boot",
    "--hardware",
)

PLAN: Final[Options] = [
    (
        ("--from",),
        value("DIR|IMAGE", "the EFI system partition as it is", dest="before", required=True),
    ),
    (
        ("--to",),
        value("DIR|IMAGE", "the EFI system partition as it will be", dest="after", required=True),
    ),
    (("--entry",), several("NAME", "only this boot entry, by name or path", dest="entries")),
    (
        ("--profile",),
        value("N", "of UKIs with several profiles only this one (default: each)", type=int),
    ),
    (
        ("--pcr",),
        several("N", "PCRs that are enrolled together (default: 11+13)", dest="pcrs"),
    ),
    *BOUND,
    (
        ("--signatures",),
        several("FILE", "signatures that will be there before the first step"),
    ),
    (
        ("--missing",),
        value("FILE", "write the policies that are not signed, to be signed elsewhere"),
    ),
    (
        ("--only-order",),
        switch("write or sign only what the suggested order leads through, not every combination"),
    ),
    (
        ("--private-key",),
        value("KEY", "sign these policies, RSA: a path, file: or pkcs11: URI"),
    ),
    (
        ("--passphrase-file",),
        value("FILE", "file with the key's passphrase (else $SYSGRAFT_PASSPHRASE, or a prompt)"),
    ),
    (("--output", "-o"), value("FILE", "where the new signatures go")),
    (("--force",), switch("replace existing files")),
    *[each for each in BOOT if each[0][0] in _TAKEN],
    *JSON,
]
