#!/bin/bash
# Goal: the rescue program, alone with its command line, brings a machine's disks back,
# leaves a boot entry, and reports; it never writes to a disk that it cannot tell.
. "$(dirname "$0")/lib/scenario.bash"
. "$(dirname "$0")/lib/rescue.bash"
server_init
server_start
enrol web01
disk_make "$work/d0.img" 62 1
disk_make "$work/d1.img" 48 2 mbr
agent web01 backup --disk "disk0=$work/d0.img" --disk "disk1=$work/d1.img" > "$work/backup.out"

untouched() { # MACHINE: its disks hold nothing
	local d
	for d in "$work/$1.dev"/*; do
		[ "$(stat -c %b "$d")" = 0 ] || fail "$d was written to"
	done
}

note "a wrong token, and no word of which disk: nothing is written"
machine_make m0 uefi
machine_disk m0 vda 62 ""
machine_disk m0 vdb 48 ""
! rescue m0 holdfast.token=AAAAA-AAAAA-AAAAA-AAAAA-AAAAA holdfast.disk=auto || fail "a wrong token restored"
said m0 '^rescue: failed: '
! rescue m0 holdfast.token=AAAA holdfast.disk=auto || fail "half a token restored"
said m0 '^rescue: failed: '
untouched m0

note "no disk fits, each with its reason"
token=$(rescue_token web01)
machine_make small uefi
machine_disk small vda 50 ""
machine_disk small vdb 4096 "" 4096
! rescue small "holdfast.token=$token" holdfast.disk=auto || fail "restored to disks that are too small"
said small '^rescue: +vda \(50.0 MiB\): .*[0-9]{7} bytes'
said small '^rescue: +vdb \(4.0 GiB\): .*sector'
said small '^rescue: failed: .*disk0'
untouched small

note "two disks would do: neither is taken"
token=$(rescue_token web01)
machine_make two uefi
for d in vda vdb vdc; do machine_disk two $d 100 ""; done
! rescue two "holdfast.token=$token" holdfast.disk=auto || fail "it guessed"
said two 'would do, but so would another'
said two '^rescue: failed: more than one disk would do for disk0: name it by holdfast.disk=disk0=/dev/'
untouched two

note "the wrong firmware is refused"
token=$(rescue_token web01)
machine_make bios
machine_disk bios vda 62 ""
machine_disk bios vdb 48 ""
! rescue bios "holdfast.token=$token" holdfast.disk=auto || fail "a UEFI system on a BIOS machine"
said bios '^rescue: failed: .*starts by UEFI, this machine was started by BIOS'
untouched bios

note "unattended, both disks by their size"
token=$(rescue_token web01)
machine_make m1 uefi
machine_disk m1 sda 48 ""
machine_disk m1 sdb 62 ""
rescue_options="--efivars $work/m1.sys/firmware/efi/efivars --esp $work/m1.esp"
mkdir -p "$work/m1.esp/EFI/Microsoft/Boot"
echo loader > "$work/m1.esp/EFI/Microsoft/Boot/bootmgfw.efi"
rescue m1 "holdfast.token=$token" holdfast.disk=auto holdfast.verify holdfast.fallback-loader || fail "not restored: $(cat "$work/m1.out")"
said m1 "^rescue: restoring web01/1 to $work/m1.dev/sdb"
said m1 "^rescue: restoring web01/1 to $work/m1.dev/sda"
said m1 '^rescue: boot entry Boot0000: Windows Boot Manager'
said m1 '^rescue: restored$'
said m1 '^rescue: rebooting$'
disk_equal "$work/d0.img" "$work/m1.dev/sdb"
disk_equal "$work/d1.img" "$work/m1.dev/sda"
[ -s "$work/m1.sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c" ] || fail "no boot order"
cmp "$work/m1.esp/EFI/BOOT/BOOTX64.EFI" "$work/m1.esp/EFI/Microsoft/Boot/bootmgfw.efi"
rescue_options=

note "done is done: the same token opens nothing any more"
! rescue m1 "holdfast.token=$token" holdfast.disk=auto || fail "a used token restored again"
said m1 '^rescue: failed: '

note "named disks, one of two; a larger disk"
token=$(rescue_token web01)
machine_make m2 uefi
machine_disk m2 vda 200 ""
machine_disk m2 vdb 200 ""
rescue m2 "holdfast.token=$token" holdfast.disk=disk0=/dev/vdb || fail "not restored: $(cat "$work/m2.out")"
[ "$(stat -c %b "$work/m2.dev/vda")" = 0 ] || fail "vda was not named and was written to"
sgdisk -v "$work/m2.dev/vdb" > "$work/sgdisk.out"
grep -q 'No problems found' "$work/sgdisk.out" || fail "sgdisk: $(cat "$work/sgdisk.out")"
disk_volume "$work/d0.img" "$work/a" 17 40
disk_volume "$work/m2.dev/vdb" "$work/b" 17 40
ntfs_equal "$work/a" "$work/b"

# fitted MACHINE MIN-MIB MAX-MIB: partition and file system have become so large, all files are there
fitted() {
	local mib clusters
	mib=$(($(sgdisk -i 3 "$work/$1.dev/vda" | sed -n 's/^Partition size: \([0-9]*\) sectors.*/\1/p') / 2048))
	sgdisk -v "$work/$1.dev/vda" > "$work/sgdisk.out"
	grep -q 'No problems found' "$work/sgdisk.out" || fail "sgdisk: $(cat "$work/sgdisk.out")"
	[ "$mib" -ge "$2" ] && [ "$mib" -le "$3" ] || fail "$1: a partition of $mib MiB"
	disk_volume "$work/$1.dev/vda" "$work/b" 17 "$mib"
	clusters=$(ntfsinfo -fm "$work/b" | sed -n 's/.*Volume Size in Clusters: *\([0-9]*\).*/\1/p')
	[ $((clusters / 256)) -ge $((mib - 1)) ] || fail "$1: $clusters clusters in $mib MiB"
	ntfsfix -d "$work/b" > "$work/ntfsfix.out" || fail "ntfsfix: $(cat "$work/ntfsfix.out")"
	ntfs_sums "$work/a" > "$work/sums.a"
	ntfs_sums "$work/b" > "$work/sums.b"
	diff "$work/sums.a" "$work/sums.b" || fail "$1: files differ"
}
note "a larger disk, NTFS extended"
machine_make m3 uefi
machine_disk m3 vda 200 ""
rescue m3 "holdfast.token=$(rescue_token web01)" holdfast.disk=disk0=vda holdfast.extend || fail "not restored: $(cat "$work/m3.out")"
fitted m3 180 183
note "a smaller disk: refused with the number of bytes, then NTFS shrunk"
machine_make m4 uefi
machine_disk m4 vda 50 ""
token=$(rescue_token web01)
! rescue m4 "holdfast.token=$token" holdfast.disk=disk0=vda || fail "restored to a disk that is too small"
said m4 '^rescue: failed: .*too small.*[0-9]{7}'
rescue m4 "holdfast.token=$token" holdfast.disk=disk0=vda holdfast.shrink || fail "not restored: $(cat "$work/m4.out")"
fitted m4 20 33

note "by MAC: armed, its code confirmed, known by its UUID, no --machine-id; it ends as it was told"
machine_make m5
machine_disk m5 sda 48 ""
mkdir -p "$work/m5.sys/class/dmi/id"
echo 4c4c4544-0042-3510-8052-b4c04f4a3332 > "$work/m5.sys/class/dmi/id/product_uuid"
operator rescue arm web01 --mac "$(cat "$work/m5.sys/class/net/eth0/address")" > "$work/arm.out"
rescue_id=
rescue_start m5 holdfast.disk=disk1=sda holdfast.force holdfast.end=poweroff
asks() { grep -qs 'rescue confirm ' "$work/m5.out" || ! kill -0 "$rescue_pid" 2>/dev/null; }
await 120 asks
operator rescue confirm "$(sed -n 's/.*rescue confirm //p' "$work/m5.out" | head -1)" > "$work/confirm.out" || fail "not confirmed: $(cat "$work/m5.out")"
wait "$rescue_pid" || fail "not restored: $(cat "$work/m5.out")"
said m5 '^rescue: warning: .*UEFI'
said m5 '^rescue: powering off$'
disk_equal "$work/d1.img" "$work/m5.dev/sda"
server_stop
