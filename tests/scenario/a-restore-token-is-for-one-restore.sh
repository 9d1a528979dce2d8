#!/bin/bash
# Goal: a restore token lets one machine read one host until it is done, across power
# cuts and the server's restarts; nobody else, nothing else, nothing afterwards.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
ca=$work/operator/ca.pem
# rescue TOKEN MACHINE ACT...: an empty machine.
rescue() { "$bin/redeem" "$server" "$ca" "$@"; }
listed() { operator rescue list --all | grep -E "^ *$1 "; }

enrol h1
enrol h2
noise 3 "$work/disk"
agent h1 backup "disk=$work/disk"
agent h2 backup "disk=$work/disk"
cp "$work/disk" "$work/disk1"
noise 1 "$work/more"
dd if="$work/more" of="$work/disk" conv=notrunc status=none
agent h1 backup "disk=$work/disk"

note "the thin path: redeem, read, done"
token=$(operator restore-token h1)
[[ $token =~ ^([0-9A-Z]{5}-){4}[0-9A-Z]{5}$ ]] || fail "the token is '$token'"
rescue "$token" box1 begin report begun 2 restore 2 disk "$work/out" points > "$work/said"
grep -qx 'h1 2 first any' "$work/said" || fail "said: $(cat "$work/said")"
cmp "$work/disk" "$work/out"
[ "$(grep -c '^h1/' "$work/said")" = 2 ] || fail "points: $(cat "$work/said")"
! grep -q '^h2/' "$work/said" || fail "it saw another host"
operator rescue list | grep 'h1 .*restoring' > /dev/null || fail "list: $(operator rescue list)"

note "a power cut: the same machine again, typed badly; another machine is refused"
typed=$(tr 'A-Z01' 'a-zOl' <<< "$token" | tr -d -)
rescue "$typed" box1 begin > "$work/said"
grep -qx 'h1 2 resumed any' "$work/said" || fail "said: $(cat "$work/said")"
refuses 'begun by another machine' rescue "$token" box2 begin

note "a newer point is not what this restore's latest is"
agent h1 backup "disk=$work/disk"
rescue "$token" box1 begin restore 0 disk "$work/out2" > "$work/said"
grep -qx 'restored h1/2' "$work/said" || fail "said: $(cat "$work/said")"

note "the server is killed meanwhile: the session comes back with what it has"
mkfifo "$work/go"
rescue "$token" box1 begin pause restore 2 disk "$work/out3" pause report done 2 \
    < "$work/go" > "$work/killed" 2> "$work/killed.err" &
machine=$!
pids+=($machine)
exec 9> "$work/go"
begun() { grep -q '^h1 2 resumed' "$work/killed"; }
await 60 begun
server_kill
server_start
echo >&9
restored() { grep -q '^restored h1/2' "$work/killed" || ! kill -0 $machine 2>/dev/null; }
await 60 restored
kill -0 $machine 2>/dev/null || fail "the machine: $(cat "$work/killed.err")"
server_kill
server_start
echo >&9
wait $machine || fail "the machine: $(cat "$work/killed.err")"
exec 9>&-
cmp "$work/disk" "$work/out3"

note "done: nothing any more, for nobody"
refuses 'is done' rescue "$token" box1 begin
refuses 'is done' rescue "$token" box2 begin
listed '[0-9]+ +h1 .*done' > /dev/null || fail "list: $(operator rescue list --all)"
operator rescue list | grep 'no restore is open' > /dev/null || fail "still open: $(operator rescue list)"
operator audit > "$work/audit"
grep -q "allowed one restore of 'h1'" "$work/audit" || fail "no audit of the token"
grep -q "was let in to restore h1/2" "$work/audit" || fail "no audit of the redeem"
grep -q "of 'h1' is done" "$work/audit" || fail "no audit of the end"

