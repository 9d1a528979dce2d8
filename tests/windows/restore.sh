#!/bin/bash
# Goal: the agent under Wine restores as the Linux one: files, drives, disks, VHDX files,
# also what differs; a drive that is half written is no volume; what may not be written
# over is refused; and a disk's restore outlasts its server.
. "$(dirname "$0")/wine.sh"
. "$here/disks.bash"
wine_begin

export LC_ALL=C.UTF-8
state=$(wine_path "$work/windows")
wagent() { wine_run holdfast-agent.exe --state "$state" "$@"; }
to() { wine_path "$work/$1"; }

server_init
server_start
enrol linux
wagent enroll "$(operator enroll-token)" --name windows > "$work/enrol.out"
ntfs_make "$work/c.img" 48 16 1
mbr_make "$work/disk.img" 64 3
agent linux backup c="$work/c.img" --quiet
agent linux backup --disk "d=$work/disk.img" --quiet
wine_drive s "$work/c.img"
wagent backup --provider offline c=S: --quiet
wagent backup --disk "d=$(to disk.img)" --quiet

note "a VHDX has the same bytes from either"
agent linux restore 1 --volume c --to "$work/raw.img" --quiet
wagent restore 1 --volume c --to "$(to wine.vhdx)" 2> "$work/said" > "$work/out"
grep -q 'VHDX by its name' "$work/said" || fail "not said: $(cat "$work/said")"
agent linux restore 1 --volume c --to "$work/linux.vhdx" --quiet
for f in wine linux; do
	qemu-img check -q -f vhdx "$work/$f.vhdx"
	qemu-img compare -q -f vhdx -F raw "$work/$f.vhdx" "$work/raw.img"
	"$here/../../tools/vhdx.py" "$work/$f.vhdx" "$work/raw.img"
done
qemu-img convert -f vhdx -O raw "$work/wine.vhdx" "$work/converted.img"
cmp "$work/converted.img" "$work/raw.img"
refuses 'exists' wagent restore 1 --volume c --to "$(to wine.vhdx)"
refuses '--delta' wagent restore 1 --volume c --to "$(to wine.vhdx)" --delta

note "a disk, to a file and to a VHDX"
wagent restore 2 --disk d --to "$(to disk.back)" --verify --quiet
agent linux restore 2 --disk d --to "$work/disk.raw" --quiet
cmp "$work/disk.back" "$work/disk.raw"
wagent restore 2 --disk d --to "$(to disk.vhdx)" --quiet
qemu-img compare -q -f vhdx -F raw "$work/disk.vhdx" "$work/disk.raw"

note "a drive, then what differs on it"
head -c 48M /dev/urandom > "$work/drive.img"
wine_drive t "$work/drive.img"
wagent restore 1 --volume c --to T: --zero-holes --quiet
cmp "$work/drive.img" "$work/raw.img"
head -c 300000 /dev/urandom | dd of="$work/drive.img" bs=1 seek=5000000 conv=notrunc status=none
wagent restore 1 --volume c --to '\\.\T:' --delta --zero-holes --json > "$work/out"
cmp "$work/drive.img" "$work/raw.img"
python3 - "$work/out" <<-'END'
	import json, sys
	r = [json.loads(l) for l in open(sys.argv[1]) if '"restored"' in l][0]
	assert r["written_bytes"] < 3000000 < r["same_bytes"], r
END

# over_relay BYTES ARGUMENTS...: a restore that stands still when so much has come.
over_relay() {
	local bytes=$1
	shift
	rm -f "$work/go" "$work/relay"
	python3 "$here/relay.py" "$server" "$work/relay" hold "$bytes" "$work/go" > "$work/relay.out" 2> "$work/relay.err" &
	relay=$!
	pids+=("$relay")
	await 60 test -s "$work/relay"
	wagent --server "$(cat "$work/relay")" restore "$@" > "$work/restore.out" 2>&1 &
	restore=$!
	pids+=("$restore")
	await 300 held
}
held() { kill -0 "$restore" 2>/dev/null || fail "it ended: $(cat "$work/restore.out")"; grep -q held "$work/relay.out"; }

