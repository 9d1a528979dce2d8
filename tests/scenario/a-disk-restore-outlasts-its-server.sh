#!/bin/bash
# Goal: a server that dies in the middle of a disk's restore costs a wait: every volume
# goes on where it was.  A restore that dies itself leaves a disk without a table, which
# does not boot, and --delta goes on with what is there.
. "$(dirname "$0")/lib/scenario.bash"
. "$here/disks.bash"
server_init
server_start
enrol h1
noise 60 "$work/a"
noise 40 "$work/b"
a=$(($(stat -c %s "$work/a") / 512)) b=$(($(stat -c %s "$work/b") / 512))
truncate -s 128M "$work/disk"
printf 'label: dos\nstart=2048, size=%s, type=83\nstart=140000, size=%s, type=83\n' "$a" "$b" | sfdisk -q "$work/disk" > /dev/null
dd if="$work/a" of="$work/disk" bs=512 seek=2048 conv=notrunc status=none
dd if="$work/b" of="$work/disk" bs=512 seek=140000 conv=notrunc status=none
agent h1 backup --disk "d=$work/disk" > "$work/backup.out"
all=$(((a + b) * 512))

# held BYTES ARGUMENTS...: a restore over a relay that stops after so many bytes.
held() {
	local bytes=$1
	shift
	rm -f "$work/go" "$work/relay"
	python3 "$here/relay.py" "$server" "$work/relay" hold "$bytes" "$work/go" > "$work/relay.out" 2> "$work/relay.err" &
	relay=$!
	pids+=("$relay")
	await 60 test -s "$work/relay"
	"$bin/holdfast-agent" --state "$work/agent-h1" --machine-id "$work/machine-id" --server "$(cat "$work/relay")" \
	    --retry-for 300s --json restore latest --disk d "$@" > "$work/restore.out" 2> "$work/restore.err" &
	restore=$!
	pids+=("$restore")
	await 300 grep -q held "$work/relay.out"
}

note "kill -9 of the server in the middle"
held $((all / 2)) --to "$work/back"
server_kill
server_start
touch "$work/go"
wait "$restore" || fail "the restore gave up: $(tail -3 "$work/restore.err")"
kill "$relay"
cmp "$work/disk" "$work/back"
python3 - "$work/restore.out" "$all" <<'PY'
import json, sys
r = [json.loads(l) for l in open(sys.argv[1]) if '"restored"' in l][0]
assert r["lost_sessions"] > 0, r
assert r["received_bytes"] < int(sys.argv[2]) * 1.3, r
PY

note "kill -9 of the restore in the middle, onto a disk that had a table"
cp --sparse=always "$work/disk" "$work/other"
head -c "$((a * 256))" /dev/urandom | dd of="$work/other" bs=512 seek=2048 conv=notrunc status=none
loop=$(losetup -f --show "$work/other")
status=0
(
	held $((all / 4)) --to "$loop"
	kill -KILL "$restore"
	wait "$restore" 2> /dev/null || true
	kill "$relay"
	! sfdisk -d "$loop" > /dev/null 2>&1 || fail "a half-written disk has a table"
	agent h1 restore latest --disk d --to "$loop" --delta --json > "$work/restore.out"
) || status=$?
losetup -d "$loop"
[ $status = 0 ] || fail "onto a device"
cmp "$work/disk" "$work/other"
python3 - "$work/restore.out" <<'PY'
import json, sys
r = [json.loads(l) for l in open(sys.argv[1]) if '"restored"' in l][0]
assert r["same_bytes"] > r["written_bytes"] > 0, r
PY
server_stop
