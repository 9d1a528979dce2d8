#!/bin/bash
# Goal: `clone` copies volumes and whole disks with no server, no enrolment and no state:
# equal by the tools of others, and byte for byte where nothing is free; what may not be
# written over is refused; what ends in the middle is no volume; and a medium that gives
# other bytes than it took is found.
. "$(dirname "$0")/lib/scenario.bash"
. "$here/disks.bash"

export HOLDFAST_STATE=$work/no-state
clone() { "$bin/holdfast-agent" clone "$@"; }
# A device that is free again is the next one's who looks for one, also in another test:
# whose it is, the file behind it says.
declare -A behind
attached() { losetup -n -O NAME -j "${behind[$1]}" | grep -x "$1 *" > /dev/null; }
detached() { ! attached "$1"; }
# cleanup() ends with the status that it finds.
trap 'status=$?; set +e; trap - ERR; for l in "${!behind[@]}"; do attached "$l" && losetup -d "$l"; done; (exit $status); cleanup' EXIT
# loop VARIABLE FILE [OPTIONS...]
loop() {
	local -n into=$1
	into=$(losetup -f --show "${@:3}" "$2")
	behind[$into]=$2
}
unloop() { losetup -d "$1"; await 60 detached "$1"; unset "behind[$1]"; }
sum() { sha256sum < "$1"; }
# field NAME: of the last line of JSON.
field() { tail -1 "$work/json" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

note "NTFS, FAT and what nobody knows: to a file"
ntfs_make "$work/c.img" 48 16 1
clone "$work/c.img" "$work/c.copy" > "$work/out"
grep -q 'read back and equal' "$work/out" || fail "$(cat "$work/out")"
ntfs_equal "$work/c.img" "$work/c.copy"
[ "$(du -k "$work/c.copy" | cut -f1)" -le 24000 ] || fail "free clusters were written: $(du -k "$work/c.copy")"
fat_make "$work/f.img" 16 16 4 2
clone "$work/f.img" "$work/f.copy" --quiet > "$work/out" 2>&1
[ ! -s "$work/out" ] || fail "--quiet speaks: $(cat "$work/out")"
fat_equal "$work/f.img" "$work/f.copy"
noise 12 "$work/noise"
truncate -s +4M "$work/noise"
clone "$work/noise" "$work/noise.copy" --json > "$work/json"
cmp "$work/noise" "$work/noise.copy"
[ "$(field verified) $(field size) $(field checked_bytes)" = "True $(stat -c '%s %s' "$work/noise")" ] || fail "$(tail -1 "$work/json")"
[ "$(du -k "$work/noise.copy" | cut -f1)" -le 13000 ] || fail "zeros were written"

note "what differs, and what is free"
head -c 100000 /dev/urandom | dd of="$work/noise" bs=1 seek=5000000 conv=notrunc status=none
refuses 'exists.*--force' clone "$work/noise" "$work/noise.copy"
clone "$work/noise" "$work/noise.copy" --delta --no-verify --json > "$work/json"
cmp "$work/noise" "$work/noise.copy"
[ "$(field verified) $(field checked_bytes)" = "False 0" ] || fail "$(tail -1 "$work/json")"
[ "$(field written_bytes)" -lt 300000 ] || fail "$(tail -1 "$work/json")"
head -c 16M /dev/urandom > "$work/over"
clone "$work/f.img" "$work/over" --delta --zero-holes --quiet
clone "$work/f.img" "$work/over2" --quiet
cmp "$work/over" "$work/over2"
clone "$work/c.img" "$work/f.copy" --force --no-verify > "$work/out"
grep -q 'not verified' "$work/out" || fail "$(cat "$work/out")"
cmp "$work/c.copy" "$work/f.copy"

note "to a device, larger than the volume and full of something else; from a device"
head -c 50M /dev/urandom > "$work/device"
loop d "$work/device"
clone "$work/c.img" "$d" --discard --quiet
truncate -s 48M "$work/first"
dd if="$d" of="$work/first" bs=1M count=48 conv=notrunc status=none
ntfs_equal "$work/c.img" "$work/first"
refuses 'source itself' clone "$work/device" "$d"
refuses 'source itself' clone "$d" "$work/device"
clone "$d" "$work/d.copy" --quiet
same_bytes "$work/device" $((48 << 20)) "$work/d.copy" $((48 << 20)) $((2 << 20))	# Behind the file system.
truncate -s 48M "$work/d.copy"
cmp "$work/c.copy" "$work/d.copy"

note "whole disks: the same size, larger, back; a VHDX"
gpt_make "$work/gpt" 40 1
clone --disk "$work/gpt" "$work/gpt.copy" > "$work/out"
grep -q '4 partitions.*read back and equal' "$work/out" || fail "$(cat "$work/out")"
gpt_sound "$work/gpt.copy"
diff <(ids_of "$work/gpt") <(ids_of "$work/gpt.copy") || fail "the tables differ"
ntfs_part_equal "$work/gpt" "$work/gpt.copy" 3
same_bytes "$work/gpt" 0 "$work/gpt.copy" 0 1048576	# Boot code, table, gap.
same_bytes "$work/gpt" $((9 << 20)) "$work/gpt.copy" $((9 << 20)) $((4 << 20))	# MSR.
same_bytes "$work/gpt" $((39 << 20)) "$work/gpt.copy" $((39 << 20)) $((1 << 20))
# From here on what is free is zeros in the source: all is equal, but where the table moved.
clone "$work/gpt.copy" "$d" --disk --zero-holes --quiet	# 50 MiB.
gpt_sound "$d"
cp "$work/device" "$work/larger"
diff <(ids_of "$work/gpt") <(ids_of "$work/larger") || fail "the tables differ"
same_bytes "$work/gpt.copy" 32768 "$work/larger" 32768 $(((39 << 20) - 32768))
unloop "$d"
# Half a MiB shorter: what lies behind the last partition has no room, and is not missed.
head -c 41418752 /dev/urandom > "$work/shorter"
filler "$work/gpt.copy" $(((40 << 20) - 100000)) 50000
loop d "$work/shorter"
clone "$work/gpt.copy" "$d" --disk --zero-holes --quiet
gpt_sound "$d"
same_bytes "$work/gpt.copy" 32768 "$work/shorter" 32768 $(((39 << 20) - 32768))
unloop "$d"
clone "$work/larger" "$work/larger.vhdx" --disk 2> "$work/said" > "$work/out"
grep -q 'VHDX by its name' "$work/said" || fail "not said: $(cat "$work/said")"
qemu-img check -q -f vhdx "$work/larger.vhdx"
clone "$work/larger" "$work/larger.raw" --disk --quiet
"$here/../../tools/vhdx.py" "$work/larger.vhdx" "$work/larger.raw"
head -c 20M /dev/urandom > "$work/mbr"
sfdisk -q --wipe never "$work/mbr" > /dev/null <<-'TABLE'
	label: dos
	start=2048, size=8192, type=7, bootable
	start=12288, size=20480, type=f
	start=14336, size=4096, type=7
	start=20480, size=8192, type=6
TABLE
cp "$work/mbr" "$work/mbr.larger"
truncate -s 30M "$work/mbr.larger"
head -c 3000 /dev/urandom | dd of="$work/mbr.larger" bs=1 seek=7500000 conv=notrunc status=none
clone "$work/mbr" "$work/mbr.larger" --disk --delta --json > "$work/json"
mbr_sound "$work/mbr.larger"
cmp -n $((20 << 20)) "$work/mbr" "$work/mbr.larger"
[ "$(stat -c %s "$work/mbr.larger")" = $((30 << 20)) ] || fail "a kept image became shorter"
[ "$(field written_bytes)" -lt 200000 ] || fail "$(tail -1 "$work/json")"

note "odd disks: every byte"
mkdir "$work/odd" "$work/back"
python3 "$here/odd_disks.py" "$work/odd" make
for f in "$work"/odd/*; do
	clone "$f" "$work/back/${f##*/}" --disk --quiet
	cmp "$f" "$work/back/${f##*/}" || fail "${f##*/} came out otherwise"
done
rm -rf "$work/odd" "$work/back"

note "what may not be"
before=$(sum "$work/c.img")
refuses 'source itself' clone "$work/c.img" "$work/c.img" --force
ln -s c.img "$work/link"
refuses 'source itself' clone "$work/link" "$work/c.img" --delta
truncate -s 32M "$work/small"
loop d "$work/small"
refuses 'small' clone "$work/c.img" "$d"
refuses 'small' clone "$work/gpt" "$d" --disk
refuses 'in use as' clone "$work/c.img" "$work/small" --force
unloop "$d"
cmp -n 33554432 "$work/small" /dev/zero || fail "a refused clone wrote"
loop d "$work/c.copy"
mkdir "$work/mnt"
ntfs-3g "$d" "$work/mnt"
refuses 'mounted|in use' clone "$work/c.img" "$d"
refuses 'mounted' clone "$d" "$work/x"
umount "$work/mnt"
await 60 not_open "$d"
unloop "$d"
mount -t tmpfs -o size=6m none "$work/mnt"
refuses 'too little room' clone "$work/c.img" "$work/mnt/x"
refuses 'too little room' clone "$work/gpt" "$work/mnt/x.vhdx" --disk --quiet
refuses 'No space' clone "$work/noise" "$work/mnt/x" --quiet	# Nobody knows how much of it is zeros.
[ -z "$(ls "$work/mnt")" ] || fail "a refused clone left a file"
truncate -s 20M "$work/sparse"
head -c 1M "$work/noise" | dd of="$work/sparse" bs=1M seek=7 conv=notrunc status=none
clone "$work/sparse" "$work/mnt/x" > "$work/out" 2>&1
grep -q 'zeros take none' "$work/out" || fail "not said: $(cat "$work/out")"
cmp "$work/sparse" "$work/mnt/x"
rm "$work/mnt/x"
mkdir -p "$HOLDFAST_STATE"
refuses 'state directory' clone "$work/c.img" "$HOLDFAST_STATE/x"
printf 'o\t%s\n' "$work/over2" > "$HOLDFAST_STATE/sources"
ln -s over2 "$work/link2"
refuses 'source of volume o; --overwrite-source' clone "$work/noise" "$work/link2" --force
cmp "$work/over" "$work/over2"
clone "$work/noise" "$work/over2" --force --overwrite-source --quiet
cmp "$work/noise" "$work/over2"
rm -r "$HOLDFAST_STATE"
refuses 'No such|not found' clone "$work/nothing" "$work/x"
refuses 'No such|not found' clone "$work/c.img" "$work/nowhere/x"
refuses 'vss' clone "$work/c.img" "$work/x" --provider vss
refuses 'provider' clone "$work/c.img" "$work/x" --provider none
[ ! -e "$work/x" ] && [ ! -e "$work/x.partial" ] || fail "a refused clone left a file"
[ "$before" = "$(sum "$work/c.img")" ] || fail "a refused clone wrote to the source"

