#!/bin/bash
# Goal: the real agent.exe backs up two volumes through the hotcopy.sys that is shipped, loaded
# by Wine, while they are written, to a real server. Each point, restored, is one cut of both:
# no write in it began after one had ended that is not in it. Ten tracked incrementals in a row,
# each read whole as well and compared; between and under them agent, server and "kernel" die.
. "$(dirname "$0")/wine.sh"
driver=${HOLDFAST_DRIVER:-$(dirname "$windows")/driver}/x64
wine_begin
class='HKLM\System\CurrentControlSet\Control\Class\{71A27CDD-812A-11D0-BEC7-08002BE2092F}'
sys=$WINEPREFIX/drive_c/windows/system32/drivers/hotcopy.sys
home="$WINEPREFIX/drive_c/Program Files/Holdfast"
win() { wine_run 'C:\Program Files\Holdfast\holdfast-agent.exe' --state "$(wine_path "$work/win")" "$@"; }
ctl() { wine "$driver/hotcopyctl.exe" "$@"; }
filters() { { wine reg query "$class" /v UpperFilters 2>/dev/null || true; } | tr -d '\r' | awk '$1 == "UpperFilters" { print $3 }'; }
mkdir -p "$home"
cp "$windows/bin/holdfast-agent.exe" "$home/"

note "the agent installs the driver from beside itself, from where nobody else writes, and removes it"
refuses 'driver install: .*hotcopy.sys' win driver install
mkdir "$home/open"
cp "$driver/hotcopy.sys" "$home/open/"
chmod 777 "$home/open"
refuses 'may be changed by' win driver install --dir 'C:\Program Files\Holdfast\open'
cp "$driver/../i686/hotcopy.sys" "$home/"
refuses 'another processor' win driver install
[ -z "$(filters)" ] && [ ! -e "$sys" ] || fail "a refused driver was installed"
cp "$driver/hotcopy.sys" "$home/"
wine reg add "$class" /v UpperFilters /t REG_MULTI_SZ /d volsnap /f > "$work/out"
for i in 1 2; do
	win driver install > "$work/out"
	[ "$(filters)" = 'volsnap\0hotcopy' ] || fail "filters of the class: $(filters)"
	cmp "$sys" "$driver/hotcopy.sys"
done
win driver remove > "$work/out"
[ "$(filters)" = volsnap ] && [ ! -e "$sys" ] || fail "not removed: $(cat "$work/out")"
win driver remove | grep 'nothing of it' > /dev/null || fail "removed twice"
# A file that goes at the next start must not come back with a name that stays.
session='HKLM\System\CurrentControlSet\Control\Session Manager'
pending() { # the file that the next start deletes, as MoveFileEx() notes it
	python3 - "$1" > "$work/pending.reg" <<-'END'
		import sys
		data = "".join(s + "\0" for s in ("\\??\\C:\\x.tmp", "", "\\??\\" + sys.argv[1], "")) + "\0"
		print('REGEDIT4\n\n[HKEY_LOCAL_MACHINE\\System\\CurrentControlSet\\Control\\Session Manager]\n"PendingFileRenameOperations"=hex(7):'
		      + ",".join(f"{ord(c):02x}" for c in data))
	END
	wine reg import "$(wine_path "$work/pending.reg")" > "$work/out"
}
pending 'C:\windows\system32\drivers\HOTCOPY.sys'
refuses 'restart it first' win driver install
[ "$(filters)" = volsnap ] && [ ! -e "$sys" ] || fail "installed, and gone after the next start"
pending 'C:\windows\system32\drivers\other.sys'
win driver install > "$work/out"
win driver remove > "$work/out"
wine reg delete "$session" /v PendingFileRenameOperations /f > "$work/out"
win driver install > "$work/out"

