#!/bin/bash
# Goal: as a service the agent is installed twice without harm, waits for its enrolment,
# backs up at its interval with scripts around it, ends a session cleanly when it is
# stopped, says all of it in its log, keeps its key sealed, and goes without a trace.
. "$(dirname "$0")/wine.sh"
wine_begin
home="$WINEPREFIX/drive_c/Program Files/Holdfast"
state=$WINEPREFIX/drive_c/ProgramData/Holdfast
mkdir -p "$home"
cp "$windows/bin/holdfast-agent.exe" "$home/"
agent() { wine_run 'C:\Program Files\Holdfast\holdfast-agent.exe' "$@"; }
service() { agent service "$@" > "$work/out" 2> "$work/err" || fail "service $*: $(cat "$work/err")"; }
key() { wine_run reg query "HKLM\\System\\CurrentControlSet\\Services\\$1" ${2:+/v "$2"} 2>/dev/null; }
says() { grep -q -- "$1" "$2" || fail "'$1' is not in $2: $(tail -20 "$2")"; }
logged() { grep -q -- "$1" "$state/log/holdfast.log" 2>/dev/null; }
service_state() { wine_run sc query Holdfast | grep -o 'STATE.*' | grep -o '[A-Z_]*' | tail -1; }
points() { operator points h1 --json 2>/dev/null | grep -o '"sequence"' | wc -l; }
at_least() { [ "$(points)" -ge "$1" ]; }

note "run from where it was downloaded to it takes no DLL that lies there"
mkdir "$work/downloads"
cp "$windows/bin/holdfast-agent.exe" "$work/downloads/"
# Those that it would take else; Wine has no known DLLs, so no others of the system's.
for dll in userenv crypt32 iphlpapi; do
	echo 'no program' > "$work/downloads/$dll.dll"
done
refuses 'not enrolled' wine_run "$work/downloads/holdfast-agent.exe" --state "$(wine_path "$work/nowhere")" status

note "a directory that others may write is put right; installing twice is fine"
mkdir -p "$state"
chmod 777 "$state"
ln "$work/machine-id" "$state/head"
for i in 1 2; do
	refuses 'head is a link; remove it' agent service install
done
rm "$state/head"
chmod 777 "$state"
service install
says 'installed' "$work/out"
says 'Everyone could write there until now' "$work/err"
service install
says 'updated' "$work/out"
[ $(($(stat -c 0%a "$state") & 2)) = 0 ] || fail "others may write $state"
key Holdfast ImagePath | grep -F '"C:\Program Files\Holdfast\holdfast-agent.exe" service run' > /dev/null ||
	fail "not the command line of a service: $(key Holdfast ImagePath)"
key Holdfast ObjectName | grep LocalSystem > /dev/null || fail "not LocalSystem"
key 'EventLog\Application\Holdfast' EventMessageFile | grep -F 'holdfast-agent.exe' > /dev/null || fail "no event source"

note "each event of docs/windows.md has its text in the program, and no other"
wine_run messages.exe 'C:\Program Files\Holdfast\holdfast-agent.exe' | tr -d '\r' > "$work/messages"
sed -n 's/^| \([0-9]*\) | \([a-z]*\) |.*/\1 \2/p' "$(dirname "$0")/../../docs/windows.md" > "$work/documented"
[ -s "$work/documented" ] || fail "no events in docs/windows.md"
cut -d' ' -f1,2 "$work/messages" | diff "$work/documented" - || fail "docs/windows.md and the message table differ"
[ "$(grep -c WHAT "$work/messages")" = "$(wc -l < "$work/documented")" ] || fail "a text without its words: $(cat "$work/messages")"

note "it runs before it is enrolled, and waits"
server_init
server_start
noise 4 "$work/v.img"
mkdir -p "$state"
printf '@echo off\r\necho %%HOLDFAST_EVENT%% %%HOLDFAST_HOST%% %%HOLDFAST_RESULT%%\r\n' > "$home/around.cmd"
cat > "$state/agent.conf" <<-EOF
	[agent]
	interval = 1s
	pre-script = C:\\Program Files\\Holdfast\\around.cmd
	post-script = C:\\Program Files\\Holdfast\\around.cmd
	[volume v]
	path = $(wine_path "$work/v.img")
EOF
service start
[ "$(service_state)" = RUNNING ] || fail "state $(service_state)"
await 60 logged 'not enrolled: waiting'
agent enroll "$(operator enroll-token)" --name h1 > "$work/out"
await 300 at_least 2
says 'pre-script: pre h1 *$' "$state/log/holdfast.log"
says 'post-script: post h1 ok *$' "$state/log/holdfast.log"
says 'post-script: exit code 0 after' "$state/log/holdfast.log"
logged 'captured: offline' || fail "it does not say how it read"

