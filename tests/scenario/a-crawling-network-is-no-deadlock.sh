#!/bin/bash
# Goal: both ends have the smallest socket buffers there are, and between them a
# relay with the same passes a byte at a time or a few, stalling at random in
# either direction.  Backups and restores end all the same, and equal.
. "$(dirname "$0")/lib/scenario.bash"
patience=${HOLDFAST_PATIENCE:-240}    # Seconds for each: it takes about 5.  A deadlock lasts longer.
server_init
server_config 'socket-buffer = 1' 'silence-timeout = 1h'
server_start
for n in 1 2; do
	enrol h$n
	printf '[agent]\nsocket-buffer = 1\n' > "$work/agent-h$n/agent.conf"
done
# Many small files are many names to ask for, and answers to them; noise is groups.
sums() { (cd "$1" && sha256sum ./*); }
tiny_files() { for i in $(seq 600); do echo "file $1 $i" > "$2/$i"; done; }
truncate -s 12M "$work/c.img"
mkntfs -q -Q -F -s 512 -p 0 -H 255 -S 63 "$work/c.img" > /dev/null 2>&1
mounted_ntfs "$work/c.img" rw,noatime tiny_files c
head -c 700K /dev/urandom > "$work/d.img"
seed=${HOLDFAST_SEED:-$RANDOM}
note "seed $seed"
python3 "$here/relay.py" "$server" "$work/relay" crawl $seed 2> "$work/relay.err" &
pids+=($!)
await 20 test -s "$work/relay"
crawling() { # HOST ARGUMENTS...: over the relay, or failed if it takes too long
	local host=$1 status=0
	shift
	timeout -s KILL $patience "$bin/holdfast-agent" --state "$work/agent-$host" --machine-id "$work/machine-id" \
	    --server "$(cat "$work/relay")" "$@" > "$work/$host.out" 2>&1 || status=$?
	[ $status -ne 137 ] || fail "$host: not done after $patience s, seed $seed: $*"
	[ $status -eq 0 ] || fail "$host: $* ended with $status: $(cat "$work/$host.out")"
}
both() { # the same for two hosts at once
	local a b
	crawling h1 "$@" & a=$!
	crawling h2 "$@" & b=$!
	pids+=($a $b)
	wait $a || fail "h1 failed"
	wait $b || fail "h2 failed"
}
both backup c="$work/c.img" d="$work/d.img"
note "backed up after $SECONDS s"
both backup --no-cache c="$work/c.img" d="$work/d.img"
grep -q 'trying again' "$work"/h?.out && fail "a session was lost: $(cat "$work"/h?.out)"
note "all asked for again after $SECONDS s"
for n in 1 2; do
	crawling h$n restore latest --volume d --to "$work/d.back" --force
	cmp "$work/d.img" "$work/d.back"
	crawling h$n restore latest --volume c --to "$work/c.back" --force
	cmp <(mounted_ntfs "$work/c.img" ro sums) <(mounted_ntfs "$work/c.back" ro sums) || fail "files differ"
done
note "restored after $SECONDS s"
server_stop
