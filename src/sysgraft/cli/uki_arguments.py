"""From a command line and ukify's config file to the library's options.

The command line wins over the file; of lists the file's entries come first, as with ukify. What
ukify asks other programs to do (engines, NSS databases) is refused unless it means the same here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from sysgraft.build.uki import config as ukify_config
from sysgraft.build.uki.options import DEFAULT_LEVEL, PcrKey, UkiOptions
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.errors import UsageError, in_file
from sysgraft.host.small import read_small
from sysgraft.measure.pcr import check_bank
from sysgraft.measure.pcr11 import check_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from sysgraft.cli.output import Output

CONFIG_FOLDERS: Final = (
    "/etc/systemd",
    "/run/systemd",
    "/usr/local/lib/systemd",
    "/usr/lib/systemd",
)
"""Where ukify looks for ``ukify.conf``; the first one counts (ukify(1), v254 and later)."""
_CONFIG_NAME: Final = "ukify.conf"
_SIGNERS: Final = ("sbsign", "systemd-sbsign")
_COMPRESSION: Final = re.compile(r"zstd(?::([0-9]{1,2}))?")


def read_config(arguments: argparse.Namespace, out: Output) -> ukify_config.Config:
    """The config file that applies, empty if there is none."""
    path = arguments.config
    if path is None:
        candidates = [os.path.join(folder, _CONFIG_NAME) for folder in CONFIG_FOLDERS]
        path = next((each for each in candidates if os.path.isfile(each)), "")
        if path:
            out.note(f"config: {path} (--config= reads none)")
    if not path:
        return ukify_config.Config()
    with in_file(path):
        data = read_small(path, ukify_config.MAX_SIZE, "config file")
        return ukify_config.parse(data.decode("utf-8", "surrogateescape"), path)


def apply_config(arguments: argparse.Namespace, config: ukify_config.Config) -> None:
    """Fill in what the command line leaves open.

    Raises:
        UsageError: a switch is set to something else than yes or no.
    """
    for option, text in config.settings.items():
        value = _converted(option, text)
        given = getattr(arguments, option, None)
        if option in ukify_config.LISTS:
            setattr(arguments, option, [*text.split(), *(given or ())])
        elif option == "sbat":
            arguments.sbat = given or [text]
        elif given is None:
            setattr(arguments, option, value)


def _converted(option: str, text: str) -> object:
    if option not in ukify_config.BOOLEANS:
        return text
    value = ukify_config.boolean(text)
    if value is None:
        raise UsageError(f"the config file sets {option} to {text!r}, yes or no is wanted")
    return value


def build_options(arguments: argparse.Namespace, config: ukify_config.Config) -> UkiOptions:
    """The options of ``uki build``; `apply_config` was called."""
    _refuse_programs(arguments)
    keys = _pcr_keys(arguments, config.signatures)
    own_public = arguments.pcr_public_key or () if arguments.policy_digest else ()
    own_certificate = arguments.pcr_certificate or () if arguments.policy_digest else ()
    return UkiOptions(
        **_content(arguments),
        linux=arguments.linux,
        os_release=arguments.os_release,
        splash=arguments.splash,
        efifw=_tuple(arguments.efifw),
        profile=arguments.profile,
        join_profiles=_tuple(arguments.join_profile),
        sign_profiles=_tuple(arguments.sign_profile),
        pcr_banks=_banks(arguments.pcr_banks),
        pcr_keys=keys,
        pcrpkey=arguments.pcrpkey,
        pcr_public_key=_only(own_public, "--pcr-public-key"),
        pcr_certificate=_only(own_certificate, "--pcr-certificate"),
        digest_phases=_phases(arguments.phases) if arguments.policy_digest else (),
        sign_initrd_pcrs=bool(arguments.sign_initrd_pcrs),
        policy_digest=arguments.policy_digest,
        sign_kernel=arguments.sign_kernel,
    )


def addon_options(arguments: argparse.Namespace) -> UkiOptions:
    """The options of ``uki addon``."""
    return UkiOptions(**_content(arguments), with_kernel=False)


def _content(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "initrds": _tuple(arguments.initrd),
        "cmdline": arguments.cmdline,
        "uname": arguments.uname,
        "microcode": arguments.microcode,
        "devicetree": arguments.devicetree,
        "devicetree_auto": _tuple(arguments.devicetree_auto),
        "hwids": arguments.hwids,
        "sbat": _tuple(arguments.sbat),
        "sections": tuple(map(_section, arguments.section or ())),
        "efi_arch": arguments.efi_arch,
        "stub": arguments.stub,
        "level": _level(arguments.initrd_compression),
        "excludes": _tuple(arguments.exclude),
        "source_date_epoch": source_date_epoch(arguments.source_date_epoch),
    }


def _tuple(values: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(values or ())


def _section(text: str) -> tuple[str, str]:
    name, colon, content = text.partition(":")
    if not colon:
        raise UsageError(f"--section wants NAME:TEXT or NAME:@PATH, not {text!r}")
    return name, content


def _level(text: str | None) -> int:
    if text is None:
        return DEFAULT_LEVEL
    if text == "none":
        return 0
    found = _COMPRESSION.fullmatch(text)
    if found is None:
        raise UsageError(f"--initrd-compression wants zstd, zstd:LEVEL or none, not {text!r}")
    return int(found[1]) if found[1] else DEFAULT_LEVEL


def _words(text: str) -> list[str]:
    """Words with commas or blanks between them; one comma at the end is forgiven, as by ukify."""
    return [word for word in re.split(r"\s*,\s*|\s+", text.strip().removesuffix(",")) if word]


def _banks(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(check_bank, _words(text or ""))))


def _phases(groups: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(check_path(path) for group in groups or () for path in _words(group))


def _pcr_keys(
    arguments: argparse.Namespace, groups: Mapping[str, Mapping[str, str]]
) -> tuple[PcrKey, ...]:
    """The keys of the command line, then those of the config file, one for each section."""
    if arguments.policy_digest:
        if arguments.pcr_private_key:
            raise UsageError("--policy-digest and --pcr-private-key exclude each other")
        return ()
    own = arguments.pcr_private_key or []
    columns = [
        _column(arguments, option, len(own))
        for option in ("pcr_public_key", "pcr_certificate", "phases", "policyref")
    ]
    rows = [*zip(own, *columns, strict=True), *map(_row, groups.items())]
    return tuple(_pcr_key(*row) for row in rows)


def _column(arguments: argparse.Namespace, option: str, count: int) -> list[str | None]:
    values = getattr(arguments, option) or []
    if values and len(values) != count:
        name = option.replace("_", "-")
        raise UsageError(
            f"--{name} is given {len(values)} times, --pcr-private-key {count} times",
            hint="give it once for each key, or not at all",
        )
    return values or [None] * count


def _row(
    group: tuple[str, Mapping[str, str]],
) -> tuple[str, str | None, str | None, str | None, str | None]:
    name, settings = group
    if "pcr_private_key" not in settings:
        raise UsageError(f"[PCRSignature:{name}] in the config file has no PCRPrivateKey=")
    get = settings.get
    return (
        settings["pcr_private_key"],
        get("pcr_public_key"),
        get("pcr_certificate"),
        get("phases"),
        get("policyref"),
    )


def _pcr_key(
    private_key: str,
    public_key: str | None,
    certificate: str | None,
    phases: str | None,
    reference: str | None,
) -> PcrKey:
    if public_key and certificate:
        raise UsageError("--pcr-public-key and --pcr-certificate exclude each other")
    paths = _phases([phases] if phases else ())
    return PcrKey(private_key, public_key, certificate, paths, reference or "")


def _only(values: Sequence[str], option: str) -> str | None:
    if len(values) > 1:
        raise UsageError(f"with --policy-digest, {option} is given once")
    return values[0] if values else None


def _refuse_programs(arguments: argparse.Namespace) -> None:
    """Settings for the programs ukify calls, where they ask for what is not built in."""
    if arguments.signtool not in (None, *_SIGNERS) or getattr(
        arguments, "secureboot_certificate_name", None
    ):
        raise UsageError(
            "keys in an NSS database (pesign) are not read",
            hint="export key and certificate (pk12util, openssl pkcs12), or use a pkcs11: URI",
        )
    for option in ("signing_engine", "signing_provider", "certificate_provider"):
        name = getattr(arguments, option)
        if name not in (None, "pkcs11"):
            raise UsageError(
                f"OpenSSL's {name} is not used here (--{option.replace('_', '-')})",
                hint="keys come from files and, as pkcs11: URIs, from tokens",
            )
