#!/bin/bash
# Goal: an older copy is put in the store's place.  The first agent that saw a newer
# one says so, and both its alarm and the store's stand; it goes on, and what it backs
# up and restores is right.  An agent whose own points are all there notices, too.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
for host in h1 h2 h3; do enrol $host; done
ntfs_make "$work/c.img" 48 8 1
agent h1 backup c="$work/c.img" --quiet
noise 2 "$work/a.img"
agent h2 backup a="$work/a.img" --quiet
agent h3 backup a="$work/a.img" --quiet
server_stop
cp -r "$work/store" "$work/yesterday"

note "the newer store: h1 has a point more, h2 only said hello"
server_start
ntfs_change "$work/c.img" 1
agent h1 backup c="$work/c.img" --quiet
agent h2 points > /dev/null
server_stop
mv "$work/store" "$work/today"
cp -r "$work/yesterday" "$work/store"
server_start
alarm_of() { operator hosts --json | python3 -c 'import json,sys; print([h["alarm"] for h in json.load(sys.stdin) if h["name"] == sys.argv[1]][0])' "$1"; }
agent h3 points > "$work/h3" 2>&1
grep WARNING "$work/h3" && fail "h3 saw nothing that is lost"
[ -z "$(alarm_of h3)" ] || fail "an alarm of h3: $(alarm_of h3)"
agent h2 points > "$work/h2" 2>&1
grep -q 'WARNING: the server lacks what it once had' "$work/h2" || fail "h2 noticed nothing: $(cat "$work/h2")"
alarm_of h2 | grep 'a record that is not here' || fail "no alarm of h2"
agent h1 backup c="$work/c.img" > "$work/h1" 2>&1 || fail "h1 does not go on: $(cat "$work/h1")"
grep -q 'WARNING: the server lacks what it once had' "$work/h1" || fail "h1 noticed nothing: $(cat "$work/h1")"
alarm_of h1 | grep 'a point that is not here' || fail "no alarm of h1"
grep -q 'was the store rolled back' "$work/server.log" || fail "nothing in the log"

note "it goes on, and rightly"
agent h1 restore latest --volume c --to "$work/c.back" > /dev/null
ntfs_equal "$work/c.img" "$work/c.back"
operator verify --trees
ntfs_change "$work/c.img" 2
agent h1 backup c="$work/c.img" > "$work/h1" 2>&1
grep WARNING "$work/h1" && fail "h1 still warns of what it said"
agent h1 restore latest --volume c --to "$work/c.back2" > /dev/null
ntfs_equal "$work/c.img" "$work/c.back2"

note "an operator has seen to it"
operator stats | grep 'ALARM: h2 saw a record that is not here' || fail "no alarm of the store's: $(operator stats)"
operator alarm clear
operator alarm clear h1
refuses 'no alarm' operator alarm clear h1
refuses 'no alarm' operator alarm clear
operator stats | grep ALARM && fail "an alarm stayed"
[ -z "$(alarm_of h1)" ] || fail "h1 still has an alarm"

note "the newest one is put back: another that lacks what was seen"
server_stop
rm -rf "$work/store"
mv "$work/today" "$work/store"
server_start
agent h1 points > "$work/h1" 2>&1
grep -q WARNING "$work/h1" || fail "h1 noticed nothing: $(cat "$work/h1")"
server_stop
