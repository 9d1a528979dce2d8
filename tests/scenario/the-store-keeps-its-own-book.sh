#!/bin/bash
# Goal: operators see who did what, by a chain that proves itself; what a deletion
# would free; and whether the store's clock and disk are well.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_config 'reserve = 8M'
server_start
enrol h1
enrol h2
mkdir "$work/big"
head -c 6M /dev/urandom > "$work/shared.img"
{ cat "$work/shared.img"; head -c 2M /dev/urandom; } > "$work/h1.img"
{ cat "$work/shared.img"; head -c 3M /dev/urandom; } > "$work/h2.img"
agent h1 backup v="$work/h1.img"
agent h2 backup v="$work/h2.img"
head -c 1M /dev/urandom | dd of="$work/h1.img" bs=1M seek=7 conv=notrunc status=none
agent h1 backup v="$work/h1.img"

note "what nothing else uses"
operator stats --hosts --json > "$work/u"
operator stats --point h1/2 --json > "$work/u.2"
operator stats --host h2 --json > "$work/u.h2"
python3 - "$work/u" "$work/u.2" "$work/u.h2" <<'PY'
import json, sys
hosts, point, one = (json.load(open(p)) for p in sys.argv[1:])
near = lambda got, mib: abs(got - mib * 2**20) <= 400 * 1024 or sys.exit("%d is not about %d MiB" % (got, mib))
by = {h["host"]: h for h in hosts}
near(by["h1"]["own_bytes"], 3)
near(by["h2"]["own_bytes"], 3)
near(point[0]["own_bytes"], 1)
assert by["h1"]["points"] == 2 and point[0]["points"] == 1
assert one == [by["h2"]], one
assert by["h2"]["own_stored_bytes"] > 2.5 * 2**20
PY
operator stats | grep 'reserve .*8.0 MiB' > /dev/null || fail "no reserve"
operator stats --json | python3 -c 'import json,sys; s=json.load(sys.stdin); assert s["reserve_bytes"] == 8<<20 and s["alarms"] == [] and len(s["domain"]) == 64'
refuses 'no point 9' operator stats --point h1/9

note "who did what, and that nothing is missing"
operator audit > "$work/a"
for what in 'init .*made the store' 'admin .*made a token' 'h1 .*was enrolled'; do
	grep -Eq "$what" "$work/a" || fail "not in the audit: $what"
done
operator audit --who h2 --json | python3 -c 'import json,sys; a=json.load(sys.stdin); assert a and all(e["who"] == "h2" for e in a)'
[ "$(operator audit --since 2090-01-01 --json)" = "[]" ] || fail "the future has entries"
operator audit --check > "$work/head.1"
grep -Eq '^head [0-9]+:[0-9a-f]{64}$' "$work/head.1" || fail "no head: $(cat "$work/head.1")"
operator revoke h2 > /dev/null
operator audit --check --json | python3 -c 'import json,sys; h=json.load(sys.stdin); assert h["whole"] and len(h["head"]) == 64'
server_stop

note "a second server is refused, so is a directory with something in it"
server_start
refuses "in use by process $server_pid" "$bin/holdfastd" --config "$work/holdfastd.conf"
server_stop
echo something > "$work/big/file"
refuses 'not empty' "$bin/holdfast" init "$work/big" --operator-dir "$work/op2"
[ "$(ls "$work/big")" = file ] || fail "it left something behind"
refuses 'not empty|exists|is a store' "$bin/holdfast" init "$work/store" --operator-dir "$work/op2"
