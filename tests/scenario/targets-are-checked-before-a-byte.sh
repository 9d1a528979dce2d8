#!/bin/bash
# Goal: a restore to a target that is too small, mounted, the source itself or
# in use is refused before anything is written.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
ntfs_make "$work/c.img" 64 20 1
sum() { sha256sum < "$1"; }
agent h1 backup c="$work/c.img"

truncate -s 32M "$work/small"
loop=$(losetup -f --show "$work/small")
refuses 'small' agent h1 restore latest --volume c --to "$loop"
losetup -d "$loop"
cmp -n 33554432 "$work/small" /dev/zero || fail "a refused restore wrote"

cp --sparse=always "$work/c.img" "$work/m.img"
before=$(sum "$work/m.img")
loop=$(losetup -f --show "$work/m.img")
mkdir "$work/mnt"
ntfs-3g -o ro "$loop" "$work/mnt"
refuses 'mounted|in use|busy' agent h1 restore latest --volume c --to "$loop"
umount "$work/mnt"
losetup -d "$loop"
[ "$before" = "$(sum "$work/m.img")" ] || fail "a refused restore wrote"

before=$(sum "$work/c.img")
refuses 'exist|source' agent h1 restore latest --volume c --to "$work/c.img"
refuses 'source' agent h1 restore latest --volume c --to "$work/c.img" --force
[ "$before" = "$(sum "$work/c.img")" ] || fail "a refused restore wrote to the source"
refuses 'volume' agent h1 restore latest --volume nope --to "$work/x"
refuses 'point|found' agent h1 restore 99 --volume c --to "$work/x"
refuses 'point|number|sequence' agent h1 restore x9z --volume c --to "$work/x"
[ ! -e "$work/x" ] || fail "a refused restore left a file"
refuses 'directory|No such' agent h1 restore latest --volume c --to "$work/none/x"

note "a file system that would be full"
mkdir "$work/tiny"
mount -t tmpfs -o size=4m none "$work/tiny"
for f in x x.vhdx; do
	refuses 'too little room' agent h1 restore latest --volume c --to "$work/tiny/$f" --format "$([ $f = x ] && echo raw || echo vhdx)"
done
[ -z "$(ls "$work/tiny")" ] || fail "a refused restore left a file"
umount "$work/tiny"

note "sources that cannot be backed up"
: > "$work/empty"
refuses 'empty|size' agent h1 backup e="$work/empty"
head -c 1000 /dev/zero > "$work/odd"
refuses 'sector|multiple' agent h1 backup o="$work/odd"
refuses 'No such|not found' agent h1 backup n="$work/nothing"
server_stop
