#!/bin/sh
# sysgraft with its own Python, libraries and loader. Children get none of them.
case $0 in
/usr/bin/* | /bin/*) agent=/usr/lib/sysgraft/agent ;;
*/*) agent=${0%/*}/../lib/sysgraft/agent ;;
*) agent=../lib/sysgraft/agent ;;
esac
[ -d "$agent" ] || agent=/usr/lib/sysgraft/agent
unset LD_PRELOAD LD_AUDIT
exec "$agent/@LOADER@" --inhibit-cache --library-path "$agent/lib" --argv0 "$agent/bin/python3" \
	"$agent/bin/@PYTHON@" -I -S -B -X utf8 -c 'from sysgraft.cli.main import entry; entry()' "$@"
