#!/bin/bash
# Goal: where the driver tracks, an incremental reads what changed and a slice, and its tree
# is that of reading everything: an NTFS that is written through a mount and a disk with a
# table, in one set. Agents that are killed, another's generations, a restart of the driver
# and settings that switch it off cost a full compare, with a word, and never a wrong tree.
. "$(dirname "$0")/lib/scenario.bash"

server_init
server_start
enrol pc

mkdir "$work/fuse"
# driver: the simulator, as after a start of the machine: what was in memory is gone.
# Its number is there when it listens; the socket is there a moment before.
driver_up() { [ -S "$work/control" ] && [ -e "$work/nbd.pid" ]; }
driver() {
	rm -f "$work/control" "$work/nbd" "$work/nbd.pid"
	nbdkit -f --exit-with-parent -P "$work/nbd.pid" -U "$work/nbd" "$bin/holdfast-hotcopy-plugin.so" \
	    "disk=c:$work/c.img" "disk=d:$work/d.img" "control=$work/control" &
	driver_pid=$!
	pids+=("$driver_pid")
	await 300 driver_up
	nbdfuse "$work/fuse/disk" "nbd+unix:///c?socket=$work/nbd" &
	fuse_pid=$!
	pids+=("$fuse_pid")
	await 300 test -e "$work/fuse/disk"
}
driver_ends() {
	umount "$work/fuse"
	wait "$fuse_pid"
	kill -TERM "$driver_pid"
	wait "$driver_pid" || true
}
control() { PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here" python3 -c "
import os, sys
from hotcopy import Hotcopy
with Hotcopy('$work/control') as h:
    exec(sys.argv[1])" "$1"; }

places=("c=hotcopy:$work/control:c" --disk "d=hotcopy:$work/control:d")
backup() {
	agent pc --json --quiet backup "${places[@]}" --check-changes "$@" > "$work/last.json" 2> "$work/said" ||
	    fail "backup: $(tail -3 "$work/said")"
}
of() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/last.json" "$1"; }
said() { operator points pc --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0][sys.argv[1]])' "$1"; }
# tracked: one more incremental by the driver's list.
tracked() {
	backup "$@"
	[ "$(of kept_bytes)" -gt 35000000 ] || fail "kept $(of kept_bytes): $(said note)"
	[[ $(said capture) == *'changes by tracking' ]] || fail "captured: $(said capture)"
	note "read $(of read_bytes), kept $(of kept_bytes), proven $(of proven_bytes) of $(of volumes_bytes)"
}
# whole WHY: all is read, and the point says why.
whole() {
	backup
	[ "$(of kept_bytes)" = 0 ] || fail "kept $(of kept_bytes), though $1"
	[[ $(said note) == *"all is read: $1"* ]] || fail "said '$(said note)', not '$1'"
	note "read whole: $(said note)"
}
# write SEED: through the mount of c, and on d past all file systems.
write() {
	mounted_ntfs "$work/fuse/disk" rw,noatime fill_change "$1"
	head -c 299520 /dev/urandom > "$work/piece"
	qemu-io -f raw "nbd+unix:///d?socket=$work/nbd" -c "write -s $work/piece $(($1 * 7654321 % 28000000 / 512 * 512 + 2097152)) 299520" > "$work/qemu-io.out" 2>&1 ||
	    fail "qemu-io: $(cat "$work/qemu-io.out")"
}
# same: the newest point restored is what lies there.
same() {
	rm -f "$work"/back-* "$work/now.img"
	cp --sparse=always "$work/c.img" "$work/now.img" # The driver has it open.
	operator restore pc/latest --volume c --to "$work/back-c.img" --quiet > /dev/null 2> "$work/warned"
	ntfs_equal "$work/now.img" "$work/back-c.img"
	operator restore pc/latest --disk d --to "$work/back-d.img" --quiet > /dev/null 2> "$work/warned"
	cmp "$work/d.img" "$work/back-d.img"
}

