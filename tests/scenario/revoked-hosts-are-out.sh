#!/bin/bash
# Goal: revocation counts at once: a running backup ends, a ticket does not help,
# and what the host stored before stays restorable.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 96 30 1
agent h1 backup c="$work/c.img"
agent h1 points > /dev/null
grep -q 'h1 at .*, resumed' "$work/server.log" || fail "no session was resumed: nothing is shown about tickets"
# A large noisy volume keeps the second backup busy while it is revoked.
noise 600 "$work/big.img"
agent h1 backup big="$work/big.img" --retry-for 0s > "$work/b.out" 2> "$work/b.err" &
pid=$!
pids+=($pid)
busy() { operator hosts --json | grep -E '"online": *true' > /dev/null; }
await 300 busy
operator revoke h1
status=0
wait $pid || status=$?
[ $status -ne 0 ] || fail "the backup of a revoked host ended well"
grep -Eq 'revoked' "$work/b.err" || fail "the agent was not told: $(tail -2 "$work/b.err")"
[ -s "$work/agent-h1/ticket" ] || fail "no ticket to try"
refuses 'revoked' agent h1 points
rm "$work/agent-h1/ticket"
refuses 'revoked' agent h1 points
refuses 'revoked' agent h1 backup c="$work/c.img" --retry-for 0s
operator restore h1/1 --volume c --to "$work/r.img"
ntfs_equal "$work/c.img" "$work/r.img"
[ "$(operator points h1 --json | grep -c '"sequence"')" = 1 ] || fail "not exactly one point"
server_stop
