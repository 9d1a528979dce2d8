#!/bin/bash
# Goal: two backups of one volume at the same time: the second is refused with a
# line that says so, the first ends well.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
noise 600 "$work/big.img"
cp -a "$work/agent-h1" "$work/agent-twin"
agent h1 backup big="$work/big.img" > "$work/b.out" 2> "$work/b.err" &
pid=$!
pids+=($pid)
busy() { [ "$(du -sb "$work/store/packs" | cut -f1)" -gt 1000000 ]; }
await 300 busy
refuses 'another' agent h1 backup big="$work/big.img" --retry-for 0s
refuses 'another session' agent twin backup big="$work/big.img" --retry-for 0s
wait $pid || fail "the first backup failed: $(tail -2 "$work/b.err")"
[ "$(operator points --json | grep -c '"sequence"')" = 1 ] || fail "not one point"
server_stop