# A "machine" with the driver and two volumes in memory, which are written while it runs.
cp "$driver/ramvol.sys" "$WINEPREFIX/drive_c/"
# hotcopy.sh says why the service is made anew.
wine sc delete hotcopy > "$work/out"
wine sc create hotcopy type= kernel 'binPath=' 'C:\windows\system32\drivers\hotcopy.sys' start= demand 'group=' 'PnP Filter' > "$work/out"
wine sc create ramvol type= kernel 'binPath=' 'C:\ramvol.sys' start= demand 'group=' 'PnP Filter' > "$work/out"
load_in=
load() { # a line to load.exe, which must go well; no write until now may have failed
	echo "$*" >&"$load_in"
	load_lines=$((load_lines + 1))
	await 240 loaded
	tail -1 "$work/load.out" | grep '^done .*failed 0' > /dev/null || fail "load $*: $(tail -1 "$work/load.out" "$work/load.err")"
}
loaded() {
	[ "$(wc -l < "$work/load.out")" -lt "$load_lines" ] || return 0
	kill -0 "$load_pid" 2>/dev/null || fail "load ended: $(cat "$work/load.err")"
	false
}
machine() { # on
	[ -n "$wine_holder" ] || wine_hold
	for s in hotcopy ramvol; do
		wine sc start $s > "$work/out"
		grep -q RUNNING "$work/out" || fail "$s does not start: $(cat "$work/out")"
	done
	rm -f "$work/load.in"
	mkfifo "$work/load.in"
	exec {load_in}<> "$work/load.in"
	: > "$work/load.out"
	load_lines=0
	wine "$driver/load.exe" < "$work/load.in" > "$work/load.out" 2> "$work/load.err" &
	load_pid=$!
	pids+=("$load_pid")
}
# Wine's process that has both drivers.
kernel_dies() {
	local p
	for p in /proc/[0-9]*; do
		grep -qs 'drive_c/ramvol.sys' "$p/maps" || continue
		grep -qzs "^WINEPREFIX=$WINEPREFIX\$" "$p/environ" || continue
		kill -KILL "${p#/proc/}"
		return
	done
	fail "no process has ramvol.sys"
}
# The "kernel" dies, and with it the machine; its volumes have what they had.
crash() {
	load stop
	load "history $(wine_path "$work/before")"
	wine_stop
	wait "$load_pid" 2>/dev/null || true
	exec {load_in}>&-
	machine
	load "resume $(wine_path "$work/before")"
	load "refill 0"
	load "refill 1"
	load attach
}
judge() { # BEFORE AFTER IMAGE0 IMAGE1: histories, and what was restored
	python3 - "$@" <<-'PY'
	import struct, sys
	block, blocks = 4096, 2048
	before, after, *images = (open(p, "rb").read() for p in sys.argv[1:])
	earliest = struct.unpack_from("<Q", before)[0]
	latest, count = struct.unpack_from("<QQ", after)
	writes = [[] for _ in range(2 * blocks)]
	for v, b, stamp, end in struct.iter_unpack("<IIQQ", after[16:]):
	    writes[v * blocks + b].append((stamp, end))
	newest, oldest, seen = 0, latest + 1, 0
	for v, image in enumerate(images):
	    if len(image) != block * blocks:
	        sys.exit(f"volume {v}: {len(image)} bytes")
	    for b in range(blocks):
	        whole, where = image[b * block:(b + 1) * block], f"volume {v}: block {b}"
	        stamp = struct.unpack_from("<Q", whole)[0]
	        if whole != whole[:8] * (block // 8):
	            sys.exit(f"{where} is of two writes")
	        mine = sorted(writes[v * blocks + b])
	        at = [s for s, _ in mine].index(stamp)
	        newest = max(newest, stamp)
	        # What the image has not: the first that had ended must be after all that it has.
	        oldest = min([oldest] + [end for s, end in mine[at + 1:]])
	        seen += stamp >= earliest
	# A write with a stamp that was not yet drawn when another had ended began after that.
	if newest >= oldest:
	    sys.exit(f"two cuts: a write had ended before {oldest} and is missing, {newest} is there")
	if oldest < earliest:
	    sys.exit(f"a write had ended before {oldest}, long before the backup, and is missing")
	late = sum(1 for w in writes for s, _ in w if s > newest)
	if seen == 0 or late == 0:
	    sys.exit(f"{seen} writes since the mark, {late} behind the cut: this proved nothing")
	print(f"cut behind {newest}: {seen} blocks of since the mark, {late} writes while it was read")
	PY
}
number() { python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).read().splitlines()[-1])[sys.argv[2]])' "$work/out" "$1"; }

