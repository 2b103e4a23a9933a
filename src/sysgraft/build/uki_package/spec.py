"""The spec file that rpmbuild makes the packages of.

Format: the rpm manual, "Spec file format"; the fields and scriptlets are those of kernel-uki-virt
in Fedora's kernel.spec (docs/adr/0026 lists them). Nothing is compiled, stripped or searched for
dependencies: the UKI arrives as it was signed. All times, names of machines and levels of
compression are fixed, so that the same files make the same packages; their format is the fourth,
which rpm 6 still writes and older ones need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.build.uki_package import scripts
from sysgraft.build.uki_package.names import from_kernel
from sysgraft.build.uki_package.texts import in_spec
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.build.uki_package.contents import Content
    from sysgraft.build.uki_package.facts import Facts
    from sysgraft.build.uki_package.scripts import Places

TREE_VARIABLE: Final = "SYSGRAFT_TREE"
"""Names the folder with the files; rpmbuild hands it to the script that installs them."""

SYSTEMD: Final = "254"
"""The first release whose kernel-install puts UKIs where they belong by itself; Fedora's packages
ask for it too."""

_GLOBALS: Final = """\
%global debug_package %{nil}
%global __spec_install_pre %{___build_pre}
%global __spec_install_post %{nil}
%global __os_install_post %{nil}
%global __strip /bin/true
%global _build_id_links none
%global _missing_build_ids_terminate_build 0
%global _rpmformat 4
%global _binary_payload w3.zstdio
%global _buildhost reproducible
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global source_date_epoch_from_changelog 0
%global _binary_filedigest_algorithm 8
%global optflags %{nil}
%undefine vendor
%undefine packager
%undefine distribution
%undefine disttag
%undefine bugurl
%undefine vcs
%undefine modularitylabel
"""
# The files are moved, not copied: they lie on the same file system.
_INSTALL: Final = f"""\
%prep
%build
%install
mkdir -p "$RPM_BUILD_ROOT"
mv -- "${TREE_VARIABLE}"/* "$RPM_BUILD_ROOT"/
"""


def spec(facts: Facts, contents: Sequence[Content], places: Places) -> str:
    """The whole file.

    Raises:
        UsageError: a text would mean something to rpm.
    """
    main, *addons = contents
    lines = [_GLOBALS, *_preamble(facts)]
    for addon in addons:
        lines += _addon_preamble(addon, facts)
    lines += [_INSTALL, *_scripts(main, scripts.rpm_scripts(places))]
    for addon in addons:
        lines += _scripts(addon, scripts.rpm_addon_scripts(places))
    for content in contents:
        lines += _files(content)
    return "\n".join(lines) + "\n"


def can_be_version(kernel_version: str) -> bool:
    """Whether rpm can compare with it: of a version and a release, with one hyphen between them."""
    return kernel_version.count("-") < 2 and not kernel_version.endswith("-")


def is_of_kernel(facts: Facts) -> bool:
    """Whether version and release are the kernel's, so that another package is another kernel."""
    return facts.version == from_kernel(facts.kernel_version, "rpm", facts.architecture)


def _side_by_side(facts: Facts) -> Iterator[str]:
    """Where two packages can have one kernel version, the newer one has to replace the older."""
    if is_of_kernel(facts):
        yield "Provides: installonlypkg(kernel)"


def _preamble(facts: Facts) -> Iterator[str]:
    texts = {
        "Summary": facts.summary,
        "License": facts.license,
        "Vendor": facts.vendor,
        "Packager": facts.maintainer,
        "URL": facts.url,
    }
    yield f"Name: {facts.name}"
    yield f"Version: {facts.version.version}"
    yield f"Release: {facts.version.release}"
    yield from (f"{tag}: {in_spec(text)}" for tag, text in texts.items() if text)
    yield "AutoReqProv: no"
    yield from _side_by_side(facts)
    if can_be_version(facts.kernel_version):
        yield f"Provides: kernel-uname-r = {facts.kernel_version}"
        if not facts.standalone:
            yield f"Requires: kernel-modules-core-uname-r = {facts.kernel_version}"
    yield from _prerequisites()
    yield "Recommends: uki-direct"
    for tag, relations in (
        ("Requires", facts.requires),
        ("Recommends", facts.recommends),
        ("Provides", facts.provides),
        ("Conflicts", facts.conflicts),
    ):
        yield from (f"{tag}: {relation}" for relation in relations)
    yield "\n%description"
    yield from map(_described, facts.description)
    yield ""


def _described(line: str) -> str:
    """A line of the description, where rpm passes over comments."""
    if line.lstrip().startswith("#"):
        raise UsageError(f"a line for an rpm package may not begin with #: {line[:80]!r}")
    return in_spec(line)


def _prerequisites() -> Iterator[str]:
    for moment in ("posttrans", "postun"):
        yield f"Requires({moment}): coreutils, grep, systemd >= {SYSTEMD}, /usr/bin/kernel-install"


def _addon_preamble(addon: Content, facts: Facts) -> Iterator[str]:
    yield f"%package -n {addon.name}"
    yield f"Summary: {in_spec(f'Addon {addon.addon} of the {facts.name} package')}"
    yield "AutoReqProv: no"
    yield from _side_by_side(facts)
    yield f"Requires: {facts.name} = {facts.version}"
    yield f"\n%description -n {addon.name}"
    yield f"It comes into force with the unified kernel image of Linux {facts.kernel_version}."
    yield ""


def _scripts(content: Content, lines: dict[str, str]) -> Iterator[str]:
    for name, script in lines.items():
        yield f"%{name} -n {content.name}"
        yield script.replace("%", "%%")
        yield ""


def _files(content: Content) -> Iterator[str]:
    yield f"%files -n {content.name}"
    yield "%defattr(0644,root,root,0755)"
    yield from (f"%dir {folder}" for folder in sorted(content.folders))
    yield from (_file(item.place, item.mode, content.licenses) for item in content.items)
    yield ""


def _file(place: str, mode: int, licenses: Iterable[str]) -> str:
    kind = "%license " if place in licenses else ""
    return f"%attr({mode:04o},root,root) {kind}{place}"
