#!/bin/bash
# Goal: a wrong, mistyped, used-up, expired or foreign token enrols nobody and
# says why; a lost reply is tried again; names are not taken over by accident.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
token=$(operator enroll-token)
refuses 'token' agent x enroll "hf1.notatoken" --name x
refuses 'token' agent x enroll "${token:0:60}" --name x
typo=$([ "${token:10:1}" = a ] && echo b || echo a)
refuses 'token' agent x enroll "${token:0:10}$typo${token:11}" --name x

note "a name that cannot be one"
refuses 'name' agent x enroll "$token" --name 'no spaces, please'

note "used up"
agent a enroll "$token" --name a
refuses 'used' agent b enroll "$token" --name b

note "expired"
token=$(operator enroll-token --ttl 1s)
ends=$(($(date +%s) + 2))
past() { [ "$(date +%s)" -ge $ends ]; }
await 10 past
refuses 'expired' agent late enroll "$token" --name late

note "from a network it is not for"
token=$(operator enroll-token --network 10.99.0.0/16)
refuses 'may not be used from|network' agent c enroll "$token" --name c

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
await 300 test -s "$work/ready2"
token=$("$bin/holdfast" --operator "$work/otherop" --server "$(cat "$work/ready2")" enroll-token)
agent d enroll "$token" --name d
refuses 'certificate|authority|CA|fingerprint|signed' agent d --server "$mine" points
server_stop
