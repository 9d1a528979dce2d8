#!/bin/bash
# Goal: a reader written from FORMAT.md alone, sharing no code with us, restores
# volumes from a store whose server is gone, killed in the middle of work or not.
. "$(dirname "$0")/lib/scenario.bash"
reader=$here/../../golden/read_store.py
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 96 30 1
head -c 5000192 /dev/urandom > "$work/noise.img"
agent h1 backup c="$work/c.img" noise="$work/noise.img" --quiet
cp --sparse=always "$work/c.img" "$work/c.1"
ntfs_change "$work/c.img" 1
agent h1 backup c="$work/c.img" --quiet
ntfs_make "$work/p.img" 48 4 2
paging() { head -c 9000000 /dev/urandom > "$1/pagefile.sys"; head -c 3000000 /dev/urandom > "$1/swapfile.sys"; }
mounted_ntfs "$work/p.img" rw,noatime paging
agent h1 backup p="$work/p.img" --quiet
operator show h1/3 | tee "$work/shown"
grep -q '^left out      8.6 MiB page file, 2.9 MiB swap file$' "$work/shown" || fail "not said what was left out"
operator show h1/3 --json | grep '"page file": 9003008' > /dev/null || fail "not in the JSON what was left out"
operator show h1/3 --json | grep '"capture": "offline"' > /dev/null || fail "not in the JSON how it was frozen"
operator show h1/3 | grep '^frozen by  *offline$' > /dev/null || fail "show does not say how it was frozen"
operator show h1/1 | grep '^left out' > /dev/null && fail "nothing was left out of the first"
server_kill
note "the packs lie as the kill left them, unsealed"
python3 "$reader" "$work/store" points
python3 "$reader" "$work/store" restore h1/1 c "$work/r.1"
ntfs_equal "$work/c.1" "$work/r.1"
python3 "$reader" "$work/store" restore h1/1 noise "$work/r.noise"
cmp "$work/noise.img" "$work/r.noise"
server_start
server_stop
note "sealed by a server that was stopped"
python3 "$reader" "$work/store" restore h1/2 c "$work/r.2"
ntfs_equal "$work/c.img" "$work/r.2"
