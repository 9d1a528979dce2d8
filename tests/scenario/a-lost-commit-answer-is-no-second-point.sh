#!/bin/bash
# Goal: the answer to a Commit is lost after the point was made; the agent comes
# back, is told of that point and makes no second one.  The same when the server
# itself dies between the two.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
noise 3 "$work/a.img"
count() { operator points h1 --json | grep -c '"sequence"'; }
relay() { # LOG REGEX: the next server
	rm -f "$work/relay"
	python3 "$here/relay.py" "$server" "$work/relay" lose "$1" "$2" > "$work/relay.out" &
	pids+=($!)
	await 20 test -s "$work/relay"
}

note "the answer is lost"
relay "$work/server.log" "committed point 1"
agent h1 --server "$(cat "$work/relay")" backup a="$work/a.img" > "$work/backup.out" 2>&1 || fail "$(cat "$work/backup.out")"
grep -q lost "$work/relay.out" || fail "the relay lost nothing: this proved nothing"
grep -q 'trying again' "$work/backup.out" || fail "the agent noticed nothing: $(cat "$work/backup.out")"
[ "$(count)" = 1 ] || fail "not one point: $(operator points h1)"
[ "$(grep -c 'committed point' "$work/server.log")" = 1 ] || fail "committed more than once"
grep -q 'point 1 was committed before' "$work/server.log" || fail "the server did not know it again"
agent h1 status --json > "$work/status"
grep -q '"sequence": *1\b' "$work/status" || fail "the agent does not know its point: $(cat "$work/status")"

note "the server dies before it answers"
noise 3 "$work/b.img"
relay "$work/server.log" "committed point 2"
agent h1 --server "$(cat "$work/relay")" backup b="$work/b.img" > "$work/backup.out" 2>&1 &
backup=$!
pids+=($backup)
await 120 grep -q lost "$work/relay.out"
server_kill
server_start
wait $backup || fail "$(cat "$work/backup.out")"
[ "$(count)" = 2 ] || fail "not two points: $(operator points h1)"
agent h1 restore 2 --volume b --to "$work/b.back" > /dev/null
cmp "$work/b.img" "$work/b.back"
agent h1 backup b="$work/b.img" > /dev/null
[ "$(count)" = 3 ] || fail "the next backup made no point of its own"
server_stop