note "the machine starts; its first point"
machine
load fill 0 0 2048
load fill 1 0 2048
load attach
server_init
server_start
win enroll "$(operator enroll-token)" --name win > "$work/out" 2>&1 || fail "$(cat "$work/out")"
cat > "$work/win/agent.conf" <<-'END'
	[agent]
	provider = hotcopy
	hotcopy-force = on
	hotcopy-room = none
	[volume a]
	path = \\.\RamVol0
	[volume b]
	path = \\.\RamVol1
	END
begin() { # FIRST COUNT: writes begin, and a mark
	load stop
	load "history $(wine_path "$work/lo")"
	load "go $1 $2"
	load more 50
}
sequence=0 kept=0
point() { # tracked, new or another word: a backup that goes well, and is judged; its words are in $work/out
	win backup --json --check-changes > "$work/out" 2> "$work/err" || fail "$(cat "$work/out" "$work/err")"
	proved "$1"
}
proved() { # by the list of what changed, or read whole since nobody knew
	local said how=$1 before=$sequence
	load more 20
	load stop
	load "history $(wine_path "$work/hi")"
	sequence=$(number sequence)
	[ "$sequence" -gt "$before" ] || fail "not a new point: $(cat "$work/out")"
	# One of an agent that was killed is there after all: it may not have known.
	[ "$sequence" = $((before + 1)) ] || how=any
	said=$(operator show win/$sequence)
	if [ $how = tracked ]; then
		# How much depends on where cuts by content move to: over all it must be a lot.
		kept=$((kept + $(number kept_bytes)))
		[[ $said = *'changes by tracking'* ]] || fail "not by tracking: $said"
	elif [ $how = new ]; then
		[ "$(number kept_bytes)" = 0 ] || fail "not all was read: $said"
		[[ $said = *'all is read: tracking began with this point'* ]] || fail "no word of why: $said"
	fi
	for v in a b; do
		mv -f "$work/$v.img" "$work/$v.old" 2>/dev/null || true
		operator restore win/$sequence --volume $v --to "$work/$v.img" > "$work/restore.out" 2>&1 || fail "$(cat "$work/restore.out")"
	done
	judge "$work/lo" "$work/hi" "$work/a.img" "$work/b.img"
}
begin 0 128
point first

# A backup that is under way: its set is frozen, and the server does not answer yet.
frozen() { ctl list | grep ', active,' > /dev/null || { kill -0 "$agent_pid" 2>/dev/null || fail "it ended: $(cat "$work/out" "$work/err")"; false; }; }
idle() { ctl list > "$work/list" && ! grep -Eq ', (active|gated|prepared),' "$work/list"; }
backup_begins() {
	kill -STOP "$server_pid"
	# Not by a function: it is the agent that is to be killed.
	wine 'C:\Program Files\Holdfast\holdfast-agent.exe' --state "$(wine_path "$work/win")" backup --json --check-changes > "$work/out" 2> "$work/err" &
	agent_pid=$!
	pids+=("$agent_pid")
	await 120 frozen
}
agent_killed() {
	kill -KILL "$agent_pid" 2>/dev/null || true
	wait "$agent_pid" 2>/dev/null || true
	await 120 idle
}
sending() { [ "$(grep -c "session .*agent" "$work/server.log")" -gt "$sessions" ] || ! kill -0 "$agent_pid" 2>/dev/null; }
server_goes_on() {
	sessions=$(grep -c "session .*agent" "$work/server.log") || true
	kill -CONT "$server_pid"
	await 120 sending
}
ended_well() {
	local end=$((SECONDS + 300))
	while kill -0 "$agent_pid" 2>/dev/null; do
		[ $SECONDS -lt $end ] || fail "the agent does not end: $(cat "$work/out" "$work/err"; tail -20 "$work/log" "$work/server.log" 2>/dev/null)"
		pause 0.05
	done
	wait "$agent_pid" || fail "$(cat "$work/out" "$work/err")"
}

