#!/bin/bash
# Goal: what `holdfast nbd` serves is what a restore would write, byte for byte, over a
# socket and over TLS, also while the server is restarted; nothing is left behind.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 192 60 1
noise 24 "$work/noise.img"
agent h1 backup c="$work/c.img" noise="$work/noise.img"
operator restore h1/1 --volume c --to "$work/r.img" --quiet

# serve LOG ARGS...: `holdfast nbd` in the background, once it has said where.
serve() {
	local log=$1; rm -f "$log"
	shift
	"$bin/holdfast" --operator "$work/operator" --server "$server" nbd "$@" > "$log" 2> "$log.err" &
	nbd_pid=$!
	pids+=("$nbd_pid")
	await 60 said_or_gone "$log"
	[ -s "$log" ] || fail "nbd said nothing but: $(cat "$log.err")"
}
said_or_gone() { [ -s "$1" ] || ! kill -0 "$nbd_pid" 2>/dev/null; }
nbd_end() { # SIGNAL
	local status=0
	kill "-$1" "$nbd_pid"
	wait "$nbd_pid" || status=$?
	[ "$1" = KILL ] || [ $status = 0 ] || fail "nbd ended with $status"
}
gone() { [ ! -e "$1" ]; }

note "a socket of ours: all volumes by name, in several connections, with their holes"
mask=$(umask)
umask 0
serve "$work/nbd.log" h1/1 --socket "$work/sock"
umask "$mask"
[ "$(stat -c %a "$work/sock")" = 600 ] || fail "others may connect: $(stat -c %a "$work/sock")"
nbdcopy "nbd+unix:///c?socket=$work/sock" "$work/copy.img"
cmp "$work/copy.img" "$work/r.img" || fail "what nbdcopy read is not what was restored"
nbdcopy "nbd+unix:///noise?socket=$work/sock" "$work/copy.noise"
cmp "$work/copy.noise" "$work/noise.img"
nbdinfo --map "nbd+unix:///c?socket=$work/sock" > "$work/map"
grep -q "hole,zero" "$work/map" || fail "no holes: $(cat "$work/map")"
nbdinfo "nbd+unix:///c?socket=$work/sock" | grep "is_read_only: true" > /dev/null || fail "it can be written"
if nbdinfo "nbd+unix:///x?socket=$work/sock" > "$work/x.out" 2>&1; then fail "a volume that is not there was opened"; fi
grep -q "no volume 'x', but c, noise" "$work/nbd.log.err" || fail "not said: $(cat "$work/nbd.log.err")"
refuses "exists" operator nbd h1/1 --socket "$work/sock"
nbd_end TERM
[ ! -e "$work/sock" ] || fail "the socket is still there"
mkdir "$work/theirs"
serve "$work/nbd.log" h1/1:c --socket "$work/theirs/sock"
nbd_end TERM
[ -d "$work/theirs" ] && [ ! -e "$work/theirs/sock" ] || fail "a directory of the user's is gone, or the socket is not"

note "TLS with a key that only this client has"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
serve "$work/nbd.log" h1/1:c --listen "127.0.0.1:$port" --tls-psk "$work/psk"
[ "$(stat -c %a "$work/psk")" = 600 ] || fail "others can read the key"
nbdcopy "nbds://holdfast@127.0.0.1:$port/?tls-psk-file=$work/psk" "$work/copy2.img"
cmp "$work/copy2.img" "$work/r.img"
if nbdinfo "nbd://127.0.0.1:$port/" > "$work/plain.out" 2>&1; then fail "it serves without TLS"; fi
echo "holdfast:$(printf '0%.0s' {1..64})" > "$work/wrong"
if nbdinfo "nbds://holdfast@127.0.0.1:$port/?tls-psk-file=$work/wrong" > "$work/plain.out" 2>&1; then fail "any key is good"; fi
nbd_end INT

note "killed outright it takes nbdkit and its socket along"
serve "$work/nbd.log" h1/1:c --socket "$work/sock"
nbdkit_pid=$(pgrep -P "$nbd_pid" nbdkit)
nbd_end KILL 2> "$work/killed"
await 60 gone "/proc/$nbdkit_pid"
await 60 gone "$work/sock"

note "the server is restarted while a client reads: it waits and goes on"
serve "$work/nbd.log" h1:c --socket "$work/sock"
nbdinfo --size "nbd+unix:///?socket=$work/sock" > "$work/size"
server_stop
nbdcopy "nbd+unix:///?socket=$work/sock" "$work/copy3.img" &
copy=$!
server_start
wait $copy || fail "the copy did not survive the restart"
cmp "$work/copy3.img" "$work/r.img"
nbd_end TERM

note "a server that stays away is an I/O error in the end, said by name"
serve "$work/nbd.log" h1/1:c --socket "$work/sock" --retry-for 1s
server_stop
if nbdcopy "nbd+unix:///?socket=$work/sock" "$work/copy4.img" 2> "$work/eio"; then fail "read from nowhere"; fi
grep -q "refused" "$work/nbd.log.err" || fail "not said: $(cat "$work/nbd.log.err")"
nbd_end TERM
server_start

note "words that mean nothing get one line"
refuses "h1 has no point 9" operator nbd h1/9:c
refuses "no volume 'd', but c, noise" operator nbd h1/1:d
refuses "holds no disk" operator nbd h1/1 --disk x
chmod 640 "$work/psk"
refuses "others may read" operator nbd h1/1 --listen 127.0.0.1:1 --tls-psk "$work/psk"
: > "$work/empty"
chmod 600 "$work/empty"
refuses "is empty" operator nbd h1/1 --listen 127.0.0.1:1 --tls-psk "$work/empty"
refuses "needs --tls-psk" operator nbd h1/1 --listen 127.0.0.1:1
server_stop
