#!/bin/bash
# Goal: what wine_drive maps, a Windows program reads as a raw volume, byte for byte; the
# status of a program is its own; a second machine is another.
. "$(dirname "$0")/wine.sh"
wine_begin
head -c 1M /dev/urandom > "$work/a.img"
head -c 512K /dev/urandom > "$work/b.img"
wine_drive S "$work/a.img"
wine_drive t "$work/b.img"
for x in S:a T:b; do
	wine_run readraw.exe "\\\\.\\${x%:*}:" > "$work/read" || fail "readraw ended with $?"
	cmp "$work/${x#*:}.img" "$work/read" || fail "drive ${x%:*} reads otherwise"
done
status=0
wine_run readraw.exe '\\.\Q:' > "$work/read" 2> "$work/err" || status=$?
[ $status = 1 ] || fail "a drive that is none: status $status"
grep -q 'error 2' "$work/err" || fail "a drive that is none: $(cat "$work/err")"

note "a machine that was switched off still has its files, and starts again"
wine_run cmd.exe /c 'echo kept> C:\kept.txt'
wine_stop
[ "$(wine_run cmd.exe /c 'type C:\kept.txt' | tr -d '\r')" = kept ] || fail "the file is gone"
wine_run readraw.exe "$(wine_path "$work/a.img")" | cmp - "$work/a.img" || fail "a path of Linux's reads otherwise"
