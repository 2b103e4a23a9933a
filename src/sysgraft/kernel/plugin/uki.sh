#!/bin/sh
# A plugin of kernel-install(8): UKIs are put on the boot partition, and taken off it, by sysgraft.
# It has the name of systemd's own plugin for layout=uki, and stands for it.
set -eu

program=@PROGRAM@
command=${1:?}
version=${2:?}
image=${4:-}
staged=${KERNEL_INSTALL_STAGING_AREA:-}/uki.efi

# The name of an entry can be another one since systemd 261.
entry=${KERNEL_INSTALL_ENTRY_TOKEN:?}-$version
if [ "${KERNEL_INSTALL_ENTRY_NAME:-$entry}" != "$entry" ]; then
	echo "sysgraft: no entries of other names than $entry are made: $KERNEL_INSTALL_ENTRY_NAME" >&2
	exit 1
fi

case ${KERNEL_INSTALL_BOOT_ROOT:?} in
/*) boot=$KERNEL_INSTALL_BOOT_ROOT ;;
*) boot=/$KERNEL_INSTALL_BOOT_ROOT ;;
esac
place() {
	"$program" kernel "$@" --boot-path "$boot" --entry-token "literal:$KERNEL_INSTALL_ENTRY_TOKEN"
}

case $command in
remove)
	[ "${KERNEL_INSTALL_BOOT_ENTRY_TYPE:-}" != type1 ] || exit 0
	place remove "$version" --layout uki
	@GRUB@
	exit
	;;
add) ;;
*) exit 0 ;;
esac
[ "${KERNEL_INSTALL_LAYOUT:-}" = uki ] || exit 0
[ "${KERNEL_INSTALL_BOOT_ENTRY_TYPE:-}" != type1 ] || exit 0

# What a generator made of kernel and initrd comes before what was given.
if [ -f "$staged" ]; then
	image=$staged
elif [ -z "$image" ]; then
	[ "${KERNEL_INSTALL_VERBOSE:-0}" -eq 0 ] || echo "No UKI is there to be installed."
	exit 0
fi

given=$image
set -- "$image" --kernel-version "$version" --layout uki @OPTIONS@
if [ "$given" != "$staged" ]; then
	for each in "$staged.extra.d"/*; do
		[ ! -f "$each" ] || set -- "$@" --extra "$each"
	done
fi
tries=${KERNEL_INSTALL_CONF_ROOT:-/etc/kernel}/tries
# In a chroot, as where an image is built, the firmware is another machine's.
if [ -d /sys/firmware/efi/efivars ] &&
	[ "$(stat -c %d:%i /)" = "$(stat -c %d:%i /proc/1/root/. 2> /dev/null)" ]; then
	set -- "$@" @FIRMWARE@
	tries=@TRIES@
fi
if [ -f "$tries" ]; then
	read -r count < "$tries" || [ -n "$count" ]
	set -- "$@" --tries "$count"
fi
place install "$@"
@GRUB@
