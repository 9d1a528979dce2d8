#!/bin/bash
# Goal: `holdfast ls` and `holdfast cp` show and copy the files of FAT12, FAT16 and
# FAT32 volumes as mtools reads them on the source; of a damaged store what is whole.
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
	operator ls "h1:f$bits/EFI" | grep -x "Длинное имя/" > /dev/null || fail "ls: $(operator ls "h1:f$bits/EFI")"
	refuses "no 'x' there" operator cp "h1:f$bits/x" "$work/x"
done

note "again: all is there"
operator cp -r h1:f32 "$work/c32" --quiet > "$work/again"
grep -q "copied 0 files" "$work/again" || fail "copied again: $(cat "$work/again")"
server_stop

note "the store has lost some chunks: their files are named, the others are whole"
pack=$(ls -S "$work"/store/packs/* | head -n 1)
dd if=/dev/urandom of="$pack" bs=1024 count=96 seek=$(($(stat -c %s "$pack") / 2048)) conv=notrunc status=none
server_start
named=0
for bits in 12 16 32; do
	mkdir "$work/d$bits"
	operator cp -r "h1:f$bits" "$work/d$bits" --quiet > "$work/o" 2> "$work/e" || named=$((named + 1))
	(cd "$work/d$bits" && find . -type f -print0) | while IFS= read -r -d '' f; do
		cmp "$work/d$bits/$f" "$work/c$bits/$f" || exit 1
	done || fail "wrong bytes"
	# Where directories or tables are lost nobody knows what else is.
	grep -q "^copied" "$work/o" || continue
	lost=$(($(find "$work/c$bits" -type f | wc -l) - $(find "$work/d$bits" -type f | wc -l)))
	[ "$lost" = "$(grep -c "the store has lost chunks" "$work/e")" ] || fail "$lost are lost, but said: $(cat "$work/e")"
	[ -z "$(find "$work/d$bits" -name '.*.partial')" ] || fail "a part of a file stays"
done
[ $named -gt 0 ] || fail "nothing was lost"
server_stop
