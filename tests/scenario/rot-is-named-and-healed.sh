#!/bin/bash
# Goal: a byte of a pack rots; verify names the pack, the point and the volume, and
# points say so; the next backup of the same content heals it.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
noise 8 "$work/d.img"
agent h1 backup d="$work/d.img"
operator verify --trees | tee "$work/said"
grep -q '1 points looked at, 1 verified: 0 bad' "$work/said" || fail "not verified"
operator show h1/1 | grep '^verified ' | grep -v never > /dev/null || fail "show does not say when"
operator verify --since 1h | tee "$work/said"
grep -q '^0 B in 0 groups' "$work/said" || fail "what was just checked was read again"

note "a bit rots while the server runs"
pack=$(find "$work/store/packs" -name '*.pack' -size +1M | head -1)
python3 - "$pack" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(300000); b = f.read(1)[0]; f.seek(300000); f.write(bytes([b ^ 4]))
END
for how in "" --all; do
	refuses "1 bad groups, 2 problems" operator verify $how
	grep -Eq 'pack [0-9a-f]{8} at [0-9]+: .* does not match' "$work/refused.err" || fail "the group is not named"
	grep -Eq 'h1 point 1 volume d: [0-9]+ chunks .* lies in pack [0-9a-f]{8} at' "$work/refused.err" || fail "the point is not named"
done
operator show h1/1 | tee "$work/said"
grep -q '^DAMAGED ' "$work/said" || fail "show does not say that it is damaged"
operator points h1 | grep DAMAGED > /dev/null || fail "points do not say it"
operator hosts | grep "^h1 .*1 of its points DAMAGED" > /dev/null || fail "hosts do not say it"
operator hosts --json | grep '"damaged": 1' > /dev/null || fail "hosts --json does not say it"

note "the same content again heals it"
agent h1 backup d="$work/d.img"
operator verify --trees | tee "$work/said"
grep -q '2 verified: 0 bad, 1 bad but sent again since' "$work/said" || fail "not healed"
operator points h1 | grep DAMAGED > /dev/null && fail "still said to be damaged"
operator hosts | grep DAMAGED > /dev/null && fail "hosts still say it"
for n in 1 2; do
	agent h1 restore $n --volume d --to "$work/r.img"
	cmp "$work/d.img" "$work/r.img" || fail "point $n differs"
	rm "$work/r.img"
done
