#!/bin/bash
# Goal: `holdfast ls` and `holdfast cp` show and copy the files of FAT12, FAT16 and
# FAT32 volumes as mtools reads them on the source.
. "$(dirname "$0")/lib/scenario.bash"
export LC_ALL=C.UTF-8 # mtools converts names.
server_init
server_start
enrol h1
volumes=()
for bits in 12 16 32; do
	mib=$([ $bits = 12 ] && echo 8 || echo 40)
	fat_make "$work/$bits.img" "$mib" "$bits" 4 $bits
	echo "boot" > "$work/bootx64.efi"
	mmd -i "$work/$bits.img" ::EFI "::EFI/Длинное имя"
	mcopy -m -i "$work/$bits.img" "$work/bootx64.efi" "::EFI/Длинное имя/"
	volumes+=("f$bits=$work/$bits.img")
done
agent h1 backup "${volumes[@]}"
list() { (cd "$1" && find . -type f -printf '%P %s %T@\n' | sort); }

for bits in 12 16 32; do
	note "FAT$bits: every name, size, time and content"
	mkdir "$work/m$bits"
	mcopy -s -n -m -Q -i "$work/$bits.img" "::*" "$work/m$bits"
	operator cp -r "h1/1:f$bits" "$work/c$bits" --quiet
	diff -r "$work/m$bits" "$work/c$bits" || fail "files differ"
	diff <(list "$work/m$bits") <(list "$work/c$bits") || fail "names, sizes or times differ"
	[ "$(find "$work/c$bits" -type f | wc -l)" -gt 5 ] || fail "hardly any files"
	[ "$(operator cp "h1:f$bits/efi/Длинное имя/BOOTX64.EFI" -)" = boot ] || fail "another file, or none"
	operator ls "h1:f$bits/EFI" | grep -qx "Длинное имя/" || fail "ls: $(operator ls "h1:f$bits/EFI")"
	refuses "no 'x' there" operator cp "h1:f$bits/x" "$work/x"
done

note "again: all is there"
operator cp -r h1:f32 "$work/c32" --quiet > "$work/again"
grep -q "copied 0 files" "$work/again" || fail "copied again: $(cat "$work/again")"
server_stop
