#!/bin/bash
# Goal: the reply to an enrolment is lost after the token was consumed; the agent
# tries again with the same key and is enrolled; the token is used up all the same.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
python3 "$here/cut_proxy.py" "$server" "$work/proxy" > "$work/proxy.out" &
pids+=($!)
await 20 test -s "$work/proxy"
token=$(operator enroll-token)
agent h1 --server "$(cat "$work/proxy")" enroll "$token" --name h1
grep -q cut "$work/proxy.out" || fail "the proxy cut nothing: this proved nothing"
grep -c 'enrol' "$work/server.log" > /dev/null || fail "the server saw no enrolment"
agent h1 points > /dev/null
[ "$(operator hosts --json | grep -c '"name"')" = 1 ] || fail "not one host: $(operator hosts)"
refuses 'used' agent h2 enroll "$token" --name h2
server_stop
