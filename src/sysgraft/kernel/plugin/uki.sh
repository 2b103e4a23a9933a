#!/bin/sh
# A plugin of kernel-install(8): UKIs are put on the boot partition, and taken off it, by sysgraft.
# It has the name of systemd's own plugin for layout=uki, and stands for it.
set -eu

program=@PROGRAM@
command=${1:?}
version=${2:?}
image=${4:-}
staged=${KERNEL_INSTALL_STAGING_AREA:-}/uki.efi

case ${KERNEL_INSTALL_BOOT_ROOT:?} in
/*) boot=$KERNEL_INSTALL_BOOT_ROOT ;;
*) boot=/$KERNEL_INSTALL_BOOT_ROOT ;;
esac
place() {
	"$program" kernel "$@" --boot-path "$boot" --entry-token "literal:${KERNEL_INSTALL_ENTRY_TOKEN:?}"
}

case $command in
remove)
	place remove "$version" --layout uki
	@GRUB@
	exit
	;;
add) ;;
*) exit 0 ;;
esac
[ "${KERNEL_INSTALL_LAYOUT:-}" = uki ] || exit 0

# What a generator made of kernel and initrd comes before what was given.
if [ -f "$staged" ]; then
	image=$staged
elif [ -z "$image" ]; then
	[ "${KERNEL_INSTALL_VERBOSE:-0}" -eq 0 ] || echo "No UKI is there to be installed."
	exit 0
fi

set -- "$image" --kernel-version "$version" --layout uki @OPTIONS@
tries=${KERNEL_INSTALL_CONF_ROOT:-/etc/kernel}/tries
# Where no firmware is, as while an image is built, nothing can be told to it.
if [ -d /sys/firmware/efi/efivars ]; then
	set -- "$@" @FIRMWARE@
	tries=@TRIES@
fi
if [ -f "$tries" ]; then
	read -r count < "$tries" || [ -n "$count" ]
	set -- "$@" --tries "$count"
fi
place install "$@"
@GRUB@
