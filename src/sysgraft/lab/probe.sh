# Runs in the guest, as root, under whatever sh there is. Tells the lab about the guest over a
# virtio port, runs the lab's script, and switches the machine off.
#
# $1: the script; empty if there is none.
#
# What goes over the port is a sequence of items: a line with a name and a number, so many bytes,
# a line break; the last one is called end.

PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
line_break='
'
work=/run/sysgraft-lab
mkdir -p "$work/results"

find_port() {
	for each in /sys/class/virtio-ports/*; do
		if [ "$(cat "$each/name" 2> /dev/null)" = sysgraft.results ]; then
			port=/dev/${each##*/}
			[ -c "$port" ]
			return
		fi
	done
	return 1
}

# item NAME FILE
item() {
	printf '%s %d\n' "$1" "$(wc -c < "$2")" >&3
	cat "$2" >&3
	printf '\n' >&3
}

# said NAME COMMAND…: what a command prints, if it succeeds.
said() {
	name=$1
	shift
	if "$@" > "$work/said" 2> /dev/null; then item "$name" "$work/said"; fi
}

have() {
	command -v "$1" > /dev/null 2>&1
}

efi_variable() {
	od -An -tu1 -j4 -N1 "/sys/firmware/efi/efivars/$1-8be4df61-93ca-11d2-aa0d-00e098032b8c"
}

# What was measured after the firmware's log was closed; told again when the script has ended.
tell_measurements() {
	said ima-log cat /sys/kernel/security/ima/binary_runtime_measurements
	said userspace-log cat /run/log/systemd/tpm2-measure.log
}

tell() {
	said cmdline cat /proc/cmdline
	said kernel uname -r
	if [ -r /etc/os-release ]; then
		said os-release cat /etc/os-release
	else
		said os-release cat /.extra/os-release
	fi
	said secure-boot efi_variable SecureBoot
	tell_measurements
	have systemctl || return 0
	said systemd systemctl --version
	said failed-units systemctl list-units --state=failed --plain --no-legend --no-pager
	if have systemd-sysext; then said sysext systemd-sysext status --json=short; fi
	if have systemd-confext; then said confext systemd-confext status --json=short; fi
	said journal journalctl --no-pager --boot --output=short-monotonic \
		--unit=systemd-sysext --unit=systemd-confext
}

# Copied, since credentials are where nothing may be executed.
run_script() {
	cp "$1" "$work/script"
	chmod 700 "$work/script"
	SYSGRAFT_RESULTS=$work/results
	export SYSGRAFT_RESULTS
	{
		cd /
		case $(head -c 2 "$work/script") in
			'#!') "$work/script" ;;
			*) sh "$work/script" ;;
		esac
		echo $? > "$work/status"
	} < /dev/null 2>&1 3>&- | tee "$work/output" > /dev/console
	for file in "$work/results/"*; do
		case ${file##*/} in
			*"$line_break"*) continue ;;
		esac
		if [ -f "$file" ]; then item "file:${file##*/}" "$file"; fi
	done
	item output "$work/output"
	item status "$work/status"
	tell_measurements
}

switch_off() {
	sync
	if have systemctl; then systemctl poweroff --force --force; fi
	poweroff -f
	echo o > /proc/sysrq-trigger
}

find_port || { modprobe virtio_console && sleep 1; find_port; } 2> /dev/null
if [ -n "${port:-}" ]; then
	exec 3> "$port"
	tell
else
	echo 'sysgraft lab: there is no virtio port to report over' > /dev/console
	exec 3> /dev/null
fi
if [ -n "${1:-}" ]; then run_script "$1"; fi
: > "$work/said"
item end "$work/said"
switch_off
