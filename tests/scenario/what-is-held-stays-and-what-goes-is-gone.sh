#!/bin/bash
# Goal: policies, holds, locks, pruning and the brake do what an operator says, from
# the command line to the store; all of it is there again after a restart, and after
# the catalog was deleted and made anew from the journal.
. "$(dirname "$0")/lib/scenario.bash"
image=$work/disk.img
noise 4 "$image"
change() { head -c 512 /dev/urandom | dd of="$image" bs=512 seek=$(($1 * 97)) conv=notrunc status=none; }
backup() { agent "$1" backup d="$image" --quiet; }
# The points of a host, oldest first: "1h 2l 5".
points() {
	operator points "$1" --json | python3 -c '
import json, sys
print(" ".join("%d%s%s" % (p["sequence"], "h" if p["held_by"] else "", "l" if p["locked_until"] else "")
               for p in reversed(json.load(sys.stdin))))'
}
are() { [ "$(points "$1")" = "$2" ] || fail "$1 has the points '$(points "$1")', not '$2'"; }
# All that an operator can see of it.
state() {
	operator points --json
	operator policy show --json
	operator prune --dry-run --json
	operator hosts --json | grep -E '"(name|points|newest|brake)"'
	operator audit --json | python3 -c '
import json, sys
print([(e["who"], e["what"]) for e in json.load(sys.stdin) if "certificate" not in e["what"]])'
}

server_init
server_start
enrol web01
enrol web02
for i in 1 2 3 4 5 6 7 8; do
	change $i
	backup web01
done
backup web02
operator operator add vera --role viewer --out "$work/vera" > /dev/null
viewer() { "$bin/holdfast" --operator "$work/vera" --server "$server" "$@"; }

note "no policy, nothing goes"
operator policy show > "$work/out"
grep -q 'every point is kept' "$work/out" || fail "$(cat "$work/out")"
operator prune > "$work/out"
are web01 "1 2 3 4 5 6 7 8"

note "policies, and who may set them"
refuses 'viewer may not send SetPolicy' viewer policy set --keep-last 1
refuses 'what to keep is missing' operator policy set
refuses "no host or operator is called" operator policy set --host wbe01 --keep-last 1
refuses "no host is in group 'wbe' and no token that is open names it .there are no groups" operator policy set --group wbe --keep-last 1
refuses '.--new goes with set --group' operator policy set --new --keep-last 1
operator policy set --group wbe --new --keep-last 1 > /dev/null
operator policy remove --group wbe > /dev/null
operator policy set --keep-last 5 --min-verified 0 > /dev/null
operator policy set --host web01 --keep-last 3 --keep-yearly 1 > /dev/null
operator policy show web02 > "$work/out"
grep -q 'default .*last 5, at least 1, 0 verified' "$work/out" || fail "$(cat "$work/out")"
viewer policy show web01 > "$work/out"
grep -q 'host .*web01.*last 3, yearly 1, at least 1, 1 verified' "$work/out" || fail "$(cat "$work/out")"
grep -q 'time zone, UTC' "$work/out" || fail "$(cat "$work/out")"

note "hold and lock"
operator hold web01/1 --reason 'case 4711' > /dev/null
refuses 'held by admin already: case 4711' operator hold web01/1 --reason mine
operator lock web01/2 --until 2d > /dev/null
refuses 'never shortened' operator lock web01/2 --until 1d
operator lock web01/2 --until 3d > /dev/null
refuses "'2027-02-29'" operator lock web01/3 --until 2027-02-29
refuses 'in the future' operator lock web01/3 --until 2020-01-01
refuses 'may not send Forget' viewer forget web01/3

note "a dry run says why, and changes nothing"
viewer prune web01 --dry-run > "$work/out"
for line in 'web01: 3 of 8 points would go (policy: host web01: last 3, yearly 1, at least 1, 1 verified)' \
    'web01/1 .* keep: held \[held by admin: case 4711\]' 'web01/2 .* keep: locked \[locked until 20.* by admin\]' \
    'web01/3 .* go: no rule keeps it' 'web01/6 .* keep: last 3 of 3$' 'web01/8 .* keep: last 1 of 3, yearly 1 of 1 (20' \
    '1 hosts, 5 points stay, 3 would go'; do
	grep -q -- "$line" "$work/out" || fail "no '$line' in: $(cat "$work/out")"
done
refuses 'may not prune, only look' viewer prune
are web01 "1h 2l 3 4 5 6 7 8"

note "pruning does it; a host that cannot be pruned keeps no other from it"
refuses '1 hosts could not be pruned' operator prune nobody web02 --json
grep -q "no host or operator is called nobody" "$work/refused.err" || fail "$(cat "$work/refused.err")"
grep -q '"host": "web02"' "$work/refused.out" || fail "web02 was not pruned: $(cat "$work/refused.out")"
operator prune > "$work/out"
grep -q 'web01: 3 of 8 points pruned' "$work/out" || fail "$(cat "$work/out")"
are web01 "1h 2l 6 7 8"
are web02 "1"
refuses 'held by admin: case 4711' operator forget web01/1
refuses 'locked for another' operator forget web01/2
refuses 'has no point 4' operator forget web01/4
operator forget web01/7 --reason 'wrong disk' > /dev/null
are web01 "1h 2l 6 8"

note "the newest point forgotten: the next backup goes on behind it"
operator forget web01/8 > /dev/null
change 9
backup web01
are web01 "1h 2l 6 9"

note "a host that was encrypted is not pruned until somebody has looked"
cp "$image" "$work/before.img"
noise 4 "$image"
backup web01
change 10
backup web01
operator hosts > "$work/out"
grep -q 'NOT PRUNED: point 10 is new by' "$work/out" || fail "$(cat "$work/out")"
grep -q "alarm: 'web01' is not pruned: point 10" "$work/server.log" || fail "the log does not say so"
refuses '1 hosts were not pruned' operator prune
are web01 "1h 2l 6 9 10 11"
operator brake clear web01 > /dev/null
refuses "'web01' is not braked" operator brake clear web01
operator release web01/1 --reason closed > /dev/null
operator prune > /dev/null
are web01 "2l 9 10 11"
operator policy remove --host web01 > /dev/null

note "restarted, and from the journal alone: the same"
state > "$work/state.1"
server_stop
server_start
state > "$work/state.2"
cmp "$work/state.1" "$work/state.2" || fail "$(diff "$work/state.1" "$work/state.2")"
server_kill
rm -f "$work"/store/catalog.db*
server_start
state > "$work/state.3"
cmp "$work/state.1" "$work/state.3" || fail "$(diff "$work/state.1" "$work/state.3")"
for what in 'set the policy of host web01' "pruned 3 points of 'web01': 3 4 5" 'holds web01/1: case 4711' 'locked web01/2 until' \
    'forgot web01/7: wrong disk' "is not pruned any more: point 10" "cleared the brake of 'web01'" 'released web01/1: closed'; do
	grep -q -- "$what" "$work/state.3" || fail "audit does not say '$what'"
done
agent web01 restore 9 --volume d --to "$work/r.img"
cmp "$work/before.img" "$work/r.img"
change 11
backup web01
are web01 "2l 9 10 11 12"
operator verify --trees > /dev/null
server_stop
