# scenario.bash - sourced by every scenario: a private directory, a server, some
# agents, volumes made and judged by the tools of others.  Everything started
# here is stopped by PID and everything mounted is unmounted, also on failure.
#
#   $work       private directory        $bin        the programs
#   server_init / server_start / server_stop / server_kill
#   operator ARGS...                     agent NAME ARGS...
#   enrol NAME                           with a fresh one-time token
#   ntfs_make IMAGE MIB FILES-MIB SEED   ntfs_change IMAGE SEED
#   ntfs_equal SOURCE RESTORED           fat_make / fat_equal
#   refuses REGEX COMMAND...             fails, with one line that matches
#   offline NAME                         the server has heard the last of that agent
#
# A pipe ends in `grep ... > /dev/null`, never in `grep -q`: that one ends before it has read
# all, and with pipefail who writes into it has failed then.
set -euo pipefail
export LC_ALL=C TZ=UTC PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${HOLDFAST_BUILD:?set HOLDFAST_BUILD to a build directory}/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/holdfast.XXXXXX")
pids=()
# A machine of our own: a minimal system has no id, and runs must not depend on it.
echo 0123456789abcdef0123456789abcdef > "$work/machine-id"

cleanup() {
	local status=$? pid m
	trap - EXIT
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	for m in $(awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/self/mounts); do
		umount -l "$m" 2>/dev/null || true
	done
	if [ $status -ne 0 ]; then
		echo "--- failed with $status; the server's last words:" >&2
		tail -15 "$work/server.log" >&2 2>/dev/null || true
	fi
	rm -rf "$work"
	exit $status
}
trap cleanup EXIT
# What ends a scenario without a word of its own.
trap 'echo "line $LINENO failed: $BASH_COMMAND" >&2' ERR
trap 'exit 130' INT TERM

fail() { echo "FAILED: $*" >&2; exit 1; }
note() { echo "* $*"; }

# pause SECONDS: without a process.  One of a <(:) each time leaves its number with bash 5.2,
# which waits for ever for the next child that is given the same one.
mkfifo "$work/never"
exec {never}<> "$work/never"
pause() { read -rt "$1" -u "$never" || true; }

# await SECONDS COMMAND...: until it succeeds; not less than what the slowest machine needs.
await() {
	local end=$((SECONDS + ($1 > 300 ? $1 : 300)))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || fail "waited too long for: $*"
		pause 0.05
	done
}

# noise MIB FILE: incompressible, enough to keep a backup busy for a while; under
# TSan, where all is slow, a quarter of it.
noise() { head -c "$(($1 * 1024 / (${HOLDFAST_SLOW:-0} ? 4 : 1)))K" /dev/urandom > "$2"; }

