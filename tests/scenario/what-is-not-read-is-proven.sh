#!/bin/bash
# Goal: an incremental by a list of changes gives the same tree as reading all, on
# NTFS volumes that ntfs-3g changed between the runs and on volumes of no known kind;
# it reads no more than what changed, metadata and a slice; a list that is not complete is
# found out within one round, all is read at once, and the points in doubt are named.
. "$(dirname "$0")/lib/scenario.bash"

server_init
server_start
enrol pc

# ranges OLD NEW: what differs, in ranges of 4 KiB.
ranges() {
	python3 - "$1" "$2" <<'PY'
import sys
grain, begin, at = 4096, None, 0
with open(sys.argv[1], "rb") as a, open(sys.argv[2], "rb") as b:
    while True:
        x, y = a.read(grain), b.read(grain)
        if x != y and begin is None:
            begin = at
        if x == y and begin is not None:
            print(begin, at - begin)
            begin = None
        if not y:
            break
        at += len(y)
PY
}
# backup IMAGE ARGS...: one more point; its account goes to $work/last.json.
backup() {
	agent pc --json --quiet backup "c=$1" "${@:2}" > "$work/last.json"
}
of() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/last.json" "$1"; }
# step: one more incremental of c.img by what differs from the last one, checked.
step() {
	ranges "$work/before.img" "$work/c.img" > "$work/list"
	backup "$work/c.img" --changed-from "$work/list" --check-changes
	[ "$(of kept_bytes)" -gt 0 ] || fail "nothing was kept: $(cat "$work/last.json")"
	cp --sparse=always "$work/c.img" "$work/before.img"
}

ntfs_make "$work/c.img" 256 96 1
cp --sparse=always "$work/c.img" "$work/before.img"
: > "$work/list"
backup "$work/c.img" --changed-from "$work/list"
[ "$(of kept_bytes)" = 0 ] || fail "kept something without a base"
for seed in 2 3 4 5; do
	ntfs_change "$work/c.img" $seed
	step
	note "changed $(awk '{ s += $2 } END { print s }' "$work/list"), read $(of read_bytes), kept $(of kept_bytes), proven $(of proven_bytes)"
done
