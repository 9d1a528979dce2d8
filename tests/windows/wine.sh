# wine.sh - sourced by tests/windows/*.sh: what scenario.bash gives (a private directory
# $work, the Linux server of HOLDFAST_BUILD), and programs for Windows under Wine.
#
#   wine_begin                    a private prefix, with everything of it stopped at the end
#   wine_run PROGRAM ARGS...      of build/windows/bin, a path, or one of Wine's own
#   wine_drive LETTER FILE        \\.\LETTER: is FILE (an image) or a block device
#   wine_path FILE                FILE as Windows names it: Z:\...
#   wine_dll FILE                 FILE is in system32, instead of Wine's own of that name
#   wine_stop                     as if the machine were switched off; wine_run starts it again
#
# HOLDFAST_WINDOWS is the build for Windows, by default beside HOLDFAST_BUILD.
# Services live as long as any ordinary program does, therefore one is kept running.
# System DLLs in a prefix are links to the installation's, which a plain cp would write
# through: put DLLs beside programs or use wine_dll.
. "$(dirname "${BASH_SOURCE[0]}")/../scenario/lib/scenario.bash"
windows=${HOLDFAST_WINDOWS:-$(dirname "$HOLDFAST_BUILD")/windows}
# shellcheck source=tests/windows/wine-prefix.sh
. "$(dirname "${BASH_SOURCE[0]}")/wine-prefix.sh"

wine_begin() {
	wine_prefix "$windows" "$work/wine"
	trap wine_cleanup EXIT
	wine_hold
}
# Started first, so that no later program's pipe stays open in Wine's server.
wine_hold() {
	rm -f "$work/wine-holds"
	wine "$windows/bin/hold.exe" "$(wine_path "$work/wine-holds")" > "$work/wine.log" 2>&1 < /dev/null &
	wine_holder=$!
	await 120 wine_holds
}
wine_holds() {
	[ -e "$work/wine-holds" ] || { kill -0 "$wine_holder" 2>/dev/null || fail "Wine does not start: $(tail -3 "$work/wine.log")"; false; }
}
wine_stop() {
	wineserver -k 2>/dev/null || true
	wineserver -w 2>/dev/null || true
	wait "$wine_holder" 2>/dev/null || true
	wine_holder=
}
wine_cleanup() {
	local status=$?
	# `timeout` tells a whole group, and so twice.
	trap '' INT TERM
	set +e
	trap - ERR
	[ $status -eq 0 ] || { echo "--- Wine's last words:"; tail -15 "$work/wine.log"; } >&2
	wine_stop
	(exit $status)
	cleanup
}
wine_run() {
	local program=$1
	shift
	[ -n "$wine_holder" ] || wine_hold
	[ ! -e "$windows/bin/$program" ] || program=$windows/bin/$program
	wine "$program" "$@"
}
wine_drive() { ln -sfn "$(realpath "$2")" "$WINEPREFIX/dosdevices/${1,,}::"; }
wine_dll() { cp --remove-destination "$1" "$WINEPREFIX/drive_c/windows/system32/"; }
wine_path() { local p; p=$(realpath -m "$1"); printf 'Z:%s' "${p//\//\\}"; }
