#!/bin/bash
# Goal: `holdfast export` makes of a disk or volume of a point the image that a restore
# would, in each format, or nothing at all.
. "$(dirname "$0")/lib/scenario.bash"
. "$here/disks.bash"
server_init
server_start
enrol h1
gpt_make "$work/gpt.img" 80 10
noise 3 "$work/noise.img"
agent h1 backup --disk "gpt=$work/gpt.img"
agent h1 backup --disk "gpt=$work/gpt.img" noise="$work/noise.img"
operator restore h1 --disk gpt --to "$work/r.img" --quiet

note "each format, compared by qemu-img with the restore"
for f in qcow2 vhdx vmdk raw; do
	operator export h1/1 --to "$work/x.$f" --quiet
	qemu-img compare -f raw -F $f "$work/r.img" "$work/x.$f" > "$work/compare" ||
	    fail "$f: $(cat "$work/compare")"
done
gpt_sound "$work/x.raw"
[ "$(stat -c %b "$work/x.raw")" -lt $((80 * 2048)) ] || fail "the raw image is not sparse"
for f in qcow2 vmdk; do
	operator export h1 --disk gpt --to "$work/y.$f" --compress --quiet
	qemu-img compare -f raw -F $f "$work/r.img" "$work/y.$f" > "$work/compare" ||
	    fail "$f: $(cat "$work/compare")"
	[ "$(stat -c %s "$work/y.$f")" -lt "$(stat -c %s "$work/x.$f")" ] || fail "$f is no smaller"
done
operator export h1:noise --to "$work/noise.out" --format raw --quiet
cmp "$work/noise.img" "$work/noise.out"

(cd "$work" && umask 027 && operator export h1:noise --to "-a:b.raw" --quiet)
cmp "$work/noise.img" "$work/-a:b.raw"
[ "$(stat -c %a "$work/-a:b.raw")" = 640 ] || fail "mode $(stat -c %a "$work/-a:b.raw")"

note "the disk over NBD, by the export's name"
"$bin/holdfast" --operator "$work/operator" --server "$server" nbd h1/1 --socket "$work/sock" > "$work/nbd.log" &
pid=$!
pids+=("$pid")
await 60 test -s "$work/nbd.log"
nbdcopy "nbd+unix:///disk/gpt?socket=$work/sock" "$work/n.img"
cmp "$work/n.img" "$work/r.img"
kill $pid
wait $pid

note "what is there stays, what fails leaves nothing"
refuses "exists: --force replaces it" operator export h1/1 --to "$work/x.qcow2"
operator export h1/1 --to "$work/x.qcow2" --force --quiet
refuses "is no format" operator export h1/1 --to "$work/x.doc"
refuses "for qcow2 and vmdk" operator export h1/1 --to "$work/z.raw" --compress
refuses "has no disk 'x', but gpt" operator export h1/1 --disk x --to "$work/z.raw"
refuses "No such file" operator export h1/1 --to "$work/nowhere/z.raw"
mkdir "$work/small"
mount -t tmpfs -o size=1m none "$work/small"
refuses "qemu-img ended with status" operator export h1/1 --to "$work/small/z.raw" --quiet
[ -z "$(ls -A "$work/small")" ] || fail "left behind: $(ls -A "$work/small")"
umount "$work/small"
server_stop
