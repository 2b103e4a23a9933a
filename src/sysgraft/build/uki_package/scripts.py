"""The scripts in a package: they have kernel-install put the UKI where firmware finds it.

Interface: kernel-install(8) of systemd 254 and newer; Debian policy 6.5; rpm's scriptlets. They are
for ``/bin/sh``, call nothing else that is not in every system, and may run again at any time. Every
name in them has been checked by `sysgraft.build.uki_package.names`, so that quotes suffice.

``kernel-install remove`` takes everything of a kernel version with it, also the entry of another
package's kernel of that version. From systemd 258 on ``--entry-type=type2`` leaves that, as long as
that kernel is ``/usr/lib/modules/VERSION/vmlinuz``; where it is in ``/boot``, or systemd is older,
only the plugins that are about UKIs are run. The folder of such an entry on the boot partition is
removed by kernel-install itself, unless ``--make-entry-directory=no`` says that there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES: Final = "/usr/lib/modules"
"""Where UKIs of packages lie, each in the folder of its kernel version (UAPI.5)."""
PLUGINS: Final = "/usr/lib/kernel/install.d"
"""Where kernel-install has the plugins of packages."""

_COPY: Final = "90-uki-copy.install"
"""systemd's plugin for UKIs; one of this name in ``/etc`` stands for it."""


class Places(NamedTuple):
    """What the scripts are about.

    Attributes:
        kernel_version: whose UKI it is.
        file_name: of the UKI.
        plugin: path of the package's plugin, empty if it has none.
    """

    kernel_version: str
    file_name: str
    plugin: str

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
    """Lines that take the UKI away again, and leave other kernels of its version."""
    version, other = places.kernel_version, f"{places.folder}/vmlinuz"
    plugins = " ".join(filter(None, ["$copy", places.plugin]))
    return f"""\
if {program} --help | grep -q -e '--entry-type=' &&
    {{ [ -e '{other}' ] || [ ! -e '/boot/vmlinuz-{version}' ]; }}; then
    {program} --entry-type=type2 --make-entry-directory=no remove '{version}'
elif [ -e '{other}' ] || [ -e '/boot/vmlinuz-{version}' ]; then
    copy=/etc/kernel/install.d/{_COPY}
    [ -e "$copy" ] || copy={PLUGINS}/{_COPY}
    KERNEL_INSTALL_PLUGINS="{plugins}" \\
        {program} --make-entry-directory=no remove '{version}'
else
    {program} remove '{version}'
fi"""


def again(places: Places, program: str = "kernel-install") -> str:
    """Lines that install the UKI once more if it is there: what is beside it has changed."""
    return f"if [ -e '{places.uki}' ]; then\n    {add(places, program)}\nfi"


def plugin(places: Places, names: Sequence[str]) -> str:
    """The package's plugin: what is beside the UKI goes to the boot partition, and comes back.

    systemd's own copies it from 258 on, and never takes one file away.
    """
    listed = " ".join(f"'{name}'" for name in sorted(names))
    return f"""\
#!/bin/sh
# Files beside the UKI of one kernel version: those that are there go where its stub looks for
# them, those of removed packages are taken away. From systemd 258 on 90-uki-copy.install copies
# them too.
set -e

[ "$2" = '{places.kernel_version}' ] || exit 0

entry="${{KERNEL_INSTALL_ENTRY_NAME:-$KERNEL_INSTALL_ENTRY_TOKEN-$2}}"
folder="$KERNEL_INSTALL_BOOT_ROOT/EFI/Linux/$entry.efi.extra.d"

case "$1" in
    add)
        [ "$KERNEL_INSTALL_LAYOUT" = uki ] || exit 0
        [ "${{4##*/}}" = '{places.file_name}' ] || exit 0
        ;;
    remove)
        [ "$KERNEL_INSTALL_BOOT_ENTRY_TYPE" != type1 ] || exit 0
        ;;
    *)
        exit 0
        ;;
esac

for name in {listed}; do
    if [ "$1" = add ] && [ -f "$4.extra.d/$name" ]; then
        # Another plugin may have put it there, in a way that no power cut can hurt.
        cmp -s "$4.extra.d/$name" "$folder/$name" 2>/dev/null ||
            install -D -m 0644 "$4.extra.d/$name" "$folder/$name"
    else
        rm -f "$folder/$name"
    fi
done
[ ! -d "$folder" ] || rmdir "$folder" 2>/dev/null || :
"""


def _debian(cases: str, lines: str, *, needed: bool = True) -> str:
    """A maintainer script that runs `lines` for some of its first arguments."""
    guarded = f"if command -v kernel-install >/dev/null; then\n{_indented(lines)}\nfi"
    body = guarded if needed else lines
    return f"""\
#!/bin/sh
set -e

case "$1" in
    {cases})
{_indented(_indented(body))}
        ;;
esac

exit 0
"""


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in lines.split("\n"))


def debian_scripts(places: Places) -> dict[str, str]:
    """The maintainer scripts of the package with the UKI, by name.

    What was removed comes back if the removal is given up (``abort-remove``). A system without
    kernel-install, such as a container's, has no boot partition to look after.
    """
    return {
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

    As in Fedora's kernel.spec, a failure is the scriptlet's: rpm says so, and goes on.
    """
    program = "/usr/bin/kernel-install"
    return {
        "posttrans": f"{add(places, program)} || exit $?",
        "preun": f"set -e\n{remove(places, program)}",
    }


def rpm_addon_scripts(places: Places) -> dict[str, str]:
    """The scriptlets of a package with an addon, by name."""
    program = "/usr/bin/kernel-install"
    lines = again(places, program)
    return {"posttrans": f"set -e\n{lines}", "postun": f"set -e\n{lines}"}
