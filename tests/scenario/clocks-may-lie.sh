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
	if ! at "$when" "$bin/holdfast-agent" --state "$work/agent-h1" backup c="$work/c.img" --retry-for 0s 2> "$work/e"; then
		tail -1 "$work/e" | grep -Eiq 'clock|valid|expired' || fail "$when: $(tail -2 "$work/e")"
		note "$when: $(tail -1 "$work/e")"
	fi
done
agent h1 backup c="$work/c.img"
server_stop

note "the server's clock is set back by a year: points stay in order"
export LD_PRELOAD=$faketime FAKETIME=-1y FAKETIME_DONT_FAKE_MONOTONIC=1
server_start
unset LD_PRELOAD FAKETIME
agent h1 backup c="$work/c.img" --retry-for 0s || note "refused by clock"
agent h1 points --json > "$work/p"
python3 - "$work/p" <<'PY'
import json, sys
text = open(sys.argv[1]).read()
points = json.loads(text) if text.lstrip().startswith("[") else [json.loads(l) for l in text.splitlines()]
points = points if isinstance(points, list) else points["points"]
order = sorted(points, key=lambda p: p["sequence"])
times = [str(p["time"]) for p in order]
assert len(order) >= 2 and times == sorted(times), times
PY
server_stop
server_start
agent h1 restore 1 --volume c --to "$work/r.img"
ntfs_equal "$work/c.img" "$work/r.img"
operator verify --trees
server_stop