note "a drive that is half written is no volume, and goes on by --delta"
head -c 48M /dev/urandom > "$work/drive.img"
over_relay 6000000 1 --volume c --to T:
[ -z "$(head -c 65536 "$work/drive.img" | tr -d '\0' | head -c 1)" ] || fail "its begin may be mounted"
[ -z "$(tail -c 65536 "$work/drive.img" | tr -d '\0' | head -c 1)" ] || fail "its end may be mounted"
kill "$relay"
! wait "$restore" || fail "a restore without a server ended well"
grep -q 'half written' "$work/restore.out" || fail "not said: $(cat "$work/restore.out")"
[ -z "$(head -c 65536 "$work/drive.img" | tr -d '\0' | head -c 1)" ] || fail "its begin may be mounted"
wagent restore 1 --volume c --to T: --delta --zero-holes --quiet
cmp "$work/drive.img" "$work/raw.img"

note "a file that is being restored is in use; without the server nothing of it stays"
over_relay 6000000 1 --volume c --to "$(to once.img)"
refuses 'in use' wagent restore 1 --volume c --to "$(to once.img)"
kill "$relay"
! wait "$restore" || fail "a restore without a server ended well"
[ ! -e "$work/once.img" ] && [ ! -e "$work/once.img.partial" ] || fail "half a file stays"

note "kill -9 of the server in the middle of a disk: it goes on"
over_relay 8000000 2 --disk d --to "$(to again.img)"
server_kill
server_start
touch "$work/go"
wait "$restore" || fail "the restore gave up: $(tail -3 "$work/restore.out")"
grep -q 'trying again' "$work/restore.out" || fail "nothing was lost: $(cat "$work/restore.out")"
kill "$relay"
cmp "$work/again.img" "$work/disk.raw"

note "what may not be written over"
sum=$(sha256sum < "$work/c.img")
refuses 'source' wagent restore 1 --volume c --to S:
refuses 'source' wagent restore 1 --volume c --to '\\.\s:' --force
[ "$sum" = "$(sha256sum < "$work/c.img")" ] || fail "a refused restore wrote"
refuses 'running Windows' wagent restore 1 --volume c --to C:
refuses 'running Windows' wagent restore 1 --volume c --to 'C:\'
guid=$(wagent volumes --json | python3 -c 'import json, sys
print(*(v["guid"] for v in map(json.loads, sys.stdin) if v["type"] == "volume" and "C:\\" in v["paths"]))')
for c in 'c:/' '\\.\c:' '//./C:/' '\\?\C:\' "$guid" "${guid%\\}" "\\\\.\\${guid#????}"; do
	refuses 'running Windows' wagent restore 1 --volume c --to "$c"
done
refuses 'neither|not found' wagent restore 1 --volume c --to '\\.\Harddisk0Partition1' --delta
truncate -s 20M "$work/small.img"
wine_drive u "$work/small.img"
refuses 'too small' wagent restore 1 --volume c --to U:
cmp -n 20000000 "$work/small.img" /dev/zero || fail "a refused restore wrote"
refuses 'VHDX' wagent restore 1 --volume c --to T: --format vhdx
refuses 'raw and vhdx' wagent restore 1 --volume c --to "$(to x)" --format qcow
refuses 'not found|cannot find' wagent restore 1 --volume c --to V:
refuses 'not found|cannot find' wagent restore 2 --disk d --to '\\.\PhysicalDrive9'
server_stop

note "a clone needs no server: a drive to a file, a VHDX, a drive; a disk"
lclone() { "$bin/holdfast-agent" --state "$work/none" clone "$@" --quiet; }
wclone() { wagent clone "$@" --provider offline --quiet; }
lclone "$work/c.img" "$work/c.clone"
wclone S: "$(to s.clone)"
cmp "$work/s.clone" "$work/c.clone"
wclone S: "$(to s.vhdx)" 2> "$work/said"
"$here/../../tools/vhdx.py" "$work/s.vhdx" "$work/c.clone"
head -c 48M /dev/urandom > "$work/drive.img"
wclone S: T: --zero-holes
cmp "$work/drive.img" "$work/c.clone"
lclone "$work/disk.img" "$work/disk.clone" --disk
wclone "$(to disk.img)" "$(to disk.wclone)" --disk
cmp "$work/disk.wclone" "$work/disk.clone"
refuses 'source of volume c; --overwrite-source' wclone S: '\\.\s:' --force
refuses 'source itself' wclone S: '\\.\s:' --force --overwrite-source
refuses 'running Windows' wclone S: C:
