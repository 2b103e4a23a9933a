#!/bin/sh
# Has drivers look again at devices whose firmware was not there when they first did.
#
# firmware-reprobe [--deadline SECONDS] [--file NAME]… [--modalias PATTERN]… [--device BUS:NAME]…
#
# --file      firmware, as the kernel asks for it: without it, nothing is done
# --modalias  devices by what drivers are matched with, a pattern of the shell
# --device    a device by its name: usb:1-4:1.0, pci:0000:02:00.0
# --deadline  seconds for everything (30)
#
# Only devices without a driver are touched, each once in a boot, with the least that may help: its
# bus is asked for a driver, udev for the module; a USB interface, then a USB device none of whose
# interfaces has a driver, is taken away and given back. Where a disk, the network's way out, the
# console or a screen hangs on what would go, nothing is done.
#
# Ends with 0 if every device has a driver, 1 if one has not, 2 if it makes no sense.
# Needs a POSIX shell, mkdir and sleep; udevadm where modules have to be loaded.

# shellcheck disable=SC2317 # functions are called by their names
set -u
export LC_ALL=C
sys=${SYSGRAFT_SYS:-/sys}
proc=${SYSGRAFT_PROC:-/proc}
usr=${SYSGRAFT_USR:-/usr}
run=${SYSGRAFT_RUN:-/run}
work=$run/sysgraft/reprobe
line_break='
'

say() {
	printf '%s\n' "$*" >&2
}

# now: seconds since the machine was started.
now() {
	read -r seconds _ < /proc/uptime
	printf '%s' "${seconds%%.*}"
}

in_time() {
	[ "$(now)" -lt "$end" ]
}

pause() {
	sleep 0.1 2> /dev/null || sleep 1
}

# place FOLDER: where it really is.
place() {
	(cd -P -- "$1" 2> /dev/null && pwd -P)
}

# first_line FILE: in $line; nothing if it cannot be read.
first_line() {
	line=
	{ IFS= read -r line < "$1"; } 2> /dev/null
	[ -n "$line" ]
}

# put TEXT FILE: writes an attribute. The kernel may keep a writer for as long as it likes.
put() {
	writes=$((writes + 1))
	mark=$work/$$-$writes
	(if printf '%s' "$1" > "$2"; then : > "$mark.done"; else : > "$mark.refused"; fi) 2> /dev/null &
	while [ ! -e "$mark.done" ]; do
		if [ -e "$mark.refused" ]; then
			say "$device: ${2#"$sys"/} was refused"
			return 1
		elif ! in_time; then
			kill "$!" 2> /dev/null
			say "$device: ${2#"$sys"/} did not end in time"
			return 1
		fi
		pause
	done
}

# bound SECONDS: whether the device gets its driver.
bound() {
	until=$(($(now) + $1))
	while [ ! -e "$path/driver" ]; do
		in_time && [ "$(now)" -lt "$until" ] || return 1
		pause
	done
}

# --- What must not go ----------------------------------------------------------------------------

# holds FOLDER CLASS NAME: whether a device of a class is below a folder.
holds() {
	case $(place "$sys/class/$2/$3") in
		"$1"/*) return 0 ;;
	esac
	return 1
}

# ways_out: the network devices that default routes lead over.
ways_out() {
	while read -r name target _ _ _ _ _ mask _; do
		[ "$target/$mask" = 00000000/00000000 ] && printf '%s\n' "$name"
	done < "$proc/net/route"
	while read -r target length _ _ _ _ _ _ _ name; do
		[ "$target/$length" = 00000000000000000000000000000000/00 ] && printf '%s\n' "$name"
	done < "$proc/net/ipv6_route"
} 2> /dev/null

# needed FOLDER: says what the machine needs below it; fails if there is nothing.
needed() {
	for class in block drm graphics; do
		for each in "$sys/class/$class"/*; do
			if [ -e "$each" ] && holds "$1" "$class" "${each##*/}"; then
				printf '%s' "$class/${each##*/}"
				return 0
			fi
		done
	done
	for each in $(ways_out); do
		if holds "$1" net "$each"; then
			printf '%s' "the default route over $each"
			return 0
		fi
	done
	{
		while read -r each _; do
			if holds "$1" tty "$each"; then
				printf '%s' "the console $each"
				return 0
			fi
		done < "$proc/consoles"
	} 2> /dev/null
	return 1
}

