#!/bin/bash
# Goal: a restore over a target that holds an older system leaves no byte of that
# system's page files and memory where the point excludes them: in files and on
# devices, also with --delta, also where sectors are 4096 bytes and clusters 512.
. "$(dirname "$0")/lib/scenario.bash"
fixtures=$here/../../fixtures
python() { PYTHONDONTWRITEBYTECODE=1 python3 "$@"; }
check() { python "$fixtures/check_restore.py" "$@"; }

# The older system slept: its memory and page files lie in the same places.
points=(page-files hibernated hibernated-in-pieces hibernated-small-clusters difference-areas)
[ "${HOLDFAST_SLOW:-0}" = 0 ] || points=(page-files hibernated)
mkdir "$work/f"
python "$fixtures/ntfs_fixtures.py" make "$work/f" "${points[@]}"
older() { case $1 in page-files) echo "$work/f/hibernated.img" ;; *) echo "$work/f/$1.img" ;; esac; }
[ "$(stat -c %s "$work/f/hibernated.img")" = "$(stat -c %s "$work/f/page-files.img")" ] || fail "the systems differ in size"

server_init
server_start
enrol h1
args=()
for v in "${points[@]}"; do args+=("$v=$work/f/$v.img"); done
agent h1 backup "${args[@]}" > "$work/backup.out"

# old_bytes IMAGE JSON: not all zeros where the point excludes; else nothing is proven.
old_bytes() {
	python - "$1" "$2" <<'PY'
import json, sys
with open(sys.argv[1], "rb") as f, open(sys.argv[2]) as j:
    for at, n in json.load(j)["zero"]:
        f.seek(at)
        if f.read(n).count(0) > n // 2:
            sys.exit(f"the older system has nothing at byte {at}")
PY
}

# restored NAME TARGET MODE OPTIONS...: and what is there then.
restored() {
	local name=$1 target=$2 mode=$3 json=$work/f/$1.json
	shift 3
	agent h1 restore latest --volume "$name" --to "$target" "$@" > "$work/restore.out"
	case $mode in
	left) check left "$work/f/$name.img" "$target" "$(older "$name")" "$json" ;;
	*) check "$mode" "$work/f/$name.img" "$target" "$json" ;;
	esac
}

# on_device SECTOR NAME OPTIONS...: onto a loop device that holds the older system.
on_device() {
	local sector=$1 name=$2 mode=$3 loop status=0
	shift 3
	cp --sparse=always "$(older "$name")" "$work/disk"
	loop=$(losetup -b "$sector" -f --show "$work/disk")
	(restored "$name" "$loop" "$mode" "$@") || status=$?
	losetup -d "$loop"
	[ $status = 0 ] || fail "$name on a device of $sector bytes a sector, $*"
}

for v in "${points[@]}"; do
	old_bytes "$(older "$v")" "$work/f/$v.json" || fail "$v"
	note "$v: file, file with --delta, devices"
	cp --sparse=always "$(older "$v")" "$work/file"
	restored "$v" "$work/file" left --delta
	cp --sparse=always "$(older "$v")" "$work/file"
	restored "$v" "$work/file" fresh --delta --zero-holes
	cp --sparse=always "$(older "$v")" "$work/file"
	restored "$v" "$work/file" fresh --force
	on_device 512 "$v" left
	on_device 512 "$v" left --delta
	on_device 4096 "$v" left --delta
	on_device 4096 "$v" left
	on_device 512 "$v" fresh --zero-holes
done

note "nothing wakes: ntfs-3g mounts what it refused before, and reads zeros"
mkdir "$work/mnt"
if ntfs-3g -o rw "$work/f/hibernated.img" "$work/mnt" 2> "$work/mount.err"; then
	umount "$work/mnt"
	grep -qi hibern "$work/mount.err" || fail "ntfs-3g does not think that the older system sleeps"
fi
cp --sparse=always "$work/f/hibernated.img" "$work/file"
agent h1 restore latest --volume page-files --to "$work/file" --delta > "$work/restore.out"
awake() {
	local f
	for f in pagefile.sys swapfile.sys hiberfil.sys; do
		[ "$(tr -d '\0' < "$1/$f" | wc -c)" = 0 ] && [ -s "$1/$f" ] || fail "$f holds bytes"
	done
}
mounted_ntfs "$work/file" rw,noatime awake
server_stop
