#!/bin/bash
# Goal: holdfastd says what is wrong with its configuration and its store, starts
# once per store, reloads on SIGHUP, and ends cleanly.
. "$(dirname "$0")/lib/scenario.bash"
server_init
refuses 'exist|empty' "$bin/holdfast" init "$work/store" --name x --operator-dir "$work/op2"
"$bin/holdfastd" --config "$work/holdfastd.conf" --check-config
for line in 'listen = nonsense' 'no-such-key = 1' 'threads = many' 'store'; do
	{ cat "$work/holdfastd.conf"; echo "$line"; } > "$work/bad.conf"
	refuses 'bad.conf:[0-9]+' "$bin/holdfastd" --config "$work/bad.conf" --check-config
done
refuses 'No such|not found' "$bin/holdfastd" --config "$work/missing.conf"
sed "s#^store = .*#store = $work/nowhere#" "$work/holdfastd.conf" > "$work/bad.conf"
refuses 'nowhere' "$bin/holdfastd" --config "$work/bad.conf"
server_start
refuses 'lock|use|another' "$bin/holdfastd" --config "$work/holdfastd.conf"
kill -HUP "$server_pid"
enrol h1
operator hosts | grep h1 > /dev/null
server_end TERM
[ "$server_status" = 0 ] || fail "SIGTERM was not a clean end"
server_start
operator hosts | grep h1 > /dev/null
server_end INT
[ "$server_status" = 0 ] || fail "SIGINT was not a clean end"
