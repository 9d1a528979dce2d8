#!/bin/bash
# Goal: SIGINT in the middle of a backup or a restore, or while a server is called
# that does not answer, ends it within seconds, with one line and status 1; no point
# and no target are left, the next run finishes.
# Progress is drawn on a terminal, and is JSON where JSON was asked for.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
noise 300 "$work/a.img"
a=("$bin/holdfast-agent" --state "$work/agent-h1" --machine-id "$work/machine-id")
interrupt() { # CONDITION COMMAND...: SIGINT once CONDITION holds
	local when=$1 pid status=0 started
	shift
	"$@" > "$work/out" 2> "$work/err" & pid=$!
	pids+=($pid)
	await 60 $when
	started=$SECONDS
	kill -INT $pid || fail "it was done too soon: $*"
	wait $pid || status=$?
	[ $status = 1 ] || fail "status $status: $*"
	# Who waits for the mute server below waits 20 s for its handshake.
	[ $((SECONDS - started)) -le 15 ] || fail "took $((SECONDS - started)) s to end: $*"
	tail -1 "$work/err" | grep interrupted > /dev/null || fail "said '$(tail -1 "$work/err")': $*"
	note "$(tail -1 "$work/err")"
}
begun() { grep -q 'backup of 1 volume begins' "$work/server.log" && [ "$(du -sk "$work/store/packs" | cut -f1)" -gt 2000 ]; }
writing() { compgen -G "$work/back*" > /dev/null; }
interrupt begun "${a[@]}" backup a="$work/a.img"
[ "$(operator points h1 --json | grep -c '"sequence"' || true)" = 0 ] || fail "a point was made"
"${a[@]}" --json backup a="$work/a.img" > "$work/json"
grep -q 'resumed\|begins' "$work/server.log"
python3 - "$work/json" <<'P' || fail "not JSON: $(head -3 "$work/json")"
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
sys.exit(lines[-1]["event"] != "committed" or lines[-1]["known_bytes"] == 0)
P
interrupt writing "${a[@]}" restore latest --volume a --to "$work/back"
writing && fail "the target was left: $(ls "$work"/back*)"
interrupt writing "$bin/holdfast" --operator "$work/operator" --server "$server" restore h1 --to "$work/back"
writing && fail "the target was left: $(ls "$work"/back*)"
script -qec "${a[*]} restore latest --volume a --to $work/back" "$work/tty" > /dev/null
grep -q 'restore: .*%.*read' "$work/tty" || fail "no progress on a terminal: $(cat "$work/tty")"
cmp "$work/a.img" "$work/back"
for command in hosts points 'show h1' stats; do
	operator $command --json | python3 -c 'import json, sys; json.load(sys.stdin)' || fail "$command --json"
done
token=$(operator enroll-token)
server_stop

# A server that takes the connection and never says a word: nobody waits for it.
python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    c = s.accept()
    print("reached", flush=True)
    held = (c, globals().get("held"))
' > "$work/mute" & pids+=($!)
told_port() { [ -s "$work/mute" ]; }
await 10 told_port
mute=127.0.0.1:$(head -1 "$work/mute")
calls=0
reached() { [ "$(grep -c reached "$work/mute")" -gt $calls ]; }
for command in "${a[*]} --server $mute backup a=$work/a.img" "${a[*]} --server $mute restore latest --volume a --to $work/back" \
    "$bin/holdfast-agent --state $work/agent-h2 --machine-id $work/machine-id --server $mute enroll $token --name h2" \
    "$bin/holdfast --operator $work/operator --server $mute restore h1 --to $work/back"; do
	# shellcheck disable=SC2086
	interrupt reached $command
	calls=$(grep -c reached "$work/mute")
done
