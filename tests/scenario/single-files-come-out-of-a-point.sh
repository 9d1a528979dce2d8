#!/bin/bash
# Goal: `holdfast ls` and `holdfast cp` show and copy the files of an NTFS volume as
# ntfs-3g sees them on the source: content, names, times, streams, hard links; without
# root and FUSE.  What a hostile volume holds stays inside the destination.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1

more() { # MOUNT: what fill.py does not make
	local m=$1
	mkdir -p "$m/Users/Анна/Мои документы" "$m/deep/a/b/c"
	echo "привет" > "$m/Users/Анна/Мои документы/письмо.txt"
	echo "stream" > "$m/Users/Анна/Мои документы/письмо.txt:zone"
	printf 'x%.0s' {1..700} > "$m/deep/a/b/c/small"
	ln "$m/deep/a/b/c/small" "$m/deep/second-name"
	truncate -s 40M "$m/sparse"
	printf 'end' >> "$m/sparse"
	mkdir "$m/packed"
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "system.ntfs_attrib", b"\x00\x08\x00\x00")' "$m/packed"
	python3 -c 'print("all the same line\n" * 60000)' > "$m/packed/text"
	touch -d '2019-03-04 05:06:07.123456700' "$m/deep/a/b/c/small"
}
truncate -s 192M "$work/c.img"
mkntfs -q -Q -F -s 512 -p 0 -H 255 -S 63 "$work/c.img" > /dev/null 2>&1
mounted_ntfs "$work/c.img" rw,noatime,compression fill_make 1 40
mounted_ntfs "$work/c.img" rw,noatime,compression more
noise 2 "$work/noise.img"
agent h1 backup c="$work/c.img" noise="$work/noise.img"
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
stats() { (cd "$1" && find . -printf '%P %y %s %T@ %n\n' | grep -v '^ d' | sed 's/ d [0-9]*/ d/' | sort); }

note "everything, compared with what ntfs-3g reads on the source"
operator cp -r h1/1:c "$work/out" --quiet
same() { sums "$1" > "$work/sums.a"; stats "$1" > "$work/stats.a"; }
mounted_ntfs "$work/c.img" ro same
sums "$work/out" > "$work/sums.b"
diff "$work/sums.a" "$work/sums.b" || fail "contents differ"
stats "$work/out" > "$work/stats.b"
diff <(sed 's/ d .*/ d/' "$work/stats.a") <(sed 's/ d .*/ d/' "$work/stats.b") || fail "sizes, times or links differ"
[ "$(wc -l < "$work/sums.a")" -gt 20 ] || fail "hardly any files"
[ "$(stat -c %b "$work/out/sparse")" -lt 1000 ] || fail "holes were written"

note "once more: all is there; a changed one is refused, then replaced"
operator cp -r h1/1:c "$work/out" --quiet > "$work/again"
grep -q "copied 0 files" "$work/again" || fail "copied again: $(cat "$work/again")"
echo mine > "$work/out/deep/a/b/c/small"
if operator cp -r h1:c/deep "$work/out" --quiet > "$work/again" 2> "$work/again.err"; then fail "a file was replaced"; fi
grep -q "deep/a/b/c/small: it is here already" "$work/again.err" || fail "said: $(cat "$work/again.err")"
[ "$(cat "$work/out/deep/a/b/c/small")" = mine ] || fail "it was written over"
operator cp -r h1:c/deep "$work/out" --quiet --force > "$work/again"
sums "$work/out" > "$work/sums.b"
diff "$work/sums.a" "$work/sums.b" || fail "contents differ after --force"

note "a further name is not given to a file that was there before"
mkdir -p "$work/other/deep/a/b/c"
echo mine > "$work/other/deep/a/b/c/small"
if operator cp -r h1:c/deep "$work/other" --quiet > "$work/o" 2> "$work/e"; then fail "a file was replaced"; fi
cmp "$work/other/deep/second-name" "$work/out/deep/second-name" || fail "another file has its name"
echo mine > "$work/other/deep/second-name"
operator cp -r h1:c/deep "$work/other" --quiet --force > "$work/o"
cmp "$work/other/deep/second-name" "$work/out/deep/second-name" || fail "not replaced"
[ "$(stat -c %h "$work/other/deep/second-name")" = 2 ] || fail "its names are two files"
[ -z "$(find "$work/other" -name '.*.partial')" ] || fail "left behind"

