#!/bin/bash
# Goal: the agent as a Windows program, under Wine, when it is killed, interrupted, started
# twice, when its server is killed, its disk is full or read-only, its certificate half old:
# one line says what is wrong, nothing is lost or sent twice, the next run finishes.
. "$(dirname "$0")/wine.sh"
wine_begin
wagent() { LC_ALL=C.UTF-8 wine_run holdfast-agent.exe --state "$(wine_path "$work/windows")" "$@"; }
packs() { du -sb "$work/store/packs" | cut -f1; }
points() { operator points windows --json | grep -c '"sequence"' || true; }

server_init
server_config 'certificate-lifetime = 10d'
server_start
wagent enroll "$(operator enroll-token)" --name windows > "$work/enrol.out"
noise 120 "$work/big.img"
size=$(stat -c %s "$work/big.img")
big=(backup "big=$(wine_path "$work/big.img")")
begin() { # in the background, until a third is stored; $pid
	local from
	from=$(packs)
	wagent "${big[@]}" "$@" > "$work/b.out" 2> "$work/b.err" &
	pid=$!
	pids+=($pid)
	grown() { [ "$(packs)" -gt $((from + size / 6)) ] || ! kill -0 $pid 2>/dev/null; }
	await 100 grown
	kill -0 $pid 2>/dev/null || fail "ended too soon: $(tail -3 "$work/b.err")"
}

note "a second one at once is refused; killed, the first leaves no point and no lock"
begin
refuses 'busy: another holdfast-agent' wagent "${big[@]}"
pkill -KILL -P $pid
wait $pid 2>/dev/null || true
# One time in five Wine's server keeps the socket of a program that was killed.
wine_stop
[ "$(points)" = 0 ] || fail "a point of a killed backup"
before=$(packs)

note "interrupted by Ctrl-C it says so"
status=0
grown() { [ "$(packs)" -gt $((before + size / 6)) ] && touch "$work/now"; }
LC_ALL=C.UTF-8 wine_run ctrl.exe "$(wine_path "$work/now")" "$(wine_path "$windows/bin/holdfast-agent.exe")" \
    --state "$(wine_path "$work/windows")" "${big[@]}" > "$work/b.out" 2> "$work/b.err" & pid=$!
pids+=($pid)
await 100 grown
wait $pid || status=$?
[ $status = 1 ] || fail "status $status: $(tail -3 "$work/b.err")"
tail -1 "$work/b.err" | grep 'interrupted; no point was made' > /dev/null || fail "said: $(tail -3 "$work/b.err")"
[ "$(points)" = 0 ] || fail "a point of an interrupted backup"

note "a server that is killed is waited for; what it has is not sent again"
noise 120 "$work/big.img"
before=$(packs)
begin --retry-for 120s
server_kill
server_start
wait $pid || fail "the agent gave up: $(tail -3 "$work/b.err")"
[ "$(points)" = 1 ] || fail "no point"
[ $(($(packs) - before)) -lt $((size * 11 / 10)) ] || fail "stored twice: $(packs) bytes, $before before, for $size"
operator verify --trees > "$work/verify.out"
wagent restore latest --volume big --to "$(wine_path "$work/r.big")" > "$work/r.out"
cmp "$work/big.img" "$work/r.big"
grep -q 'windows at 127.0.0.1: agent, .*, resumed' "$work/server.log" || fail "no session was resumed"

note "a full disk is said, and the target is not left half written"
mkdir "$work/disk"
mount -t tmpfs -o size=40m tmpfs "$work/disk"
refuses 'room|space|full' wagent restore latest --volume big --to "$(wine_path "$work/disk/r.big")"
[ -z "$(ls -A "$work/disk")" ] || fail "left behind: $(ls -A "$work/disk")"
cp -a "$work/windows/." "$work/disk"
head -c 100M /dev/zero > "$work/disk/filler" 2>/dev/null || true
fagent() { LC_ALL=C.UTF-8 wine_run holdfast-agent.exe --state "$(wine_path "$work/disk")" "$@"; }
fagent "${big[@]}" --no-cache > "$work/b.out" 2> "$work/b.err" || fail "a full disk of its own: $(tail -3 "$work/b.err")"
tr -d '\r' < "$work/b.err" | grep 'the point is made, but not all .* noted here: .*reads all of big$' > /dev/null || fail "said: $(cat "$work/b.err")"
rm "$work/disk/filler"
fagent "${big[@]}" > "$work/b.out"
[ "$(points)" = 3 ] || fail "no second point with a full disk, or no third without"

note "a state that cannot be written to is read, and nothing else"
mount -o remount,ro "$work/disk"
fagent points > "$work/p.out"
[ "$(wc -l < "$work/p.out")" = 3 ] || fail "points: $(cat "$work/p.out")"
refuses 'denied|write.protect|Access|read.only' fagent "${big[@]}"
umount "$work/disk"

note "the certificate renews itself past half of its life"
serial() { operator hosts --json | sed -n 's/.*"serial": *"\([0-9a-f]*\)".*/\1/p'; }
first=$(serial)
server_stop
export LD_PRELOAD FAKETIME=+6d FAKETIME_DONT_FAKE_MONOTONIC=1
LD_PRELOAD=$(dpkg -L libfaketime | grep 'libfaketimeMT.so.1$')
server_start
unset LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC
wagent "${big[@]}" > "$work/b.out"
[ "$first" != "$(serial)" ] || fail "the certificate was not renewed"
wagent points > "$work/p.out"
server_stop