# ---------------------------------------------------------------- the server
server_init() {
	"$bin/holdfast" init "$work/store" --name server --operator-dir "$work/operator" > "$work/init.out"
	server_config
}
# server_config [LINE...]: more lines for the configuration.
server_config() {
	{
		printf 'store = %s\nlisten = 127.0.0.1:%s\nready-file = %s\n' \
		    "$work/store" "${server_port:-0}" "$work/ready"
		printf '%s\n' "$@"
	} > "$work/holdfastd.conf"
}
server_up() { [ -s "$work/ready" ] || ! kill -0 "$server_pid" 2>/dev/null; }
server_start() {
	rm -f "$work/ready"
	"$bin/holdfastd" --config "$work/holdfastd.conf" 2>> "$work/server.log" &
	server_pid=$!
	pids+=("$server_pid")
	await 300 server_up
	[ -s "$work/ready" ] || fail "the server did not start"
	server=$(cat "$work/ready")
	# The same port after a restart, so that agents find it again.
	if [ -z "${server_port:-}" ]; then
		server_port=${server##*:}
		sed -i "s/^listen = .*/listen = 127.0.0.1:$server_port/" "$work/holdfastd.conf"
	fi
}
# server_end SIGNAL: stop and wait; its exit status is then in $server_status.
server_end() {
	server_status=0
	kill "-$1" "$server_pid"
	wait "$server_pid" || server_status=$?
}
server_stop() {
	server_end TERM
	[ "$server_status" = 0 ] || fail "the server ended with $server_status"
}
server_kill() { kill -KILL "$server_pid"; wait "$server_pid" 2>/dev/null || true; }

operator() { "$bin/holdfast" --operator "$work/operator" --server "$server" "$@"; }
agent() {
	local name=$1
	shift
	"$bin/holdfast-agent" --state "$work/agent-$name" --machine-id "$work/machine-id" "$@"
}
enrol() {
	local name=$1 token
	token=$(operator enroll-token)
	agent "$name" enroll "$token" --name "$name" > "$work/enrol-$name.out"
}

# offline NAME: an agent that was killed may have asked for a point; once its session is over
# that was made, or will not be.
offline() {
	operator hosts --json > "$work/hosts.json"
	python3 -c 'import json, sys; sys.exit(any(h["online"] for h in json.load(open(sys.argv[1])) if h["name"] == sys.argv[2]))' "$work/hosts.json" "$1"
}

# ---------------------------------------------------------------- refusals
# refuses REGEX COMMAND...: it exits 1 or 2 and its last line of complaint matches.
refuses() {
	local regex=$1 status=0
	shift
	"$@" > "$work/refused.out" 2> "$work/refused.err" || status=$?
	[ $status -ne 0 ] || fail "accepted: $*"
	[ $status -lt 126 ] || fail "status $status from: $*: $(tail -3 "$work/refused.err")"
	[ -s "$work/refused.err" ] || fail "no word of complaint from: $*"
	tail -1 "$work/refused.err" | grep -E -- "$regex" > /dev/null || fail "said '$(tail -3 "$work/refused.err")' and not /$regex/: $*"
	note "refused as it should be: $(tail -1 "$work/refused.err")"
}

# ---------------------------------------------------------------- the guide
# plain: lines but for what differs from run to run: numbers, times, sizes, names.
plain() {
	tr 'A-Z' 'a-z' | sed -E -e 's/web01/pc/g; s/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}/TIME/g' \
	    -e 's/[0-9.]+ ([kmgt]i)?b\b/SIZE/g; s/\bonline\b/-/g; s/[0-9]+/N/g; s/ +/ /g; s/ $//'
}
# as_in_guide COMMAND...: what docs/operators-guide.md shows below `$ holdfast COMMAND` is said.
as_in_guide() {
	local line
	awk -v c="\$ holdfast $*" '$0 == c { on = 1; next } on && (/^\$ / || /^```/) { exit } on' \
	    "${guide:-$here/../../../docs/operators-guide.md}" | plain > "$work/guide.txt"
	[ -s "$work/guide.txt" ] || fail "the guide shows nothing of: holdfast $*"
	operator "${@//web01/pc}" > "$work/shown.txt"
	plain < "$work/shown.txt" | sed 's/^ //' > "$work/plain.txt"
	while read -r line; do
		grep -qxF -- "$line" "$work/plain.txt" ||
		    fail "holdfast $* says, unlike the guide ($line): $(cat "$work/shown.txt")"
	done < "$work/guide.txt"
}

# ---------------------------------------------------------------- volumes
mounted_ntfs() { # IMAGE OPTIONS COMMAND...: run COMMAND with the mount point as last argument
	local image=$1 options=$2 m
	shift 2
	m=$(mktemp -d "$work/mnt.XXXXXX")
	ntfs-3g -o "$options,streams_interface=windows" "$image" "$m"
	"$@" "$m"
	umount "$m"
	# The FUSE daemon writes on after the unmount: wait until it let go.
	await 300 not_open "$image"
	rmdir "$m"
}
not_open() { ! fuser -s "$1" 2>/dev/null; }
fill_make() { python3 "$here/fill.py" make "$3" "$1" "$2"; printf 'a stream' > "$3/turns-a.log:second"; }
fill_change() { python3 "$here/fill.py" change "$2" "$1"; }
fill_sums() { python3 "$here/fill.py" sums "$1"; cat "$1/turns-a.log:second"; }

ntfs_make() { # IMAGE MIB FILES-MIB SEED
	truncate -s "$2M" "$1"
	mkntfs -q -Q -F -s 512 -p 0 -H 255 -S 63 -L "seed$4" "$1" > /dev/null 2> "$work/mkntfs.err" || fail "mkntfs: $(cat "$work/mkntfs.err")"
	mounted_ntfs "$1" rw,noatime fill_make "$4" "$3"
}
ntfs_change() { mounted_ntfs "$1" rw,noatime fill_change "$2"; }
ntfs_sums() { mounted_ntfs "$1" ro fill_sums; }

# ntfs_equal SOURCE RESTORED: by ntfsclone, ntfsfix, ntfsinfo and every file's SHA-256.
ntfs_equal() {
	local a b
	[ "$(stat -c %s "$1")" = "$(stat -c %s "$2")" ] || fail "sizes differ: $1 $2"
	a=$(ntfsclone --save-image -q -o - "$1" 2> "$work/ntfsclone.out" | sha256sum) || fail "ntfsclone of $1"
	b=$(ntfsclone --save-image -q -o - "$2" 2> "$work/ntfsclone.out" | sha256sum) || fail "ntfsclone of $2"
	[ "$a" = "$b" ] || fail "ntfsclone sees a difference between $1 and $2"
	ntfsfix -n "$2" > "$work/ntfsfix.out" || fail "ntfsfix: $(cat "$work/ntfsfix.out")"
	diff <(ntfsinfo -m "$1" | grep -v 'Name of device') <(ntfsinfo -m "$2" | grep -v 'Name of device') || fail "ntfsinfo differs"
	ntfs_sums "$1" > "$work/sums.a"
	ntfs_sums "$2" > "$work/sums.b"
	[ "$(wc -l < "$work/sums.a")" -gt 3 ] || fail "no files in $1"
	diff "$work/sums.a" "$work/sums.b" || fail "files differ between $1 and $2"
}

fat_make() { # IMAGE MIB BITS FILES-MIB SEED
	local m
	truncate -s "$2M" "$1"
	mkfs.vfat -F "$3" "$1" > /dev/null
	m=$(mktemp -d "$work/mnt.XXXXXX")
	python3 "$here/fill.py" make "$m" "$5" "$4"
	mcopy -s -Q -i "$1" "$m"/* ::
	rm -rf "$m"
	mdel -i "$1" ::turns-b.log
}
fat_equal() { # SOURCE RESTORED
	local x m
	fsck.vfat -n "$2" > "$work/fsck.out" || fail "fsck.vfat: $(cat "$work/fsck.out")"
	for x in a b; do
		m=$(mktemp -d "$work/fat.XXXXXX")
		mcopy -s -n -i "$([ $x = a ] && echo "$1" || echo "$2")" :: "$m"
		python3 "$here/fill.py" sums "$m" > "$work/sums.$x"
		rm -rf "$m"
	done
	[ "$(wc -l < "$work/sums.a")" -gt 3 ] || fail "no files in $1"
	diff "$work/sums.a" "$work/sums.b" || fail "files differ between $1 and $2"
}
