#!/bin/bash
# Goal: a copy made from the volume map alone (tests/tools/map_copy) is equal to
# the source by ntfsclone, ntfsfix, ntfsinfo, fsck.vfat and every file's SHA-256,
# for all cluster and sector sizes; free clusters are left out; page files are
# left out exactly where they lie; doubt puts everything back in.
. "$(dirname "$0")/lib/scenario.bash"
mc=$bin/map_copy

# told WORD: that line of the last map_copy's account.
told() { sed -n "s/^$1 //p" "$work/told"; }
bytes_of() { told "$1" | cut -d' ' -f1; }
map_copy() { "$mc" "$@" 2> "$work/told" || fail "$(tail -1 "$work/told")"; }

# crumble DIR: two files that grow in turns, one of pages and a dense one, small files until the volume is full,
# every second of them deleted again, then so many that the MFT must fill the gaps.
crumble() {
	python3 - "$1" <<'PY'
import os, sys
root = sys.argv[1]
os.mkdir(f"{root}/a")
with open(f"{root}/in-pieces", "wb", buffering=0) as f, open(f"{root}/dense", "wb", buffering=0) as g:
    for n in range(150):
        f.write(bytes(2000) + os.urandom(2000))
        g.write(os.urandom(4000))
n = 0
try:
    for n in range(100000):
        with open(f"{root}/a/{n}", "wb") as f:
            f.write(os.urandom(5000))
except OSError:
    pass
for i in range(0, n, 2):
    os.unlink(f"{root}/a/{i}")
os.mkdir(f"{root}/b")
try:
    for i in range(n):
        open(f"{root}/b/{i}", "wb").close()
except OSError:
    pass
PY
}

equal_by_map() { # IMAGE: copy by map and judge; more arguments are the map's
	local image=$1
	shift
	map_copy "$@" "$image" "$work/copy.img"
	[ "$(told fs)" = ntfs ] || fail "$image is taken for $(told fs)"
	ntfs_equal "$image" "$work/copy.img"
}

for geometry in 512/512 1024/512 2048/512 4096/512 4096/4096 65536/512 2097152/512; do
	cluster=${geometry%/*} sector=${geometry#*/} mib=64 files=10
	[ "$cluster" -lt 100000 ] || { mib=512 files=1; }
	img=$work/v.img
	rm -f "$img"
	truncate -s ${mib}M "$img"
	mkntfs -q -Q -F -c "$cluster" -s "$sector" -p 0 -H 255 -S 63 "$img" > /dev/null 2> "$work/mkntfs.err" ||
	    fail "mkntfs: $(cat "$work/mkntfs.err")"
	mounted_ntfs "$img" rw,noatime fill_make "$cluster" $files
	equal_by_map "$img"
	[ -z "$(told note)" ] || fail "doubts about a clean volume: $(told note)"
	[ "$(bytes_of hole)" -gt 1000000 ] || fail "nothing left out"
	[ "$(bytes_of excluded)" = 0 ] || fail "something excluded"
	# What the map keeps is what the file system calls used, but for crumbs.
	used=$(( $(stat -c %s "$img") - $(ntfsinfo -m "$img" | sed -n 's/.*Free Clusters: *\([0-9]*\).*/\1/p') * cluster ))
	kept=$(( $(bytes_of stream) + $(bytes_of data) + $(bytes_of region) ))
	note "$geometry: kept $kept bytes of $used used, in $(told data), $(told region)"
	[ $kept -ge "$used" ] && [ $((kept * 100)) -le $((used * 103)) ] || fail "kept $kept of $used"
done

# Fragments: files and the MFT in many pieces.
img=$work/crumbs.img
truncate -s 24M "$img"
mkntfs -q -Q -F -c 4096 -s 512 -p 0 -H 255 -S 63 -z 1 "$img" > /dev/null 2>&1
mounted_ntfs "$img" rw,noatime crumble
fragments=$(ntfsinfo -v -i 0 "$img" | sed -n '/DATA (0x80)/,/BITMAP/p' | grep -c '^[[:space:]]*0x')
note "the MFT lies in $fragments pieces"
[ "$fragments" -gt 4 ] || fail "the MFT is in one piece"
equal_by_map() {
	map_copy "$1" "$work/copy.img"
	[ "$(ntfsclone --save-image -q -o - "$1" 2>/dev/null | sha256sum)" = \
	    "$(ntfsclone --save-image -q -o - "$work/copy.img" 2>/dev/null | sha256sum)" ] || fail "ntfsclone sees a difference"
}
equal_by_map "$img"
# A file in one-cluster pieces still comes in blocks of 64 KiB, a dense one whole.
"$mc" --list "$img" 2> /dev/null > "$work/list"
cuts_of() { # FILE: its kinds of cuts, and how many of each
	ntfscluster -F "$1" "$img" 2> /dev/null | awk '/non-resident/ { on = 1 } on && NF == 3 && $1 $2 $3 ~ /^[0-9]+$/ { print $2 * 4096, $3 * 4096 }' > "$work/runs"
	[ "$(wc -l < "$work/runs")" -gt 50 ] || fail "$1 is in too few pieces"
	awk 'NR == FNR { for (o = $1; o < $1 + $2; o += 4096) mine[o] = 1; next } $2 in mine && $4 > 0 { print $1, $4 }' \
	    "$work/runs" "$work/list" | sort -u | cut -d' ' -f1 | uniq -c | xargs
}
[ "$(cuts_of in-pieces)" = "10 data" ] || fail "600000 bytes came as $(cuts_of in-pieces)"
[ "$(cuts_of dense)" = "1 region" ] || fail "600000 dense bytes came as $(cuts_of dense)"

