#!/bin/bash
# Goal: two volumes are frozen together by VSS and backed up to a real server, in the documented
# order; writers hear that it is safe after the server's commit and never without it; whichever
# call fails, nothing is left. VSS itself is a double of vssapi.dll (vssapi_double.h).
. "$(dirname "$0")/wine.sh"
wine_begin
wine_dll "$windows/double/vssapi.dll"
export WINEDLLOVERRIDES="$WINEDLLOVERRIDES;vssapi=n"
# What VSS is asked about are the volumes' names; what is read are the copies.
for d in s t; do
	mkdir "$work/$d"
	ln -sfn "$work/$d" "$WINEPREFIX/dosdevices/$d:"
done

note "each call of a backup fails once, in one process"
truncate -s 1M "$work/a.img" "$work/b.img" "$work/c.img"
wine_run vss_sweep.exe "$(wine_path "$work/a.img")" "$(wine_path "$work/b.img")" \
    "$(wine_path "$work/c.img")" > "$work/sweep" 2>&1 || fail "$(tail -20 "$work/sweep")"
tail -2 "$work/sweep"

server_init
server_start
ntfs_make "$work/S.img" 64 24 1
ntfs_make "$work/T.img" 48 16 2
VSSD_COPY_S=$(wine_path "$work/S.img")
VSSD_COPY_T=$(wine_path "$work/T.img")
VSSD_LOG=$(wine_path "$work/log")
export VSSD_COPY_S VSSD_COPY_T VSSD_LOG HOLDFAST_VSS_WAIT_MS=0
win() { wine_run holdfast-agent.exe --state "$(wine_path "$work/win")" "$@"; }
win enroll "$(operator enroll-token)" --name win > "$work/out" 2>&1 || fail "$(cat "$work/out")"

# The point's number of all backups that ended well.
points() { operator points win --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))'; }
saw() { grep -qx "$1" "$work/log" 2>/dev/null; }
count() { grep -cx "$1" "$work/log" || true; }
in_order() { ! grep -q BROKEN "$work/log" || fail "$(grep BROKEN "$work/log")"; }

note "BackupComplete comes once the point is there"
touch "$work/gate"
# Where a list will tell what changed, nobody may repair his files in the copy.
printf '[agent]\nfast = on\n' > "$work/win/agent.conf"
VSSD_GATE="BackupComplete:$(wine_path "$work/gate")" win backup S: T: > "$work/out" 2>&1 &
agent_pid=$!
await 120 saw BackupComplete
[ "$(points)" = 1 ] || fail "writers hear of a point that is not there"
rm "$work/gate"
wait "$agent_pid" || fail "$(cat "$work/out")"
in_order
grep -vx 'Get.*\|Free.*\|Next\|Cancel' "$work/log" > "$work/order"
diff - "$work/order" << 'END' || fail "the order of calls is another"
CreateVssBackupComponents
InitializeForBackup
SetBackupState
SetContext
GatherWriterMetadata
AddComponent
StartSnapshotSet
IsVolumeSupported
AddToSnapshotSet
IsVolumeSupported
AddToSnapshotSet
PrepareForBackup
GatherWriterStatus
DoSnapshotSet
GatherWriterStatus
SetBackupSucceeded
BackupComplete
GatherWriterStatus
Release
END

rm "$work/win/agent.conf"

note "what came of it is what the copies hold, and says how it was frozen"
operator show win --json > "$work/show"
python3 - "$work/show" << 'END'
import datetime, json, sys
p = json.load(open(sys.argv[1]))
assert p["capture"] == "vss: full, 1 of 2 writers, no auto-recovery", p["capture"]
assert [v["name"] for v in p["volumes"]] == ["S", "T"], p
assert all(v["provider"] == "vss" for v in p["volumes"]), p
# The double says that its copies were made a minute ago.
at = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
assert 59 < (at(p["time"]) - at(p["frozen_at"])).total_seconds() < 1200, (p["time"], p["frozen_at"])
END
operator show win | grep '^frozen by *vss: full' > /dev/null || fail "show does not say who froze it"
enrol lin
for v in S T; do
	win restore latest --volume $v --to "$(wine_path "$work/$v.win")" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
	agent lin backup "$v=$work/$v.img" --json --quiet > "$work/lin"
	grep -q "\"new_chunks\":0," "$work/lin" || fail "the same volume has other chunks on Linux"
	agent lin restore latest --volume $v --to "$work/$v.lin" --quiet
	cmp "$work/$v.win" "$work/$v.lin" || fail "volume $v comes back otherwise"
done

