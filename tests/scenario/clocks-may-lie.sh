#!/bin/bash
# Goal: clocks set back and forward, at the host and at the server, lose nothing:
# either it works or one line says whose clock is wrong.
. "$(dirname "$0")/lib/scenario.bash"
at() { LD_PRELOAD=$faketime FAKETIME="$1" FAKETIME_DONT_FAKE_MONOTONIC=1 "${@:2}"; }
faketime=$(dpkg -L libfaketime | grep 'libfaketimeMT.so.1$')
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 64 16 1
agent h1 backup c="$work/c.img"
server_stop

note "the host's clock is wrong by years"
server_start
for when in '-10y' '+25y'; do
	if ! at "$when" "$bin/holdfast-agent" --state "$work/agent-h1" --machine-id "$work/machine-id" backup c="$work/c.img" --retry-for 0s 2> "$work/e"; then
		tail -1 "$work/e" | grep -Ei 'clock|valid|expired' > /dev/null || fail "$when: $(tail -2 "$work/e")"
		note "$when: $(tail -1 "$work/e")"
	fi
done
agent h1 backup c="$work/c.img"
server_stop

server_at() {
	export LD_PRELOAD=$faketime FAKETIME=$1 FAKETIME_DONT_FAKE_MONOTONIC=1
	server_start
	unset LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC
}
note "the server's clock is set back by hours: points stay in order"
server_at -5h
agent h1 backup c="$work/c.img" --retry-for 0s
agent h1 points --json > "$work/p"
python3 - "$work/p" <<'PY'
import json, sys
text = open(sys.argv[1]).read()
points = json.loads(text) if text.lstrip().startswith("[") else [json.loads(l) for l in text.splitlines()]
order = sorted(points, key=lambda p: p["sequence"])
times = [p["time_us"] for p in order]
assert len(order) >= 3 and times == sorted(times), times
PY
server_stop

note "by a year, or forward by ten: said in a line, and over with the right time"
for when in -1y +10y; do
	server_at $when
	refuses 'certificate .*(not valid before|expired)' agent h1 backup c="$work/c.img" --retry-for 0s
	server_stop
done

note "forward by a year: pruning and locks wait, and it is said, until it is over"
server_start
operator lock h1/1 --until 30d > /dev/null
operator policy set --keep-last 1 > /dev/null
kept=$(operator points --json | grep -c '"sequence"')
server_stop
server_at +1y
as() { at +1y operator "$@"; }
as hosts | grep 'ALARM: the server.s clock is 36[0-9] days ahead' > /dev/null || fail "no alarm: $(as hosts)"
as stats --json | python3 -c 'import json,sys; assert "clock" in json.load(sys.stdin)["alarms"][0]'
grep -q 'warning: store: the server.s clock is' "$work/server.log" || fail "not in the log"
refuses 'clock|time|locked' as forget h1/1
refuses 'clock|time' as forget h1/2
as prune > "$work/pruned" 2>&1 || true
grep -q clock "$work/pruned" || fail "prune does not say why: $(cat "$work/pruned")"
[ "$(as points --json | grep -c '"sequence"')" = "$kept" ] || fail "points went"
server_stop
server_start
[ -z "$(operator hosts | grep '^ALARM:')" ] || fail "the alarm stays: $(operator hosts)"
refuses 'locked' operator forget h1/1
operator policy remove > /dev/null
await 50 grep -q 'store: the server.s clock is believed again' "$work/server.log"
operator audit --who store | grep 'an alarm is over' > /dev/null || fail "not in the audit"
server_stop
note "... or an operator says that it is right"
server_at +30d
as() { at +30d operator "$@"; }
as hosts | grep 'ALARM: the server.s clock' > /dev/null || fail "no alarm"
as clock accept
[ -z "$(as hosts | grep '^ALARM:')" ] || fail "the alarm stays"
server_stop
server_at +31d
as() { at +31d operator "$@"; }
[ -z "$(as hosts | grep '^ALARM:')" ] || fail "the alarm is back"
server_stop
note "and then was wrong: nobody goes back unseen either"
server_start
operator hosts | grep 'ALARM: the server.s clock is 3[01] days behind' > /dev/null || fail "no alarm: $(operator hosts)"
operator clock accept
[ -z "$(operator hosts | grep '^ALARM:')" ] || fail "the alarm stays"
operator audit | grep "admin .*accepted the server's clock" > /dev/null || fail "not in the audit"
server_stop

server_start
agent h1 backup c="$work/c.img" --retry-for 0s
for n in 1 latest; do
	agent h1 restore $n --volume c --to "$work/r.$n"
	ntfs_equal "$work/c.img" "$work/r.$n"
done
operator verify --trees
server_stop