for step in 1 2 3 4 5 6 7 8 9 10; do
	first=$((step * 97)) how=tracked
	begin $first 128
	case $step in
	2)
		note "$step: the agent is killed when its volumes are frozen"
		backup_begins
		agent_killed
		kill -CONT "$server_pid"
		;;
	3)
		note "$step: the server is killed, and the agent goes on over the same view"
		backup_begins
		server_kill
		server_start
		ended_well
		proved tracked
		continue
		;;
	4)
		note "$step: the kernel dies between two backups"
		crash
		begin $first 128
		how=new
		;;
	5)
		note "$step: the agent is killed while it sends"
		backup_begins
		server_goes_on
		agent_killed
		;;
	6)
		note "$step: the server is killed between two backups"
		server_kill
		server_start
		;;
	7)
		note "$step: the kernel dies under a backup, which fails by itself"
		backup_begins
		load stop
		kernel_dies
		kill -CONT "$server_pid"
		! wait "$agent_pid" || fail "a backup without its driver: $(cat "$work/out")"
		tail -1 "$work/err" | grep '^holdfast-agent: ' > /dev/null || fail "no word of why: $(cat "$work/err")"
		crash
		begin $first 128
		how=new
		;;
	9)
		note "$step: the server is killed while the agent sends"
		backup_begins
		server_goes_on
		server_kill
		server_start
		ended_well
		proved tracked
		continue
		;;
	*) note "$step: nothing happens" ;;
	esac
	point $how
done

note "the agent is killed when the server has the point, and has perhaps not told the driver"
begin 1100 128
last=$sequence
committed() { grep -q "committed point $((last + 1))" "$work/server.log"; }
backup_begins
kill -CONT "$server_pid"
await 120 committed
agent_killed
begin 1200 128
point any

[ $kept -gt 30000000 ] || fail "only $kept bytes were not read in all incrementals"
for v in 0 1; do load "compare $v"; done
refuses 'two cuts|before the backup' judge "$work/lo" "$work/hi" "$work/a.img" "$work/b.old"

note "VSS makes the view (a double of it), and the driver says what changed, also between its cut and the copies"
wine_dll "$windows/double/vssapi.dll"
for d in v w; do
	mkdir "$work/$d"
	ln -sfn "$work/$d" "$WINEPREFIX/dosdevices/$d:"
done
export WINEDLLOVERRIDES="$WINEDLLOVERRIDES;vssapi=n" VSSD_LOG VSSD_COPY_V VSSD_COPY_W
VSSD_LOG=$(wine_path "$work/log") VSSD_COPY_V=$(wine_path "$work/v.copy") VSSD_COPY_W=$(wine_path "$work/w.copy")
makes_copies() { grep -qx DoSnapshotSet "$work/log" 2>/dev/null || { kill -0 "$agent_pid" 2>/dev/null || fail "it ended: $(cat "$work/out" "$work/err")"; false; }; }
write_file() { # NAME: onto both
	head -c 200K /dev/urandom > "$work/file"
	for d in v w; do
		ntfscp -q -f "$work/$d.copy" "$work/file" "/$1"
	done
	load "write 0 $VSSD_COPY_V"
	load "write 1 $VSSD_COPY_W"
}
ntfs_make "$work/v.copy" 8 3 1
ntfs_make "$work/w.copy" 8 3 2
for round in 1 2; do
	write_file "before $round"
	rm -f "$work/log"
	touch "$work/gate"
	VSSD_GATE="DoSnapshotSet:$(wine_path "$work/gate")" wine 'C:\Program Files\Holdfast\holdfast-agent.exe' --state "$(wine_path "$work/win")" \
	    backup --json --check-changes --provider vss a=V: b=W: > "$work/out" 2> "$work/err" &
	agent_pid=$!
	pids+=("$agent_pid")
	await 120 makes_copies
	write_file "between $round"
	rm "$work/gate"
	ended_well
	! grep -q BROKEN "$work/log" || fail "$(grep BROKEN "$work/log")"
	said=$(operator show win/latest)
	[[ $said = *'frozen by '*'vss: '*'no auto-recovery'* ]] || fail "not so: $said"
	[ $round = 1 ] || [[ $(number kept_bytes) -gt 0 && $said = *'changes by tracking'* ]] || fail "all was read: $said"
done
for d in v w; do
	operator restore win/latest --volume "$(echo $d | tr vw ab)" --to "$work/$d.img" > "$work/restore.out" 2>&1
	ntfs_equal "$work/$d.copy" "$work/$d.img"
done
operator points win > "$work/points"
! grep suspect "$work/points" || fail "a point is suspect"
server_stop