note "a device that has no more room for what it took"
truncate -s 48M "$work/mnt/thin"
loop d "$work/mnt/thin"
refuses 'half written' clone "$work/c.img" "$d"
unloop "$d"
[ -z "$(head -c 65536 "$work/mnt/thin" | tr -d '\0' | head -c 1)" ] || fail "its begin may be mounted"
umount "$work/mnt"

# A volume of which 1 MiB is read in a second, as a device: what is begun is not soon done.
nbd() { # NAME FILE-SYSTEM-MOUNT nbdkit's words: $work/NAME/disk
	mkdir "$work/$1"
	nbdfuse "$work/$1/disk" --command nbdkit -s --exit-with-parent "${@:2}" &
	pids+=($!)
	await 60 test -e "$work/$1/disk"
}
head -c 6M /dev/urandom > "$work/slow.img"
nbd slow --filter=rate file "$work/slow.img" rate=8M
loop slow "$work/slow/disk" --direct-io=on
begun() { [ -e "$1" ] && [ "$(du -k "$1" | cut -f1)" -ge "${2:-512}" ]; }
status=0

note "interrupted, killed, and written in the middle"
begin() { # a clone of the slow device, and wait until some of it is written
	blockdev --flushbufs "$slow"	# Nothing of it is in memory.
	"$bin/holdfast-agent" clone "$slow" "$work/x" "$@" > "$work/out" 2>&1 & pid=$!
	pids+=($pid)
	await 60 begun "$work/x.partial"
}
begin --provider offline
kill -INT $pid
wait $pid || status=$?
[ $status = 1 ] || fail "status $status"
tail -1 "$work/out" | grep interrupted > /dev/null || fail "said '$(tail -1 "$work/out")'"
[ ! -e "$work/x" ] && [ ! -e "$work/x.partial" ] || fail "half a clone is left"
begin
refuses 'in use' clone "$work/f.img" "$work/x"
kill -KILL $pid
wait $pid 2> /dev/null || true
[ ! -e "$work/x" ] || fail "half a clone has its name"
clone "$work/c.img" "$work/x" --quiet
cmp "$work/c.copy" "$work/x"
rm "$work/x"
begin
head -c 4096 /dev/urandom | dd of="$slow" bs=4k seek=1200 conv=notrunc status=none	# It is in the cache only.
status=0
wait $pid || status=$?
[ $status = 1 ] || fail "a source that was written was cloned: $(cat "$work/out")"
tail -1 "$work/out" | grep -E 'changed|written' > /dev/null || fail "said '$(tail -1 "$work/out")'"
[ ! -e "$work/x" ] && [ ! -e "$work/x.partial" ] || fail "half a clone is left"
unloop "$slow"

