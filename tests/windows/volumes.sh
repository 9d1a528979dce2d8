#!/bin/bash
# Goal: volumes and disks of Windows, as far as Wine has any: they are listed; a disk's image
# mapped as a drive is backed up whole, as Linux does it, and comes back byte for byte; what
# is not there, not readable or written by another is said in one line.
. "$(dirname "$0")/wine.sh"
wine_begin
wagent() { LC_ALL=C.UTF-8 wine_run holdfast-agent.exe --state "$(wine_path "$work/windows")" "$@"; }
trees() { # HOST: names and ids of its newest point's trees
	operator points "$1" --json | python3 -c 'import json, sys
p = max(json.load(sys.stdin), key=lambda p: p["sequence"])
print(*sorted((v["name"], v["root_id"]) for v in p["volumes"]), sep="\n")'
}

note "volumes and disks are listed"
wagent volumes --json > "$work/volumes.out"
python3 - "$work/volumes.out" <<'PY'
import json, sys
all = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
c = [v for v in all if v["type"] == "volume" and "C:\\" in v["paths"]]
assert len(c) == 1 and c[0]["boot"] and c[0]["name"] == "C", all
assert c[0]["guid"].startswith("\\\\?\\Volume{"), all
assert any(d["type"] == "disk" for d in all), all
PY

note "a whole disk, mapped as a drive and as a file, is what Linux makes of it"
head -c 24M /dev/urandom > "$work/disk.img"
truncate -s 64M "$work/disk.img"
sgdisk -o -n 1:2048:+4M -t 1:ef00 -n 2:0:+1M -t 2:0c01 -n 3:0:+40M -t 3:0700 -n 4:0:+8M -t 4:2700 "$work/disk.img" > "$work/sgdisk.out"
server_init
server_start
enrol linux
wagent enroll "$(operator enroll-token)" --name windows > "$work/enrol.out"
wine_drive t "$work/disk.img"
wagent backup --provider offline --disk 'disk0=\\.\T:' --json > "$work/first.out"
agent linux backup --disk "disk0=$work/disk.img" --json > "$work/linux.out"
grep -q '"new_bytes":0,' "$work/linux.out" || fail "Linux sends what Windows sent: $(cat "$work/linux.out")"
trees windows > "$work/trees.a"
trees linux > "$work/trees.b"
[ "$(wc -l < "$work/trees.a")" = 4 ] || fail "no four volumes: $(cat "$work/trees.a")"
cmp "$work/trees.a" "$work/trees.b"
operator show windows > "$work/show.out"
grep -q 'recovery' "$work/show.out" || fail "no layout: $(cat "$work/show.out")"
wagent backup --disk "disk0=$(wine_path "$work/disk.img")" --json > "$work/second.out"
trees windows | cmp - "$work/trees.a"
agent linux restore latest --disk disk0 --to "$work/back.img" > "$work/restore.out"
cmp "$work/disk.img" "$work/back.img"

note "what cannot be read is said in one line"
refuses 'Q:.*not found' wagent backup --provider offline 'q=\\.\Q:'
refuses 'label:NONE: no volume of this machine' wagent backup --volume label:NONE
refuses 'volume T: ' wagent backup --volume T: # VSS, of which Wine has none
for t in '//./t:' '\\?\T:' '\\?\GLOBALROOT\Device\HarddiskVolume99'; do # never locked unasked
	refuses 'volume t: ' wagent backup "t=$t"
	! grep -q offline "$work/refused.err" || fail "$t is no volume to 'auto'"
done
refuses 'C:: Windows runs, .*provider = vss' wagent backup --provider offline C:
refuses 'label: which one' wagent backup --provider offline x=label:
echo 'not a whole sector' > "$work/odd.img"
refuses 'no whole number of 512-byte sectors' wagent backup "$(wine_path "$work/odd.img")"
printf '[volumes]\ninclude = C:, all\n' > "$work/windows/agent.conf"
refuses "'all' stands alone" wagent backup
printf '[volumes]\nexclude = X\n' > "$work/windows/agent.conf"
refuses 'exclude: X: no volume of this machine' wagent backup
printf '[volumes]\nexclude = X:\n' > "$work/windows/agent.conf" # Not plugged in: no error by itself.
refuses 'no disk or volume to back up' wagent backup
printf '[volumes]\ninklude = X:\n' > "$work/windows/agent.conf"
refuses 'agent.conf:2: unknown key' wagent backup
rm "$work/windows/agent.conf"

note "nothing configured is the whole machine, of which Wine has nothing to read"
refuses 'no disk or volume to back up' wagent backup
server_stop
