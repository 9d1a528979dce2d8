#!/bin/bash
# Goal: a disk is restored onto a smaller one if its files fit: what lies behind the new
# end, compressed and sparse files too, comes along, and Windows' disk is sound.  One
# that is too small is refused by the byte, before anything is written, and that many
# more are enough.  On a larger one the file system grows.  A Windows gets the driver
# that the new machine's controller needs.
. "$(dirname "$0")/lib/scenario.bash"
. "$here/disks.bash"
. "$here/rescue.bash"

# Behind everything: what is there first is removed again.
crowd() { head -c 45M /dev/urandom > "$1/first"; }
spread() {
	local m=$1
	python3 - "$m" <<'PY'
import os, random, sys
m, r = sys.argv[1], random.Random(5)
os.mkdir(m + "/packed")
os.setxattr(m + "/packed", "system.ntfs_attrib_be", bytes([0, 0, 8, 0]))
for i in range(20):
    with open("%s/packed/%d" % (m, i), "wb") as f:
        f.write(b"much the same " * 3000 + r.randbytes(i * 700))
os.mkdir(m + "/many")
for i in range(1500):
    with open("%s/many/%d" % (m, i), "wb") as f:
        f.write(r.randbytes(r.choice((100, 600, 3000, 9000))))
with open(m + "/sparse", "wb") as f:
    for i in range(8):
        f.seek(i << 20)
        f.write(r.randbytes(5000))
PY
	rm "$m/first"
	mkdir -p "$m/Windows/System32/config" "$m/Windows/System32/drivers"
	"$bin/hive" "$m/Windows/System32/config/SYSTEM" 3
	echo MZ > "$m/Windows/System32/drivers/storahci.sys"
}
start_of() { "$bin/hive" "$1/Windows/System32/config/SYSTEM"; }
driver_starts() { part_out "$1" 3 "$work/c" && mounted_ntfs "$work/c" ro start_of; }

server_init
server_start
enrol h1
gpt_make "$work/gpt.img" 120 10
part_out "$work/gpt.img" 3 "$work/c"
mounted_ntfs "$work/c" rw crowd
mounted_ntfs "$work/c" rw,compression spread
part_in "$work/gpt.img" "$work/c" 13
agent h1 backup --disk "gpt=$work/gpt.img" > "$work/backup.out"

note "smaller: files from behind the end come along"
truncate -s 100M "$work/small"
operator restore h1 --disk gpt --to "$work/small" --force --shrink --verify > "$work/restore.out" 2> "$work/restore.err" || fail "$(tail -3 "$work/restore.err")"
grep -q 'shrinking NTFS' "$work/restore.err" || fail "nothing was shrunk: $(cat "$work/restore.err")"
gpt_sound "$work/small"
diff <(ids_of "$work/gpt.img") <(ids_of "$work/small")
for n in 3 4; do ntfs_part_moved "$work/gpt.img" "$work/small" "$n"; done

note "again over what is there, as after a power cut"
dd if=/dev/urandom of="$work/small" bs=1M seek=30 count=5 conv=notrunc status=none
operator restore h1 --disk gpt --to "$work/small" --delta --shrink > "$work/restore.out"
for n in 3 4; do ntfs_part_moved "$work/gpt.img" "$work/small" "$n"; done

note "too small: refused by the byte, and that many more are enough"
truncate -s 0 "$work/tiny"
truncate -s 40000000 "$work/tiny"
refuses 'too small for disk gpt: 40000000 bytes, [0-9]+ are missing' operator restore h1 --disk gpt --to "$work/tiny" --force --shrink
lack=$(sed -n 's/.* \([0-9]*\) are missing.*/\1/p' "$work/refused.err")
[ "$(tr -d '\0' < "$work/tiny" | wc -c)" = 0 ] || fail "written before it was refused"
refuses 'too small for disk gpt' operator restore h1 --disk gpt --to "$work/none" --size $((40000000 + lack - 512)) --shrink
[ ! -e "$work/none" ] || fail "a file of the refused disk"
truncate -s $((40000000 + lack)) "$work/tiny"
operator restore h1 --disk gpt --to "$work/tiny" --force --shrink > "$work/restore.out" 2> "$work/restore.err" || fail "$(tail -3 "$work/restore.err")"
gpt_sound "$work/tiny"
for n in 3 4; do ntfs_part_moved "$work/gpt.img" "$work/tiny" "$n"; done

note "larger, and another machine: its disk hangs on AHCI"
echo 'pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01' > "$work/machine"
truncate -s 160M "$work/big"
operator restore h1 --disk gpt --to "$work/big" --force --report-drivers --machine "$work/machine" > "$work/restore.out" 2> "$work/restore.err"
grep -q 'storage controller 8086:2922: storahci does not start at boot' "$work/restore.err" || fail "$(cat "$work/restore.err")"
[ "$(driver_starts "$work/big")" = 3 ] || fail "reporting changed a driver"
operator restore h1 --disk gpt --to "$work/big" --force --extend --adapt --machine "$work/machine" > "$work/restore.out" 2> "$work/restore.err"
grep -q 'enabled: storahci' "$work/restore.err" || fail "$(cat "$work/restore.err")"
gpt_sound "$work/big"
[ "$(driver_starts "$work/big")" = 0 ] || fail "the driver was not enabled"
part_out "$work/big" 3 "$work/c"
unhive() { rm "$1/Windows/System32/config/SYSTEM.holdfast" && "$bin/hive" "$1/Windows/System32/config/SYSTEM" 3; }
mounted_ntfs "$work/c" rw unhive
read -r start _ < <(part_of "$work/big" 3)
part_in "$work/big" "$work/c" $((start >> 20))
for n in 3 4; do ntfs_part_moved "$work/gpt.img" "$work/big" "$n"; done
refuses 'no storage controller in it' operator restore h1 --disk gpt --to "$work/none" --adapt --machine "$work/backup.out"
[ ! -e "$work/none" ] || fail "a file of the refused disk"

note "an empty machine with a smaller disk on AHCI, unattended"
machine_make m1 uefi
machine_disk m1 sda 100 ""
mkdir -p "$work/m1.sys/bus/pci/devices/0000:00:1f.2"
cp "$work/machine" "$work/m1.sys/bus/pci/devices/0000:00:1f.2/modalias"
token=$(rescue_token h1)
! rescue m1 "holdfast.token=$token" holdfast.disk=auto || fail "restored to a smaller disk unasked"
rescue m1 "holdfast.token=$token" holdfast.disk=auto holdfast.shrink holdfast.adapt || fail "not restored: $(cat "$work/m1.out")"
said m1 'partition 3: shrinking NTFS'
said m1 'enabled: storahci'
gpt_sound "$work/m1.dev/sda"
[ "$(driver_starts "$work/m1.dev/sda")" = 0 ] || fail "the driver was not enabled"
diff <(ids_of "$work/gpt.img") <(ids_of "$work/m1.dev/sda")
ntfs_part_moved "$work/gpt.img" "$work/m1.dev/sda" 4
! grep -q holdfast-view /proc/mounts || fail "a view's mount was left"
server_stop