note "names: in any case, with backslashes, a stream, to standard output"
operator cp 'h1:c\users\АННА\Мои документы\письмо.txt' - > "$work/letter"
[ "$(cat "$work/letter")" = привет ] || fail "another letter"
operator cp 'h1:c/Users/Анна/Мои документы/письмо.txt:zone' - > "$work/letter"
[ "$(cat "$work/letter")" = stream ] || fail "another stream"
operator cp 'h1:c/Users/Анна/Мои документы/письмо.txt' "$work/new-name" --streams --quiet
[ "$(cat "$work/new-name")" = привет ] && [ "$(cat "$work/new-name:zone")" = stream ] || fail "no new name with its stream"
operator cp 'h1:c/Users/Анна/Мои документы/письмо.txt' "$work/new-name" --streams --quiet > "$work/again" || fail "streams that are there are refused"
grep -q "copied 0 files" "$work/again" || fail "copied again: $(cat "$work/again")"
operator ls h1:c > "$work/ls"
for n in Users/ deep/ sparse packed/; do grep -qx "$n" "$work/ls" || fail "ls has no $n: $(cat "$work/ls")"; done
if grep -q MFT "$work/ls"; then fail "the volume's own files are listed"; fi
operator ls -l h1:c/deep > "$work/ls"
grep -Eq -- '^-------    2            700 20.* second-name$' "$work/ls" || fail "ls -l: $(cat "$work/ls")"
operator ls -R --json --streams h1:c | python3 -c '
import json, sys
all = {e["path"]: e for e in json.load(sys.stdin)}
e = all["Users/Анна/Мои документы/письмо.txt"]
assert e["bytes"] == 13 and e["streams"] == [{"name": "zone", "bytes": 7}], e
assert all["deep"]["kind"] == "directory" and all["packed/text"]["flags"][3] == "c", all["packed/text"]
assert all["deep/a/b/c/small"]["modified"] == "2019-03-04T05:06:07.123456Z", all["deep/a/b/c/small"]
'

note "what cannot be is said in one line"
refuses "no 'nothing' there" operator cp h1:c/nothing "$work/x"
refuses "say -r" operator cp h1:c/deep "$work/x"
refuses "the volume .raw. is no FAT, and no NTFS" operator ls h1:noise
refuses "has no volume 'd'" operator ls h1:d
refuses "no such|cannot|No such" operator cp h1:c/sparse "$work/no/such/dir"
refuses "DESTINATION|missing" operator cp h1:c/sparse

note "Ctrl-C while the server is away: it ends, and no part of a file stays"
begun_or_over() { compgen -G "$work/part/.*.partial" > /dev/null || [ -n "$(ls "$work/part")" ] || ! kill -0 "$cp_pid" 2>/dev/null; }
over() { ! kill -0 "$cp_pid" 2>/dev/null; }
mkdir "$work/part"
"$bin/holdfast" --operator "$work/operator" --server "$server" cp -r h1:c "$work/part/all" --quiet > "$work/o" 2> "$work/e" &
cp_pid=$!
pids+=("$cp_pid")
await 60 begun_or_over
server_kill
kill -INT $cp_pid 2>/dev/null || true
await 60 over
[ -z "$(find "$work/part" -name '.*.partial')" ] || fail "left behind: $(find "$work/part" -name '.*.partial')"
server_start

note "a hostile volume writes nothing outside, and a link in the way is not followed"
mkdir -p "$work/trap/in/deep/a/b" "$work/away"
ln -s "$work/away" "$work/trap/in/deep/a/b/c"
if operator cp -r h1:c/deep "$work/trap/in" --quiet --force > "$work/o" 2> "$work/e"; then fail "it followed a link"; fi
[ -z "$(ls -A "$work/away")" ] || fail "written outside: $(ls "$work/away")"
ln -s "$work/away/target" "$work/trap/small"
operator cp h1:c/deep/a/b/c/small "$work/trap" --quiet --force
[ -z "$(ls -A "$work/away")" ] && [ ! -L "$work/trap/small" ] || fail "a link was written through"
cp --sparse=always "$work/c.img" "$work/evil.img"
# Names of the same length that lead out: "second-name" -> "../../../xx", and "a" -> ".".
python3 - "$work/evil.img" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
old, new = "second-name".encode("utf-16-le"), "../../../xx".encode("utf-16-le")
assert data.count(old) > 0
open(sys.argv[1], "wb").write(data.replace(old, new))
PY
agent h1 backup c="$work/evil.img"
mkdir -p "$work/jail/1/2/3"
operator cp -r h1:c/deep "$work/jail/1/2/3" --quiet > "$work/o" 2> "$work/e" && fail "it was all copied"
grep -q "its name cannot be used here" "$work/e" || fail "said: $(cat "$work/e")"
[ "$(cd "$work/jail" && find . -name '*xx*' | wc -l)" = 0 ] || fail "written outside"

note "a name without text is copied all the same; a record that is another file's is not"
cp --sparse=always "$work/c.img" "$work/evil.img"
python3 - "$work/evil.img" <<'PY'
import struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
data = data.replace("second-name".encode("utf-16-le"), "second\0name".encode("utf-16-le"))
at, changed = -1, 0
while (at := data.find(b"FILE", at + 1)) >= 0:
    directory = struct.unpack_from("<H", data, at + 22)[0] & 2 # Which has the name, too.
    if not directory and "text".encode("utf-16-le") in data[at:at + 1024]:
        struct.pack_into("<H", data, at + 16, struct.unpack_from("<H", data, at + 16)[0] + 1)
        changed += 1
assert changed > 0
open(sys.argv[1], "wb").write(data)
PY
agent h1 backup c="$work/evil.img"
if operator cp -r h1:c "$work/evil" --quiet > "$work/o" 2> "$work/e"; then fail "it was all copied"; fi
grep -q "packed/text: " "$work/e" && [ ! -e "$work/evil/packed/text" ] || fail "another file's content: $(cat "$work/e")"
cmp "$work/evil/deep/second�name" "$work/out/deep/second-name" || fail "a name is missing: $(ls "$work/evil/deep")"
server_stop
