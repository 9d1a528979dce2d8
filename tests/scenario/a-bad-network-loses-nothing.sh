#!/bin/bash
# Goal: over a line that delays each packet and loses some, that is cut without a word,
# and behind which the server is killed, backups and restores end by themselves, equal;
# what ends with an error leaves no half file.
#
#   HOLDFAST_LINE="--delay 200 --loss 5"   HOLDFAST_MIB=4   HOLDFAST_SEED   the line, each volume's noise
#   HOLDFAST_WINDOWS=BUILD   the agent is the Windows program, under Wine
if [ -z "${HOLDFAST_NAMESPACE:-}" ]; then
	# A network of our own: the server's side.
	HOLDFAST_NAMESPACE=1 exec unshare --net "$0" "$@"
fi
if [ -n "${HOLDFAST_WINDOWS:-}" ]; then
	. "$(dirname "$0")/../windows/wine.sh"
else
	. "$(dirname "$0")/lib/scenario.bash"
	wine_path() { printf %s "$1"; }
fi
tools=$here/../../tools
line=${HOLDFAST_LINE:---delay 200 --loss 5}
mib=${HOLDFAST_MIB:-4}
seed=${HOLDFAST_SEED:-$RANDOM}
note "line $line, seed $seed"

unshare --net sleep 100000 & far=$!
pids+=($far)
other() { [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; }
await 20 other
connect() { # ARGUMENTS...: the line, from now on with these
	[ -z "${link:-}" ] || { kill "$link"; wait "$link" || true; }
	rm -f "$work/line"
	# Large packets: what is lost costs a round trip each, whatever its size.
	"$tools/link.py" "$work/line" $far --mtu 9000 --seed "$seed" "$@" > "$work/line.out" &
	link=$!
	pids+=($link)
	await 20 test -s "$work/line"
}
connect --delay 0
server_init
# Little is under way in the server's buffers, or all would be there before it is killed.
server_config 'socket-buffer = 64K'
sed -i 's/^listen = .*/listen = 0.0.0.0:0/' "$work/holdfastd.conf"
server_start
port=${server##*:}
server=127.0.0.1:$port
sed -i "s/^listen = .*/listen = 0.0.0.0:$port/" "$work/holdfastd.conf"
there() { nsenter --net=/proc/$far/ns/net timeout -s KILL "${HOLDFAST_PATIENCE:-300}" "$@"; }
if [ -n "${HOLDFAST_WINDOWS:-}" ]; then
	# Wine's server makes the sockets: all of Wine is there.
	wine() { nsenter --net=/proc/$far/ns/net wine "$@"; }
	wine_begin
	program=(wine "$windows/bin/holdfast-agent.exe")
else
	program=("$bin/holdfast-agent" --machine-id "$work/machine-id")
fi
afar() { # ARGUMENTS...: the agent, behind the line
	there "${program[@]}" --state "$(wine_path "$work/agent-h1")" --server "10.77.0.1:$port" "$@"
}
afar enroll "$(operator enroll-token)" --name h1 > "$work/enrol.out"
head -c $((mib * 128))K /dev/urandom > "$work/a.img"
for v in b c d; do head -c ${mib}M /dev/urandom > "$work/$v.img"; done

note "delays and losses"
connect $line
afar backup a="$(wine_path "$work/a.img")" --quiet
afar restore 1 --volume a --to "$(wine_path "$work/a.back")" --quiet
cmp "$work/a.img" "$work/a.back"
kill "$link"; wait "$link" || true
note "the line: $(cat "$work/line.out") after $SECONDS s"
python3 - "$work/line.out" <<-'END'
	import json, sys
	ways = json.load(open(sys.argv[1]))
	assert all(w["passed"] > 20 for w in ways.values()) and sum(w["lost"] for w in ways.values()) > 0, ways
END
link=

# A slower line than any machine, so that what happens happens in the middle.
rate=$((mib * 512 * 1024))
stored() { du -sb "$work/store/packs" | cut -f1; }
part() { [ "$(stored)" -gt $((before + mib * 200000)) ] || ! kill -0 "$pid" 2>/dev/null; }
begin() { # ARGUMENTS...: in the background, up to its middle
	before=$(stored)
	afar "$@" > "$work/out" 2>&1 & pid=$!
	pids+=($pid)
}
ended() { wait $pid || fail "$1: $(tail -3 "$work/out")"; }

# From here on silence is a fault; above it is what the losses make of a few packets.
printf '[agent]\nsilence-timeout = 5s\n' > "$work/agent-h1/agent.conf"
echo 'silence-timeout = 5s' >> "$work/holdfastd.conf"

note "the server is killed while it receives, over such a line"
connect --delay 20 --rate $rate
begin backup b="$(wine_path "$work/b.img")" --retry-for 120s
await 120 part
kill -0 $pid 2>/dev/null || fail "too quick to be killed"
server_kill
server_start
ended "the server killed"
grep -q 'trying again' "$work/out" || fail "nothing was lost: $(cat "$work/out")"

note "the line is cut while a backup runs: nobody is told"
begin backup c="$(wine_path "$work/c.img")" --retry-for 120s
await 120 part
kill -0 $pid 2>/dev/null || fail "too quick to be cut"
kill -USR1 $link
noticed() { grep -q 'trying again' "$work/out"; }
await 60 noticed
kill -USR2 $link
ended "the line cut"
note "after $SECONDS s"

note "and while a restore runs: an error, no half file; then by delta or anew"
grown() { [ "$(du -k "$work/c.back.partial" 2>/dev/null | cut -f1)" -ge 64 ] 2>/dev/null || ! kill -0 $pid 2>/dev/null; }
begin restore latest --volume c --to "$(wine_path "$work/c.back")"
await 120 grown
kill -0 $pid 2>/dev/null || fail "too quick to be cut"
kill -USR1 $link
! wait $pid || fail "a restore over a cut line ended well"
[ ! -e "$work/c.back" ] && [ ! -e "$work/c.back.partial" ] || fail "half a file stays"
grep -q silent "$work/out" || fail "not said: $(cat "$work/out")"
kill -USR2 $link
begin restore latest --volume c --to "$(wine_path "$work/c.back")"
await 120 grown
kill -0 $pid 2>/dev/null || fail "too quick to be killed"
server_kill
! wait $pid || fail "a restore without a server ended well"
[ ! -e "$work/c.back" ] && [ ! -e "$work/c.back.partial" ] || fail "half a file stays"
server_start
connect --delay 20
for v in a b c; do
	afar restore latest --volume $v --to "$(wine_path "$work/$v.back")" --force --quiet
	cmp "$work/$v.img" "$work/$v.back"
done
operator verify --trees > /dev/null
note "all in $SECONDS s"
server_stop
