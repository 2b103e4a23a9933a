#!/bin/sh
# Collects the signed PCR policies that lie beside the booted image, for systemd-cryptsetup.
#
# Reads *.pcrsig.json in NAME.efi.extra.d/ and in loader/extensions/ of the partition that the
# image was started from, and writes /run/systemd/tpm2-pcr-signature.json: first what came with the
# image, then these. Nothing here has to be trusted: the TPM verifies every signature with the key
# that was enrolled. What does not look like an entry is left out, so that the result is JSON
# whatever lies there; what came with the image is never lost. Without such files what came with the
# image is put there, where systemd has not done so yet: it would itself look for it in an initrd
# only.
#
# Needs a POSIX shell, mount, umount, and the programs that are looked for below.

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
limit=4194304 # bytes of a file, 4096 signatures of RSA-4096; systemd reads up to 64 MiB
patience=200  # times that the partition is looked for, with a tenth of a second between

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

# split FILE: every entry of a signature file, and what stands between them, on a line of its own.
split() {
	tr '\n\r\t' '   ' < "$1" | tr -d '\001' |
		sed "s/{ *\"pcrs\" */$mark{\"pcrs\"/g; s/}/}$mark/g" | tr '\001' '\n'
}

# entries FILE: a line "BANK ENTRY" for each entry, as systemd-measure, ukify and sysgraft write
# them. An entry is of the bank that was named last, which is kept in sed's hold space.
entries() {
	split "$1" | sed -n '
/^{"pcrs"/{
G
s/^\(.*\)\n\(.*\)$/\2 \1/p
d
}
s/.*"\([^"]*\)" *: *\[.*/\1/
t bank
d
: bank
h' | sed -n "$unusable
\\$mark^sha1 $entry${mark}p
\\$mark^sha256 $entry${mark}p
\\$mark^sha384 $entry${mark}p
\\$mark^sha512 $entry${mark}p"
}
number='[0-9]\{1,2\}'
digest='"[0-9A-Fa-f]\{64\}"'
# Numbers of PCRs that begin with a zero, or above 23: the first are no JSON, of the others there are
# none, and systemd reads no further.
unusable='
/^[^]]*[[ ,]0[0-9]/d
/^[^]]*[[ ,]2[4-9]/d
/^[^]]*[[ ,][3-9][0-9]/d'
entry="{\"pcrs\" *: *\\[ *$number\\( *, *$number\\)* *\\]"
entry="$entry *, *\"pkfp\" *: *$digest"
# Any printable character but quotes, braces and backslashes.
entry="$entry\\( *, *\"ref\" *: *\"[] !#-[^-z|~]*\"\\)\\{0,1\\}"
entry="$entry *, *\"pol\" *: *$digest"
entry="$entry\\( *, *\"tbs\" *: *\"[0-9A-Fa-f]*\"\\)\\{0,1\\}"
entry="$entry *, *\"sig\" *: *\"[A-Za-z0-9+/=]\\{4,\\}\" *}\$"

# all_taken FILE: whether every entry of a file is one that is taken; each has the word "pcrs".
all_taken() {
	said=$(tr -d '\001' < "$1" | sed "s/\"pcrs\"/$mark/g" | tr -cd '\001' | wc -c)
	[ "$said" -eq "$(entries "$1" | grep -c .)" ]
}

# merged FILE…: one document with the entries of all of them, in their order.
merged() {
	for file in "$@"; do
		entries "$file"
	done > "$work/all" || return 1
	comma=
	printf '{' || return 1
	for bank in sha1 sha256 sha384 sha512; do
		sed -n "s/^$bank //p" "$work/all" | sed '$!s/$/,/' > "$work/bank" || return 1
		if [ -s "$work/bank" ]; then
			printf '%s"%s":[\n' "$comma" "$bank" || return 1
			cat "$work/bank" || return 1
			printf ']' || return 1
			comma=,
		fi
	done
	printf '}\n'
}

# whole FILE: whether a merged document was written to its end.
whole() {
	[ "$(grep -c '^{"pcrs"' "$1")" = "$(grep -c . "$work/all")" ] && [ "$(tail -n 1 "$1")" = ']}' ]
}

# small FILE: whether it is one that is read.
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
	# What systemd has put there is a copy of the first, maybe not yet finished.
	for file in "$embedded" "$target"; do
		if small "$file"; then
			set -- "$file"
			break
		elif [ -e "$file" ]; then
			say "$file has more than $limit bytes: it stays as it is"
			return 1
		fi
	done
	if [ $# -gt 0 ] && ! all_taken "$1"; then
		say "$1 has entries of another form: it stays as it is"
		return 1
	fi
	count=0
	for file in "$work/esp/$folder/"*.pcrsig.json "$work/esp/loader/extensions/"*.pcrsig.json; do
		if small "$file"; then
			set -- "$@" "$file"
			count=$((count + 1))
		fi
	done
	if [ "$count" -eq 0 ] && { [ $# -eq 0 ] || [ -e "$target" ]; }; then
		say "no signatures beside ${image:-the image}"
		return 0
	fi
	if ! merged "$@" > "$work/result" || ! small "$work/result" || ! whole "$work/result"; then
		say "the signatures cannot be put together: none of them is good, they are too many," \
			"or there is no room in $run"
		return 1
	fi
	mkdir -p "$run/systemd" && chmod 0644 "$work/result" && mv "$work/result" "$target" || return 1
	say "signatures of $count files beside ${image:-the image} are in $target"
}

# wait_for DEVICE: udev makes the link once the disk is there.
wait_for() {
	tries=0
	while [ ! -e "$1" ] && [ "$tries" -lt "$patience" ]; do
		sleep 0.1 2> /dev/null || {
			sleep 1
			tries=$((tries + 9))
		}
		tries=$((tries + 1))
	done
}

for program in cat chmod grep mkdir mv rm sed sleep tail tr wc; do
	if ! command -v "$program" > /dev/null; then
		say "the program $program is not in this initrd"
		exit 1
	fi
done
image=$(booted_image)
partition=$(variable StubDevicePartUUID | tr ABCDEF abcdef)
[ -n "$partition" ] || partition=$(variable LoaderDevicePartUUID | tr ABCDEF abcdef)
if [ -z "$(variable StubInfo)" ] || [ -z "$partition" ]; then
	say "the image was not started by systemd-stub, or not from a partition"
	exit 0
fi
if [ "$image" != "$(printf '%s' "$image" | tr -d '\001-\037\177')" ]; then
	say "the image has a name that is not looked for"
	exit 0
fi
case $partition/$image/ in
	[!0-9a-f]* | */../*)
		say "the image has a name that is not looked for: $image"
		exit 0
		;;
esac
image=${image#/}
folder=$(without_counter "$image").extra.d
# Stubs before v255 leave the counter in the name of the folder.
case $(variable StubInfo) in
	'systemd-stub 25'[0-4]*) folder=$image.extra.d ;;
esac
[ -n "$image" ] || folder=.none
umask 077
mkdir -p "$work/esp" || exit 1
wait_for "$devices/$partition"
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
