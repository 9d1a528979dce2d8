#!/bin/bash
# Goal: volumes and a disk that are in use, frozen by the hot-copy driver's core, are cloned
# as they were at the cut: no write before it is missing, none after it is there.
. "$(dirname "$0")/lib/scenario.bash"
. "$here/disks.bash"
export HOLDFAST_STATE=$work/no-state
clone() { "$bin/holdfast-agent" clone "$@" --provider hotcopy; }

note "a volume, an NTFS and a disk, all in use"
truncate -s 24M "$work/raw"
ntfs_make "$work/ntfs" 40 12 1
gpt_make "$work/disk" 40 1
disks=()
for d in raw ntfs disk; do disks+=("disk=$d:$work/$d"); done
nbdkit -f --exit-with-parent -P "$work/nbd.pid" -U "$work/nbd" "$bin/holdfast-hotcopy-plugin.so" "${disks[@]}" control="$work/control" &
pids+=($!)
# Its number is there when it listens; the socket is there a moment before.
up() { [ -S "$work/control" ] && [ -e "$work/nbd.pid" ]; }
await 60 up
for d in raw ntfs disk; do
	mkdir "$work/fuse.$d"
	nbdfuse "$work/fuse.$d/disk" "nbd+unix:///$d?socket=$work/nbd" &
	pids+=($!)
	await 60 test -e "$work/fuse.$d/disk"
done
mkdir "$work/mnt"
ntfs-3g -o rw,noatime "$work/fuse.ntfs/disk" "$work/mnt"
head -c 3000000 /dev/urandom > "$work/mnt/new"
rm "$work/mnt/turns-b.log"
# MSR, which is in the disk's image; and the volume from its middle on.
at=$((12 << 20)) msr=$((9 << 20))
python3 "$here/prefix.py" write "$work/fuse.raw/disk" $at 2048 > "$work/going.raw" &
writers=($!)
python3 "$here/prefix.py" write "$work/fuse.disk/disk" $msr 1024 > "$work/going.disk" &
writers+=($!)
pids+=("${writers[@]}")
for d in raw disk; do await 60 grep -q going "$work/going.$d"; done

note "the volume, to a file, to what was there, to a VHDX: each a cut of its own"
c=hotcopy:$work/control
clone "$c:raw" "$work/copy" > "$work/out"
grep -q 'frozen by hotcopy' "$work/out" || fail "$(cat "$work/out")"
first=$(python3 "$here/prefix.py" check "$work/copy" $at 2048)
clone "$c:raw" "$work/copy" --delta --quiet
second=$(python3 "$here/prefix.py" check "$work/copy" $at 2048)
[ "$second" -gt "$first" ] || fail "the writer stands still: $first, $second"
clone "$c:raw" "$work/copy.vhdx" --quiet
qemu-img convert -f vhdx -O raw "$work/copy.vhdx" "$work/converted"
third=$(python3 "$here/prefix.py" check "$work/converted" $at 2048)
note "cut after $first, $second and $third writes"

note "the NTFS, which is mounted: free clusters stay away"
sync -f "$work/mnt/new"
sum=$(sha256sum < "$work/mnt/new")
clone "$c:ntfs" "$work/ntfs.copy" > "$work/out"
umount "$work/mnt"
[ "$(du -k "$work/ntfs.copy" | cut -f1)" -le 30000 ] || fail "all of it was written: $(cat "$work/out")"
ntfsfix -n "$work/ntfs.copy" > "$work/ntfsfix.out" || fail "ntfsfix: $(cat "$work/ntfsfix.out")"
ntfs-3g -o ro "$work/ntfs.copy" "$work/mnt"
[ "$sum" = "$(sha256sum < "$work/mnt/new")" ] || fail "a file that was written before the cut is otherwise"
[ ! -e "$work/mnt/turns-b.log" ] || fail "a file that was gone before the cut is there"
umount "$work/mnt"

note "the disk"
clone --disk "$c:disk" "$work/disk.copy" --quiet
python3 "$here/prefix.py" check "$work/disk.copy" $msr 1024 > "$work/number"
gpt_sound "$work/disk.copy"
ntfs_part_equal "$work/disk" "$work/disk.copy" 3
clone --disk "$c:disk" "$work/disk.copy" --delta --json > "$work/json"
python3 "$here/prefix.py" check "$work/disk.copy" $msr 1024 > "$work/number2"
[ "$(cat "$work/number2")" -gt "$(cat "$work/number")" ] || fail "the writer stands still"
[ "$(python3 "$here/hotcopy.py" "$work/control" list | grep -c state=idle)" = 3 ] || fail "something is still frozen"
kill -TERM "${writers[@]}"
for pid in "${writers[@]}"; do wait "$pid" || fail "a writer failed"; done
