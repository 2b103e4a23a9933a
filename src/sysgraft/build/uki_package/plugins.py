"""The plugins for kernel-install in a package.

Interface: kernel-install(8) of systemd 254 and newer, "Plugins": arguments, variables, and the exit
code that keeps the following plugins from being run. They are for ``/bin/sh``, and their names
begin with the number that says when they are run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.build.uki_package.scripts import Places


def guard(places: Places) -> str:
    """Runs first: with another layout than ``uki`` nothing is done.

    kernel-install would make an entry of text that starts the UKI, and has the name of that of
    another package's kernel of the same version, which is then lost.
    """
    return f"""\
#!/bin/sh
# A UKI is no kernel for boot entries of text: they would be those of another kernel of its version.

[ "$1" = add ] && [ "$2" = '{places.kernel_version}' ] || exit 0
[ "${{4##*/}}" = '{places.file_name}' ] || exit 0
[ "$KERNEL_INSTALL_LAYOUT" != uki ] || exit 0
echo "$4 is not installed: the layout is $KERNEL_INSTALL_LAYOUT, not uki" >&2
exit 77
"""


def beside(places: Places, names: Sequence[str]) -> str:
    """What is beside the UKI goes to the boot partition, and comes back.

    systemd's own plugin copies it from 258 on, and never takes one file away.
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