# Page files: what is left out is what ntfscluster says is theirs.
img=$work/page.img
ntfs_make "$img" 96 16 7
paging() {
	head -c 9000000 /dev/urandom > "$1/pagefile.sys"
	head -c 3000000 /dev/urandom > "$1/swapfile.sys"
	mkdir "$1/sub"
	head -c 2000000 /dev/urandom > "$1/sub/pagefile.sys"
	mkdir "$1/System Volume Information"
	head -c 4000000 /dev/urandom > "$1/System Volume Information/{0a1b2c3d-0000-1111-2222-333344445555}{3808876b-c176-4e48-b7ae-04046e6cc752}"
	head -c 1000000 /dev/urandom > "$1/System Volume Information/{3808876b-c176-4e48-b7ae-04046e6cc752}"
}
mounted_ntfs "$img" rw,noatime paging
map_copy "$img" "$work/copy.img"
"$mc" --list "$img" 2> /dev/null | awk '$1 == "excluded" { for (o = $2; o < $2 + $3; o += 4096) print o }' | sort -n > "$work/left-out"
for f in pagefile.sys swapfile.sys \
    "System Volume Information/{0a1b2c3d-0000-1111-2222-333344445555}{3808876b-c176-4e48-b7ae-04046e6cc752}"; do
	ntfscluster -F "$f" "$img" 2> /dev/null |
	    awk '/0x80 - non-resident/ { on = 1 } on && NF == 3 && $1 $2 $3 ~ /^[0-9]+$/ { for (i = 0; i < $3; i++) print ($2 + i) * 4096 }'
done | sort -n > "$work/theirs"
[ -s "$work/theirs" ] || fail "ntfscluster says nothing"
cmp "$work/theirs" "$work/left-out" || fail "left out is not what page files own"
ntfs_sums "$img" | grep -v -e ' [^ /]*file\.sys$' -e '0a1b2c3d' > "$work/sums.a"
ntfs_sums "$work/copy.img" | grep -v -e ' [^ /]*file\.sys$' -e '0a1b2c3d' > "$work/sums.b"
grep -q 'sub/pagefile.sys' "$work/sums.a" || fail "no sub/pagefile.sys"
diff "$work/sums.a" "$work/sums.b" || fail "other files differ"
map_copy --keep-all "$img" "$work/copy.img"
ntfs_equal "$img" "$work/copy.img"

# A dirty volume keeps every byte, page files too.
ntfsfix "$img" > /dev/null
map_copy "$img" "$work/copy.img"
told note | grep dirty > /dev/null || fail "not noticed: dirty"
cmp "$img" "$work/copy.img" || fail "a dirty volume lost bytes"

# A hibernated one keeps every byte but the memory.
img=$work/sleep.img
ntfs_make "$img" 64 8 9
asleep() { { printf 'hibr'; head -c 5000000 /dev/urandom; } > "$1/hiberfil.sys"; head -c 900000 /dev/zero > "$1/pagefile.sys"; }
mounted_ntfs "$img" rw,noatime asleep
map_copy "$img" "$work/copy.img"
[ "$(told hibernated)" = 1 ] || fail "not noticed: hibernated"
[ "$(bytes_of excluded)" = 5001216 ] || fail "excluded $(bytes_of excluded)"
[ "$(bytes_of hole)" = 0 ] || fail "holes in a hibernated volume"
map_copy --keep-all "$img" "$work/copy.img"
[ "$(told hibernated)" = 1 ] || fail "not noticed: hibernated"
cmp "$img" "$work/copy.img" || fail "keep-all lost bytes"

# FAT, each kind.
for kind in 12/12 16/48 32/96; do
	bits=${kind%/*} mib=${kind#*/}
	img=$work/fat$bits.img
	fat_make "$img" "$mib" "$bits" $((mib / 3)) "$bits"
	map_copy "$img" "$work/copy.img"
	[ "$(told fs)" = "fat$bits" ] || fail "fat$bits is taken for $(told fs)"
	[ -z "$(told note)" ] || fail "doubts about a clean volume: $(told note)"
	[ "$(bytes_of hole)" -gt 500000 ] || fail "nothing left out"
	fat_equal "$img" "$work/copy.img"
	# The dirty bit of the boot sector: everything is kept.
	printf '\001' | dd of="$img" bs=1 seek=$((bits == 32 ? 65 : 37)) conv=notrunc status=none
	map_copy "$img" "$work/copy.img"
	cmp "$img" "$work/copy.img" || fail "a dirty fat$bits lost bytes"
	map_copy --flushed "$img" "$work/copy.img"
	[ "$(bytes_of hole)" -gt 500000 ] || fail "flushed and nothing left out"
done

# Anything else is one stream.
head -c 3000320 /dev/urandom > "$work/noise.img"
map_copy "$work/noise.img" "$work/copy.img"
[ "$(told fs)" = raw ] && [ "$(told stream)" = "3000320 bytes in 1 cuts" ] || fail "noise: $(cat "$work/told")"
cmp "$work/noise.img" "$work/copy.img"
mkfs.ext4 -q "$work/noise.img"
map_copy "$work/noise.img"
[ "$(told fs)" = raw ] || fail "ext4: $(cat "$work/told")"
note "nothing lost"
