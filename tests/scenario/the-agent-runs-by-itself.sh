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

noise 400 "$work/big.img"
# No thread is in this that TSan, where each start takes long, would not see elsewhere.
if [ "${HOLDFAST_SLOW:-0}" = 0 ]; then
	note "started anew it waits for what is left of its interval"
	conf() { printf '[agent]\ninterval = %s\n[volume v]\npath = %s\n' "$1" "$2" > "$work/agent-h1/agent.conf"; }
	faketime=$(dpkg -L libfaketime | grep 'libfaketimeMT.so.1$')
	run() { # [--now]; $clock is where its clock is.
		: > "$work/run.err"
		env ${clock:+LD_PRELOAD=$faketime FAKETIME=$clock FAKETIME_DONT_FAKE_MONOTONIC=1} \
		    "$bin/holdfast-agent" --state "$work/agent-h1" --machine-id "$work/machine-id" run "$@" > "$work/run.out" 2> "$work/run.err" &
		agent_pid=$!
		pids+=($agent_pid)
	}
	said() { grep -Eq "$1" "$work/run.err"; }
	stop() { kill -"${1:-TERM}" $agent_pid; wait $agent_pid 2>/dev/null || true; }
	made() { await 300 said 'point [0-9]+ made'; }
	conf 1d "$work/v.img"
	now=$(points)
	run
	await 300 said 'the last backup was made at .*; the next one begins in [0-9]{5} s'
	stop
	[ "$(points)" = "$now" ] || fail "a restart made a point"
	note "... but not for ever, whatever its clock said, nor if it is told, nor for other volumes"
	clock=+3h run --now
	made
	stop
	run
	made
	stop
	cp "$work/v.img" "$work/other.img"
	conf 1d "$work/other.img"
	run
	made
	stop
	[ "$(points)" = $((now + 3)) ] || fail "$(points) points and not $((now + 3))"
	note "one that fell in the middle is not begun again at once"
	conf 1d "$work/big.img"
	before=$(du -sb "$work/store/packs" | cut -f1)
	run
	grown() { [ "$(du -sb "$work/store/packs" | cut -f1)" -gt $((before + 2000000)) ]; }
	await 300 grown
	stop KILL
	await 300 offline h1
	run
	await 300 said 'the last backup began and did not end, since .*; the next one begins in [0-9]{3} s'
	stop
	[ "$(points)" = $((now + 3)) ] || fail "a killed backup made a point"
fi

note "a backup that is interrupted"
now=$(points)
seen=$(wc -l < "$work/server.log")
agent h1 backup big="$work/big.img" > "$work/b.out" 2> "$work/b.err" &
shell=$!
pids+=($shell)
before=$(du -sb "$work/store/packs" | cut -f1)
busy() { [ "$(du -sb "$work/store/packs" | cut -f1)" -gt $((before + 2000000)) ]; }
await 300 busy
kill -INT "$(pgrep -P $shell || echo $shell)"
status=0
wait $shell || status=$?
[ $status -ne 0 ] || fail "an interrupted backup ended well"
[ "$(points)" = "$now" ] || fail "an interrupted backup made a point"
! tail -n +$((seen + 1)) "$work/server.log" | grep 'without a goodbye' || fail "it hung up on the server"

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
