"""From a command line and ukify's config file to the library's options.

The command line wins over the file; of lists the file's entries come first, as with ukify. What
ukify asks other programs to do (engines, NSS databases) is refused unless it means the same here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from sysgraft.build.uki import config as ukify_config
from sysgraft.build.uki.options import DEFAULT_LEVEL, UkiOptions
from sysgraft.cli.epoch import source_date_epoch
from sysgraft.cli.signing import ask_passphrase
from sysgraft.cli.uki_pcr_keys import flag, pcr_keys, words
from sysgraft.errors import UsageError, in_file
from sysgraft.host.small import read_small
from sysgraft.measure.pcr import check_bank
from sysgraft.sign.pair import load_pair

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from sysgraft.build.uki.config import Config, Value
    from sysgraft.cli.output import Output
    from sysgraft.sign.pair import SigningPair

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


def read_config(arguments: argparse.Namespace, out: Output) -> Config:
    """The config file that applies, empty if there is none."""
    path = arguments.config
    if path is None:
        candidates = [os.path.join(folder, _CONFIG_NAME) for folder in CONFIG_FOLDERS]
        path = next((each for each in candidates if os.path.isfile(each)), "")
        if path:
            out.note(f"config: {path} (--config= reads none)")
    if path in ("", os.devnull):
        return ukify_config.Config()
    with in_file(path):
        data = read_small(path, ukify_config.MAX_SIZE, "config file")
        return ukify_config.parse(data.decode("utf-8", "surrogateescape"), path)


def apply_config(arguments: argparse.Namespace, settings: Mapping[str, Value]) -> None:
    """Fill in what the command line leaves open."""
    for option, value in settings.items():
        given = getattr(arguments, option, None)
        if isinstance(value, list):
            setattr(arguments, option, [*value, *(given or ())])
        elif given is None:
            setattr(arguments, option, value)


def build_options(arguments: argparse.Namespace, config: Config) -> UkiOptions:
    """The options of ``uki build``; `apply_config` was called."""
    refuse_programs(arguments)
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
        pcr_keys=pcr_keys(arguments, config),
        pcrpkey=arguments.pcrpkey,
        sign_initrd_pcrs=bool(arguments.sign_initrd_pcrs),
        policy_digest=bool(arguments.policy_digest),
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
        "insecure_registries": _tuple(arguments.insecure_registry),
        "owner": arguments.owner,
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


def _banks(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(check_bank, words(text or ""))))


def refuse_programs(arguments: argparse.Namespace) -> None:
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
                f"OpenSSL's {name} is not used here ({flag(option)})",
                hint="keys come from files and, as pkcs11: URIs, from tokens",
            )


def signing_pair(arguments: argparse.Namespace) -> SigningPair | None:
    """Who signs for Secure Boot; None if nobody is named."""
    key, certificate = arguments.secureboot_private_key, arguments.secureboot_certificate
    if bool(key) != bool(certificate):
        raise UsageError(
            "--secureboot-private-key and --secureboot-certificate go together",
            hint="give both, or neither for an unsigned image",
        )
    if not key:
        return None
    return load_pair(
        key, certificate, passphrase=lambda: ask_passphrase(arguments.passphrase_file, key)
    )