ntfs_make "$work/c.img" 72 32 1
head -c 33554432 /dev/urandom > "$work/d.img"
printf 'label: dos\nstart=2048, size=30720, type=83\nstart=32768, type=83\n' | sfdisk -q "$work/d.img"
driver
backup
[ "$(of kept_bytes)" = 0 ] || fail "kept something without a base"
[ "$(said note)" = "" ] || fail "the first point says '$(said note)'"
tracked
# What changed, and a slice: a hundredth of what did not.
before=$(control 'print(sum(v["changed"] for v in h.enum()))')
write 2
changed=$((65536 * ($(control 'print(sum(v["changed"] for v in h.enum()))') - before)))
tracked
[ "$(of read_bytes)" -lt $((changed * 3 / 2 + 8000000)) ] || fail "$(of read_bytes) bytes were read for $changed that changed"
note "$changed bytes are in the list"
same
operator show pc | grep '^unproven .*not read, by a list of changes' > /dev/null || fail "not shown: $(operator show pc)"
as_in_guide hosts --backups
operator hosts --backups --json | python3 -c '
import json, sys
b = json.load(sys.stdin)[0]["backup"]
assert b["tracked"] and b["providers"] == "hotcopy" and b["slices"] == 100, b
assert (b["sequence"], b["proven_to"], b["whole"]) == (3, 1, 1) and b["whole_time"], b
assert b["read_bytes"] > 0 and b["kept_bytes"] > 35000000, b' || fail "hosts --backups: $(operator hosts --backups --json)"

# Written while it is frozen, by whom has it mounted; and nothing of that is lost for the next.
busy() {
	for seed in 3 4; do
		fill_change $seed "$1"
		sync -f "$1"
		tracked
	done
}
mounted_ntfs "$work/fuse/disk" rw,noatime busy

# Killed at any moment: what was begun is no base, what the server holds is one.
made() { operator points pc --json | grep -c '"sequence"'; }
for after in 0.05 0.3; do
	write "1${after#0.}"
	before=$(made)
	"$bin/holdfast-agent" --state "$work/agent-pc" --machine-id "$work/machine-id" --quiet backup "${places[@]}" > /dev/null 2>&1 &
	pids+=($!)
	pause $after
	{ kill -KILL "${pids[-1]}" && wait "${pids[-1]}"; } 2> /dev/null || true
	await 300 offline pc
	killed=$(made)
	backup
	[ "$(of kept_bytes)" -gt 35000000 ] || { [ "$killed" -gt "$before" ] && [[ $(said note) == *'all is read: '* ]]; } ||
	    fail "all was read after a kill: $(said note)"
	note "killed after $after s, points $before, then $killed: kept $(of kept_bytes) $(said note)"
done
same

# Another's generation is another point's.
control '
v = h.volume("c")
h.prepare([v])
nonce = os.urandom(16)
h.commit(v, h.freeze(flags=6, nonce=nonce)["generation"][0], nonce)'
backup
[[ $(said note) == *'c: all is read: tracking counts from another point'* ]] || fail "said '$(said note)'"
[ "$(of kept_bytes)" -gt 15000000 ] || fail "d was read, too: $(said note)"
# Somebody says that it is worth nothing.
control 'h.untrack(h.volume("c"), True); h.untrack(h.volume("d"), True)'
whole 'tracking is invalid: a restore or a person said so'
# What was noted for a driver that has not heard is rubbish.
head -c 3000 /dev/urandom > "$work/agent-pc/cache/=held"
write 7
tracked
# Memory alone does not outlast the driver.
driver_ends
driver
write 8
whole 'tracking began with this point'
# A block that the driver never saw written: found, told, and all is read at once over the same
# view; what is tracked from its cut on counts, for the point has all that came before.
printf '[agent]\ntrack-proof = 100\n' > "$work/agent-pc/agent.conf"
printf 'nobody saw this' | dd of="$work/d.img" bs=1 seek=25000000 conv=notrunc status=none
agent pc --json --quiet backup "${places[@]}" > "$work/last.json" 2> "$work/said"
grep -q 'nothing said that it changed' "$work/said" || fail "it was not found: $(cat "$work/said")"
[[ $(said note) == *'d.2: all is read: byte '* ]] || fail "said '$(said note)'"
[ "$(said suspect)" = "" ] || fail "the point that read all is suspect"
operator hosts | grep 'was not all known' > /dev/null || fail "no alarm: $(operator hosts)"
rm "$work/agent-pc/agent.conf"
write 6
tracked
same
# Switched off: nothing is kept, and nobody need be told why; on again: from the next point on.
printf '[agent]\ntracking = off\n' > "$work/agent-pc/agent.conf"
write 9
backup
[ "$(of kept_bytes)" = 0 ] && [ "$(said note)" = "" ] || fail "tracked, though it is off: $(said note)"
rm "$work/agent-pc/agent.conf"
whole 'the newest point was made without tracking'
tracked
driver_ends