# lying NAME BYTE: a device of 16 MiB which keeps another byte there than it was given.
lying() {
	truncate -s 16M "$work/$1.medium"
	nbd "$1" eval get_size='echo 16777216' can_write='exit 0' can_flush='exit 0' flush='exit 0' \
	    pread="dd if='$work/$1.medium' iflag=count_bytes,skip_bytes bs=64K skip=\$4 count=\$3 status=none" \
	    pwrite="dd of='$work/$1.medium' oflag=seek_bytes bs=64K seek=\$4 conv=notrunc status=none
		[ \$4 -gt $2 ] || [ \$((\$4 + \$3)) -le $2 ] || printf x | dd of='$work/$1.medium' bs=1 seek=$2 conv=notrunc status=none"
	loop "$1" "$work/$1/disk" --direct-io=on
}
note "a medium that gives other bytes than it took"
noise 16 "$work/noise"
truncate -s 16M "$work/noise"
for at in 1000 5000000 16777215; do
	lying "lie$at" "$at"
	declare -n dev=lie$at
	refuses "half written.*(not what was written|not as written)" clone "$work/noise" "$dev"
	clone "$work/noise" "$dev" --no-verify --quiet > "$work/out" 2>&1 && lied=0 || lied=$?
	# What makes it a volume is read back in any case.
	[ $lied = $((at == 5000000 ? 0 : 1)) ] || fail "status $lied without verifying byte $at: $(cat "$work/out")"
	unloop "$dev"
	umount "$work/lie$at"
done
note "a disk whose table is not as written has none"
truncate -s 14M "$work/tbl.img"
sfdisk -q --wipe never "$work/tbl.img" <<< $'label: gpt\nstart=2048, size=4096' > "$work/out"
lying tbl 600 # In the header, which is written before the MBR.
refuses 'has no partition table: .*not as written' clone "$work/tbl.img" "$tbl" --disk
[ -z "$(head -c 512 "$work/tbl.medium" | tr -d '\0' | head -c 1)" ] || fail "its table may be believed"
unloop "$tbl"
umount "$work/tbl"
