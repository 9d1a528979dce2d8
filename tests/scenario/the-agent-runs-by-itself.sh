#!/bin/bash
# Goal: `holdfast-agent run` backs up at its interval, outlives a server that
# stops and comes back, and ends cleanly; a backup that is interrupted makes no
# point and says so.
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
agent h1 status --json > /dev/null
agent h1 status
server_stop