# may_go FOLDER: whether what is in there may be without a driver for a moment.
may_go() {
	if what=$(needed "$1"); then
		say "$device: left alone, for $what hangs on it"
		return 1
	fi
}

# --- What is done --------------------------------------------------------------------------------

by_bus() {
	put "$name" "$sys/bus/$bus/drivers_probe" && bound 2
}

by_udev() {
	put add "$path/uevent" && bound 5
}

# again FOLDER: a USB interface or device is taken away and given back, if it may be used at all.
again() {
	first_line "$1/authorized" && [ "$line" = 1 ] && may_go "$1" || return 1
	put 0 "$1/authorized"
	put 1 "$1/authorized"
}

by_interface() {
	[ "$bus" = usb ] && again "$real" && by_bus
}

# Only if no interface of it has a driver: the others would lose theirs.
by_device() {
	case $bus/$name in
		usb/*:*) ;;
		*) return 1 ;;
	esac
	for each in "${real%/*}"/*:*/driver; do
		[ ! -e "$each" ] || return 1
	done
	again "${real%/*}" && bound 5
}

# reprobe BUS:NAME
reprobe() {
	device=$1
	bus=${device%%:*}
	name=${device#*:}
	path=$sys/bus/$bus/devices/$name
	case $device in
		*:*) kept=/$bus/$name/ ;;
		*) kept=// ;;
	esac
	case $kept in
		*/../* | */./* | *//* | /*/*/*/* | *"$line_break"*)
			say "$device: is no name of a device"
			return 2
			;;
	esac
	if ! real=$(place "$path"); then
		say "$device: is not there"
		return 0
	elif [ -e "$path/driver" ]; then
		say "$device: has a driver, nothing to do"
		return 0
	elif ! mkdir "$work/$device" 2> /dev/null; then
		say "$device: has been tried in this boot"
		return 1
	fi
	for step in by_bus by_udev by_interface by_device; do
		if in_time && "$step"; then
			driver=$(place "$path/driver")
			say "$device: has the driver ${driver##*/} now ($step)"
			return 0
		fi
	done
	say "$device: still has no driver"
	return 1
}

# try DEVICE: re-probes it; the worst result counts.
try() {
	reprobe "$1"
	result=$?
	[ "$result" -le "$status" ] || status=$result
}

# matching PATTERN: tries the devices that have such a modalias.
matching() {
	for found in "$sys"/bus/*/devices/*; do
		# shellcheck disable=SC2254 # it is a pattern
		if first_line "$found/modalias"; then
			case $line in
				$1) bus=${found%/devices/*} && try "${bus##*/}:${found##*/}" ;;
			esac
		fi
	done
}

# has_firmware NAME: whether the kernel would find it.
has_firmware() {
	first_line "$proc/sys/kernel/osrelease"
	release=$line
	first_line "$sys/module/firmware_class/parameters/path"
	for folder in "$line" "$usr/lib/firmware/updates/$release" "$usr/lib/firmware/updates" \
		"$usr/lib/firmware/$release" "$usr/lib/firmware"; do
		for suffix in '' .zst .xz; do
			[ -z "$folder" ] || [ ! -f "$folder/$1$suffix" ] || return 0
		done
	done
	return 1
}

wrong() {
	say "$*"
	exit 2
}

# prepare OPTION VALUE
prepare() {
	case $1 in
		--deadline)
			case $2 in
				'' | *[!0-9]* | ??????*) wrong "$2 is no number of seconds" ;;
			esac
			end=$(($(now) + $2))
			;;
		--file)
			if ! has_firmware "$2"; then
				say "there is no firmware $2: nothing is done"
				exit 0
			fi
			;;
		--device | --modalias) ;;
		*) wrong "unknown option $1" ;;
	esac
}

# perform OPTION VALUE
perform() {
	case $1 in
		--device) try "$2" ;;
		--modalias) matching "$2" ;;
	esac
}

status=0
writes=0
end=$(($(now) + 30))
mkdir -p "$work" || wrong "there is no place in $run"
[ $(($# % 2)) -eq 0 ] || wrong "an option is without its value"
if command -v udevadm > /dev/null; then
	# What is on its way shall arrive; rules and the list of modules may be new as well.
	udevadm control --reload
	udevadm settle --timeout=10
fi 2> /dev/null
for pass in prepare perform; do
	option=
	for word in "$@"; do
		if [ -z "$option" ]; then
			option=$word
		else
			"$pass" "$option" "$word"
			option=
		fi
	done
done
exit "$status"
