#!/bin/bash
# Goal: the server copies its store to another place while hosts back up, again and
# again; the copy is found good, and with the exported keys it is a server's store,
# from which everything comes back, after the first one is gone.
. "$(dirname "$0")/lib/scenario.bash"
server_init
"$bin/holdfast" keys export "$work/store" "$work/keys" --plain > /dev/null
server_start
refuses 'copy-to' operator store copy
server_stop
server_config "copy-to = $work/second"
server_start
for host in h1 h2; do enrol $host; done
ntfs_make "$work/c.img" 48 8 1
agent h1 backup c="$work/c.img" --quiet
operator store copy | tee "$work/first"
grep -q ', 0 removed; .*: 0 problems' "$work/first" || fail "the first copy"
[ ! -e "$work/second/keys" ] || fail "the keys are in the copy"
noise 24 "$work/big.img"
agent h2 backup big="$work/big.img" --quiet &
busy=$!
pids+=($busy)
for i in 1 2 3; do operator store copy --max-rate 200M > /dev/null || fail "copy $i"; done
wait $busy || fail "the backup beside it"
ntfs_change "$work/c.img" 1
agent h1 backup c="$work/c.img" --quiet

note "a copy that takes hours keeps nobody from what else takes long"
"$bin/holdfast" --operator "$work/operator" --server "$server" store copy --max-rate 1K > /dev/null 2>&1 &
slow=$!
pids+=($slow)
copying() { operator audit | tail -1 | grep 'began to copy' > /dev/null; }
await 20 copying
timeout 300 "$bin/holdfast" --operator "$work/operator" --server "$server" gc > /dev/null || fail "gc waits for the copy"
timeout 300 "$bin/holdfast" --operator "$work/operator" --server "$server" stats --hosts > /dev/null || fail "stats waits for the copy"
kill $slow
wait $slow || true
copied() { operator store copy > "$work/last" 2> /dev/null; }
await 30 copied
cat "$work/last"
operator store verify-copy
refuses 'in use' "$bin/holdfast" store copy "$work/store" "$work/third"

note "a pack of the copy rots"
pack=$(find "$work/second/packs" -name '*.pack' | sort | head -1)
printf 'rot' | dd of="$pack" bs=1 seek=2000 conv=notrunc status=none
refuses 'is damaged at' operator store verify-copy
rm "$pack"
operator store copy | grep ', 1 of them new' || fail "the pack was not copied again"
operator store verify-copy | grep ': 0 problems'

note "the server is gone, the copy takes its place"
server_stop
"$bin/holdfast" store verify-copy "$work/second" --keys "$work/keys"
rm -rf "$work/store" "$work/operator" "$work/holdfastd.conf"
"$bin/holdfast" recover "$work/second" --keys "$work/keys" --listen "127.0.0.1:$server_port" \
    --config "$work/holdfastd.conf" --operator-dir "$work/operator" > /dev/null
echo "ready-file = $work/ready" >> "$work/holdfastd.conf"
server_start
agent h1 points > "$work/points" 2>&1
grep WARNING "$work/points" && fail "a point of h1 is lost: $(cat "$work/points")"
operator verify --trees
agent h1 restore latest --volume c --to "$work/c.back" > /dev/null
ntfs_equal "$work/c.img" "$work/c.back"
agent h2 restore latest --volume big --to "$work/big.back" > /dev/null
cmp "$work/big.img" "$work/big.back"
server_stop

note "a store that is not served is copied by the command itself"
"$bin/holdfast" store copy "$work/second" "$work/third" --with-keys
"$bin/holdfast" store verify-copy "$work/third" | grep ': 0 problems'
"$bin/holdfast" keys export "$work/third" "$work/third.keys" --plain    # A record of its own.
refuses 'opened as a store' "$bin/holdfast" store copy "$work/second" "$work/third"

note "what was done without the server is in its book"
"$bin/holdfast" repair "$work/second" > /dev/null
server_start
operator audit > "$work/audit"
grep -q 'local .*began to copy the store and its keys, to' "$work/audit" || fail "the copy is not: $(cat "$work/audit")"
grep -q 'local .*began to repair the store' "$work/audit" || fail "the repair is not: $(cat "$work/audit")"
server_stop
