#!/bin/bash
# Goal: a host's key copied to another machine is refused, with or without a valid
# token, and an operator sees it; the copy becomes a host of its own by a new key,
# or takes the host's place by a token that says so.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
agent h1 points > /dev/null
cp -a "$work/agent-h1" "$work/agent-clone"
echo 11111111111111111111111111111111 > "$work/other-id"
refuses 'machine' agent clone --machine-id "$work/other-id" points
operator hosts | grep -Ei 'cop(y|ied)|machine' > /dev/null || fail "no alarm in hosts: $(operator hosts)"
agent h1 points > /dev/null
note "a valid token does not help a copied key"
clone() { agent clone --machine-id "$work/other-id" "$@"; }
alarms() { operator hosts | grep -Eic 'copied key' || true; }
token=$(operator enroll-token --replace h1)     # Takes the name from whoever has it,
agent h1 enroll "$token" --name h1 --replace > "$work/enrol.out"   # and clears the alarm.
[ "$(alarms)" = 0 ] || fail "the alarm stays: $(operator hosts)"
rm -rf "$work/agent-clone"
cp -a "$work/agent-h1" "$work/agent-clone"
rm "$work/agent-clone/cert"     # Now it enrols with the key it has.
token=$(operator enroll-token)
refuses 'another machine' clone enroll "$token" --name h1
[ "$(alarms)" = 1 ] || fail "no alarm: $(operator hosts)"
refuses 'enrolled as h1' clone enroll "$token" --name h2
agent h1 points > /dev/null

note "the copy becomes a host of its own"
rm -rf "$work/agent-clone"
cp -a "$work/agent-h1" "$work/agent-clone"
clone enroll "$token" --name h2 --replace > "$work/enrol.out"
clone points > /dev/null
agent h1 points > /dev/null
cmp -s "$work/agent-h1/key" "$work/agent-clone/key" && fail "both have one key"

note "or takes the host's place, when an operator says so"
rm -rf "$work/agent-clone"
cp -a "$work/agent-h1" "$work/agent-clone"
clone enroll "$(operator enroll-token --replace h1)" --name h1 --replace > "$work/enrol.out"
clone points > /dev/null
refuses 'revoked' agent h1 points
agent h1 enroll "$(operator enroll-token --replace h1)" --name h1 --replace > "$work/enrol.out"
agent h1 points > /dev/null

note "a machine without an id says how to give it one"
: > "$work/no-id"
refuses "machine-id" agent h1 --machine-id "$work/no-id" points
server_stop