note "a volume without the other: nobody flushed the database in it, and its logs stay, as the point says"
: > "$work/list"
win backup S: --changed-from "$(wine_path "$work/list")" > "$work/out" 2>&1 || fail "$(cat "$work/out")"
in_order
grep -q "SqlServerWriter: 'db' is not wholly in the set" "$work/out" || fail "$(cat "$work/out")"
operator show win --json | python3 -c '
import json, sys
p = json.load(sys.stdin)
assert p["capture"] == "vss: copy, 0 of 2 writers, not whole: SqlServerWriter, no auto-recovery", p["capture"]
assert p["volumes"][0]["grade"] == "crash", p'
[ "$(count SetBackupSucceeded)" = 1 ] || fail "half a database hears that it is safe"

note "a server that dies before its commit: AbortBackup, never BackupComplete"
rm -f "$work/log"
touch "$work/gate"
VSSD_GATE="DoSnapshotSet:$(wine_path "$work/gate")" win backup S: T: --retry-for 1s > "$work/out" 2>&1 &
agent_pid=$!
await 120 saw DoSnapshotSet
server_kill
rm "$work/gate"
! wait "$agent_pid" || fail "a backup without a server"
in_order
[ "$(count BackupComplete)$(count AbortBackup)$(count Release)" = 011 ] || fail "$(cat "$work/log")"
[ "$(tail -2 "$work/log" | tr '\n' ' ')" = "AbortBackup Release " ] || fail "$(tail -3 "$work/log")"
server_start
[ "$(points)" = 2 ] || fail "a point of it is there"

note "the answer to a commit is lost: asked again, the point is found, and writers hear of it once"
rm -f "$work/log" "$work/relay"
last=$(points)
python3 "$here/relay.py" "$server" "$work/relay" lose "$work/server.log" "committed point $((last + 1))" > "$work/relay.out" &
pids+=($!)
await 20 test -s "$work/relay"
win --server "$(cat "$work/relay")" backup S: T: > "$work/out" 2>&1 || fail "$(cat "$work/out")"
in_order
grep -q lost "$work/relay.out" || fail "the relay lost nothing: this proved nothing"
grep -q "point $((last + 1)) was committed before" "$work/server.log" || fail "the server did not know it again"
[ "$(count DoSnapshotSet)$(count SetBackupSucceeded)$(count BackupComplete)$(count AbortBackup)" = 1110 ] || fail "$(cat "$work/log")"
[ "$(points)" = 3 ] || fail "not one point: $(operator points win)"

note "copies that are lost while they are read: the backup begins again"
rm -f "$work/log"
VSSD_LOST=1 win backup S: T: > "$work/out" 2>&1 || fail "$(cat "$work/out")"
in_order
grep -q 'beginning again' "$work/out" || fail "$(cat "$work/out")"
[ "$(count DoSnapshotSet)$(count AbortBackup)$(count BackupComplete)" = 211 ] || fail "$(cat "$work/log")"
[ "$(points)" = 4 ] || fail "no point came of it"

note "a writer's veto ends it, with the writer's name"
rm -f "$work/log"
! VSSD_VETO=PrepareForBackup:0x800423F4 win backup S: T: > "$work/out" 2>&1 || fail "a veto passed"
grep -q 'SqlServerWriter.*failed at prepare for backup.*NONRETRYABLE' "$work/out" || fail "$(cat "$work/out")"
[ "$(count DoSnapshotSet)$(count AbortBackup)" = 01 ] || fail "$(cat "$work/log")"

note "the doctor sees the same service, and misses what Wine has not"
rm -f "$work/log"
status=0
win vss doctor --json > "$work/doctor" 2> "$work/err" || status=$?
[ $status = 1 ] || fail "doctor: status $status, $(cat "$work/err")"
in_order
python3 - "$work/doctor" << 'END'
import json, sys
d = json.load(open(sys.argv[1]))
assert d["healthy"] is False, d
assert [p["name"] for p in d["providers"]] == ["Double of a provider"], d
assert {w["name"]: w["state"] for w in d["writers"]} == {
    "SqlServerWriter": "stable", "Away Writer": "stable"}, d
assert [c["volume"] for c in d["copies"]] == ["S:\\"], d
assert any("older than 30 days" in a["text"] for a in d["advice"]), d
assert any(a["problem"] and "VSS" in a["text"] for a in d["advice"]), d
END

note "without VSS there is a sentence, and no silent other way"
rm -f "$work/log"
! WINEDLLOVERRIDES="$WINEDLLOVERRIDES;vssapi=b" win backup S: T: > "$work/out" 2>&1 || fail "a backup without VSS"
grep -q 'VSS: ' "$work/out" || fail "$(cat "$work/out")"
[ "$(points)" = 4 ] || fail "a point of it is there"
