#!/bin/bash
# Goal: every point of every kind of volume comes back equal, judged by
# ntfsclone, ntfsfix, ntfsinfo, fsck.vfat, cmp and the SHA-256 of every file.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 192 60 1
fat_make "$work/f32.img" 64 32 12 2
fat_make "$work/f16.img" 32 16 8 3
fat_make "$work/f12.img" 16 12 4 4
truncate -s 24M "$work/ext.img"
mkfs.ext4 -q -F -d "$here" "$work/ext.img"
head -c 3000320 /dev/urandom > "$work/noise.img"
truncate -s 512 "$work/sector.img"

volumes=(c f32 f16 f12 ext noise sector)
args=()
for v in "${volumes[@]}"; do args+=("$v=$work/$v.img"); done
agent h1 backup "${args[@]}"
cp --sparse=always "$work/c.img" "$work/c.1"
ntfs_change "$work/c.img" 1
agent h1 backup "${args[@]}"
cp --sparse=always "$work/c.img" "$work/c.2"
ntfs_change "$work/c.img" 2
agent h1 backup c="$work/c.img"

note "each point of the NTFS volume, also the old ones"
for n in 1 2; do
	agent h1 restore $n --volume c --to "$work/r.$n"
	ntfs_equal "$work/c.$n" "$work/r.$n"
done
agent h1 restore latest --volume c --to "$work/r.3"
ntfs_equal "$work/c.img" "$work/r.3"

note "free clusters do not travel: no deleted file's bytes in the restore"
[ "$(stat -c %b "$work/r.3")" -lt "$(stat -c %b "$work/c.img")" ] || fail "the restore is as large as the source"

note "FAT by fsck and every file; what we do not know byte for byte"
for v in f32 f16 f12; do
	agent h1 restore 2 --volume $v --to "$work/r.$v"
	fat_equal "$work/$v.img" "$work/r.$v"
done
for v in ext noise sector; do
	agent h1 restore 2 --volume $v --to "$work/r.$v"
	cmp "$work/$v.img" "$work/r.$v" || fail "$v differs"
done

note "--delta over an older state rewrites little and ends equal"
cp --sparse=always "$work/c.1" "$work/delta.img"
agent h1 restore 3 --volume c --to "$work/delta.img" --delta
ntfs_equal "$work/c.img" "$work/delta.img"

note "the operator restores too, to a loop device"
truncate -s 192M "$work/device"
loop=$(losetup -f --show "$work/device")
operator restore h1/3 --volume c --to "$loop" || { losetup -d "$loop"; fail "restore to $loop"; }
losetup -d "$loop"
ntfs_equal "$work/c.img" "$work/device"
operator verify --trees
server_stop
