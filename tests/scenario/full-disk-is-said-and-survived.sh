#!/bin/bash
# Goal: a store on a full disk refuses in words, keeps all it acknowledged, and
# works again once there is room.  (A disk that fills up at each single write of a
# commit: unit/storage/store_fault.)
. "$(dirname "$0")/lib/scenario.bash"
mkdir "$work/disk"
mount -t tmpfs -o size=120m tmpfs "$work/disk"
ln -s "$work/disk/store" "$work/store"
server_init
server_config 'low-water = 0' 'reserve = 2M'
server_start
enrol h1
ntfs_make "$work/c.img" 64 20 1
agent h1 backup c="$work/c.img"
head -c 200M /dev/urandom > "$work/big.img"
refuses 'space|full' agent h1 backup big="$work/big.img" --retry-for 0s
operator points > /dev/null
note "full to the last bytes"
mount -o remount,size=200m "$work/disk"
head -c 3M /dev/urandom > "$work/small.img"
# Leave room for the chunks or not, in steps: it must fail or succeed, never both.
for left in 0 1 2 4 8 64; do
	free=$(df -k --output=avail "$work/disk" | tail -1)
	head -c $(((free - left) * 1024)) /dev/zero > "$work/disk/filler" 2>/dev/null || true
	before=$(operator points --json | grep -c '"sequence"')
	if agent h1 backup small="$work/small.img" --retry-for 0s > /dev/null 2> "$work/b.err"; then
		fail "a backup of 3 MiB into $left KiB"
	fi
	tail -1 "$work/b.err" | grep -E 'space|full' > /dev/null || fail "said: $(tail -2 "$work/b.err")"
	rm -f "$work/disk/filler"
	after=$(operator points --json | grep -c '"sequence"')
	[ "$before" = "$after" ] || fail "a refused backup made a point"
done
agent h1 backup small="$work/small.img"
agent h1 restore latest --volume small --to "$work/r.small"
cmp "$work/small.img" "$work/r.small"
agent h1 restore 1 --volume c --to "$work/r.c"
ntfs_equal "$work/c.img" "$work/r.c"

note "a full disk of the agent's own fails no backup, and what is half there is not believed"
mkdir "$work/agent-h2"
mount -t tmpfs -o size=2m tmpfs "$work/agent-h2"
enrol h2
: > "$work/list"
changed() { # say what of small.img was written over
	head -c 65536 /dev/urandom | dd of="$work/small.img" bs=65536 seek="$1" conv=notrunc status=none
	echo "$(($1 * 65536)) 65536" > "$work/list"
}
h2() { agent h2 --json --quiet backup small="$work/small.img" --changed-from "$work/list" --check-changes "$@" > "$work/h2.json" 2> "$work/h2.err"; }
h2_kept() { python3 -c 'import json,sys; j=json.load(open(sys.argv[1])); print(j["kept_bytes"] > 0, j["grade"])' "$work/h2.json"; }
h2
changed 3
h2
[ "$(h2_kept)" = "True exclusive" ] || fail "$(cat "$work/h2.json")"
head -c 4M /dev/zero > "$work/agent-h2/filler" 2> "$work/filler.err" || true
changed 9
h2 || fail "a full disk of its own: $(cat "$work/h2.err")"
grep -q 'the point is made, but not all .* noted here: .*No space left.*reads all of small$' "$work/h2.err" || fail "$(cat "$work/h2.err")"
python3 -c 'import json,sys; assert "given up" in json.load(open(sys.argv[1]))["note"]' "$work/h2.json" || fail "$(cat "$work/h2.json")"
rm "$work/agent-h2/filler"
changed 20
h2
[ "$(h2_kept)" = "False exclusive" ] || fail "it believed half a memory: $(cat "$work/h2.json")"
agent h2 restore latest --volume small --to "$work/r.small2"
cmp "$work/small.img" "$work/r.small2"
changed 30
h2
[ "$(h2_kept)" = "True exclusive" ] || fail "it does not remember again: $(cat "$work/h2.json")"
umount "$work/agent-h2"
server_stop

note "below low-water no backup begins, it is said, and is over by itself"
server_config 'low-water = 20M' 'reserve = 2M'
server_start
fill() {
	local free
	free=$(df -k --output=avail "$work/disk" | tail -1)
	head -c $(((free - $1) * 1024)) /dev/zero >> "$work/disk/filler" 2>/dev/null || true
}
: > "$work/server.log"
fill 10000
refuses 'less than low-water .20.0 MiB.: no new backup begins' agent h1 backup small="$work/small.img" --retry-for 0s
operator hosts | grep '^ALARM: the store.s disk has' > /dev/null || fail "no alarm in hosts"
operator stats | grep '^ALARM: the store.s disk has' > /dev/null || fail "no alarm in stats"
await 50 grep -q 'warning: store: the store.s disk has' "$work/server.log"
rm "$work/disk/filler"
await 50 grep -q 'store: the store.s disk has room again' "$work/server.log"
[ -z "$(operator hosts | grep '^ALARM:')" ] || fail "the alarm stays"
agent h1 backup small="$work/small.img" --retry-for 0s

note "at nothing left the store opens, and operators' acts are recorded, by the reserve"
server_kill
: > "$work/server.log"
fill 0
fill 0
[ "$(df -k --output=avail "$work/disk" | tail -1)" -lt 8 ] || fail "the disk is not full"
[ "$(stat -c %s "$work/store/reserve")" = 2097152 ] || fail "no reserve"
server_start
operator enroll-token > /dev/null
[ "$(stat -c %s "$work/store/reserve")" = 0 ] || fail "the reserve was not given up"
operator hosts | grep '^ALARM: the store.s disk is full' > /dev/null || fail "no alarm: $(operator hosts)"
refuses 'space|full' agent h1 backup small="$work/small.img" --retry-for 0s
rm "$work/disk/filler"
await 50 grep -q 'store: the store.s disk has room again' "$work/server.log"
back() { [ "$(stat -c %s "$work/store/reserve")" = 2097152 ]; }
await 50 back
agent h1 backup small="$work/small.img" --retry-for 0s
operator verify --trees
server_stop

note "at nothing left points are forgotten and collected, and backups go on"
server_config 'low-water = 0' 'reserve = 2M' 'gc-every = 0' 'verify-cycle = 0' 'prune-at = off'
server_start
for n in 1 2; do
	head -c 20M /dev/urandom > "$work/more.$n.img"
	agent h1 backup more$n="$work/more.$n.img" --retry-for 0s
done
fill 0
fill 0
[ "$(df -k --output=avail "$work/disk" | tail -1)" -lt 8 ] || fail "the disk is not full"
head -c 6M /dev/urandom > "$work/last.img"
refuses 'space|full' agent h1 backup last="$work/last.img" --retry-for 0s
last=$(operator points h1 --json | python3 -c 'import json,sys; print(max(p["sequence"] for p in json.load(sys.stdin)))')
operator forget "h1/$last" --reason 'no room'
operator forget "h1/$((last - 1))" --reason 'no room'
operator gc --json > "$work/gc"
python3 -c 'import json,sys; g=json.load(open(sys.argv[1])); assert g["bytes_freed"] > 30 << 20, g' "$work/gc"
await 50 back
agent h1 backup last="$work/last.img" --retry-for 0s
agent h1 restore latest --volume last --to "$work/r.last"
cmp "$work/last.img" "$work/r.last"
rm "$work/disk/filler"
operator verify --trees
server_stop
