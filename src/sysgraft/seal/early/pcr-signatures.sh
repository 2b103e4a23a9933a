#!/bin/sh
# Collects the signed PCR policies that lie beside the booted image, for systemd-cryptsetup.
#
# Reads *.pcrsig.json in NAME.efi.extra.d/ and in loader/extensions/ of the partition that the
# image was started from, and writes /run/systemd/tpm2-pcr-signature.json: first what came with the
# image, then these. Nothing here has to be trusted: the TPM verifies every signature with the key
# that was enrolled. What does not look like an entry is left out, so that the result is JSON
# whatever lies there. Without such files what came with the image is put there, where systemd has
# not done so yet: it would itself look for it in an initrd only.
#
# Needs a POSIX shell, mount, umount, udevadm, and cat, chmod, mkdir, mv, rm, sed, tail, tr, wc.

set -u
export LC_ALL=C
vendor=4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
variables=${SYSGRAFT_EFIVARS:-/sys/firmware/efi/efivars}
devices=${SYSGRAFT_DEVICES:-/dev/disk/by-partuuid}
run=${SYSGRAFT_RUN:-/run}
embedded=${SYSGRAFT_EMBEDDED:-/.extra/tpm2-pcr-signature.json}
target=$run/systemd/tpm2-pcr-signature.json
work=$run/sysgraft-pcr-signatures
mark=$(printf '\001')
limit=4194304 # bytes that systemd reads of such a file

say() {
	echo "$*" >&2
}

# variable NAME: its text, which is UTF-16 behind four bytes of attributes. Nobody can seek there.
variable() {
	cat "$variables/$1-$vendor" 2> /dev/null | tail -c +5 | tr -d '\000'
}

# without_counter PATH: as the stub takes it out, NAME+LEFT[-DONE].efi, at the first + only.
without_counter() {
	printf '%s\n' "$1" | sed 's/^\([^+]*\)+[0-9]\{1,\}\(-[0-9]\{1,\}\)\{0,1\}\(\..*\)\{0,1\}$/\1\3/'
}

# entries FILE: a line "BANK ENTRY" for each entry of a signature file, as systemd-measure, ukify and
# sysgraft write them. A line of its own for each entry first; then every entry gets the bank that was
# named last, which is kept in sed's hold space.
entries() {
	tr -d '\n\r\001' < "$1" |
		sed "s/{ *\"pcrs\" */$mark{\"pcrs\"/g; s/}/}$mark/g" | tr '\001' '\n' |
		sed -n '
/^{"pcrs"/{
G
s/^\(.*\)\n\(.*\)$/\2 \1/p
d
}
s/.*"\(sha[0-9]\{1,3\}\)" *: *\[.*/\1/
t bank
d
: bank
h' | sed -n "/$zero/d; \\|$entry|p"
}
number='[0-9]\{1,2\}'
digest='"[0-9a-f]\{64\}"'
zero='^sha[0-9]* {"pcrs": *\[[^]]*[[, ]0[0-9]'
entry="^sha[0-9]\\{1,3\\} {\"pcrs\": *\\[ *$number\\( *, *$number\\)* *\\], *\"pkfp\": *$digest\\(, *\"ref\""
entry="$entry: *\"[A-Za-z0-9:._ -]*\"\\)\\{0,1\\}, *\"pol\": *$digest, *\"sig\": *\"[A-Za-z0-9+/=]\\{4,\\}\" *}\$"

# merged FILE…: one document with the entries of all of them, in their order.
merged() {
	for file in "$@"; do
		entries "$file"
	done > "$work/all"
	comma=
	printf '{'
	for bank in sha1 sha256 sha384 sha512; do
		sed -n "s/^$bank //p" "$work/all" | sed '$!s/$/,/' > "$work/bank"
		if [ -s "$work/bank" ]; then
			printf '%s"%s":[\n' "$comma" "$bank"
			cat "$work/bank"
			printf ']'
			comma=,
		fi
	done
	printf '}\n'
}

# small FILE: whether systemd would read so much.
small() {
	[ -f "$1" ] && [ "$(wc -c < "$1")" -le "$limit" ]
}

# booted_image: path of the image that systemd-stub was started from; nothing if that is not known.
# Stubs before v257 do not say it, but the boot loader says which entry it started, or the firmware
# which program; of an entry with a text file the image stays unknown.
booted_image() {
	found=$(variable StubImageIdentifier)
	if [ -z "$found" ] && [ -n "$(variable StubInfo)" ]; then
		found=$(variable LoaderEntrySelected)
		case $found in
			*.efi) found=EFI/Linux/$found ;;
			'') [ -n "$(variable LoaderInfo)" ] || found=$(variable LoaderImageIdentifier) ;;
			*) found= ;;
		esac
	fi
	printf '%s' "$found" | tr '\\' /
}

collect() {
	set --
	for file in "$target" "$embedded"; do
		if small "$file"; then
			set -- "$file"
			break
		fi
	done
	count=0
	for file in "$work/esp/$folder/"*.pcrsig.json "$work/esp/$counted/"*.pcrsig.json \
		"$work/esp/loader/extensions/"*.pcrsig.json; do
		if small "$file"; then
			set -- "$@" "$file"
			count=$((count + 1))
		fi
	done
	if [ "$count" -eq 0 ] && { [ $# -eq 0 ] || [ -e "$target" ]; }; then
		say "no signatures beside ${image:-the image}"
		return 0
	fi
	merged "$@" > "$work/result"
	if ! small "$work/result"; then
		say "more signatures than systemd reads: $limit bytes"
		return 1
	fi
	mkdir -p "$run/systemd"
	chmod 0644 "$work/result"
	mv "$work/result" "$target"
	say "signatures of $count files beside ${image:-the image} are in $target"
}

image=$(booted_image)
partition=$(variable StubDevicePartUUID | tr ABCDEF abcdef)
[ -n "$partition" ] || partition=$(variable LoaderDevicePartUUID | tr ABCDEF abcdef)
if [ -z "$(variable StubInfo)" ] || [ -z "$partition" ]; then
	say "the image was not started by systemd-stub, or not from a partition"
	exit 0
fi
case $partition$image in
	*[!0-9A-Za-z/._+\ -]* | *..*)
		say "the image has a name that is not looked for: $image"
		exit 0
		;;
esac
image=${image#/}
folder=$(without_counter "$image").extra.d
# Stubs before v255 leave the counter in the name of the folder.
counted=$image.extra.d
[ -n "$image" ] || folder=.none
[ "$counted" != "$folder" ] && [ -n "$image" ] || counted=.none
umask 077
mkdir -p "$work/esp"
udevadm wait --timeout=20 "$devices/$partition" 2> /dev/null || udevadm settle --timeout=20
if ! mount -t vfat -o ro,nodev,nosuid,noexec "$devices/$partition" "$work/esp"; then
	say "the partition $partition cannot be looked into"
	rm -rf "$work"
	exit 1
fi
collect
status=$?
umount "$work/esp"
rm -f "$work/result" "$work/all" "$work/bank"
exit $status
