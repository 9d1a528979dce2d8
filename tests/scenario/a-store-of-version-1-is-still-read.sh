#!/bin/bash
# Goal: a store that programs of version 1 wrote, and a kill left behind, is opened,
# verified and restored by today's programs, and by a reader that shares nothing
# with us.
. "$(dirname "$0")/lib/scenario.bash"
golden=$here/../../golden
list=$golden/v1/store.sha256
[ "$(wc -l < "$list")" -ge 5 ] || fail "no list of volumes"
copy() { rm -rf "$work/store"; cp -r "$golden/v1/store" "$work/store"; chmod 600 "$work/store/keys"; }
sum() { sha256sum | cut -d' ' -f1; }

note "the independent reader: every hash, MAC and name, then each volume"
python3 "$golden/read_store.py" "$golden/v1/store" verify | tee "$work/verified"
grep -q 'chunks, 5 trees: all good' "$work/verified" || fail "not all good"
while read -r want point volume; do
	python3 "$golden/read_store.py" "$golden/v1/store" restore "$point" "$volume" "$work/r.img"
	[ "$(sum < "$work/r.img")" = "$want" ] || fail "$point $volume came back different"
done < "$list"

note "and it notices a byte that changed"
copy
for file in packs/00000001.pack packs/00000004.open journal; do
	cp "$work/store/$file" "$work/was"
	python3 -c 'import sys; p = sys.argv[1]; b = bytearray(open(p, "rb").read()); b[len(b) // 2] ^= 1; open(p, "wb").write(b)' "$work/store/$file"
	refuses "damaged|not authentic|does not decompress|is in no pack" python3 "$golden/read_store.py" "$work/store" verify
	cp "$work/was" "$work/store/$file"
done
rm "$work/was"

note "and goes on behind a group that is damaged: what does not need it comes back"
python3 - "$work/store/packs/00000001.pack" <<'END'
import struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
b[96 + 64 + 5] ^= 1                     # a name in the first group
b[96 + 20:96 + 24] = struct.pack("<I", 77)      # and its length
open(sys.argv[1], "wb").write(b)
END
refuses "00000001.pack: group at 96 is" python3 "$golden/read_store.py" "$work/store" verify
good=0
while read -r want point volume; do
	python3 "$golden/read_store.py" "$work/store" restore "$point" "$volume" "$work/r.img" > "$work/said" 2>&1 || continue
	[ "$(sum < "$work/r.img")" = "$want" ] || fail "$point $volume came back different"
	good=$((good + 1))
done < "$list"
note "$good volumes do not need it"

note "our storage, on a copy that it recovers first"
copy
while read -r want point volume; do
	[ "$("$bin/store_image" "$work/store" "$point" "$volume" | sum)" = "$want" ] || fail "$point $volume is read differently"
done < "$list"
[ -z "$(find "$work/store/packs" -name '*.open')" ] || fail "a pack stayed open"

note "the server, on another copy"
copy
server_config
server_start
server_stop
grep -q 'packs were still open' "$work/server.log" || fail "the server did not say that it recovered packs"
python3 "$golden/read_store.py" "$work/store" verify

note "what a later program made is refused by name, before anything is touched"
copy
sed -i 's/^end$/required client-keys\nend/' "$work/store/format"
cp -r "$work/store" "$work/was"
refuses "needs feature 'client-keys'" "$bin/store_image" "$work/store" golden1/1 C
refuses "needs feature 'client-keys'" "$bin/holdfastd" --config "$work/holdfastd.conf"
refuses "needs feature 'client-keys'" python3 "$golden/read_store.py" "$work/store" points
diff -r "$work/was" "$work/store" || fail "it was touched"
