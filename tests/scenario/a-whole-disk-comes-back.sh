#!/bin/bash
# Goal: a disk is backed up with all that makes it boot, and comes back as it was: on a
# disk of the same size byte for byte outside of free space, on a larger one with its
# table at the new end and, if asked, the last data partition longer; a smaller one is
# refused with the number of bytes that it lacks.
. "$(dirname "$0")/lib/scenario.bash"
. "$here/disks.bash"

server_init
server_start
enrol h1
gpt_make "$work/gpt.img" 80 10
mbr_make "$work/mbr.img" 72 20
gpt_sound "$work/gpt.img"
mbr_sound "$work/mbr.img"

note "two disks, one point"
agent h1 backup --disk "gpt=$work/gpt.img" --disk "mbr=$work/mbr.img" > "$work/backup.out"
grep -q '9 volumes' "$work/backup.out" || fail "$(cat "$work/backup.out")"
agent h1 backup --disk "gpt=$work/gpt.img" --disk "mbr=$work/mbr.img" --json > "$work/again.json"
python3 - "$work/again.json" <<'PY'
import json, sys
c = [json.loads(l) for l in open(sys.argv[1]) if '"committed"' in l][0]
assert c["new_bytes"] == 0 and c["sent_bytes"] == 0, c
PY

note "the operator sees disks and partitions"
operator show h1 > "$work/show.out"
grep -Eq '^ +gpt +80.0 MiB +gpt +512 +yes .*11111111-2222-4333-8444-555555550010' "$work/show.out" || fail "$(cat "$work/show.out")"
grep -Eq '^ +gpt 4 .* recovery +gpt.4 +Übersicht 修復' "$work/show.out" || fail "$(cat "$work/show.out")"
grep -Eq '^ +mbr 3 .* extended +\(in the image\)' "$work/show.out" || fail "$(cat "$work/show.out")"
operator show h1 --json > "$work/show.json"
python3 - "$work/show.json" <<'PY'
import json, sys
d = {x["name"]: x for x in json.load(open(sys.argv[1]))["disks"]}
assert [p["role"] for p in d["gpt"]["partitions"]] == ["esp", "msr", "data", "recovery"], d
assert [p["number"] for p in d["mbr"]["partitions"]] == [1, 2, 3, 5, 6], d
assert d["mbr"]["id"] == "beef0020" and d["mbr"]["partitions"][1]["volume"] == "mbr.2", d
PY

note "the same size: all but free space, byte for byte"
agent h1 restore latest --disk gpt --to "$work/g" --verify > "$work/restore.out"
agent h1 restore latest --disk mbr --to "$work/m" --verify > "$work/restore.out"
gpt_sound "$work/g"
mbr_sound "$work/m"
diff <(ids_of "$work/gpt.img") <(ids_of "$work/g")
diff <(ids_of "$work/mbr.img") <(ids_of "$work/m")
same_bytes "$work/gpt.img" 0 "$work/g" 0 $((1 << 20))
same_bytes "$work/gpt.img" $((9 << 20)) "$work/g" $((9 << 20)) $((4 << 20))
same_bytes "$work/gpt.img" $((79 << 20)) "$work/g" $((79 << 20)) $((1 << 20))
same_bytes "$work/mbr.img" 0 "$work/m" 0 $((1 << 20))
same_bytes "$work/mbr.img" $((33 << 20)) "$work/m" $((33 << 20)) $((2 << 20))
same_bytes "$work/mbr.img" $((47 << 20)) "$work/m" $((47 << 20)) $((1 << 20))
same_bytes "$work/mbr.img" $((71 << 20)) "$work/m" $((71 << 20)) $((1 << 20))
for n in 3 4; do ntfs_part_equal "$work/gpt.img" "$work/g" "$n"; done
for n in 1 2 5; do ntfs_part_equal "$work/mbr.img" "$work/m" "$n"; done
mcopy -n -i "$work/g@@1M" ::EFI/Boot/bootx64.efi "$work/loader.b"
mcopy -n -i "$work/gpt.img@@1M" ::EFI/Boot/bootx64.efi "$work/loader.a"
cmp "$work/loader.a" "$work/loader.b"
mcopy -n -i "$work/m@@48M" ::notes.bin "$work/loader.b"
mcopy -n -i "$work/mbr.img@@48M" ::notes.bin "$work/loader.a"
cmp "$work/loader.a" "$work/loader.b"

