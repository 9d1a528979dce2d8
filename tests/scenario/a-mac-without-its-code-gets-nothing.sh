#!/bin/bash
# Goal: a machine that only says a MAC address waits and gets nothing; the key whose
# code an operator confirmed, on an armed MAC, restores; a copied MAC does not.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
ca=$work/operator/ca.pem
mac=52:54:00:00:00:01
# A line never comes: who pauses stays.
mkfifo "$work/held"
exec 9<> "$work/held"
enrol h1
noise 2 "$work/disk"
agent h1 backup "disk=$work/disk" > /dev/null

# machine NAME MACS ACT...: in the background; its words in $work/NAME.
machine() {
	local name=$1
	rm -f "$work/$name"
	"$bin/redeem" "$server" "$ca" "mac:$2" "$name" "${@:3}" < "$work/held" > "$work/$name" 2> "$work/$name.err" &
	eval "pid_$name=$!"
	pids+=($!)
	await 60 grep -sq "^code " "$work/$name"
}
code() { sed -n 's/^code //p' "$work/$1"; }
waits() { operator rescue waiting | grep "$(code "$1")" > /dev/null; }

note "nothing is armed: it waits, seen by the operator, and a confirmation gets it nothing"
machine early $mac begin restore 0 disk "$work/out.early"
await 60 waits early
operator rescue waiting | grep "$(code early)" | grep "not armed.*$mac" > /dev/null || fail "waiting: $(operator rescue waiting)"
refuses 'no MAC of this machine is armed' operator rescue confirm "$(code early)"
refuses 'no machine that waits' operator rescue confirm 0000-0000
refuses 'characters' operator rescue confirm 000

note "armed, but not confirmed: still nothing"
operator rescue arm h1 --mac $mac > /dev/null
refuses 'armed for a restore' operator rescue arm h1 --mac $mac
armed() { operator rescue waiting | grep "$(code early)" | grep 'h1 ' > /dev/null; }
await 60 armed
! [ -s "$work/early.err" ] || fail "it ended: $(cat "$work/early.err")"
[ "$(wc -l < "$work/early")" = 1 ] || fail "it got something: $(cat "$work/early")"

note "another machine says the same MAC: two codes, and only the confirmed key gets in"
machine spoof "$mac,52:54:00:00:00:77" begin restore 0 disk "$work/out.spoof"
await 60 waits spoof
[ "$(code early)" != "$(code spoof)" ] || fail "two keys with one code"
operator rescue confirm "$(code early | tr A-Z a-z | tr -d -)"
wait "$pid_early" || fail "the machine: $(cat "$work/early.err")"
grep -q '^h1 1 first any' "$work/early" || fail "said: $(cat "$work/early")"
cmp "$work/disk" "$work/out.early"
[ "$(wc -l < "$work/spoof")" = 1 ] || fail "the copy got in: $(cat "$work/spoof")"
refuses 'another machine' operator rescue confirm "$(code spoof)"
operator audit > "$work/audit"
grep -q "may restore h1/1, confirmed by its code" "$work/audit" || fail "no audit of the confirmation"

note "the server restarts: who was confirmed goes on, who was not does not"
server_stop
server_start
await 60 waits spoof
[ "$(wc -l < "$work/spoof")" = 1 ] || fail "the copy got in: $(cat "$work/spoof")"
kill "$pid_spoof"

note "after a power cut the same machine shows a new code, and is confirmed again"
machine early $mac begin report begun 1 pause restore 1 disk "$work/out.again" report done 1
await 60 waits early
first=$(sed -n 's/^code //p' "$work/early")
operator rescue confirm "$first"
begun() { grep -q '^h1 1 resumed any' "$work/early"; }
await 60 begun
listed() { operator rescue list | grep 'h1 .*52:54:00:00:00:01.*restoring.*50 %' > /dev/null; }
await 60 listed
operator rescue list --json | python3 -c '
import json, sys
r = json.load(sys.stdin)
assert len(r) == 1 and r[0]["state"] == "restoring" and r[0]["total"] == 1024, r' || fail "list --json"
operator rescue end h1
kill "$pid_early" 2> /dev/null || true

note "ended: the confirmed key waits again like any other, and the MAC may be armed anew"
machine late $mac begin
await 60 waits late
refuses 'no MAC of this machine is armed' operator rescue confirm "$(code late)"
operator rescue arm h1 --mac ${mac//:/-} --point 1 --ttl 1h > /dev/null
operator rescue confirm "$(code late)"
wait "$pid_late" || fail "the machine: $(cat "$work/late.err")"
grep -q '^h1 1 first only' "$work/late" || fail "said: $(cat "$work/late")"

note "wrong words"
refuses "mac 'x'" operator rescue arm h1 --mac x
refuses 'mac MAC is missing' operator rescue arm h1
refuses 'HOST is missing' operator rescue end
refuses 'arm, waiting, confirm, list' operator rescue start
server_stop
