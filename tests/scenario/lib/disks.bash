# disks.bash - whole disks as image files, made and judged by the tools of others.
#
#   gpt_make IMAGE MIB SEED [SECTOR]     as Windows lays one out: ESP, MSR, C:, WinRE
#   mbr_make IMAGE MIB SEED              System Reserved, C:, two logical ones
#   part_of IMAGE NUMBER                 "START LENGTH" in bytes
#   part_out IMAGE NUMBER FILE           the partition's bytes
#   gpt_sound IMAGE / mbr_sound IMAGE    by sgdisk -v / sfdisk --verify
#   ids_of IMAGE                         disk and partitions: GUIDs, types, names
sectors() { echo "$(($1 * 2048))"; }

# part_in IMAGE FILE START-MIB: a partition's bytes into the disk.
part_in() { dd if="$2" of="$1" bs=1M seek="$3" conv=notrunc,sparse status=none; }

# filler IMAGE BYTE-OFFSET BYTES: what no file system knows of: gaps, boot code.
filler() { head -c "$3" /dev/urandom | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

ntfs_at() { # FILE MIB START-SECTOR SEED LABEL
	truncate -s "$2M" "$1"
	mkntfs -q -Q -F -s 512 -p "$3" -H 255 -S 63 -L "$5" "$1" > /dev/null 2> "$work/mkntfs.err" || fail "mkntfs: $(cat "$work/mkntfs.err")"
	mounted_ntfs "$1" rw,noatime fill_make "$4" "$(($2 / 4))"
}

# 1 ESP 8 MiB at 1, 2 MSR 4 at 9, 3 C: at 13 up to WinRE, 4 WinRE 8 before the last MiB.
gpt_make() {
	local image=$1 mib=$2 seed=$3 re=$(($2 - 9))
	truncate -s "${mib}M" "$image"
	sgdisk -U 11111111-2222-4333-8444-5555555500"$seed" \
	    -n 1:2048:+8M -t 1:ef00 -c "1:EFI system partition" -u 1:A0000000-0000-4000-8000-0000000000"$seed" \
	    -n 2:0:+4M -t 2:0c01 -c "2:Microsoft reserved partition" -u 2:B0000000-0000-4000-8000-0000000000"$seed" \
	    -n "3:$(sectors 13):$(($(sectors "$re") - 1))" -t 3:0700 -c "3:Basic data partition" -u 3:C0000000-0000-4000-8000-0000000000"$seed" \
	    -n "4:$(sectors "$re"):+8M" -t 4:2700 -c "4:Übersicht 修復" -A 4:set:0 -A 4:set:63 -u 4:D0000000-0000-4000-8000-0000000000"$seed" \
	    "$image" > "$work/sgdisk.out" || fail "sgdisk: $(cat "$work/sgdisk.out")"
	truncate -s 8M "$work/esp"
	mkfs.vfat -F 16 -s 1 -h 2048 "$work/esp" > /dev/null
	mmd -i "$work/esp" ::EFI ::EFI/Boot
	noise 1 "$work/loader"
	mcopy -i "$work/esp" "$work/loader" ::EFI/Boot/bootx64.efi
	part_in "$image" "$work/esp" 1
	ntfs_at "$work/c" "$((re - 13))" "$(sectors 13)" "$seed" Windows
	part_in "$image" "$work/c" 13
	ntfs_at "$work/re" 8 "$(sectors "$re")" "$((seed + 1))" WinRE
	part_in "$image" "$work/re" "$re"
	filler "$image" 0 440			# Boot code,
	filler "$image" $((34 * 512)) 30000	# the gap before the first partition,
	filler "$image" $((10 << 20)) 5000	# MSR,
	filler "$image" $(((mib - 1) << 20)) 20000	# the gap behind the last.
	rm -f "$work/esp" "$work/c" "$work/re" "$work/loader"
}

# 1 System Reserved (active) 8 MiB at 1, 2 C: 24 at 9, 3 extended from 34 with 5 NTFS
# 12 at 35 and 6 FAT up to the last MiB.
mbr_make() {
	local image=$1 mib=$2 seed=$3
	truncate -s "${mib}M" "$image"
	sfdisk -q "$image" > /dev/null <<-TABLE
	label: dos
	label-id: 0xbeef00$seed
	start=2048, size=$(sectors 8), type=7, bootable
	start=$(sectors 9), size=$(sectors 24), type=7
	start=$(sectors 34), size=$(sectors $((mib - 35))), type=f
	start=$(sectors 35), size=$(sectors 12), type=7
	start=$(sectors 48), size=$(sectors $((mib - 49))), type=6
	TABLE
	ntfs_at "$work/p" 8 2048 "$seed" Reserved
	part_in "$image" "$work/p" 1
	ntfs_at "$work/p" 24 "$(sectors 9)" "$((seed + 1))" Windows
	part_in "$image" "$work/p" 9
	ntfs_at "$work/p" 12 "$(sectors 35)" "$((seed + 2))" Data
	part_in "$image" "$work/p" 35
	rm -f "$work/p"
	truncate -s "$((mib - 49))M" "$work/p"
	mkfs.vfat -F 16 -h "$(sectors 48)" "$work/p" > /dev/null
	noise 2 "$work/loader"
	mcopy -i "$work/p" "$work/loader" ::notes.bin
	part_in "$image" "$work/p" 48
	filler "$image" 0 440
	filler "$image" 512 200000		# GRUB's gap,
	filler "$image" $(((34 << 20) + 512)) 9000	# behind the first link,
	filler "$image" $(((mib - 1) << 20)) 20000
	rm -f "$work/p" "$work/loader"
}

# Bytes, by sfdisk: links of the chain are no partitions of their own.
part_of() {
	sfdisk -J "$1" 2> /dev/null | python3 -c '
import json, re, sys
t = json.load(sys.stdin)["partitiontable"]
for p in t["partitions"]:
    if re.search(r"\D(\d+)$", p["node"]).group(1) == sys.argv[1]:
        print(p["start"] * t["sectorsize"], p["size"] * t["sectorsize"])' "$2"
}
part_out() {
	local start len
	read -r start len < <(part_of "$1" "$2")
	dd if="$1" of="$3" bs=1M iflag=skip_bytes,count_bytes skip="$start" count="$len" conv=sparse status=none
}
ids_of() {
	sfdisk -J "$1" 2> /dev/null | python3 -c '
import json, sys
t = json.load(sys.stdin)["partitiontable"]
print(t["label"], t["id"])
for p in t["partitions"]:
    print(p["node"][len(sys.argv[1]):], *(p.get(k) for k in ("type", "uuid", "name", "attrs", "bootable")))' "$1"
}
gpt_sound() {
	sgdisk -v "$1" > "$work/sgdisk.out" || fail "sgdisk -v: $(cat "$work/sgdisk.out")"
	grep -q '^No problems found' "$work/sgdisk.out" || fail "sgdisk -v: $(cat "$work/sgdisk.out")"
}
mbr_sound() {
	sfdisk --verify "$1" > "$work/sfdisk.out" 2>&1 || fail "sfdisk --verify: $(cat "$work/sfdisk.out")"
	grep -q '^No errors detected' "$work/sfdisk.out" || fail "sfdisk --verify: $(cat "$work/sfdisk.out")"
}

# same_bytes A A-OFFSET B B-OFFSET LENGTH
same_bytes() {
	cmp -n "$5" -i "$2:$4" "$1" "$3" > "$work/cmp.out" 2>&1 || fail "bytes differ: $(cat "$work/cmp.out")"
}
# ntfs_part_equal A B NUMBER: a partition that has its place and length.
ntfs_part_equal() {
	part_out "$1" "$3" "$work/part.a"
	part_out "$2" "$3" "$work/part.b"
	ntfs_equal "$work/part.a" "$work/part.b"
	rm -f "$work/part.a" "$work/part.b"
}
# ntfs_part_moved A B NUMBER: it may lie elsewhere and be longer or shorter: its files,
# where it says it is, and that its file system has all of it.
ntfs_part_moved() {
	local start len
	part_out "$1" "$3" "$work/part.a"
	part_out "$2" "$3" "$work/part.b"
	read -r start len < <(part_of "$2" "$3")
	[ "$(od -An -tu4 -j28 -N4 "$work/part.b" | tr -d ' ')" = $((start / 512)) ] || fail "partition $3 does not know where it begins"
	ntfsfix -n "$work/part.b" > "$work/ntfsfix.out" || fail "ntfsfix: $(cat "$work/ntfsfix.out")"
	ntfsresize -P -f --info "$work/part.b" > "$work/ntfsresize.out" 2>&1 || fail "ntfsresize --info: $(cat "$work/ntfsresize.out")"
	[ "$(sed -n 's/^Current volume size: *\([0-9]*\) .*/\1/p' "$work/ntfsresize.out")" -gt $((len - 8192)) ] || fail "partition $3 is longer than its file system"
	cmp -n 512 -i "0:$((len - 512))" "$work/part.b" "$work/part.b" || fail "the boot sector of partition $3 has no copy at its end"
	diff <(ntfs_sums "$work/part.a") <(ntfs_sums "$work/part.b") || fail "files of partition $3 differ"
	rm -f "$work/part.a" "$work/part.b"
}
