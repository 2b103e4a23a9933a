"""The scripts in a package: they have kernel-install put the UKI where firmware finds it.

Interface: kernel-install(8) of systemd 254 and newer; Debian policy 6.5; rpm's scriptlets. They are
for ``/bin/sh``, call nothing else that is not in every system, and may run again at any time. Every
name in them has been checked by `sysgraft.build.uki_package.names`, so that quotes suffice.

``kernel-install remove`` takes everything of a kernel version with it, also the entry of another
package's kernel of that version and the index of its modules. From systemd 258 on
``--entry-type=type2`` leaves that, as long as that kernel is ``/usr/lib/modules/VERSION/vmlinuz``;
where it is in ``/boot``, or systemd is older, only the plugins that are about UKIs are run. The
folder of such an entry on the boot partition is removed by kernel-install itself, unless
``--make-entry-directory=no`` says that there is none. The plugins are in `plugins`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MODULES: Final = "/usr/lib/modules"
"""Where UKIs of packages lie, each in the folder of its kernel version (UAPI.5)."""
PLUGINS: Final = "/usr/lib/kernel/install.d"
"""Where kernel-install has the plugins of packages."""

ABOUT_UKIS: Final = ("90-uki-copy.install", "99-uki-uefi-setup.install")
"""Plugins for UKIs: systemd's, and that of Fedora's uki-direct for entries of the firmware;
one of such a name in ``/etc`` stands for it."""

_PROGRAM: Final = "/usr/bin/kernel-install"


class Places(NamedTuple):
    """What the scripts are about.

    Attributes:
        kernel_version: whose UKI it is.
        file_name: of the UKI.
        plugin: path of the package's plugin for what is beside the UKI; not all have one.
        guard: path of the plugin that every one has.
    """

    kernel_version: str
    file_name: str
    plugin: str
    guard: str

    @property
    def folder(self) -> str:
        """The kernel's."""
        return f"{MODULES}/{self.kernel_version}"

    @property
    def uki(self) -> str:
        """The path of the UKI."""
        return f"{self.folder}/{self.file_name}"

    @property
    def extra(self) -> str:
        """The folder beside it."""
        return f"{self.uki}.extra.d"


def add(places: Places, program: str = "kernel-install") -> str:
    """Lines that install the UKI."""
    return f"{program} add '{places.kernel_version}' '{places.uki}'"


def remove(places: Places, program: str = "kernel-install") -> str:
    """Lines that take the UKI away again, and leave other kernels of its version.

    The package's own files may be gone already.
    """
    version, other = places.kernel_version, f"{places.folder}/vmlinuz"
    return f"""\
if {program} --help | grep -q -e '--entry-type=' &&
    {{ [ -e '{other}' ] || [ ! -e '/boot/vmlinuz-{version}' ]; }}; then
    {program} --entry-type=type2 --make-entry-directory=no remove '{version}'
elif [ -e '{other}' ] || [ -e '/boot/vmlinuz-{version}' ] || [ -d '{places.folder}/kernel' ]; then
    plugins=
    for each in {" ".join(ABOUT_UKIS)}; do
        place="/etc/kernel/install.d/$each"
        [ -e "$place" ] || place="{PLUGINS}/$each"
        [ ! -x "$place" ] || plugins="$plugins $place"
    done
    [ ! -e '{places.plugin}' ] || plugins="$plugins {places.plugin}"
    [ -z "$plugins" ] || KERNEL_INSTALL_PLUGINS="$plugins" \\
        {program} --make-entry-directory=no remove '{version}'
else
    {program} remove '{version}'
fi"""


def without_extras(places: Places, program: str = "kernel-install") -> str:
    """Lines that have the plugin of the package that is there take its files off.

    They are for the package that comes: what it does not bring any more would stay in force, and
    what it brings is put there again.
    """
    call = f"{program} --make-entry-directory=no remove '{places.kernel_version}'"
    return f"""\
if [ -e '{places.plugin}' ]; then
    KERNEL_INSTALL_PLUGINS='{places.plugin}' \\
        {call} ||
        echo "warning: what lies beside {places.file_name} on the boot partition stays there" >&2
fi"""


def again(places: Places, program: str = "kernel-install") -> str:
    """Lines that install the UKI once more if it is there: what is beside it has changed.

    What was removed goes first, by the package's own plugin, whatever another one then says.
    """
    return f"""\
if [ -e '{places.uki}' ]; then
    [ ! -e '{places.plugin}' ] ||
        KERNEL_INSTALL_PLUGINS='{places.plugin}' \\
            {program} --make-entry-directory=no add '{places.kernel_version}' '{places.uki}'
    {add(places, program)}
fi"""


def _debian(cases: str, lines: str) -> str:
    """A maintainer script that runs `lines` for some of its first arguments."""
    return f"""\
#!/bin/sh
set -e

case "$1" in
    {cases})
        if command -v kernel-install >/dev/null; then
{_indented(lines, 12)}
        fi
        ;;
esac

exit 0
"""


def _indented(lines: str, width: int) -> str:
    return "\n".join(" " * width + line if line else line for line in lines.split("\n"))


def debian_scripts(places: Places) -> dict[str, str]:
    """The maintainer scripts of the package with the UKI, by name.

    What was removed comes back if the removal is given up (``abort-remove``). A system without
    kernel-install, such as a container's, has no boot partition to look after.
    """
    return {
        "preinst": _debian("upgrade", without_extras(places)),
        "postinst": _debian(
            "configure | abort-upgrade | abort-remove | abort-deconfigure", add(places)
        ),
        "prerm": _debian("remove", remove(places)),
    }


def debian_addon_scripts(places: Places) -> dict[str, str]:
    """The maintainer scripts of a package with an addon, by name."""
    return {
        "postinst": _debian("configure", again(places)),
        "postrm": _debian("remove", again(places)),
    }


def rpm_scripts(places: Places) -> dict[str, str]:
    """The scriptlets of the package with the UKI, by name.

    ``%postun`` of the old package runs in upgrades and reinstallations too, before the new one's
    ``%posttrans``: the entry stays as long as there is a UKI that it is of. How many packages of
    the name are left, its argument, does not tell, since those of several kernels stand side by
    side; of none left, no other file counts. It runs when nothing can be kept from going any more,
    so a failure is a warning.
    """
    return {
        "pre": without_extras(places, _PROGRAM),
        "posttrans": f"{add(places, _PROGRAM)} || exit $?",
        "postun": f"""\
[ ! -e '{places.uki}' ] || exit 0
if [ "$1" -ne 0 ]; then
    for each in '{places.folder}'/*.efi; do
        [ ! -e "$each" ] || exit 0
    done
fi
if ! {{
{_indented(remove(places, _PROGRAM), 4)}
}}; then
    echo "warning: the boot entry of Linux {places.kernel_version} is still there" >&2
    echo "Remove it with: kernel-install remove {places.kernel_version}" >&2
fi""",
    }


def rpm_addon_scripts(places: Places) -> dict[str, str]:
    """The scriptlets of a package with an addon, by name."""
    lines = again(places, _PROGRAM)
    return {"posttrans": f"set -e\n{lines}", "postun": f"set -e\n{lines}"}
