#!/bin/bash
# Goal: `holdfast mount` gives an NTFS volume as it was, while its point is forgotten
# and collected and the server restarted; whatever ends it leaves nothing behind.
. "$(dirname "$0")/lib/scenario.bash"
[ -e /dev/fuse ] || { echo "no /dev/fuse here"; exit 0; }
export XDG_RUNTIME_DIR=$work/run
mkdir "$work/run" "$work/m"
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 192 60 1
noise 2 "$work/noise.img"
agent h1 backup c="$work/c.img"
agent h1 backup c="$work/c.img" noise="$work/noise.img"
ntfs_sums "$work/c.img" > "$work/sums.a"

not_mounted() { ! mountpoint -q "$1"; }
nothing_left() { [ -z "$(ls -A "$work/run")" ] && not_mounted "$work/m"; }
ended() { ! kill -0 "$1" 2>/dev/null; }

note "in the background, every file and a stream"
# By a pipe: it ends only if nobody behind keeps it open.
timeout 120 cat <(operator mount h1/1:c "$work/m" --background 2>&1) > "$work/mount.out" || fail "what is mounted keeps the caller's output"
[ "$(cat "$work/mount.out")" = "mounted h1/1 volume c on $work/m" ] || fail "it said: $(cat "$work/mount.out")"
fill_sums "$work/m" > "$work/sums.b"
diff "$work/sums.a" "$work/sums.b" || fail "files differ"
if touch "$work/m/new" 2> "$work/ro.err"; then fail "it can be written"; fi
refuses "mount point already" operator mount h1/1:c "$work/m"

note "the point is forgotten and collected under it"
operator forget h1/1 --reason "a test" > "$work/forget.out"
operator gc > "$work/gc.out"
fill_sums "$work/m" > "$work/sums.b"
diff "$work/sums.a" "$work/sums.b" || fail "files differ after a collection"
operator umount "$work/m"
nothing_left || fail "left behind: $(ls -AR "$work/run")"
refuses "no .holdfast mount. is on" operator umount "$work/m"

note "a directory with a space; a pipe is not held open by what stays"
mkdir "$work/a m"
operator mount h1:c "$work/a m" --background | timeout 60 cat > "$work/said" || fail "a pipe was held open"
grep -q "mounted h1/2 volume c" "$work/said" || fail "said: $(cat "$work/said")"
operator umount "$work/a m"
nothing_left && not_mounted "$work/a m" || fail "left behind: $(ls -AR "$work/run")"

note "a directory of it alone, which goes as the whole does"
operator mount h1:c "$work/m" --background
part=$(cd "$work/m" && find . -mindepth 2 -type f -printf '%h\n' -quit | cut -d/ -f2-)
[ -n "$part" ] || fail "no directory to mount"
(cd "$work/m/$part" && find . -type f | LC_ALL=C sort | xargs -d '\n' sha256sum) > "$work/part.a"
operator umount "$work/m"
nothing_left || fail "left behind: $(ls -AR "$work/run")"
operator mount "h1:c/$part" "$work/m" --background
(cd "$work/m" && find . -type f | LC_ALL=C sort | xargs -d '\n' sha256sum) > "$work/part.b"
cmp "$work/part.a" "$work/part.b" || fail "the directory differs"
operator umount "$work/m"
nothing_left || fail "left behind: $(ls -AR "$work/run")"
refuses "in the volume" operator mount h1:c/no/such "$work/m"
nothing_left || fail "left behind: $(ls -AR "$work/run")"

note "the server is restarted under it"
operator mount h1:c "$work/m" --background
server_stop
fill_sums "$work/m" > "$work/sums.b" &
sums=$!
server_start
wait $sums || fail "reading did not survive the restart"
diff "$work/sums.a" "$work/sums.b" || fail "files differ after a restart"
operator umount "$work/m"

note "Ctrl-C and kill -9 leave nothing behind"
for how in INT KILL; do
	rm -f "$work/mount.out"
	"$bin/holdfast" --operator "$work/operator" --server "$server" mount h1:c "$work/m" > "$work/mount.out" &
	pid=$!
	pids+=("$pid")
	# What is in the background does not hear Ctrl-C until it says that it does.
	await 60 grep -qs '^mounted ' "$work/mount.out"
	[ -n "$(ls "$work/m")" ] || fail "nothing is mounted"
	kill -$how $pid
	wait $pid 2> /dev/null || true
	await 60 nothing_left
done

note "what cannot be is said, and leaves nothing behind"
refuses "is raw: only NTFS is mounted" operator mount h1:noise "$work/m"
refuses "no volume 'x'" operator mount h1:x "$work/m"
refuses "No such file" operator mount h1:c "$work/nowhere"
refuses "is raw: only NTFS is mounted" operator mount h1:noise "$work/m" --background
nothing_left || fail "left behind: $(ls -AR "$work/run")"
server_stop
