#!/bin/bash
# Goal: a host's key copied to another machine is refused, and an operator sees it.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
agent h1 points > /dev/null
cp -a "$work/agent-h1" "$work/agent-clone"
echo 11111111111111111111111111111111 > "$work/other-id"
refuses 'machine' agent clone --machine-id "$work/other-id" points
operator hosts | grep -Eiq 'cop(y|ied)|machine' || fail "no alarm in hosts: $(operator hosts)"
agent h1 points > /dev/null
note "a machine without an id says how to give it one"
: > "$work/no-id"
refuses "machine-id" agent h1 --machine-id "$work/no-id" points
server_stop
