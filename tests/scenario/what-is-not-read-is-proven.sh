#!/bin/bash
# Goal: an incremental by a list of changes gives the same tree as reading all, on
# NTFS volumes that ntfs-3g changed between the runs and on volumes of no known kind;
# it reads no more than what changed and a slice, of the tables too; a list that is not complete is
# found out within one round, all is read at once, and the points in doubt are named.
. "$(dirname "$0")/lib/scenario.bash"

server_init
server_start
enrol pc

# ranges OLD NEW: what differs, in ranges of 4 KiB.
ranges() {
	python3 - "$1" "$2" <<'PY'
import sys
grain, begin, at = 4096, None, 0
with open(sys.argv[1], "rb") as a, open(sys.argv[2], "rb") as b:
    while True:
        x, y = a.read(grain), b.read(grain)
        if x != y and begin is None:
            begin = at
        if x == y and begin is not None:
            print(begin, at - begin)
            begin = None
        if not y:
            break
        at += len(y)
PY
}
# backup IMAGE ARGS...: one more point; its account goes to $work/last.json.
backup() {
	agent pc --json --quiet backup "c=$1" "${@:2}" > "$work/last.json"
}
of() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/last.json" "$1"; }
# step: one more incremental of c.img by what differs from the last one, checked.
step() {
	ranges "$work/before.img" "$work/c.img" > "$work/list"
	backup "$work/c.img" --changed-from "$work/list" --check-changes
	[ "$(of kept_bytes)" -gt 0 ] || fail "nothing was kept: $(cat "$work/last.json"), $(operator show pc | grep note)"
	cp --sparse=always "$work/c.img" "$work/before.img"
}

ntfs_make "$work/c.img" 160 48 1
cp --sparse=always "$work/c.img" "$work/before.img"
: > "$work/list"
backup "$work/c.img" --changed-from "$work/list"
[ "$(of kept_bytes)" = 0 ] || fail "kept something without a base"
tables=$(of map_bytes)
for seed in 2 3; do
	ntfs_change "$work/c.img" $seed
	step
	changed=$(awk '{ s += $2 } END { print s }' "$work/list")
	note "changed $changed, read $(of read_bytes), kept $(of kept_bytes), proven $(of proven_bytes), tables $(of map_bytes) of $tables"
