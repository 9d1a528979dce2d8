#!/bin/bash
# Goal: the server's machine is gone.  A new one gets the store's disk, without its
# keys, configuration and operators, at another place, and the exported keys; one
# command later every agent is back unaided, nobody who was out is in, and restores
# equal their sources.
. "$(dirname "$0")/lib/scenario.bash"
echo 'correct horse battery' > "$work/passphrase"
echo 'correct horse batterz' > "$work/wrong"
server_init
server_start
grep -q 'keys were never exported' "$work/server.log" || fail "the log does not remind"
operator stats | grep 'keys  *NEVER EXPORTED' > /dev/null || fail "stats does not remind"
export_keys() { operator keys export "$work/store" --passphrase-file "$work/passphrase" "$@"; }
export_keys "$work/safe" 2> "$work/export.err"
[ ! -s "$work/export.err" ] || fail "the server was not told: $(cat "$work/export.err")"
operator stats | grep 'keys  *exported 20.* by admin' > /dev/null || fail "the server does not know: $(operator stats)"
[ "$(stat -c %a "$work/safe")" = 600 ] || fail "others may read the exported keys"
refuses 'exists' export_keys "$work/safe"
for host in h1 h2 out; do enrol $host; done
unused=$(operator enroll-token)
operator revoke out > /dev/null
noise 6 "$work/a.img"
ntfs_make "$work/c.img" 48 8 1
cat > "$work/agent-h1/agent.conf" <<END
[agent]
interval = 2s
retry-for = 10m
[volume a]
path = $work/a.img
END
"$bin/holdfast-agent" --state "$work/agent-h1" --machine-id "$work/machine-id" run > "$work/run.out" 2>&1 &
pids+=($!)
agent h2 backup c="$work/c.img" --quiet
cp --sparse=always "$work/c.img" "$work/c.1"
ntfs_change "$work/c.img" 1
agent h2 backup c="$work/c.img" --quiet
points() { operator points "$1" --json 2> /dev/null | grep -c '"sequence"' || true; }
has_points() { [ "$(points "$1")" -ge "$2" ]; }
await 60 has_points h1 2

note "the machine is gone; its disk is in another"
server_kill
mkdir "$work/elsewhere"
mv "$work/store" "$work/elsewhere/disk"
store=$work/elsewhere/disk
rm -rf "$store/keys" "$store/lock" "$work/operator" "$work/holdfastd.conf" "$store/holdfastd.conf"
# What a cut left of the caches.
truncate -s 5000 "$store/catalog.db"
recover() { "$bin/holdfast" recover "$store" --passphrase-file "$work/passphrase" "$@"; }
refuses 'without its keys' recover
"$bin/holdfast" init "$work/another" > /dev/null
"$bin/holdfast" keys export "$work/another" "$work/another.keys" --plain
refuses 'another store' recover --keys "$work/another.keys"
refuses 'not this passphrase' "$bin/holdfast" recover "$store" --keys "$work/safe" --passphrase-file "$work/wrong"
head -c 100 "$work/safe" > "$work/torn"
refuses 'escrow file' recover --keys "$work/torn"
[ ! -e "$store/keys" ] || fail "wrong keys were taken"

note "one command"
recover --keys "$work/safe" --listen "127.0.0.1:$server_port" --config "$work/holdfastd.conf" | tee "$work/recover.out"
operator=$store/operator
[ -f "$operator/operator.key" ] || fail "no operator"
grep -q '  admin (admin)' "$work/recover.out" || fail "the admin of before is not named"
echo "ready-file = $work/ready" >> "$work/holdfastd.conf"
server_start
refuses 'in use' recover
refuses 'in use' "$bin/holdfast" catalog rebuild "$store"
mv "$operator" "$work/operator"

note "all are back"
had=$(points h1)
await 120 has_points h1 $((had + 1))
agent h2 backup c="$work/c.img" --quiet
[ "$(points h2)" = 3 ] || fail "h2 has not three points: $(operator points h2)"
refuses 'revoked' agent out points
agent h3 enroll "$unused" --name h3 > /dev/null
agent h3 backup a="$work/a.img" --quiet
operator hosts --json > "$work/hosts"
grep '"alarm": *"[^"]' "$work/hosts" && fail "an alarm: $(cat "$work/hosts")"
operator verify --trees
operator restore h2/1 --volume c --to "$work/c.back" --quiet
ntfs_equal "$work/c.1" "$work/c.back"
agent h2 restore latest --volume c --to "$work/c.back2" > /dev/null
ntfs_equal "$work/c.img" "$work/c.back2"
agent h1 restore latest --volume a --to "$work/a.back" > /dev/null
cmp "$work/a.img" "$work/a.back"
server_stop

note "index and catalog from nothing"
rm -rf "$store/index" "$store"/catalog.db*
"$bin/holdfast" catalog rebuild "$store"
"$bin/holdfast" index rebuild "$store"
server_start
agent h2 restore 1 --volume c --to "$work/c.back3" > /dev/null
cmp "$work/c.back" "$work/c.back3"
server_stop

note "recover again and again: what the configuration said is not lost"
echo '; mine' > "$work/mine.conf"
for i in 1 2; do
	recover --config "$work/mine.conf" --operator-dir "$work/operator-$i" > /dev/null
done
[ "$(cat "$work/mine.conf.before")" = '; mine' ] || fail "the first is lost: $(cat "$work/mine.conf.before")"
grep -q '^; mine' "$work/mine.conf" || fail "what it said is gone"
