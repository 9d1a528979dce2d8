#!/bin/bash
# Goal: what a fleet's roll-out does, with the MSI under Wine against a real server: a
# token that is refused leaves nothing; a silent installation enrols the host, registers
# and starts the service, which backs up; an upgrade goes on as the same host, a downgrade
# is refused; a removal keeps or forgets the identity, as told, and takes the driver along; a
# server that is away is waited for. And two builds of the package are the same bytes.
. "$(dirname "$0")/wine.sh"
top=$(cd "$(dirname "$0")/../.." && pwd)
sources=$(sed -n 's/^HOLDFAST_WINDOWS_LIBS:[A-Z]*=//p' "$windows/CMakeCache.txt")/../sources
export SOURCE_DATE_EPOCH=1700000000
package() { "$top/agent/msi/build.sh" "$windows/bin/holdfast-agent.exe" "$sources" "$work/$1" ${2:+"$2"}; }
driver=${HOLDFAST_DRIVER:-$(dirname "$windows")/driver}/x64/hotcopy.sys
HOLDFAST_DRIVER_FILE=$driver package new & builds=($!)
HOLDFAST_DRIVER_FILE=$driver package again & builds+=($!)
package old 0.0.9 & builds+=($!)
for build in "${builds[@]}"; do
	wait "$build" || fail "no packages"
