#!/bin/bash
# Goal: eight like hosts that back up at the same time store at most 1.05 times
# what they store one after another.
. "$(dirname "$0")/lib/scenario.bash"
hosts="1 2 3 4 5 6 7 8"
[ "${HOLDFAST_SLOW:-0}" = 0 ] || hosts="1 2 3 8"
ntfs_make "$work/base.img" 96 48 1
for h in $hosts; do
	cp --sparse=always "$work/base.img" "$work/v$h.img"
	own() { head -c 700000 /dev/urandom > "$1/own.bin"; }
	mounted_ntfs "$work/v$h.img" rw,noatime own
done
size() { du -sb "$work/store/packs" | cut -f1; }

server_init
server_start
for h in $hosts; do enrol h$h; agent h$h backup c="$work/v$h.img" --quiet; done
one_by_one=$(size)
server_stop
rm -rf "$work/store" "$work/operator" "$work"/agent-*

server_init
server_start
running=()
for h in $hosts; do enrol h$h; done
for h in $hosts; do
	agent h$h backup c="$work/v$h.img" --quiet 2> "$work/b$h.err" & running+=($!)
	pids+=($!)
done
for pid in "${running[@]}"; do wait "$pid" || fail "a backup failed: $(tail -qn1 "$work"/b*.err)"; done
at_once=$(size)
echo "one after another $one_by_one bytes, at once $at_once"
[ $((at_once * 100)) -le $((one_by_one * 105)) ] || fail "more than 1.05 times"
for h in 1 8; do
	agent h$h restore latest --volume c --to "$work/r$h.img"
	ntfs_equal "$work/v$h.img" "$work/r$h.img"
done
server_stop
