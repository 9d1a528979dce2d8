#!/bin/bash
# Goal: a restart of the server, a power cut, a disk that fails, several machines at
# once: the rescue goes on, or says why not, and what was written is not fetched twice.
. "$(dirname "$0")/lib/scenario.bash"
. "$(dirname "$0")/lib/rescue.bash"
server_init
server_start
enrol web01
# Incompressible, over a line on which it takes ten seconds.
noise 40 "$work/noise"
truncate -s 0 "$work/d0.img"
truncate -s 62M "$work/d0.img"
printf 'label: gpt\nstart=2048, size=102400\n' | sfdisk -q "$work/d0.img"
dd if="$work/noise" of="$work/d0.img" bs=1M seek=1 conv=notrunc status=none
agent web01 backup --disk "disk0=$work/d0.img" > "$work/backup.out"
slow_line 4000000

blocks() { stat -c %b "$1"; }
# begun MACHINE DISK: some MiB are on it, or the program has ended.
begun() { [ "$(blocks "$work/$1.dev/$2")" -gt 20000 ] || ! kill -0 "$rescue_pid" 2>/dev/null; }
received() { sed -n 's/.*received \([0-9.]* [KMG]*i*B\),.*/\1/p' "$work/$1.out" | head -1; }
same() { cmp "$work/d0.img" "$work/$1.dev/$2" || fail "$1: the disk differs"; }

note "the server is killed and comes back"
token=$(rescue_token web01)
machine_make m1
machine_disk m1 vda 62 ""
rescue_start m1 "holdfast.token=$token" holdfast.disk=auto holdfast.force
await 300 begun m1 vda
server_kill
waits() { grep -q 'waiting for the server' "$work/m1.out" || ! kill -0 "$rescue_pid" 2>/dev/null; }
await 60 waits
said m1 'waiting for the server'
server_start
wait "$rescue_pid" || fail "given up: $(cat "$work/m1.out")"
said m1 '^rescue: restored$'
same m1 vda

note "the power is cut, the machine starts again: what was right stays"
token=$(rescue_token web01)
machine_make m2
machine_disk m2 vda 62 ""
rescue_start m2 "holdfast.token=$token" holdfast.disk=auto holdfast.force
await 300 begun m2 vda
kill -KILL "$rescue_pid"
wait "$rescue_pid" 2>/dev/null || true
! grep -q restored "$work/m2.out" || fail "it was too fast to be interrupted"
rescue m2 "holdfast.token=$token" holdfast.disk=auto holdfast.force || fail "not restored: $(cat "$work/m2.out")"
same m2 vda
note "received of 62 MiB the second time: $(received m2)"
grep -qE 'already right [1-9][0-9.]* MiB' "$work/m2.out" || fail "nothing was found right: $(cat "$work/m2.out")"

note "another machine cannot take over a token that is bound"
token=$(rescue_token web01)
machine_make m3
machine_disk m3 vda 62 ""
rescue_start m3 "holdfast.token=$token" holdfast.disk=auto holdfast.force
await 300 begun m3 vda
machine_make thief
machine_disk thief vda 62 ""
! rescue thief "holdfast.token=$token" holdfast.disk=auto holdfast.force || fail "two machines by one token"
said thief '^rescue: failed: '
[ "$(blocks "$work/thief.dev/vda")" = 0 ] || fail "the other machine's disk was written to"
wait "$rescue_pid" || fail "the first one suffered: $(cat "$work/m3.out")"

rescue_server=
note "a disk that fails: said, reported, no restart by itself; then it is replaced"
token=$(rescue_token web01)
machine_make m4
machine_disk m4 vda 62 ""
mkdir "$work/full"
mount -t tmpfs -o size=10m tmpfs "$work/full"
truncate -s 62M "$work/full/vda"
rm "$work/m4.dev/vda"
ln -s "$work/full/vda" "$work/m4.dev/vda"
! rescue m4 "holdfast.token=$token" holdfast.disk=auto holdfast.force || fail "restored to a disk that is full"
said m4 '^rescue: failed: .*vda.*No space left'
operator rescue list > "$work/list"
grep -Eq 'web01.*FAILED' "$work/list" || fail "the server was not told: $(cat "$work/list")"
umount "$work/full"
rm "$work/m4.dev/vda"
truncate -s 62M "$work/m4.dev/vda"
rescue m4 "holdfast.token=$token" holdfast.disk=auto holdfast.force || fail "not restored: $(cat "$work/m4.out")"
same m4 vda

note "three at once"
rescues=()
for i in 5 6 7; do
	machine_make m$i
	machine_disk m$i vda 62 ""
	rescue_start m$i "holdfast.token=$(rescue_token web01)" holdfast.disk=auto holdfast.force
	rescues+=("$rescue_pid")
done
for i in 5 6 7; do
	wait "${rescues[$((i - 5))]}" || fail "m$i: $(cat "$work/m$i.out")"
	same m$i vda
done
server_stop