done
# Nothing changed: of the tables the slice that is due, if any.
step
[ "$(of map_bytes)" -lt $((tables / 2)) ] || fail "read $(of map_bytes) of $tables bytes of tables though nothing changed"
# What was kept of them is damaged, or gone: they are read again, and nothing else is wrong.
kept=$(ls "$work"/agent-pc/cache/*=tables)
python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(0); b = f.read(); f.seek(0); f.write(bytes(x ^ 0x41 for x in b))' "$kept"
step
[ "$(of map_bytes)" -ge $((tables / 2)) ] || fail "damaged tables were taken: $(of map_bytes) of $tables bytes were read"

# A list that is not complete is found out by the proof, or else by the hidden compare.
: > "$work/list"
ntfs_change "$work/c.img" 6
agent pc --quiet backup "c=$work/c.img" --changed-from "$work/list" --check-changes > /dev/null 2> "$work/said" || true
grep -Eq 'reading everything gives another tree|nothing said that it changed' "$work/said" || fail "an empty list passed: $(cat "$work/said")"
note "$(tail -1 "$work/said")"
# Nor is one that is no list, or none at all.
echo '4096 lots' > "$work/list"
refuses 'list:1: a range is two numbers of bytes' agent pc --quiet backup "c=$work/c.img" --changed-from "$work/list"
refuses 'nowhere: No such file' agent pc --quiet backup "c=$work/c.img" --changed-from "$work/nowhere"
refuses 'tells of one volume' agent pc --quiet backup "c=$work/c.img" "d=$work/before.img" --changed-from "$work/nowhere"

# A volume that nobody knows, cut by content alone: bytes change, come, go and become zeros.
noisy() { # SEED: change it
	python3 - "$1" "$work/n.img" <<'PY'
import random, sys
r = random.Random(int(sys.argv[1]))
with open(sys.argv[2], "r+b") as f:
    size = f.seek(0, 2)
    for n in range(6):
        at, length = r.randrange(size), r.choice([1, 500, 70000, 400000])
        f.seek(at)
        f.write((bytes if r.randrange(3) == 0 else r.randbytes)(min(length, size - at)))
PY
}
head -c 40000000 /dev/urandom > "$work/n.img"
truncate -s 50331648 "$work/n.img"
for seed in 0 1 2 3; do
	cp "$work/n.img" "$work/before.img"
	[ $seed = 0 ] || noisy $seed
	ranges "$work/before.img" "$work/n.img" > "$work/list"
	agent pc --json --quiet backup "n=$work/n.img" --changed-from "$work/list" --check-changes > "$work/last.json"
	[ $seed = 0 ] || [ "$(of kept_bytes)" -gt 30000000 ] || fail "kept $(of kept_bytes) of noise"
done
note "noise: changed $(awk '{ s += $2 } END { print s }' "$work/list"), read $(of read_bytes), kept $(of kept_bytes)"

# ------------------------------------------- the records of an NTFS tell themselves
# conf LINE...: what the agent is told in agent.conf.
conf() { { echo '[agent]'; printf '%s\n' "$@"; } > "$work/agent-pc/agent.conf"; }
# fast: one more incremental by the records, and the same by reading all.
fast() {
	backup "$work/f.img" --check-changes "$@"
	note "read $(of read_bytes), kept $(of kept_bytes), proven $(of proven_bytes) of $(of volumes_bytes)"
}
# What everyday programs do: new, gone, renamed, shorter, longer, in place, linked, streams, sparse, in pieces.
churn() { # SEED DIR
	python3 - "$1" "$2" <<'PY'
import os, random, sys
seed, root = int(sys.argv[1]), sys.argv[2]
r = random.Random(seed)
day = f"{root}/churn"
os.makedirs(f"{day}/{seed}", exist_ok=True)
files = sorted(f"{d}/{n}" for d, _, names in os.walk(day) for n in names)
for path in r.sample(files, min(len(files), 12)):
    what = r.randrange(6)
    if what == 0:
        os.unlink(path)
    elif what == 1:
        os.rename(path, path + ".moved")
    elif what == 2:
        os.truncate(path, r.randrange(os.path.getsize(path) + 1))
    elif what == 3:
        with open(path, "r+b") as f:
            f.seek(r.randrange(os.path.getsize(path) + 1))
            f.write(r.randbytes(r.randrange(1, 5000)))
    elif what == 4:
        with open(path, "ab") as f:
            f.write(r.randbytes(r.randrange(1, 300000)))
    else:
        os.link(path, f"{day}/{seed}/link-{len(path)}-{r.randrange(10**9)}")
for n in range(12):
    with open(f"{day}/{seed}/new-{n}", "wb") as f:
        f.write(r.randbytes(r.choice([0, 100, 5000, 70000, 600000])))
with open(f"{day}/{seed}/new-1:stream", "wb") as f:
    f.write(r.randbytes(90000))
with open(f"{day}/{seed}/sparse", "wb") as f:
    f.truncate(3000000)
    f.seek(1500000)
    f.write(r.randbytes(100000))
a, b = open(f"{day}/{seed}/pieces-a", "wb", buffering=0), open(f"{day}/{seed}/pieces-b", "wb", buffering=0)
for n in range(60):
    a.write(r.randbytes(4096))
    b.write(bytes(2048) + r.randbytes(2048))
with open(f"{root}/table.mdf", "r+b" if seed > 1 else "wb") as f:
    f.seek(r.randrange(100) * 8192)
    f.write(r.randbytes(8192))
PY
}
conf 'fast = on' 'fast-recent = 0' 'fast-large = 64'
rm -f "$work/agent-pc/cache/c=tables"
ntfs_make "$work/f.img" 192 56 7
fast
[ "$(of kept_bytes)" = 0 ] || fail "kept something without a base"
for seed in 1 2 3 4; do
	mounted_ntfs "$work/f.img" rw,noatime,compression churn $seed
	fast
	[ "$(of kept_bytes)" -gt 10000000 ] || fail "kept next to nothing"
done
[ ! -e "$work/agent-pc/cache/c=tables" ] || fail "tables are kept, and nobody tells of them"

# An agent that is killed while it keeps, at any moment before its point is made, leaves what it
# remembered; killed between the server's commit and its own notes, it knows nothing of the new point.
made() { operator points pc --json | grep -c '"sequence"'; }
for after in 0.03 0.15; do
	before=$(made)
	mounted_ntfs "$work/f.img" rw,noatime,compression churn 1${after#0.}
	"$bin/holdfast-agent" --state "$work/agent-pc" --machine-id "$work/machine-id" --quiet backup "c=$work/f.img" > /dev/null 2>&1 &
	pids+=($!)
	pause $after
	{ kill -KILL "${pids[-1]}" && wait "${pids[-1]}"; } 2> /dev/null || true
	await 300 offline pc
	killed=$(made)
	fast
	[ "$(of kept_bytes)" -gt 10000000 ] || [ "$killed" -gt "$before" ] || fail "all was read after a kill"
done
# The newest point is an incremental again, whenever the kill came.
[ "$(of kept_bytes)" -gt 0 ] || fast

# --------------------------------------------- who writes without a trace is found out
# What "holdfast points" says of the newest point, and of one.
point() { operator points pc --json | python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)[int(sys.argv[1])]))' "$1"; }
said() { python3 -c 'import json,sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$1" "$2"; }
[ "$(said "$(point 0)" unproven)" = True ] || fail "an incremental by a list is not called unproven"
operator points pc | sed -n 2p | grep unproven > /dev/null || fail "not shown: unproven"
operator show pc | grep '^unproven .*not read, by a list of changes' > /dev/null || fail "not shown: $(operator show pc)"


# Bytes of a file changed on the disk itself: its record stays as it is, and so does
# what the incrementals say of it, until its slice is due.
quiet() { head -c 3000000 /dev/urandom > "$1/quiet.bin"; head -c 3000000 <(yes 'so it was written') > "$1/quiet.txt"; }
mounted_ntfs "$work/f.img" rw,noatime quiet
fast
at_of() { # FILE: where its middle lies
	ntfscluster -F "$1" "$work/f.img" 2> /dev/null |
	    awk '/0x80 - non-resident/ { on = 1 } on && NF == 3 && $1 $2 $3 ~ /^[0-9]+$/ { print ($2 + int($3 / 2)) * 4096; exit }' || true
}
each=true
caught_at() { # BYTE: overwrite it behind everybody's back; how many incrementals until that is known
	local n
	printf 'nobody saw this' | dd of="$work/f.img" bs=1 seek="$1" conv=notrunc status=none
	for n in 1 2 3 4 5 6 7 8 9 10 11; do
		backup "$work/f.img" 2> "$work/said"
		if grep -q 'nothing said that it changed' "$work/said"; then
			caught=$n
			return
		fi
		[ "$(of kept_bytes)" -gt 0 ] || fail "read all without a word: $(cat "$work/last.json")"
		$each
	done
	fail "byte $1 was never looked at"
}
same() { # restore the newest point: it is what lies on the disk now
	rm -f "$work/back.img"
	operator restore pc/latest --volume c --to "$work/back.img" --quiet > /dev/null 2> "$work/warned"
	ntfs_equal "$work/f.img" "$work/back.img"
}
# Most points go by a policy before anybody knows that they are wrong: the last good one stays.
prune() { operator prune > "$work/prune.out"; }
prune_early() {
	operator brake clear pc > "$work/brake.out" 2>&1 || true
	operator policy set --keep-last 2 > "$work/policy.out"
	prune
	fast
	cp --sparse=always "$work/f.img" "$work/good.img"
	each=prune
}
for file in quiet.bin quiet.txt; do
	[ $file = quiet.bin ] || prune_early
	before=$(of sequence)
	victim=$(at_of $file)
	[ -n "$victim" ] || fail "ntfscluster does not say where $file lies"
	caught_at "$victim"
	note "$file, byte $victim: found by incremental $caught"
	[ "$caught" -le 10 ] || fail "found after more than a round"
	[ "$(of kept_bytes)" = 0 ] || fail "not all was read when it was found"
	now=$(of sequence)
	same
	[ ! -s "$work/warned" ] || fail "a point that was read whole is warned of: $(cat "$work/warned")"
	[ "$(said "$(point 0)" suspect)" = "" ] && [ "$(said "$(point 0)" unproven)" = False ] || fail "the whole point is in doubt"
	# Every point in between, and the ones since all was last proven.
	operator points pc --json | python3 -c '
import json, sys
before, now = map(int, sys.argv[1:])
for p in json.load(sys.stdin):
    assert not before < p["sequence"] < now or p["suspect"].startswith("volume c: byte"), p' "$before" "$now" || fail "not all are suspect: $(operator points pc)"
	operator points pc | sed -n 3p | grep suspect > /dev/null || fail "not shown: suspect"
	operator hosts | grep 'was not all known' > /dev/null || fail "no alarm: $(operator hosts)"
	operator restore "pc/$((now - 1))" --volume c --to "$work/old.img" --force --quiet > /dev/null 2> "$work/warned"
	grep -q 'WARNING: point .* is suspect' "$work/warned" || fail "no warning: $(cat "$work/warned")"
	operator prune pc --dry-run > "$work/fates"
	grep -q "/$((now - 1)).*\[suspect\]" "$work/fates" || fail "a suspect point passes for a good one: $(cat "$work/fates")"
	fast
	[ "$(of kept_bytes)" -gt 0 ] || fail "no incremental after a full compare"
done

# ------------------------------- what an operator sees and does, as the guide shows it
operator points pc --json | python3 -c '
import json, sys
points = {p["sequence"]: p for p in json.load(sys.stdin)}
wrong = sorted(n for n, p in points.items() if p["suspect"] and p["suspect_since"])
good = [n for n in points if n < wrong[0]]
assert len(wrong) == 2 and len(good) == 1 and good[0] <= points[wrong[-1]]["proven_to"], (sorted(points), wrong, good)
print(wrong[-1], good[0])' > "$work/which" || fail "points: $(operator points pc)"
read -r wrong good < "$work/which"
as_in_guide hosts
as_in_guide points web01
# The same by that point's own number.
sed "s/^\$ holdfast show .*/\$ holdfast show web01\/$wrong/" "$here/../../../docs/operators-guide.md" > "$work/guide.md"
guide=$work/guide.md as_in_guide show "web01/$wrong"
operator verify --trees | grep '^2 points are SUSPECT' > /dev/null || fail "verify says nothing of suspects"
# The alarm stays until somebody has looked, whatever was read since; the points are what they are.
operator alarm clear pc > "$work/cleared.out"
! operator hosts | grep 'was not all known' || fail "the alarm was not cleared"
operator hosts | grep '[1-9], 2 suspect' > /dev/null || fail "hosts does not say that points are suspect: $(operator hosts)"
operator ls "pc/$wrong:c/" > "$work/ls.out" 2> "$work/warned"
grep -q 'WARNING: point .* is suspect' "$work/warned" || fail "ls does not warn: $(cat "$work/warned")"
operator restore "pc/$good" --volume c --to "$work/old.img" --force --quiet > /dev/null 2> "$work/warned"
! grep WARNING "$work/warned" || fail "the last good point is warned of"
ntfs_equal "$work/good.img" "$work/old.img"
rm "$work/good.img"
operator policy remove > "$work/policy.out"

# --------------------------------------- whatever does not fit is read whole, with a word
whole() { # WHY: the next backup keeps nothing and says so
	backup "$work/f.img" --check-changes
	[ "$(of kept_bytes)" = 0 ] || fail "kept $(of kept_bytes), though $1"
	said "$(point 0)" note | grep "all is read: .*$1" > /dev/null || fail "said '$(said "$(point 0)" note)', not '$1'"
	same
	note "read whole: $(said "$(point 0)" note)"
}
cp --sparse=always "$work/f.img" "$work/earlier.img"
mounted_ntfs "$work/f.img" rw,noatime,compression churn 20
fast
cp --sparse=always "$work/earlier.img" "$work/f.img"
whole 'put back to an earlier state'
fast
# Another file system of the same size, also with the same files.
size=$(stat -c %s "$work/f.img")
rm "$work/f.img"
ntfs_make "$work/f.img" $((size / 1048576)) 32 9
whole 'no records of this file system'
fast
# What was remembered is lost, or damaged.
rm "$work/agent-pc/cache/c=mft"
whole 'no records of this file system'
rm "$work/agent-pc/cache/c=shape"
whole 'nothing is remembered'
printf 'x' | dd of="$work/agent-pc/cache/c=shape" bs=1 seek=60 conv=notrunc status=none
whole 'nothing is remembered'
fast
rm "$work/agent-pc/cache/c"
whole 'is not kept here'
# Larger.
truncate -s +16M "$work/f.img"
ntfsresize -f -f "$work/f.img" > "$work/resize.out" 2>&1 <<< y || fail "ntfsresize: $(tail -3 "$work/resize.out")"
ntfsfix -d "$work/f.img" > /dev/null 2>&1 || true
whole ''
note "nothing wrong was kept"
