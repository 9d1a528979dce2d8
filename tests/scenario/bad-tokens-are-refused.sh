#!/bin/bash
# Goal: a wrong, mistyped, used-up, expired or foreign token enrols nobody and
# says why; a lost reply is tried again; names are not taken over by accident.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
token=$(operator enroll-token)
refuses 'token' agent x enroll "hf1.notatoken" --name x
refuses 'token' agent x enroll "${token:0:60}" --name x
typo=$(tr 'a-y' 'b-z' <<< "${token:10:1}")${token:11}
refuses 'token' agent x enroll "${token:0:10}$typo" --name x

note "a name that cannot be one"
refuses 'name' agent x enroll "$token" --name 'no spaces, please'

note "used up"
agent a enroll "$token" --name a
refuses 'used' agent b enroll "$token" --name b

note "expired"
token=$(operator enroll-token --ttl 1s)
expired() { ! agent "late$RANDOM" enroll "$token" --name late 2> "$work/late.err" && grep -q 'expired' "$work/late.err"; }
enrolled_late() { expired; }
sleep_until=$((SECONDS + 2))
await 5 test $SECONDS -ge $sleep_until
await 30 enrolled_late

note "from a network it is not for"
token=$(operator enroll-token --network 10.99.0.0/16)
refuses 'network|address' agent c enroll "$token" --name c

note "an existing host's name, and taking it over with an operator's word"
token=$(operator enroll-token)
refuses 'exist|taken|name' agent other enroll "$token" --name a
token=$(operator enroll-token --replace a)
agent other enroll "$token" --name a
refuses 'unknown|revoked|replaced|superseded|not known' agent a points
agent other points

note "a token of another server: its CA is not ours"
other=$work/otherstore
"$bin/holdfast" init "$other" --name other --operator-dir "$work/otherop" > /dev/null
mine=$server
sed "s#^store = .*#store = $other#; s#^ready-file = .*#ready-file = $work/ready2#; s#^listen = .*#listen = 127.0.0.1:0#" \
    "$work/holdfastd.conf" > "$work/other.conf"
"$bin/holdfastd" --config "$work/other.conf" 2>> "$work/server.log" &
pids+=($!)
await 60 test -s "$work/ready2"
token=$("$bin/holdfast" --operator "$work/otherop" --server "$(cat "$work/ready2")" enroll-token)
agent d enroll "$token" --name d
refuses 'certificate|authority|CA|fingerprint|signed' agent d --server "$mine" points
server_stop
