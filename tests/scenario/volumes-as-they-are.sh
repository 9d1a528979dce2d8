#!/bin/bash
# Goal: every volume that tests/fixtures makes - as real hosts have them and as an
# enemy would - comes back as its generator expects: what must be kept is equal, what
# is excluded is zero, what is free was left out of a new file and left alone by
# --delta; and others' tools read source and restore alike.
. "$(dirname "$0")/lib/scenario.bash"
fixtures=$here/../../fixtures
slow=${HOLDFAST_SLOW:-0}
python() { PYTHONDONTWRITEBYTECODE=1 python3 "$@"; }

mkdir "$work/f"
python "$fixtures/ntfs_fixtures.py" make "$work/f"
python "$fixtures/check_restore.py" table "$work"/f/*.json > "$work/table"
note "$(wc -l < "$work/table") volumes"
[ "$(wc -l < "$work/table")" -gt 75 ] || fail "volumes are missing"
# Where all is slow threads are looked at, not volumes: a few will do.
[ "$slow" = 0 ] || sed -i -n '/more-than/d; 1~9p' "$work/table"

# One checker for all: to start one costs more than most checks.
coproc checker { python "$fixtures/check_restore.py" serve; }
pids+=("$checker_PID")
check() { # COMMAND ARGUMENT...
	local reply=
	local IFS=$'\t'
	printf '%s\n' "$*" >&"${checker[1]}"
	read -r reply <&"${checker[0]}" || fail "the checker is gone"
	[ "$reply" = ok ] || fail "$reply"
}

server_init
server_start
enrol h1
# A point holds 64 volumes at most.
n=0 point=0 args=()
put() { agent h1 backup "${args[@]}" > "$work/backup.out"; args=(); }
while IFS=$'\t' read -r name refused _; do
	if [ "$refused" = 1 ]; then
		refuses 'empty' agent h1 backup "$work/f/$name.img"
		continue
	fi
	args+=("$name=$work/f/$name.img")
	point=$((n++ / 40 + 1))
	echo "$point" > "$work/f/$name.point"
	[ $((n % 40)) -ne 0 ] || put
done < "$work/table"
[ ${#args[@]} -eq 0 ] || put

# mapped NAME FS NOTE ASLEEP: what the map says of it, word for word.
mapped() {
	"$bin/map_copy" "$work/f/$1.img" 2> "$work/told" || fail "$1: $(tail -1 "$work/told")"
	local said
	said=$(sed -n 's/^note //p' "$work/told")
	grep -qx "fs $2" "$work/told" || fail "$1 is taken for $(head -1 "$work/told")"
	grep -qx "hibernated $4" "$work/told" || fail "$1: $(grep ^hibernated "$work/told")"
	case $3 in
	-) [ -z "$said" ] || fail "$1: doubts about a clean volume: $said" ;;
	*) [[ $said == *"$3"* ]] || fail "$1: '$said' does not speak of $3" ;;
	esac
}

# readable NAME IMAGE: by ntfsfix, ntfsinfo and every file through ntfs-3g.
readable() {
	ntfsfix -n "$2" > "$work/ntfsfix.out" 2>&1 || fail "$1: ntfsfix: $(cat "$work/ntfsfix.out")"
	ntfsinfo -m "$2" > "$work/ntfsinfo.out" 2>&1 || fail "$1: ntfsinfo: $(cat "$work/ntfsinfo.out")"
	mounted_ntfs "$2" ro check_mounted "$work/f/$1.json"
	check cat "$2" "$work/f/$1.json"
}
check_mounted() { check sums "$2" "$1"; }
cloned() { ntfsclone --save-image -q -o - "$1" 2> "$work/ntfsclone.out" | sha256sum; }

while IFS=$'\t' read -r name refused reader asleep zeros fs word; do
	[ "$refused" = 0 ] || continue
	img=$work/f/$name.img json=$work/f/$name.json
	mapped "$name" "$fs" "$word" "$asleep"
	agent h1 restore "$(cat "$work/f/$name.point")" --volume "$name" --to "$work/new" > "$work/restore.out"
	check fresh "$img" "$work/new" "$json"
	if [ "$reader" = 1 ] && [ "$slow" = 0 ]; then
		readable "$name" "$img"
		readable "$name" "$work/new"
		[ "$zeros" = 1 ] || [ "$(cloned "$img")" = "$(cloned "$work/new")" ] || fail "$name: ntfsclone sees a difference"
	fi
	rm "$work/new"
	check garbage "$work/old" "$json"
	agent h1 restore "$(cat "$work/f/$name.point")" --volume "$name" --to "$work/old" --delta > "$work/restore.out"
	check over "$img" "$work/old" "$json"
	rm "$work/old"
done < "$work/table"
operator verify --trees > "$work/verify.out" || fail "verify: $(cat "$work/verify.out")"
server_stop
note "each as its generator expects"
