#!/bin/bash
# Goal: what an installer does on a host whose server cannot be reached: the token is
# kept for the owner's eyes only, `run` enrols once the server is there and then backs
# up; a token that the server refuses is told of, forgotten and not tried again, and
# somebody's `enroll` beside a waiting `run` counts.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
head -c 300032 /dev/urandom > "$work/v.img"
state() { # NAME: a state directory with something to back up
	mkdir -m 700 "$work/agent-$1"
	printf '[agent]\ninterval = 1s\n[volume v]\npath = %s\n' "$work/v.img" > "$work/agent-$1/agent.conf"
}
run() { # NAME
	agent "$1" run > "$work/run-$1.out" 2> "$work/run-$1.err" &
	runs=$!
	pids+=($runs)
}
run_ends() {
	local status=0
	kill -TERM "$(pgrep -P $runs || echo $runs)"
	wait $runs || status=$?
	[ $status = 0 ] || fail "run ended with $status: $(tail -2 "$work"/run-*.err)"
}
has_point() { operator points "$1" --json 2>/dev/null | grep '"sequence"' > /dev/null; }
said() { grep -Eqs -- "$2" "$work/run-$1.err"; }

note "the server is away"
operator enroll-token > "$work/token"
server_stop
state h1
agent h1 enroll --token-file "$work/token" --name h1 --or-later --retry-for 0 > "$work/out" 2>&1
grep -q 'not enrolled yet' "$work/out" || fail "said '$(cat "$work/out")'"
[ "$(stat -c %a "$work/agent-h1/enroll")" = 600 ] || fail "others may read the token"
refuses 'not enrolled yet' agent h1 status
run h1
await 60 said h1 'trying on: '
[ -e "$work/agent-h1/enroll" ] || fail "given up"
server_start
await 300 has_point h1
[ ! -e "$work/agent-h1/enroll" ] || fail "the token lies about"
run_ends
agent h1 enroll --token-file "$work/token" --unless-enrolled | grep 'already as h1' > /dev/null || fail "enrolled twice"
refuses 'enrolled as h1' agent h1 enroll --token-file "$work/token" --later
[ ! -e "$work/agent-h1/enroll" ] || fail "kept for a host that is enrolled"

note "the token is used up: refused at once, or once the server is asked"
refuses 'used' agent h2 enroll --token-file "$work/token" --or-later --name h2
[ ! -e "$work/agent-h2/enroll" ] || fail "a refused token was kept"
state h3
agent h3 enroll "$(cat "$work/token")" --name h3 --later > /dev/null
run h3
await 60 said h3 'refused.*used'
[ ! -e "$work/agent-h3/enroll" ] || fail "a refused token was kept"
operator enroll-token | agent h3 enroll - --name h3 > /dev/null
await 300 has_point h3
run_ends
[ "$(grep -c refused "$work/run-h3.err")" = 1 ] || fail "tried again: $(cat "$work/run-h3.err")"

note "it ends while it waits"
state h4
run h4
await 60 said h4 'waiting for'
run_ends

note "a token as Windows' tools write it"
{ printf '\377\376'; operator enroll-token | sed 's/$/\r/' | iconv -t utf-16le; } > "$work/token"
agent h5 enroll --token-file "$work/token" --name h5 > /dev/null
{ printf '\357\273\277'; operator enroll-token; } > "$work/token"
agent h6 enroll --token-file "$work/token" --name h6 > /dev/null

note "a host that is none any more: only what a person wrote stays"
printf '[volume v]\npath = %s\n' "$work/v.img" > "$work/agent-h5/agent.conf"
agent h5 backup > /dev/null 2>&1
[ -n "$(ls "$work/agent-h5/cache")" ] || fail "nothing in the cache: this proves nothing"
agent h5 unenroll > /dev/null
[ "$(cd "$work/agent-h5" && find . -type f | sort | tr '\n' ' ')" = "./agent.conf ./lock " ] || fail "left: $(find "$work/agent-h5")"
agent h5 unenroll > /dev/null
refuses 'not enrolled' agent h5 status
has_point h5 || fail "the points went, too"

refuses 'not a token|token' agent h4 enroll nonsense --later
refuses 'no token in' agent h4 enroll --token-file /dev/null
refuses 'not both' agent h4 enroll --token-file /dev/null x
server_stop
