#!/bin/bash
# Goal: the hotcopy.sys that is shipped, loaded by Wine above two volumes in memory, freezes
# both at one instant while they are written; what hotcopyctl dumps is the cut: nothing newer,
# all that had completed, one order over both. Tracking tells what changed; who holds a set may
# be killed, a volume may go; no write of the host ever fails.
. "$(dirname "$0")/wine.sh"
driver=${HOLDFAST_DRIVER:-$(dirname "$windows")/driver}/x64
wine_begin
class='HKLM\System\CurrentControlSet\Control\Class\{71A27CDD-812A-11D0-BEC7-08002BE2092F}'
device='HKLM\System\CurrentControlSet\Enum\STORAGE\Volume\1'
sys=$WINEPREFIX/drive_c/windows/system32/drivers/hotcopy.sys
ctl() { wine "$driver/hotcopyctl.exe" "$@"; }
filters() { { wine reg query "$1" /v UpperFilters 2>/dev/null || true; } | tr -d '\r' | awk '$1 == "UpperFilters" { print $3 }'; }

note "it installs itself, and leaves nothing when it is removed"
wine reg add "$class" /v UpperFilters /t REG_MULTI_SZ /d volsnap /f > "$work/reg.out"
ctl install > "$work/install.out"
[ "$(filters "$class")" = 'volsnap\0hotcopy' ] || fail "filters of the class: $(filters "$class")"
cmp "$sys" "$driver/hotcopy.sys"
wine reg query 'HKLM\System\CurrentControlSet\Services\hotcopy' > "$work/service.out"
grep -q 'Start *REG_DWORD *0x0' "$work/service.out" && grep -q 'Group *REG_SZ *PnP Filter' "$work/service.out" || fail "$(cat "$work/service.out")"
ctl install > "$work/install.out"
[ "$(filters "$class")" = 'volsnap\0hotcopy' ] || fail "twice: $(filters "$class")"
wine reg add "$device" /v UpperFilters /t REG_MULTI_SZ /d 'one\0HotCopy\0two' /f > "$work/reg.out"
ctl remove > "$work/remove.out"
[ "$(filters "$class")" = volsnap ] || fail "filters of the class: $(filters "$class")"
[ "$(filters "$device")" = 'one\0two' ] || fail "filters of the device: $(filters "$device")"
[ ! -e "$sys" ] || fail "hotcopy.sys stayed"
cp "$driver/../i686/hotcopy.sys" "$work/hotcopy.sys"
refuses 'another processor' ctl install --dir "$(wine_path "$work")"
[ -z "$(filters "$class" | grep hotcopy)" ] || fail "a refused driver was named"
refuses 'not running' ctl list
refuses 'driver is not running' wine_run holdfast-agent.exe driver status
ctl install > "$work/install.out"

note "it starts, beside the test's volumes"
cp "$driver/ramvol.sys" "$WINEPREFIX/drive_c/"
# A relative path is below Windows' directory; Wine's loader does not look there.
wine sc delete hotcopy > "$work/sc.out"
wine sc create hotcopy type= kernel 'binPath=' 'C:\windows\system32\drivers\hotcopy.sys' start= demand 'group=' 'PnP Filter' > "$work/sc.out"
# One group: one kernel of Wine's.
wine sc create ramvol type= kernel 'binPath=' 'C:\ramvol.sys' start= demand 'group=' 'PnP Filter' > "$work/sc.out"
for s in hotcopy ramvol; do
	wine sc start $s > "$work/sc.out"
	grep -q RUNNING "$work/sc.out" || fail "$s does not start: $(cat "$work/sc.out")"
done
ctl list > "$work/list.out"
grep -q '^driver build .* 0 volumes' "$work/list.out" || fail "$(cat "$work/list.out")"
refuses 'not above' ctl attached '\\.\RamVol0'

