#!/bin/bash
# Goal: kill -9 of the server in the middle of a backup: every acknowledged point
# is there afterwards, and the agent waits, comes back and finishes by itself.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 96 40 1
agent h1 backup c="$work/c.img"
noise 300 "$work/big.img"
packs() { du -sb "$work/store/packs" | cut -f1; }
for round in 1 2 3; do
	before=$(packs)
	agent h1 backup c="$work/c.img" big="$work/big.img" --retry-for 120s > "$work/b.out" 2> "$work/b.err" &
	pid=$!
	pids+=($pid)
	grown() { [ "$(packs)" -gt $((before + 8000000 * round)) ] || ! kill -0 $pid 2>/dev/null; }
	[ $round -gt 1 ] || await 300 grown
	server_kill
	server_start
	wait $pid || fail "round $round: the agent gave up: $(tail -3 "$work/b.err")"
	operator points h1 --json > "$work/points"
	[ "$(grep -c '"sequence"' "$work/points")" = $((round + 1)) ] || fail "round $round: $(cat "$work/points")"
done
agent h1 restore latest --volume big --to "$work/r.big"
cmp "$work/big.img" "$work/r.big"
agent h1 restore 1 --volume c --to "$work/r.c"
ntfs_equal "$work/c.img" "$work/r.c"
operator verify --trees
server_stop
