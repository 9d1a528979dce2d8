#!/bin/bash
# Goal: another machine copies the store from the running server, with an admin's
# identity and nothing else: no key of the store goes there.  Killed half way it goes
# on where it was, the next time it brings what is new, damage at the server is named;
# and the copy takes the server's place.
. "$(dirname "$0")/lib/scenario.bash"
server_init
"$bin/holdfast" keys export "$work/store" "$work/keys" --plain > /dev/null
server_start
for host in h1 h2; do enrol $host; done
# Packs are sealed when the server ends: the big one comes behind others.
head -c 2M /dev/urandom > "$work/small.img"
agent h2 backup small="$work/small.img" --quiet
server_stop
server_start
head -c 24M /dev/urandom > "$work/big.img"
agent h2 backup big="$work/big.img" --quiet
copy() { operator store copy "$work/second" "$@"; }

note "killed half way, and gone on with"
"$bin/holdfast" --operator "$work/operator" --server "$server" \
    store copy "$work/second" --max-rate 512K > /dev/null 2>&1 &
busy=$!
pids+=($busy)
half() { [ -n "$(find "$work/second/packs" -name '*.pack' 2>/dev/null)" ] || ! kill -0 $busy 2>/dev/null; }
await 120 half
kill -KILL $busy 2>/dev/null || fail "it was done before it could be killed"
wait $busy 2>/dev/null || true
[ ! -e "$work/second/format" ] || fail "it was whole already"
had=$(find "$work/second/packs" -name '*.pack' | wc -l)
copy | tee "$work/first"
read -r all new _ < <(sed 's/ packs,//' "$work/first")
[ "$had" -ge 1 ] && [ "$new" = $((all - had)) ] || fail "$had of $all packs were there, $new were copied"
grep -q ', 0 removed; .*: 0 problems' "$work/first" || fail "the first copy"
if find "$work/second" | grep '/keys' > /dev/null; then fail "the keys are in the copy"; fi
"$bin/holdfast" store verify-copy "$work/second" --keys "$work/keys" | grep ': 0 problems'

note "beside a backup, and what is new"
ntfs_make "$work/c.img" 32 6 1
agent h1 backup c="$work/c.img" --quiet &
busy=$!
pids+=($busy)
copy > /dev/null
wait $busy || fail "the backup beside it"
copy > /dev/null
copy | tee "$work/again"
grep -q " 0 of them new, 0 B copied, 0 removed; " "$work/again" || fail "what was there was copied again"
ntfs_change "$work/c.img" 1
agent h1 backup c="$work/c.img" --quiet
copy | tee "$work/now"
# Sealed only now, behind the copy's last record; and its points rest on them.
grep -q ', 2 of them new, .*: 0 problems' "$work/now" || fail "it lacks packs of the last point"
operator audit | grep 'began to copy the store elsewhere' > /dev/null || fail "the audit does not know"

note "what is removed goes from the copy, too"
operator forget h2/1 > /dev/null
operator gc > /dev/null
copy | tee "$work/last"
grep -Eq ', [1-9][0-9]* removed; .*: 0 problems' "$work/last" || fail "nothing was removed"
"$bin/holdfast" store verify-copy "$work/second" --keys "$work/keys" | grep ': 0 problems'

note "who may not"
operator operator add reader --role restorer --out "$work/reader" > /dev/null
refuses 'restorer may not send CopyOpen' "$bin/holdfast" --operator "$work/reader" \
    --server "$server" store copy "$work/stolen"
refuses 'only with DIR DEST' operator store copy "$work/third" --with-keys
mkdir "$work/full"
touch "$work/full/mine"
refuses 'not empty' operator store copy "$work/full"

note "a flipped byte at the server"
pack=$(basename "$(find "$work/store/packs" -name '*.pack' | sort | head -1)")
flip() { printf 'rot' | dd of="$1" bs=1 seek=2000 conv=notrunc status=none; }
flip "$work/store/packs/$pack"
copy | grep ': 0 problems'      # The good copy stays.
cmp -s "$work/store/packs/$pack" "$work/second/packs/$pack" && fail "the damage was copied over a good copy"
status=0
operator store copy "$work/late" > "$work/late.out" 2>&1 || status=$?
[ $status = 1 ] || fail "exit $status"
grep "pack ${pack%.pack} is damaged at" "$work/late.out" || fail "the damage is not named"

note "the server is gone, the copy takes its place"
server_stop
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
server_stop