note "over a disk that holds another system: --delta"
cp --sparse=always "$work/mbr.img" "$work/d"
truncate -s 80M "$work/d"
agent h1 restore latest --disk gpt --to "$work/d" --delta > "$work/restore.out"
gpt_sound "$work/d"
for n in 3 4; do ntfs_part_equal "$work/gpt.img" "$work/d" "$n"; done
agent h1 restore latest --disk gpt --to "$work/d" --delta --json > "$work/again.json"
python3 - "$work/again.json" <<'PY'
import json, sys
c = [json.loads(l) for l in open(sys.argv[1]) if '"restored"' in l][0]
# The table, which was made invalid, and what had to be fetched to be told apart.
assert c["written_bytes"] < 200000 and c["same_bytes"] > 10e6, c
PY

note "a larger disk: the table at its end; --extend gives C: the room"
agent h1 restore latest --disk gpt --to "$work/g" --force --size 100M > "$work/restore.out"
gpt_sound "$work/g"
diff <(ids_of "$work/gpt.img") <(ids_of "$work/g")
[ "$(part_of "$work/g" 3)" = "$(part_of "$work/gpt.img" 3)" ] || fail "a partition moved unasked"
ntfs_part_equal "$work/gpt.img" "$work/g" 3
truncate -s 100M "$work/big"
echo 'pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01' > "$work/machine"
operator restore h1 --disk gpt --to "$work/big" --force --extend --verify --report-drivers --machine "$work/machine" > "$work/restore.out" 2> "$work/restore.err"
grep -q 'partition 3: drivers were not looked at: no Windows there' "$work/restore.err" || fail "no word of drivers: $(cat "$work/restore.err")"
gpt_sound "$work/big"
diff <(ids_of "$work/gpt.img") <(ids_of "$work/big")
read -r _ a < <(part_of "$work/gpt.img" 3)
read -r _ b < <(part_of "$work/big" 3)
[ "$b" -ge $((a + (19 << 20))) ] || fail "C: has $b bytes, had $a"
ntfs_part_moved "$work/gpt.img" "$work/big" 3
ntfs_part_moved "$work/gpt.img" "$work/big" 4
same_bytes "$work/gpt.img" $((34 * 512)) "$work/big" $((34 * 512)) 30000
truncate -s 100M "$work/bigm"
agent h1 restore latest --disk mbr --to "$work/bigm" --force --extend > "$work/restore.out"
mbr_sound "$work/bigm"
diff <(ids_of "$work/mbr.img") <(ids_of "$work/bigm")
for n in 1 2 5; do ntfs_part_equal "$work/mbr.img" "$work/bigm" "$n"; done
read -r _ a < <(part_of "$work/mbr.img" 6)
read -r _ b < <(part_of "$work/bigm" 6)
[ "$b" = $((a + (29 << 20))) ] || fail "the logical partition has $b bytes, had $a"

note "a smaller disk: refused by the byte, and that many more are enough"
truncate -s 60M "$work/small"
refuses 'too small for disk gpt: 62914560 bytes, [0-9]+ are missing' agent h1 restore latest --disk gpt --to "$work/small" --force
lack=$(sed -n 's/.* \([0-9]*\) are missing.*/\1/p' "$work/refused.err")
[ "$(tr -d '\0' < "$work/small" | wc -c)" = 0 ] || fail "written before it was refused"
truncate -s $((62914560 + lack)) "$work/small"
agent h1 restore latest --disk gpt --to "$work/small" --force > "$work/restore.out"
gpt_sound "$work/small"
ntfs_part_equal "$work/gpt.img" "$work/small" 4
refuses 'too small' agent h1 restore latest --disk gpt --to "$work/small" --size $((62914560 + lack - 512)) --force

note "a device: the whole disk, and one with other sectors is refused"
truncate -s 80M "$work/dev"
loop=$(losetup -f --show "$work/dev")
agent h1 restore latest --disk gpt --to "$loop" --verify > "$work/restore.out" || { losetup -d "$loop"; fail "onto a device"; }
losetup -d "$loop"
gpt_sound "$work/dev"
loop=$(losetup -b 4096 -f --show "$work/dev")
status=0
agent h1 restore latest --disk gpt --to "$loop" --delta > "$work/restore.out" 2> "$work/refused.err" || status=$?
losetup -d "$loop"
[ $status = 1 ] && grep -q 'sectors of 512 bytes, the target of 4096' "$work/refused.err" || fail "other sectors: $(cat "$work/refused.err")"
gpt_sound "$work/dev"
refuses 'has no disk .x., but gpt, mbr' agent h1 restore latest --disk x --to "$work/none"
refuses 'has disks gpt, mbr: say which' operator restore h1 --disk '' --to "$work/none"
server_stop
