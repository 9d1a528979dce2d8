#!/bin/bash
# Goal: an agent killed in the middle leaves no point; the next run does not send
# again what was stored, nor does what it left grow.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
noise 300 "$work/big.img"
size=$(stat -c %s "$work/big.img")
packs() { du -sb "$work/store/packs" | cut -f1; }
agent h1 backup big="$work/big.img" > "$work/b.out" 2> "$work/b.err" &
pid=$!
pids+=($pid)
grown() { [ "$(packs)" -gt $((size / 3)) ] || ! kill -0 $pid 2>/dev/null; }
await 300 grown
pkill -KILL -P $pid || true	# The shell's child is the agent.
kill -KILL $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
[ "$(operator points --json | grep -c '"sequence"')" = 0 ] || fail "a point of a killed backup"
agent h1 backup big="$work/big.img"
[ "$(packs)" -lt $((size * 11 / 10)) ] || fail "stored twice: $(packs) bytes of packs for $size"
agent h1 restore latest --volume big --to "$work/r.big"
cmp "$work/big.img" "$work/r.big"
server_stop

# What a killed agent wrote of its tree is gone as soon as the next one begins: who is killed each time fills no disk.
for left in "$work/agent-h1/cache/big=nodes"{0,1}; do [ -e "$left" ] || break; done
[ ! -e "$left" ] || fail "both bags are there after a point"
head -c 1000000 /dev/zero > "$left"
agent h1 backup big="$work/big.img" > "$work/b.out" 2> "$work/b.err" &
pid=$!
pids+=($pid)
await 60 test ! -e "$left"
kill -0 $pid || fail "ended without its server"
pkill -KILL -P $pid || true
kill -KILL $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