done
cmp "$work"/new/*.msi "$work"/again/*.msi && cmp "$work"/new/*.zip "$work"/again/*.zip || fail "the same input gives other bytes"
new=$(wine_path "$work"/new/*.msi) old=$(wine_path "$work"/old/*.msi)

note "what is in it, by the tables, since Wine's own log hides nothing"
# grep reads all: who is hung up on fails.
table() { msiinfo export "$work"/new/*.msi "$1"; }
table Property | grep -c '^MsiHiddenProperties.TOKEN;EnrollHost.$' > /dev/null || fail "the token may come into a log"
[ $(($(table CustomAction | awk '$1 == "EnrollHost" { print $2 }') & 8192)) != 0 ] || fail "EnrollHost shows its data"
for action in EnrollHost CopyConfig; do
	table InstallExecuteSequence | grep -c "^$action.NOT REMOVE AND NOT Installed AND" > /dev/null || fail "$action in a repair, which any user may start"
done
[ "$(table Upgrade | grep -c '{14970C93-7348-49FD-96D2-00B005A95291}')" = 2 ] || fail "another UpgradeCode"
table File | grep -c "^AgentExe.*[[:blank:]]$(sed -n 's/^project(holdfast VERSION \([0-9.]*\).*/\1/p' "$top/CMakeLists.txt")\.0[[:blank:]]1033" > /dev/null || fail "the program's version: $(table File)"
python3 -m zipfile -e "$work"/new/*.zip "$work/zip"
for f in holdfast-agent.exe hotcopy.sys LICENSE.txt NOTICE.txt README.txt Verify-Holdfast.ps1; do
	[ -s "$work/zip/holdfast-agent/$f" ] || fail "no $f in the zip"
done
for p in mbedtls libsodium libuv1 libzstd protobuf-c jansson libinih MinGW-w64; do
	grep -q "^======== $p" "$work/zip/holdfast-agent/NOTICE.txt" || fail "no license of $p in NOTICE.txt"
done

note "the program as it is packed: the system's DLLs only, high-entropy ASLR, DEP"
x86_64-w64-mingw32-objdump -p "$work/zip/holdfast-agent/holdfast-agent.exe" > "$work/pe"
foreign=$(sed -n 's/.*DLL Name: //p' "$work/pe" | tr 'A-Z' 'a-z' |
    grep -vxE '(advapi32|kernel32|msvcrt|ole32|oleaut32|psapi|setupapi|shell32|user32|ws2_32)\.dll' || true)
[ -z "$foreign" ] || fail "needs $foreign"
for flag in HIGH_ENTROPY_VA DYNAMIC_BASE NX_COMPAT; do
	grep -q "$flag" "$work/pe" || fail "$flag is not set: $(grep -A6 DllCharacteristics "$work/pe")"
done

server_init
server_start
wine_begin
# Wine says it is Windows 7 unless told otherwise.
wine_run reg add 'HKCU\Software\Wine' /v Version /d win10 /f > /dev/null
c=$WINEPREFIX/drive_c
files="$c/Program Files/Holdfast" data=$c/ProgramData/Holdfast
head -c 300032 /dev/urandom > "$work/v.img"
printf '[agent]\ninterval = 1s\nprovider = offline\n[volume v]\npath = %s\n' "$(wine_path "$work/v.img")" > "$work/conf"

msi() { # STATUS ARGS...: msiexec's exit code, of which Linux sees the last byte
	local want=$1 status=0
	shift
	wine_run msiexec "$@" /qn '/l*v' 'C:\msi.log' > "$work/msi.out" 2>&1 || status=$?
	[ $status = "$want" ] || { tail -60 "$c/msi.log" >&2; fail "msiexec $*: $status, not $want"; }
}
refused=$((1603 & 255))
service() { wine_run sc query Holdfast > "$work/sc" 2>/dev/null; }
running() { service && grep -q RUNNING "$work/sc"; }
gone() { ! service && [ ! -e "$files" ]; }
count() { operator points "$1" --json 2>/dev/null | grep -c '"sequence"' || true; }
more() { [ "$(count "$1")" -gt "$2" ]; }
backs_up() { local before; before=$(count "$1"); await 120 more "$1" "$before"; }
enrolments() { grep -c "enrolled as '$1'" "$work/server.log"; }

note "a refused token leaves nothing"
msi $refused /i "$new" TOKEN=hf1.nonsense NAME=web01
grep -aq 'Holdfast: .*enroll: token:' "$c/msi.log" || { cat "$c/msi.log" >&2; fail "why it failed is not in the log"; }
gone || fail "a failed installation left something: $(ls -R "$files" 2>&1; cat "$work/sc")"
msi $refused /i "$new" ENROLL=perhaps
msi $refused /i "$new" ENROLL=required

note "installed, enrolled, backing up"
operator enroll-token > "$work/token"
msi 0 /i "$old" TOKENFILE="$(wine_path "$work/token")" NAME=web01 CONFIG="$(wine_path "$work/conf")"
running || fail "the service does not run: $(cat "$work/sc")"
backs_up web01
cmp "$work/conf" "$data/agent.conf"
cp "$data/cert" "$work/cert"

note "upgraded: the same host goes on"
msi 0 /i "$new"
running || fail "the service does not run: $(cat "$work/sc")"
backs_up web01
cmp "$data/cert" "$work/cert" || fail "another identity"
msi $refused /i "$old"
running || fail "a refused downgrade stopped the service"

note "a service that a person stopped stays so"
wine_run "$files/holdfast-agent.exe" service stop > /dev/null
mv "$data/agent.conf" "$work/"
msi 0 /i "$new" REINSTALL=ALL REINSTALLMODE=amus CONFIG="$(wine_path "$work/conf")" TOKEN=hf1.nonsense
[ ! -e "$data/agent.conf" ] || fail "a repair brought a configuration"
grep -aq 'Holdfast: installed already: TOKEN' "$c/msi.log" || fail "no word of what a repair ignores"
mv "$work/agent.conf" "$data/"
service && ! running || fail "it was started: $(cat "$work/sc")"

note "removed, and installed again as the same host"
msi 0 /x "$new"
gone || fail "left: $(ls -R "$files" 2>&1; cat "$work/sc")"
cmp "$data/cert" "$work/cert" || fail "the identity did not stay"
msi 0 /i "$new" TOKENFILE="$(wine_path "$work/token")"
backs_up web01
[ "$(enrolments web01)" = 1 ] || fail "enrolled again"

note "removed with its identity, and with the driver that a person had it install"
class='HKLM\System\CurrentControlSet\Control\Class\{71A27CDD-812A-11D0-BEC7-08002BE2092F}'
wine_run reg add "$class" /v UpperFilters /t REG_MULTI_SZ /d volsnap /f > "$work/out"
wine_run "$files/holdfast-agent.exe" driver install > "$work/out" || fail "$(cat "$work/out")"
cmp "$c/windows/system32/drivers/hotcopy.sys" "$driver"
msi 0 /x "$new" REMOVE_IDENTITY=1
gone || fail "left: $(ls -R "$files" 2>&1; cat "$work/sc")"
[ ! -e "$c/windows/system32/drivers/hotcopy.sys" ] || fail "the driver stayed"
wine_run reg query "$class" /v UpperFilters > "$work/out"
grep -q volsnap "$work/out" && ! grep -q hotcopy "$work/out" || fail "filters: $(cat "$work/out")"
for f in key cert ca server ticket enroll; do
	[ ! -e "$data/$f" ] || fail "$f stayed"
done
[ -e "$data/agent.conf" ] || fail "a person's agent.conf went"

note "the server is away: the service enrols the host when it is back"
token=$(operator enroll-token)
server_stop
msi 0 /i "$new" TOKEN="$token" NAME=web02 ENROLL=later
running || fail "the service does not run: $(cat "$work/sc")"
[ -e "$data/enroll" ] || fail "the token is not kept"
server_start
backs_up web02
[ ! -e "$data/enroll" ] || fail "the token lies about"
wineserver_flushed() { ! grep -aqs "${token:20:40}" "$WINEPREFIX"/*.reg; }
wineserver_flushed || fail "the token is in the registry"
msi 0 /x "$new" REMOVE_IDENTITY=1
gone || fail "left: $(ls -R "$files" 2>&1; cat "$work/sc")"
server_stop
