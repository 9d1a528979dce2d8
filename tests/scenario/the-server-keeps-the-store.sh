#!/bin/bash
# Goal: the server collects and verifies by itself, tells how it went, stops at once
# in the middle of it; and an operator collects by hand.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_config 'gc-every = 0' 'verify-cycle = 0' 'prune-at = off'
server_start
enrol h1
ntfs_make "$work/c.img" 64 20 1
agent h1 backup c="$work/c.img"
operator jobs > "$work/jobs"
[ "$(grep -c ' off ' "$work/jobs")" = 3 ] || fail "$(cat "$work/jobs")"

note "an operator collects"
operator gc --dry-run --json > "$work/gc"
python3 -c 'import json,sys; g=json.load(open(sys.argv[1])); assert g["points"] == 1 and g["chunks"] > 50 and g["missing"] == 0 and g["packs_removed"] == 0, g' "$work/gc"
operator gc --max-rate 50M | grep 'in use .*chunks of 1 point' > /dev/null || fail "gc"
operator audit | grep 'admin .*began to collect' > /dev/null || fail "not in the audit"
refuses "max-rate 'fast'" operator gc --max-rate fast
operator verify --trees
server_stop

note "the server does it by itself"
server_config 'gc-every = 1s' 'verify-cycle = 1s' 'prune-at = off'
server_start
ran() { operator jobs --json | python3 -c '
import json,sys
jobs = {j["job"]: j for j in json.load(sys.stdin)}
sys.exit(not all(jobs[n]["ended"] and not jobs[n]["failed"] and jobs[n]["next"] for n in ("gc", "verify")))'; }
await 60 ran
operator jobs
grep -Eq 'info: gc: [0-9]+ MiB freed' "$work/server.log" && grep -Eq 'info: verify: [1-9][0-9]* groups, .* 0 bad' "$work/server.log" ||
	fail "not in the log"
agent h1 backup c="$work/c.img"
agent h1 restore latest --volume c --to "$work/r.c"
ntfs_equal "$work/c.img" "$work/r.c"
server_stop

note "it stops in the middle of work that would take minutes"
server_config 'gc-every = 1s' 'verify-cycle = 1s' 'prune-at = off' 'maintenance-rate = 64K'
server_start
busy() { operator jobs --json | grep '"running": true' > /dev/null; }
await 60 busy
before=$SECONDS
server_stop
[ $((SECONDS - before)) -le 30 ] || fail "it took $((SECONDS - before)) s to stop"
server_config 'gc-every = 0' 'verify-cycle = 0' 'prune-at = off'
server_start
operator verify --trees
server_stop
