"""Builds a UKI, an addon or a profile: the counterpart of ukify's ``build``.

    options = UkiOptions(linux="vmlinuz", initrds=("initrd",), cmdline="quiet")
    report = build_uki(options, "linux.efi", signing=load_pair("db.key", "db.pem"))

Everything is read as it is written: a gigabyte of initrd costs no memory. The file appears when it
is whole and signed. Nothing here prints.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import IO, TYPE_CHECKING

from sysgraft.base.progress import NoProgress
from sysgraft.build.uki import measuring, pcr_keys
from sysgraft.build.uki import parts as making
from sysgraft.build.uki.assembly import Assembly
from sysgraft.build.uki.inputs import Inputs
from sysgraft.build.uki.kernel import find_kernel, uname
from sysgraft.build.uki.options import UkiOptions, check
from sysgraft.build.uki.profiles import joined
from sysgraft.build.uki.report import UkiReport, sections_of
from sysgraft.build.uki.signed_kernel import is_signed, signed_kernel
from sysgraft.build.uki.stub import LINUX, check_known, load_stub
from sysgraft.build.uki.writer import write_image
from sysgraft.errors import UsageError
from sysgraft.formats import pcrsig, uki
from sysgraft.host.output import atomic_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.build.uki.kernel import Kernel
    from sysgraft.build.uki.parts import Part
    from sysgraft.build.uki.pcr_keys import Asker, PcrKeys
    from sysgraft.build.uki.pcrs import Value
    from sysgraft.build.uki.stub import LoadedStub
    from sysgraft.formats.pe_image import Layout
    from sysgraft.sign.pair import SigningPair


def build_uki(
    options: UkiOptions,
    output: str | os.PathLike[str],
    *,
    signing: SigningPair | None = None,
    passphrase: Asker | None = None,
    measure: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> UkiReport:
    """Build one file.

    Args:
        options: what it is made of.
        output: where it goes.
        signing: who signs it for Secure Boot; None leaves it unsigned.
        passphrase: gives that of a key for PCR policies, which it is told.
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
        # Keys first: they are what people get wrong, and a root file system takes long to read.
        keys = pcr_keys.load(options, inputs, passphrase)
        return _Job(options, inputs, signing, keys, measure).run(file, path)


@dataclass(frozen=True, slots=True)
class _Job:
    """One build whose options make sense."""

    options: UkiOptions
    inputs: Inputs
    signing: SigningPair | None
    keys: PcrKeys
    measure: bool

    def run(self, file: IO[bytes], path: str) -> UkiReport:
        """Build the file; `path` is what the report calls it."""
        self.inputs.open_initrds()
        kernel = self._kernel()
        assembly = self._assembly(kernel)
        values = self._measure(assembly)
        layout = assembly.layout(nx_compat=kernel is None or kernel.nx_compat)
        digest = write_image(
            file,
            layout,
            assembly,
            signing=self.signing,
            progress=self.inputs.workspace.progress,
        )
        return UkiReport(
            path=path,
            kind=assembly.kind,
            architecture=assembly.stub.image.architecture or "unknown",
            size=os.fstat(file.fileno()).st_size,
            memory_size=_memory_size(layout),
            stub=assembly.stub.version,
            uname=uname(self.options.uname, kernel),
            sections=sections_of(assembly.parts),
            signed=self.signing is not None,
            digest=digest,
            pcrs=values,
            policies=pcrsig.merge(*assembly.signatures.values()),
            notes=tuple(self.inputs.workspace.notes),
        )

    def _kernel(self) -> Kernel | None:
        """The kernel, signed if that is wanted; None for addons and profiles."""
        kernel = find_kernel(self.options, self.inputs) if self.options.with_kernel else None
        if kernel is None or self.signing is None:
            return kernel
        wanted = self.options.sign_kernel
        if wanted is None:
            wanted = not is_signed(kernel)
        return signed_kernel(kernel, self.signing) if wanted else kernel

    def _assembly(self, kernel: Kernel | None) -> Assembly:
        options, inputs = self.options, self.inputs
        stub = load_stub(options, inputs, kernel)
        _note_architectures(stub, inputs)
        if options.hwids is None and stub.version.major < uki.MEASURED[".hwids"]:
            options = replaced(options, hwids="")  # nobody asked for what it cannot use
        kind = _kind(options, kernel, stub)
        pcrpkey = self.keys.pcrpkey if kind == "uki" or options.pcrpkey else None
        base = making.base_parts(options, inputs, kernel, pcrpkey)
        own = making.profile_part(options, inputs)
        if kind == "profile" and own is not None:
            base = [own, *base]
        else:
            base.append(making.sbat_part(options, inputs, stub, kernel))
            # What comes before it is shared by all profiles.
            base += [own] if own is not None else []
        _refuse_idle(kind, base)
        profiles = [joined(each, inputs, options) for each in options.join_profiles]
        if kind == "uki":
            check_known(stub, (part.name for parts in (base, *profiles) for part in parts))
        return Assembly(kind, stub, base, profiles, room=options.policy_digest)

    def _measure(self, assembly: Assembly) -> tuple[Value, ...]:
        """Values of PCR 11 where somebody wants them; signs what is to be signed."""
        workspace = self.inputs.workspace
        if not (self.keys.groups or self.measure):
            return ()
        if assembly.kind != "uki":
            workspace.note(
                f"PCR 11 is about UKIs: nothing is measured or signed for this {assembly.kind}"
            )
            return ()
        return measuring.measure(assembly, self.keys.groups, self.options, workspace.progress)


def _kind(options: UkiOptions, kernel: Kernel | None, stub: LoadedStub) -> uki.ImageKind:
    """What the options make; a profile with a kernel of its own is one on the addons' stub."""
    starts = kernel is not None and stub.version.name == LINUX
    if options.join_profiles and not starts:
        raise UsageError("--join-profile adds profiles to a UKI, which needs a kernel")
    if starts:
        return "uki"
    return "addon" if options.profile is None else "profile"


def _note_architectures(stub: LoadedStub, inputs: Inputs) -> None:
    for each in inputs.rootfs:
        if each.architecture not in (None, stub.image.architecture):
            inputs.workspace.note(
                f"{each.description} is for {each.architecture}, the stub for "
                f"{stub.image.architecture}"
            )


def _memory_size(layout: Layout) -> int:
    sections = [placed.section for placed in layout.placed]
    return max(section.virtual_address + section.virtual_size for section in sections)


def _refuse_idle(kind: uki.ImageKind, parts: Sequence[Part]) -> None:
    """An addon that the stub would pass over is a mistake."""
    if kind == "addon" and not {part.name for part in parts} & set(uki.ADDON_CONTENT):
        raise UsageError(
            "there is nothing in this addon that the stub would take",
            hint="give --cmdline, --initrd, --microcode or --devicetree; a UKI needs --linux",
        )