# A program that is told by lines; what it says goes to $work/NAME.out.
talk() { # NAME PROGRAM ARGUMENTS...
	local name=$1
	shift
	rm -f "$work/$name.in"
	mkfifo "$work/$name.in"
	exec {talk_in}<> "$work/$name.in"
	: > "$work/$name.out"
	wine "$@" < "$work/$name.in" > "$work/$name.out" 2> "$work/$name.err" &
	talk_pid=$!
	pids+=("$talk_pid")
}
said() { # PID NAME REGEX: whether a line of it matches; its end is a failure
	! grep -Eq "$3" "$work/$2.out" || return 0
	kill -0 "$1" 2>/dev/null || grep -Eq "$3" "$work/$2.out" || fail "$2 ended: $(tail -2 "$work/$2.out" "$work/$2.err")"
	grep -Eq "$3" "$work/$2.out"
}
talk load "$driver/load.exe"
load_in=$talk_in load_pid=$talk_pid
loaded() {
	[ "$(wc -l < "$work/load.out")" -lt "$load_lines" ] || return 0
	kill -0 "$load_pid" 2>/dev/null || fail "load ended: $(cat "$work/load.err")"
	false
}
load_lines=0
load() { # a line to it, which must go well, and no write of all until now may have failed
	echo "$*" >&"$load_in"
	load_lines=$((load_lines + 1))
	await 240 loaded
	tail -1 "$work/load.out" | grep '^done .*failed 0' > /dev/null || fail "load $*: $(tail -1 "$work/load.out" "$work/load.err")"
}
# A frozen set in a process of its own.
freeze() { # VOLUMES and options
	talk set "$driver/hotcopyctl.exe" freeze "$@"
	set_in=$talk_in set_pid=$talk_pid
	await 240 said "$set_pid" set '^frozen'
}
ask() { # a command to it
	local before
	before=$(grep -c '^done' "$work/set.out") || true
	echo "$*" >&"$set_in"
	set_done=$((before + 1))
	await 240 asked
}
answers() { [ "$(grep -c '^done' "$work/set.out")" -ge "$set_done" ]; }
asked() {
	! grep -q '^failed' "$work/set.out" || fail "$(cat "$work/set.out" "$work/set.err")"
	! answers || return 0
	# Between the two looks it may have answered and ended.
	kill -0 "$set_pid" 2>/dev/null || answers || fail "the set's process ended: $(cat "$work/set.err")"
	answers
}
thaw() {
	ask release
	wait "$set_pid" || fail "freeze ended with $?: $(cat "$work/set.err")"
	exec {set_in}>&-
}
state() { ctl list | tr -d '\r' | sed -n "s/^#$1 .*sectors of [0-9]*, \([a-z]*\),.*/\1/p"; }
judge() { # LO HI IMAGE0 [IMAGE1]: marks before and after the cut, and what was dumped
	python3 - "$@" <<-'PY'
	import struct, sys
	block, blocks, pair = 4096, 2048, 1600
	lo, hi, *images = (open(p, "rb").read() for p in sys.argv[1:])
	newest = struct.unpack_from("<Q", hi)[0]
	pairs = [s for s, in struct.iter_unpack("<Q", hi[8 + 8 * 2 * blocks:])]
	stamps, seen = [], 0

	def must(true, words):
	    if not true:
	        sys.exit(words)

	for v, image in enumerate(images):
	    must(len(image) == block * blocks, f"volume {v}: {len(image)} bytes")
	    for b in range(blocks):
	        whole = image[b * block:(b + 1) * block]
	        stamp = struct.unpack_from("<Q", whole)[0]
	        must(whole == whole[:8] * (block // 8), f"volume {v}: block {b} is of two writes")
	        must(stamp < newest, f"volume {v}: block {b} has {stamp}, written after the cut ({newest})")
	        old = struct.unpack_from("<Q", lo, 8 + 8 * (v * blocks + b))[0]
	        must(stamp >= old, f"volume {v}: block {b} has {stamp}, {old} was written before")
	        seen += stamp > old
	    stamps.append(struct.unpack_from("<Q", image, pair * block)[0])
	must(seen > 0, "nothing was written between the mark and the cut")
	first, *second = (pairs.index(s) for s in stamps)
	for s in second:
	    must(first in (s, s + 1), f"the pairs: the {first}. on the first volume, the {s}. on the second")
	print(f"{seen} blocks were written between the mark and the cut; pair {first} {second}")
	PY
}
both=('\\.\RamVol0' '\\.\RamVol1')

note "two volumes under load, frozen at one instant, twice"
load fill 0 0 2048
load fill 1 0 2048
load attach
number=$(ctl attached "${both[0]}" | tr -d '\r#')
wine_run holdfast-agent.exe driver status "${both[0]}" > "$work/status.out"
grep -q '^volume .*RamVol0 .* 8.0 MiB  idle, tracking off' "$work/status.out" || fail "driver status: $(cat "$work/status.out")"
[ "$(wine_run holdfast-agent.exe driver status --json | grep -c '"attached":true,"number":[12],"length":8388608,')" = 2 ] || fail "driver status --json"
wine_run hotcopy_link.exe "${both[@]}" > "$work/link.out" 2> "$work/link.err" || fail "the agent's calls: $(cat "$work/link.err")"
load go
for round in 1 2; do
	load "mark $(wine_path "$work/lo")"
	load more 50
	freeze "${both[@]}" --memory 32M
	load "mark $(wine_path "$work/hi")"
	load more 50
	for v in 0 1; do
		rm -f "$work/image$v" "$work/again$v"
		ask "dump $v $(wine_path "$work/image$v")"
	done
	judge "$work/lo" "$work/hi" "$work/image0" "$work/image1"
	# It would see a later and an earlier cut.
	refuses 'written after the cut' judge "$work/lo" "$work/lo" "$work/image0" "$work/image1"
	load "mark $(wine_path "$work/late")"
	refuses 'was written before' judge "$work/late" "$work/late" "$work/image0" "$work/image1"
	ask "dump 0 $(wine_path "$work/again0")"
	cmp "$work/image0" "$work/again0"
	ask stats 0
	grep -q 'copied [1-9]' "$work/set.out" || fail "nothing was copied: $(cat "$work/set.out")"
	thaw
	[ "$(state "$number")" = idle ] || fail "after the release: $(state "$number")"
done
load stop
for v in 0 1; do load "compare $v"; done

note "a set whose owner is killed is released"
freeze "${both[0]}"
[ "$(state "$number")" = active ] || fail "not active: $(state "$number")"
kill -KILL "$set_pid"
wait "$set_pid" 2>/dev/null || true
released() { [ "$(state "$number")" = idle ]; }
await 240 released

note "so is that of one who is killed while FREEZE waits for file systems to hold; it keeps nobody waiting"
talk set "$driver/hotcopyctl.exe" freeze "${both[0]}" --at-hold --hold 10000
set_in=$talk_in set_pid=$talk_pid
prepared() { [ "$(state "$number")" = prepared ]; }
await 240 prepared
kill -KILL "$set_pid"
wait "$set_pid" 2>/dev/null || true
await 240 released

note "what changed is told"
ctl track "${both[0]}"
freeze "${both[0]}" --generation
generation=$(awk '$1 == "volume" { print $6, $7 }' "$work/set.out" | tr -d '\r')
thaw
# shellcheck disable=SC2086
ctl commit "${both[0]}" $generation
load fill 0 32 4 # 128K to 144K: block 2 of 64 KiB
load fill 0 2047 1
ctl changed "${both[0]}" | tr -d '\r' > "$work/changed.out"
printf 'changed 0 131072+65536\nchanged 0 8323072+65536\n' | cmp - "$work/changed.out" || fail "$(cat "$work/changed.out")"

note "a volume goes while it is frozen and written; the other image stays whole"
load go
load "mark $(wine_path "$work/lo")"
load more 50
freeze "${both[@]}" --memory 32M
load "mark $(wine_path "$work/hi")"
load more 50
load surprise 1
ask "dump 0 $(wine_path "$work/left0")"
set=$(tr -d '\r' < "$work/set.out" | sed -n 's/^frozen set \([0-9]*\) .*/\1/p')
refuses 'lost|no such volume' ctl dump --set "$set" --index 1 "${both[0]}" "$(wine_path "$work/left1")"
thaw
load stop
for v in 0 1; do load "compare $v"; done
judge "$work/lo" "$work/hi" "$work/left0"

note "the last one goes, too"
load remove 0
for v in 0 1; do
	load "fill $v 0 64"
	load "compare $v"
done
ctl list | grep ' 0 volumes' > /dev/null || fail "$(ctl list)"