note "a script that hangs is stopped with what it started; where all may write none is run"
conf() { # LINE: in [agent]
	printf '[agent]\n%s\n[volume v]\npath = %s\n' "$1" "$(wine_path "$work/v.img")"
}
cp "$windows/bin/hold.exe" "$home/hang.exe"
printf '@"C:\\Program Files\\Holdfast\\hang.exe" "%s"\r\n' "$(wine_path "$work/hangs")" > "$home/hang.cmd"
service stop
conf 'pre-script = C:\Program Files\Holdfast\hang.cmd
script-timeout = 3s' > "$state/agent.conf"
! agent backup > "$work/out" 2> "$work/err" || fail "a backup in spite of its script"
says 'hang.cmd: out of time after' "$work/err"
[ -e "$work/hangs" ] || fail "it did not hang"
gone() { ! pgrep -f "hang.exe.*$(basename "$work")" > /dev/null; }
await 60 gone
mkdir "$home/open"
cp "$home/around.cmd" "$home/open/"
chmod 777 "$home/open"
conf 'post-script = C:\Program Files\Holdfast\open\around.cmd' > "$state/agent.conf"
! agent backup > "$work/out" 2> "$work/err" || fail "a backup in spite of its script's place"
says 'open.around.cmd: not trusted: C:.Program Files.Holdfast.open may be changed by' "$work/err"

note "its key is sealed"
head -c 8 "$state/key" | grep '^HFSEALED$' > /dev/null || fail "the key is not sealed"
agent status | tr -d '\r' > "$work/status"
says 'private key     sealed for this machine (dpapi)' "$work/status"

note "one that was kept plain is sealed by whoever works with it next"
"$bin/holdfast-agent" --state "$work/plain" --machine-id "$work/machine-id" enroll "$(operator enroll-token)" --name h2 > "$work/out"
! grep -q HFSEALED "$work/plain/key" || fail "Linux has sealed a key"
for i in 1 2; do
	agent --state "$(wine_path "$work/plain")" --machine-id "$(wine_path "$work/machine-id")" backup --quiet "v=$(wine_path "$work/v.img")" > "$work/out" 2>&1 ||
		fail "backup $i: $(cat "$work/out")"
	head -c 8 "$work/plain/key" | grep '^HFSEALED$' > /dev/null || fail "the key is not sealed"
done
refuses 'sealed by a Windows' "$bin/holdfast-agent" --state "$work/plain" --machine-id "$work/machine-id" points

note "stopped in the middle of a backup it makes no point and ends in time"
head -c 200M /dev/urandom > "$work/big.img"
printf '[agent]\ninterval = 1d\n[volume v]\npath = %s\n' "$(wine_path "$work/big.img")" > "$state/agent.conf"
[ "$(service_state)" = STOPPED ] || fail "state $(service_state)"
now=$(points)
before=$(du -sb "$work/store/packs" | cut -f1)
service start
busy() { [ "$(du -sb "$work/store/packs" | cut -f1)" -gt $((before + 10000000)) ]; }
await 300 busy
SECONDS=0
service stop
[ $SECONDS -lt 60 ] || fail "the stop took $SECONDS s"
[ "$(service_state)" = STOPPED ] || fail "state $(service_state)"
wine_run sc query Holdfast | grep 'WIN32_EXIT_CODE *: 0' > /dev/null || fail "a bad exit code: $(wine_run sc query Holdfast)"
[ "$(points)" = "$now" ] || fail "an interrupted backup made a point"
await 60 logged 'interrupted; no point was made'
logged 'asked to stop' || fail "it did not say that it ended"

note "an error is an exit code and a line, not a silence"
printf 'nonsense\n' >> "$state/agent.conf"
! agent service start > "$work/out" 2> "$work/err" || fail "it started with nonsense"
says 'it stopped at once' "$work/err"
logged 'stopped: .*agent.conf:[0-9]*: not a setting' || fail "no word of why"

note "it goes, and leaves its directory"
service uninstall
! key Holdfast || fail "the service is left in the registry"
! key 'EventLog\Application\Holdfast' || fail "the event source is left in the registry"
[ -e "$state/key" ] || fail "its identity went with it"
service uninstall
! agent service stop > "$work/out" 2> "$work/err" || fail "stopped what is not there"
says 'no service Holdfast' "$work/err"
server_stop
