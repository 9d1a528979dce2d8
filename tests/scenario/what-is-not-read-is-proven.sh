#!/bin/bash
# Goal: an incremental by a list of changes gives the same tree as reading all, on
# NTFS volumes that ntfs-3g changed between the runs and on volumes of no known kind;
# it reads no more than what changed, metadata and a slice; a list that is not complete is
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
	[ "$(of kept_bytes)" -gt 0 ] || fail "nothing was kept: $(cat "$work/last.json")"
	cp --sparse=always "$work/c.img" "$work/before.img"
}

ntfs_make "$work/c.img" 256 96 1
cp --sparse=always "$work/c.img" "$work/before.img"
: > "$work/list"
backup "$work/c.img" --changed-from "$work/list"
[ "$(of kept_bytes)" = 0 ] || fail "kept something without a base"
for seed in 2 3 4 5; do
	ntfs_change "$work/c.img" $seed
	step
	note "changed $(awk '{ s += $2 } END { print s }' "$work/list"), read $(of read_bytes), kept $(of kept_bytes), proven $(of proven_bytes)"
done

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
ntfs_make "$work/f.img" 320 128 7
fast
[ "$(of kept_bytes)" = 0 ] || fail "kept something without a base"
for seed in 1 2 3 4 5 6; do
	mounted_ntfs "$work/f.img" rw,noatime,compression churn $seed
	fast
	[ "$(of kept_bytes)" -gt 50000000 ] || fail "kept next to nothing"
done