note "one point and no other"
token=$(operator restore-token h1 --point 1)
rescue "$token" box1 begin restore 1 disk "$work/out4" points > "$work/said"
grep -qx 'h1 1 first only' "$work/said" || fail "said: $(cat "$work/said")"
[ "$(grep -c '^h1/' "$work/said")" = 1 ] || fail "points: $(cat "$work/said")"
cmp "$work/disk1" "$work/out4"
refuses 'of no other' rescue "$token" box1 begin restore 2 disk "$work/out5"
refuses 'of no other' rescue "$token" box1 begin report begun 2

note "its point stays while it is open"
operator policy set --keep-last 1 > /dev/null
operator prune --dry-run > "$work/pruned"; operator prune > /dev/null
grep -q 'a restore of it is open' "$work/pruned" || fail "prune said: $(cat "$work/pruned")"
refuses 'a restore of h1/1 is open' operator forget h1/1 --reason 'a test'
rescue "$token" box1 begin restore 1 disk "$work/out6" > /dev/null

note "ended by an operator: the session that lives ends, and nothing begins again"
rescue "$token" box1 begin hold > "$work/held" 2>&1 &
machine=$!
pids+=($machine)
held() { grep -q '^held' "$work/held"; }
await 60 held
operator rescue end h1
wait $machine || fail "the holder: $(cat "$work/held")"
grep -q 'over: .*was ended' "$work/held" || fail "it ended with: $(cat "$work/held")"
refuses 'was ended' rescue "$token" box1 begin
refuses 'no restore' operator rescue end h1
operator prune > /dev/null
operator points h1 > "$work/points"
! grep -q 'h1/1 ' "$work/points" || fail "the point stays for ever: $(operator points h1)"

note "expired before it began; but what has begun goes on"
token=$(operator restore-token h1 --ttl 1s)
# A machine that is too slow for so short a time takes a longer one.
for ttl in 2 10 50; do
	begun=$(operator restore-token h2 --ttl ${ttl}s)
	rescue "$begun" box3 begin > /dev/null 2> "$work/late" && break
done
[ ! -s "$work/late" ] || fail "never let in: $(cat "$work/late")"
ends=$(($(date +%s) + ttl + 2))
past() { [ "$(date +%s)" -ge $ends ]; }
await 30 past
refuses 'has passed' rescue "$token" box1 begin
rescue "$begun" box3 begin restore 1 disk "$work/out7" report done 1 > /dev/null
listed '[0-9]+ +h1 .*expired' > /dev/null || fail "list: $(operator rescue list --all)"

note "tokens that are none"
refuses 'mistyped' rescue "${token%?}$([ "${token: -1}" = Z ] && echo Y || echo Z)" box1 begin
refuses 'characters' rescue "${token%-*}" box1 begin
refuses 'not known here' rescue 000G4-0R40M-30E20-9185G-R38E4 box1 begin
refuses 'no point' operator restore-token nobody
refuses 'has no point 77' operator restore-token h1 --point 77

# libfaketime and TSan both take over the machine's waits for time.
if [ "${HOLDFAST_SLOW:-0}" = 0 ]; then
	note "a machine whose clock is at 2001, and one whose clock is years ahead"
	faketime=$(dpkg -L libfaketime | grep 'libfaketimeMT.so.1$')
	at() { LD_PRELOAD=$faketime FAKETIME="$1" FAKETIME_DONT_FAKE_MONOTONIC=1 "${@:2}"; }
	token=$(operator restore-token h1)
	at '@2001-01-01 00:00:00' "$bin/redeem" "$server" "$ca" "$token" box5 begin report done 0 > "$work/said"
	grep -q '^h1 ' "$work/said" || fail "said: $(cat "$work/said")"
	token=$(operator restore-token h1)
	refuses 'expired' at '+90y' "$bin/redeem" "$server" "$ca" "$token" box5 begin
fi

note "a host that is revoked is not restored either"
token=$(operator restore-token h2)
rescue "$token" box4 begin > /dev/null
operator revoke h2
refuses 'was ended' rescue "$token" box4 begin
server_stop
