#!/bin/bash
# Goal: whatever nonsense a disk's table says, every byte of the disk is in its image or
# in one volume, and comes back: to a new file, over another disk, and after partitions
# came, went, moved and grew between two backups.
. "$(dirname "$0")/lib/scenario.bash"

server_init
server_start
enrol h1
mkdir "$work/odd" "$work/back" "$work/over"

# backed_up [DISK...]: those disks, in one point.
backed_up() {
	local args=() name
	for name; do args+=(--disk "$name=$work/odd/$name"); done
	agent h1 backup "${args[@]}" > "$work/backup.out"
}
# returns FLAGS DIR DISK...: each disk restored into DIR and compared.
returns() {
	local flags=$1 dir=$2 name
	shift 2
	for name; do
		# shellcheck disable=SC2086
		agent h1 restore latest --disk "$name" --to "$dir/$name" $flags > "$work/restore.out"
		cmp "$work/odd/$name" "$dir/$name" || fail "$name came back otherwise"
	done
}

python3 "$here/odd_disks.py" "$work/odd" make
mapfile -t disks < <(find "$work/odd" -type f ! -name many -printf '%f\n' | sort)
note "${#disks[@]} odd disks in one point"
backed_up "${disks[@]}"
grep -q 'overlapping: a partition lies over another' "$work/backup.out" || fail "$(cat "$work/backup.out")"
returns "" "$work/back" "${disks[@]}"

note "other tables the next day"
python3 "$here/odd_disks.py" "$work/odd" change
backed_up "${disks[@]}"
returns "--delta --verify" "$work/back" "${disks[@]}"
for name in "${disks[@]}"; do head -c 6M /dev/urandom > "$work/over/$name"; done
returns "--delta" "$work/over" "${disks[@]}"

note "more partitions than a host may have: what is too many stays in the image"
backed_up many overlapping
grep -q 'many: more partitions than' "$work/backup.out" || fail "$(cat "$work/backup.out")"
grep -q '128 volumes' "$work/backup.out" || fail "$(cat "$work/backup.out")"
returns "--verify" "$work/over" many
returns "--delta --verify" "$work/back" overlapping
server_stop
