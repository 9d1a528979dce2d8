#!/bin/bash
# Goal: `holdfast-agent run` backs up at its interval, outlives a server that
# stops and comes back, and ends cleanly; a backup that is interrupted makes no
# point, says so here and goodbye to the server; status tells what went wrong last.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
head -c 2000896 /dev/urandom > "$work/v.img"
printf '[agent]\ninterval = 1s\nretry-for = 60s\n[volume v]\npath = %s\n' "$work/v.img" > "$work/agent-h1/agent.conf"
agent h1 run > "$work/run.out" 2> "$work/run.err" &
shell=$!
pids+=($shell)
points() { operator points h1 --json 2>/dev/null | grep -o "\"sequence\"" | wc -l; }
at_least() { [ "$(points)" -ge "$1" ]; }
await 300 at_least 2
server_kill
server_start
now=$(points)
await 300 at_least $((now + 2))
agent_pid=$(pgrep -P $shell || echo $shell)
kill -TERM "$agent_pid"
status=0
wait $shell || status=$?
[ $status -eq 0 ] || fail "run ended with $status: $(tail -2 "$work/run.err")"

note "a backup that is interrupted"
noise 400 "$work/big.img"
now=$(points)
agent h1 backup big="$work/big.img" > "$work/b.out" 2> "$work/b.err" &
shell=$!
pids+=($shell)
busy() { [ "$(du -sb "$work/store/packs" | cut -f1)" -gt 20000000 ]; }
await 300 busy
kill -INT "$(pgrep -P $shell || echo $shell)"
status=0
wait $shell || status=$?
[ $status -ne 0 ] || fail "an interrupted backup ended well"
[ "$(points)" = "$now" ] || fail "an interrupted backup made a point"
! grep 'without a goodbye' "$work/server.log" || fail "it hung up on the server"

status_of() { agent h1 status --json | python3 -c 'import json, sys; print(eval(sys.argv[1], json.load(sys.stdin)))' "$1"; }
note "status: the last point, and what went wrong since"
[ "$(status_of 'last["sequence"]')" = "$now" ] || fail "status: $(agent h1 status --json)"
[ "$(status_of 'failure["interrupted"], failure["count"]')" = '(True, 1)' ] || fail "status: $(agent h1 status --json)"
agent h1 status > "$work/status"
grep -q '^since then      interrupted at 2.* UTC: interrupted; no point was made$' "$work/status" || fail "$(cat "$work/status")"
refuses 'no-such.img' agent h1 backup "w=$work/no-such.img"
[ "$(status_of 'last["sequence"], failure["interrupted"], failure["count"]')" = "($now, False, 2)" ] || fail "status: $(agent h1 status --json)"
agent h1 status > "$work/status"
grep -q "^last backup     point $now at" "$work/status" && grep -q '^since then      FAILED at 2.* UTC: .*no-such.img' "$work/status" &&
	grep -q '2 attempts without a point' "$work/status" || fail "$(cat "$work/status")"
agent h1 backup --quiet "v=$work/v.img"
[ "$(status_of 'failure')" = None ] || fail "a failure that is over: $(agent h1 status --json)"
enrol h2
refuses 'no-such.img' agent h2 backup "$(printf 'w=%s/no-such.img\344' "$work")"
agent h2 status > "$work/status"
grep -q '^last backup     none$' "$work/status" && grep -q '^since then      FAILED' "$work/status" || fail "$(cat "$work/status")"
server_stop
