#!/bin/bash
# Goal: a host's certificate renews itself past half of its life; one that has
# expired is refused by name and date, and a new token brings the host back.
. "$(dirname "$0")/lib/scenario.bash"
faketime=$(dpkg -L libfaketime | grep 'libfaketimeMT.so.1$')
server_start_at() {
	export LD_PRELOAD=$faketime FAKETIME=$1 FAKETIME_DONT_FAKE_MONOTONIC=1
	server_start
	unset LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC
}
serial() { operator hosts --json | sed -n 's/.*"serial": *"\([0-9a-f]*\)".*/\1/p'; }
server_init
server_config 'certificate-lifetime = 10d'
server_start
enrol h1
head -c 307200 /dev/urandom > "$work/v.img"
agent h1 backup v="$work/v.img" --quiet
first=$(serial)
[ -n "$first" ] || fail "no serial in: $(operator hosts --json)"
server_stop

note "six of ten days later"
server_start_at +6d
agent h1 backup v="$work/v.img" --quiet
second=$(serial)
[ "$first" != "$second" ] || fail "the certificate was not renewed"
agent h1 points > /dev/null
server_stop

note "twenty days later nobody has renewed it"
server_start_at +20d
refuses 'expired' agent h1 backup v="$work/v.img" --quiet --retry-for 0s
refuses 'expired' agent h1 points
token=$(operator enroll-token --replace h1)
agent h1 enroll "$token" --name h1 --replace
[ "$(agent h1 points --json | grep -c '"sequence"')" = 2 ] || fail "the host's points are not its own any more"
server_stop
