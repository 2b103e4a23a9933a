#!/bin/sh
# sysgraft's own Python, for the processes that sysgraft starts.
agent=${0%/*}/..
unset LD_PRELOAD LD_AUDIT
exec "$agent/@LOADER@" --inhibit-cache --library-path "$agent/lib" --argv0 "$0" \
	"$agent/bin/@PYTHON@" -I -S -B -X utf8 "$@"
