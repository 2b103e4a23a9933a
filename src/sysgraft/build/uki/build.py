"""Builds a UKI, an addon or a profile: the counterpart of ukify's ``build``.

    options = UkiOptions(linux="vmlinuz", initrds=("initrd",), cmdline="quiet")
    report = build_uki(options, "linux.efi", signing=load_pair("db.key", "db.pem"))

Everything is read as it is written: a gigabyte of initrd costs no memory. The file appears when it
is whole and signed. Nothing here prints.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from sysgraft.base.progress import NoProgress
from sysgraft.build.uki import parts as making
from sysgraft.build.uki import pcr_keys, pcrs
from sysgraft.build.uki.assembly import Assembly
from sysgraft.build.uki.inputs import Inputs
from sysgraft.build.uki.kernel import load_kernel, prepare
from sysgraft.build.uki.options import UkiOptions, check
from sysgraft.build.uki.profiles import joined, profile_id
from sysgraft.build.uki.report import UkiReport, sections_of
from sysgraft.build.uki.signed_kernel import is_signed, signed_kernel
from sysgraft.build.uki.stub import load_stub
from sysgraft.build.uki.writer import write_image
from sysgraft.errors import InputError, UsageError
from sysgraft.formats import pcrsig, uki
from sysgraft.host.output import atomic_output
from sysgraft.measure import pcr11

if TYPE_CHECKING:
    from sysgraft.base.progress import Progress
    from sysgraft.build.uki.kernel import Kernel
    from sysgraft.build.uki.parts import Part
    from sysgraft.build.uki.pcr_keys import PcrKeys
    from sysgraft.build.uki.pcrs import Value
    from sysgraft.sign.keys import Passphrase
    from sysgraft.sign.pair import SigningPair


def build_uki(
    options: UkiOptions,
    output: str | os.PathLike[str],
    *,
    signing: SigningPair | None = None,
    passphrase: Passphrase = None,
    measure: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> UkiReport:
    """Build one file.

    Args:
        options: what it is made of.
        output: where it goes.
        signing: who signs it for Secure Boot; None leaves it unsigned.
        passphrase: of the keys for PCR policies.
        measure: whether the report gets the values of PCR 11.
        replace: whether an existing file is replaced.
        progress: told how far it is.

    Raises:
        UsageError: options that contradict each other.
        InputError: a part that cannot be used.
        KeyMaterialError: a key that cannot be used.
        OutputError: the file exists, or cannot be written.
    """
    check(options)
    if options.sign_kernel and signing is None:
        raise UsageError("--sign-kernel needs --secureboot-private-key and its certificate")
    path = os.fspath(output)
    with (
        atomic_output(path, replace=replace, make_folders=True) as file,
        Inputs(options, progress or NoProgress()) as inputs,
    ):
        return _Job(options, inputs, signing, passphrase, measure).run(file, path)


@dataclass(frozen=True, slots=True)
class _Job:
    """One build whose options make sense."""

    options: UkiOptions
    inputs: Inputs
    signing: SigningPair | None
    passphrase: Passphrase
    measure: bool

    def run(self, file: IO[bytes], path: str) -> UkiReport:
        options, inputs = self.options, self.inputs
        keys = pcr_keys.load(options, inputs, self.passphrase)
        inputs.open_initrds()
        kernel = self._kernel()
        stub = load_stub(options, inputs, kernel)
        base = making.base_parts(options, inputs, kernel, keys.pcrpkey)
        assembly = Assembly(
            stub=stub,
            base=self._framed(base, making.sbat_part(options, inputs, stub, kernel)),
            joined=[joined(each, inputs, options) for each in options.join_profiles],
            room=options.policy_digest,
        )
        _refuse_idle(assembly)
        values = self._measure(assembly, keys)
        layout = assembly.layout(nx_compat=kernel is None or kernel.nx_compat)
        digest = write_image(
            file,
            layout,
            stub.blob,
            assembly.parts,
            signing=self.signing,
            progress=inputs.workspace.progress,
        )
        return UkiReport(
            path=path,
            kind=_kind(assembly),
            architecture=stub.image.architecture or "unknown",
            size=os.fstat(file.fileno()).st_size,
            memory_size=max(
                one.section.virtual_address + one.section.virtual_size for one in layout.placed
            ),
            stub=stub.version,
            uname=self._uname(kernel),
            sections=sections_of(assembly.parts),
            signed=self.signing is not None,
            digest=digest,
            pcrs=tuple(values),
            policies=pcrsig.merge(*assembly.signatures.values()),
            notes=tuple(inputs.workspace.notes),
        )

    def _kernel(self) -> Kernel | None:
        """The kernel, signed if that is wanted; None for addons and profiles."""
        if not self.options.with_kernel:
            return None
        if self.options.linux is not None:
            kernel = load_kernel(self.options.linux, self.inputs)
        elif self.inputs.rootfs:
            kernel = self._kernel_of_rootfs()
        else:
            return None
        wanted = self.options.sign_kernel
        if self.signing is not None and (not is_signed(kernel) if wanted is None else wanted):
            return signed_kernel(kernel, self.signing)
        return kernel

    def _kernel_of_rootfs(self) -> Kernel:
        """The only kernel of the root file systems."""
        found = {name: blob for each in self.inputs.rootfs for name, blob in each.kernels.items()}
        if len(found) != 1:
            names = f" ({', '.join(found)})" if found else ""
            raise InputError(
                f"the root file system has {len(found)} kernels{names}, one is needed",
                hint="name the kernel with --linux; looked for were usr/lib/modules/*/vmlinuz "
                "and boot/vmlinuz*",
            )
        ((name, blob),) = found.items()
        self.inputs.workspace.note(f"the kernel is /{name} of the root file system")
        return prepare(name, blob, self.inputs)

    def _framed(self, base: list[Part], sbat: Part) -> list[Part]:
        """The base with SBAT and its profile where they belong."""
        own = making.profile_part(self.options, self.inputs)
        if own is None:
            return [*base, sbat]
        if self.options.join_profiles:
            # What comes before it is shared by all profiles.
            return [*base, sbat, own]
        return [own, *base]

    def _measure(self, assembly: Assembly, keys: PcrKeys) -> list[Value]:
        """Values of PCR 11 where somebody wants them; signs what is to be signed."""
        if not (keys.groups or self.measure):
            return []
        phases = dict.fromkeys(phase for group in keys.groups for phase in group.phases)
        measurer = pcrs.Measurer(
            self.options.pcr_banks, assembly.stub.version.major, self.inputs.workspace.progress
        )
        profiles = assembly.profiles()
        self.inputs.workspace.progress.start("measuring", measurer.work(profiles))
        values: list[Value] = []
        for number, parts in enumerate(profiles):
            found = measurer.values(parts, phases or pcr11.DEFAULT_PATHS, number)
            values += found
            if self._is_signed_for(assembly, number):
                documents = [pcrs.entries(found, group) for group in keys.groups]
                assembly.signatures[number] = pcrsig.merge(*documents)
        self.inputs.workspace.progress.finish()
        return values

    def _is_signed_for(self, assembly: Assembly, number: int) -> bool:
        """Whether PCR signatures are made for a profile; by its ID where some are named."""
        wanted = self.options.sign_profiles
        if not wanted:
            return True
        parts = assembly.base if number == 0 else assembly.joined[number - 1]
        description = next((part for part in parts if part.name == uki.PROFILE), None)
        return profile_id(description) in wanted

    def _uname(self, kernel: Kernel | None) -> str | None:
        return self.options.uname or (kernel.release if kernel else None)


def _refuse_idle(assembly: Assembly) -> None:
    """An addon that the stub would pass over is a mistake."""
    if _kind(assembly) == "addon" and not {part.name for part in assembly.base} & set(
        uki.ADDON_CONTENT
    ):
        raise UsageError(
            "there is nothing in this addon that the stub would take",
            hint="give --cmdline, --initrd, --microcode or --devicetree; a UKI needs --linux",
        )


def _kind(assembly: Assembly) -> uki.ImageKind:
    names = [part.name for part in assembly.base]
    if ".linux" in names:
        return "uki"
    return "profile" if names and names[0] == uki.PROFILE else "addon"
