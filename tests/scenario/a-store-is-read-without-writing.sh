#!/bin/bash
# Goal: a store on a read-only mount, as a crash left it, can be listed, verified and
# restored from; nothing is written, and nothing is taken.
. "$(dirname "$0")/lib/scenario.bash"
mkdir "$work/disk"
mount -t tmpfs -o size=100m tmpfs "$work/disk"
ln -s "$work/disk/store" "$work/store"
server_init
server_config 'reserve = 0'
server_start
enrol h1
ntfs_make "$work/c.img" 64 12 1
agent h1 backup c="$work/c.img"
refuses "in use by process $server_pid" operator store-info "$work/store"
server_kill
mount -o remount,ro "$work/disk"
(cd "$work/disk/store" && find . -type f -exec sha256sum {} + | sort) > "$work/before"

note "without a server"
refuses 'read-only|Read-only' "$bin/holdfastd" --config "$work/holdfastd.conf"
"$bin/holdfast" store-info "$work/store" --points --verify > "$work/info"
grep -q 'h1/1 ' "$work/info" && grep -q 'all whole' "$work/info" && grep -q 'to put right .*still open' "$work/info" ||
	fail "$(cat "$work/info")"
"$bin/holdfast" store-info "$work/store" --points --verify --json |
	python3 -c 'import json,sys; i=json.load(sys.stdin); assert i["points"] == 1 and i["problems"] == [] and i["list"][0]["host"] == "h1"'

note "by a server that only restores"
server_config 'read-only = yes'
server_start
operator points | grep h1 > /dev/null || fail "no points"
agent h1 restore latest --volume c --to "$work/r.c"
ntfs_equal "$work/c.img" "$work/r.c"
operator verify --trees
refuses 'read-only' agent h1 backup c="$work/c.img" --retry-for 0s
refuses 'read-only' operator enroll-token
server_stop
(cd "$work/disk/store" && find . -type f -exec sha256sum {} + | sort) > "$work/after"
cmp "$work/before" "$work/after" || fail "something was written"

note "and goes on afterwards"
mount -o remount,rw "$work/disk"
server_config 'reserve = 0'
server_start
agent h1 backup c="$work/c.img"
operator verify --trees
server_stop
