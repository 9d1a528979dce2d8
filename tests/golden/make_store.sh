#!/bin/bash
# make_store.sh DIR - makes DIR/store with the real programs (HOLDFAST_BUILD says
# which): a store of a few KB with three points of two hosts, page files left out,
# packs sealed and one that a kill left open.  DIR/store.sha256 has what its volumes
# must come back as.
#
# So was tests/golden/v1/store made, which is frozen: that today's programs read what
# those of then wrote is what it is for.  A store that is there is not touched.
if [ $# != 1 ] || [ -e "$1/store" ]; then
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
into=$(realpath "$1")
. "$(dirname "$0")/../scenario/lib/scenario.bash"
golden=$here/../../golden
out=$into/store

small_ntfs() { # IMAGE COMMAND...: 2 MiB, filled by COMMAND with the mount point
	truncate -s 2M "$1"
	mkntfs -q -Q -F -s 512 -c 4096 -p 0 -H 255 -S 63 "$1" > /dev/null 2>&1 || fail "mkntfs"
	mounted_ntfs "$1" rw,noatime "${@:2}"
}
first() {
	for i in 1 2 3 4 5 6 7 8; do seq -f "line %g of a file of text" "$i" $((i * 300)) > "$1/text-$i"; done
	seq 1 20000 > "$1/numbers"
	head -c 200000 /dev/zero > "$1/zeros"
	seq -f "page %g of what was in memory" 1 4000 > "$1/pagefile.sys"
}
second() { seq -f "another line, %g" 1 2000 > "$1/text-9"; rm "$1/text-2"; }

server_init
server_start
enrol golden1
enrol golden2
small_ntfs "$work/c.img" first
seq 1 40000 > "$work/d.img"
truncate -s 200192 "$work/d.img"
agent golden1 backup C="$work/c.img" D="$work/d.img" --quiet
server_stop
server_start
mounted_ntfs "$work/c.img" rw,noatime second
agent golden1 backup C="$work/c.img" D="$work/d.img" --quiet
agent golden2 backup D="$work/d.img" --quiet
server_kill
mkdir -p "$out/packs" "$out/index"
cp "$work/store"/{format,keys,journal,journal.head} "$out"
cp "$work/store"/packs/* "$out/packs"
cp "$work/store"/index/* "$out/index" 2> /dev/null || true
chmod -R u+rw,go+r "$out"
ls "$out"/packs/*.open > /dev/null || fail "no open pack"
: > "$into/store.sha256"
for volume in golden1/1:C golden1/1:D golden1/2:C golden1/2:D golden2/1:D; do
	python3 "$golden/read_store.py" "$out" restore "${volume%:*}" "${volume#*:}" "$work/r.img"
	printf '%s %s %s\n' "$(sha256sum < "$work/r.img" | cut -d' ' -f1)" "${volume%:*}" "${volume#*:}" >> "$into/store.sha256"
done
# Nothing was left out of D: there the source itself is the judge.
grep -q "^$(sha256sum < "$work/d.img" | cut -d' ' -f1) golden2/1 D$" "$into/store.sha256" || fail "D came back different"
du -s --apparent-size -B1 "$out"
