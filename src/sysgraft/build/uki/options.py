"""What a UKI is made of, as ukify's options and config keys say it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.formats import uki

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.build.sources.model import OwnerRule

EFI_ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "x64": "x86-64",
        "aa64": "arm64",
        "riscv64": "riscv64",
        "loongarch64": "loongarch64",
    }
)
"""EFI's names of architectures (UEFI 2.10 §3.5.1.1) that can be built for, and systemd's."""

DEFAULT_LEVEL: Final = 9
"""zstd level of an initrd made from a root file system: half the time of 15 for 2 % more bytes."""
MAX_LEVEL: Final = 19
"""Levels above use windows of up to 128 MiB (zstd(1), ``--ultra``), which the kernel would need
beside the initrd and its contents."""
# Sections that mean more than their content, so that an option of their own makes them.
_BY_OPTION: Final = {".linux": "--linux", uki.PROFILE: "--profile"}


@dataclass(frozen=True, slots=True)
class PcrKey:
    """A key that signs PCR policies, ukify's ``[PCRSignature:NAME]``.

    Attributes:
        private_key: a path or URI; None if the signatures are made elsewhere.
        public_key: its public half, a path or the URI of a certificate; None takes it from the
            private key.
        certificate: a certificate with its public half, instead; a path or URI.
        phases: the phase paths to sign for; empty for the usual four.
        reference: what the signatures are bound to (policyRef).
    """

    private_key: str | None
    public_key: str | None = None
    certificate: str | None = None
    phases: tuple[str, ...] = ()
    reference: str = ""


@dataclass(frozen=True, slots=True)
class UkiOptions:
    """The parts of a UKI, addon or profile.

    Texts that ukify writes ``TEXT|@PATH`` are given in that form.

    Attributes:
        linux: the kernel; None makes an addon or a profile, unless a root file system brings one.
        initrds: files, or root file systems (``dir:PATH``, ``oci-archive:FILE``, …), joined.
        cmdline: TEXT|@PATH.
        os_release: TEXT|@PATH; empty for none, None for the root file system's or this machine's.
        uname: the kernel's release; empty for none, None reads it from the kernel.
        microcode: a file.
        splash: a BMP file.
        devicetree: a file.
        devicetree_auto: files, of which the stub takes the one that fits.
        hwids: a folder with JSON descriptions; empty for none, None for systemd's own in a UKI.
        efifw: folders with one firmware file each.
        sbat: TEXT|@PATH, each.
        pcrpkey: a file with the public key that secrets are sealed to.
        sections: further ones, name and TEXT|@PATH.
        profile: TEXT|@PATH.
        join_profiles: profile files to add.
        sign_profiles: IDs of the profiles that PCR signatures are made for; empty for all.
        efi_arch: EFI's name of the architecture; None takes the kernel's.
        stub: a file; None looks where systemd installs it.
        pcr_banks: names; empty for all four.
        pcr_keys: who signs PCR policies; only UKIs have them.
        sign_initrd_pcrs: the first of them signs also a policy that holds in the initrd only
            (policyRef "initrd").
        policy_digest: leave room for PCR signatures made elsewhere: no key is private.
        with_kernel: whether it is a UKI where it can be; an addon or a profile has no kernel.
        sign_kernel: whether the kernel inside is signed too; None: if it bears no signature.
        level: zstd level for initrds made from root file systems; 0 leaves them uncompressed.
        excludes: patterns of paths that root file systems leave out.
        insecure_registries: hosts of root file systems that need not prove who they are.
        owner: ``root`` gives everything in root file systems to root, ``keep`` keeps owners; None
            keeps those of archives and gives a folder's files to root.
        source_date_epoch: times in such initrds are kept below it; None: 0 for folders.
    """

    linux: str | None = None
    initrds: tuple[str, ...] = ()
    cmdline: str | None = None
    os_release: str | None = None
    uname: str | None = None
    microcode: str | None = None
    splash: str | None = None
    devicetree: str | None = None
    devicetree_auto: tuple[str, ...] = ()
    hwids: str | None = None
    efifw: tuple[str, ...] = ()
    sbat: tuple[str, ...] = ()
    pcrpkey: str | None = None
    sections: tuple[tuple[str, str], ...] = ()
    profile: str | None = None
    join_profiles: tuple[str, ...] = ()
    sign_profiles: tuple[str, ...] = ()
    efi_arch: str | None = None
    stub: str | None = None
    pcr_banks: tuple[str, ...] = ()
    pcr_keys: tuple[PcrKey, ...] = ()
    sign_initrd_pcrs: bool = False
    policy_digest: bool = False
    with_kernel: bool = True
    sign_kernel: bool | None = None
    level: int = DEFAULT_LEVEL
    excludes: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    owner: OwnerRule | None = None
    source_date_epoch: int | None = None


def check(options: UkiOptions) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: two options exclude each other, or one needs another.
    """
    _check_pcr_keys(options)
    if options.efi_arch is not None and options.efi_arch not in EFI_ARCHITECTURES:
        raise UsageError(
            f"images for {options.efi_arch!r} cannot be built",
            hint=f"--efi-arch takes {', '.join(EFI_ARCHITECTURES)}",
        )
    if not 0 <= options.level <= MAX_LEVEL:
        raise UsageError(f"a zstd level of {options.level}; 1 to {MAX_LEVEL} are possible")
    for name, _ in options.sections:
        check_section_name(name)
        if name in _BY_OPTION:
            raise UsageError(f"--section does not take {name}", hint=f"use {_BY_OPTION[name]}")


def _check_pcr_keys(options: UkiOptions) -> None:
    if options.sign_initrd_pcrs and not options.pcr_keys:
        raise UsageError("--sign-initrd-pcrs needs --pcr-private-key or --policy-digest")
    if options.policy_digest and not options.pcr_keys:
        raise UsageError(
            "--policy-digest needs a public key, whose fingerprint the digests get",
            hint="give --pcr-public-key or --pcr-certificate",
        )
    if options.pcr_keys and uki.SIGNATURES in dict(options.sections):
        raise UsageError(f"--section {uki.SIGNATURES} and PCR signing keys exclude each other")
    for key in options.pcr_keys:
        if options.policy_digest and key.private_key:
            raise UsageError("--policy-digest and --pcr-private-key exclude each other")
        if key.public_key and key.certificate:
            raise UsageError("--pcr-public-key and --pcr-certificate exclude each other")
        if not (key.private_key or key.public_key or key.certificate):
            raise UsageError("a PCR signing key has neither a private nor a public half")
        if not (options.policy_digest or key.private_key):
            raise UsageError(
                "a public key for PCR policies, but no private one",
                hint="give --pcr-private-key, or --policy-digest to have them signed elsewhere; "
                "--pcrpkey only puts a public key into the image",
            )


def check_section_name(name: str) -> None:
    """Raise `UsageError` unless the stub can find a section of that name."""
    if not name or len(name) > 8 or not name.isascii() or not name.isprintable():
        raise UsageError(
            f"not a section name: {name!r}",
            hint="a name has one to eight printable ASCII characters",
        )
