#!/bin/bash
# make-cuts-corpora.sh - volumes that show what ways of cutting are good for; with SEED all are made anew alike.
#
#   scatter-1, -2 .img, scatter-1.day-1.img   NTFS whose files are in many pieces, other ones on each host
#   shift.day-0, -1, -2.img                   NTFS; from day to day bytes are inserted near the beginning of files
#   ext4-1, -2 .img, ext4-1.day-1.img         ext4 (no map: raw) with the files and changes of make-corpus.sh
#
# Needs root, loop devices, ntfs-3g, e2fsprogs, python3.
# Usage: OUT=dir [SIZE=MiB SEED=s BASE_SRC="dir..."] ./make-cuts-corpora.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
OUT=${OUT:?set OUT to the folder for the images}
SIZE=${SIZE:-512}
SEED=${SEED:-1}
BASE_SRC=${BASE_SRC:-/usr/bin /usr/lib /usr/share}
mkdir -p "$OUT"
MNT=$(mktemp -d "$OUT/.mnt.XXXXXX")
trap 'mountpoint -q "$MNT" && umount "$MNT"; rmdir "$MNT"' EXIT

# volume IMAGE ntfs|ext4 | volume IMAGE from OLD: mount it, new or a copy.
volume() {
	case $2 in
	from) cp --reflink=auto --sparse=auto "$OUT/$3.img" "$OUT/$1.tmp" ;;
	ntfs)
		truncate -s "${SIZE}M" "$OUT/$1.tmp"
		mkntfs -q -Q -F -T -c 4096 -s 512 -p 2048 -H 255 -S 63 "$OUT/$1.tmp" > /dev/null 2>&1
		;;
	ext4)
		truncate -s "${SIZE}M" "$OUT/$1.tmp"
		mke2fs -q -F -t ext4 -b 4096 -E lazy_itable_init=0,hash_seed=11111111-2222-3333-4444-555555555555 \
		    -U 11111111-2222-3333-4444-555555555555 "$OUT/$1.tmp"
		;;
	esac
	case $1 in
	ext4*) mount -o loop,noatime "$OUT/$1.tmp" "$MNT" ;;
	*) ntfs-3g -o noatime,silent "$OUT/$1.tmp" "$MNT" ;;
	esac
}
finish() {
	local i
	umount "$MNT"
	# ntfs-3g writes on after the unmount; so may the loop device.
	for i in $(seq 200); do
		fuser -s "$OUT/$1.tmp" 2> /dev/null || [ -n "$(losetup -j "$OUT/$1.tmp")" ] || break
		sleep .1
	done
	mv "$OUT/$1.tmp" "$OUT/$1.img"
}
lib() { python3 "$here/corpus_lib.py" "$@" --seed "$SEED"; }
own() { python3 "$here/cuts_corpora.py" "$@" --seed "$SEED" --base "$OUT/base"; }

# shellcheck disable=SC2086
[ -e "$OUT/base/MANIFEST.sha256" ] || lib base $BASE_SRC --dest "$OUT/base" --mb $((SIZE * 4 / 10))
for k in 1 2; do
	[ -e "$OUT/scatter-$k.img" ] && continue
	volume scatter-$k ntfs
	own scatter "$MNT" --host $k --mb $((SIZE * 4 / 10))
	finish scatter-$k
done
if [ ! -e "$OUT/scatter-1.day-1.img" ]; then
	volume scatter-1.day-1 from scatter-1
	own scatter "$MNT" --host 3 --day 1 --mb $((SIZE / 16))
	finish scatter-1.day-1
fi
for d in 0 1 2; do
	name=shift.day-$d
	[ -e "$OUT/$name.img" ] && continue
	if [ $d = 0 ]; then volume $name ntfs; else volume $name from shift.day-$((d - 1)); fi
	own shift "$MNT" --day $d --mb $((SIZE * 4 / 10))
	finish $name
done
for k in 1 2; do
	[ -e "$OUT/ext4-$k.img" ] && continue
	volume ext4-$k ext4
	lib populate "$MNT" --base "$OUT/base" --host $k --unique-mb $((SIZE * 9 / 100)) \
	    --garbage-mb $((SIZE * 2 / 10)) --page-mb 1 --hiber-mb 1 --tmp "$OUT/.db"
	rm -f "$OUT/.db"
	finish ext4-$k
done
if [ ! -e "$OUT/ext4-1.day-1.img" ]; then
	volume ext4-1.day-1 from ext4-1
	lib mutate "$MNT" --host 1 --day 1 --change 2
	finish ext4-1.day-1
fi
echo "$(ls "$OUT"/*.img | wc -l) images in $OUT"
