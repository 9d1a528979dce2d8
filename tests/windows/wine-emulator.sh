#!/bin/bash
# wine-emulator.sh BUILD PROGRAM ARGS... - what ctest runs the unit tests for Windows by:
# one prefix for all, kept running.
#     BUILD begin | end          a new prefix; stop it
set -euo pipefail
. "$(dirname "$0")/wine-prefix.sh"
build=$1
shift
export WINEPREFIX=$build/wine-unit
case $1 in
begin | end)
	if [ -d "$WINEPREFIX" ]; then
		wineserver -k || true
		wineserver -w
		rm -rf "$WINEPREFIX"
	fi
	[ "$1" = begin ] || exit 0
	wine_prefix "$build" "$WINEPREFIX"
	# What Wine starts beside the first program holds on to that one's output, for which
	# ctest would wait.
	wine "$build/bin/hold.exe" "Z:${WINEPREFIX//\//\\}\\holds" > /dev/null 2>&1 < /dev/null &
	holder=$!
	for ((i = 0; i < 1200; i++)); do
		[ ! -e "$WINEPREFIX/holds" ] || exit 0
		kill -0 $holder 2>/dev/null || break
		sleep 0.1
	done
	echo "wine-emulator.sh: Wine does not start" >&2
	exit 1
	;;
esac
exec wine "$@"
