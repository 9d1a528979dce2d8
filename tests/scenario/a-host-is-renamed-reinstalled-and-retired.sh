#!/bin/bash
# Goal: a computer that gets another name stays the host it was and says its new name; one
# that is installed anew takes its old name by an operator's approval and goes on with its
# chain; one that is retired keeps its points, restorable, until somebody forgets them.
. "$(dirname "$0")/lib/scenario.bash"
as() { # NAME COMMAND...: on a computer that is called NAME
	local name=$1
	shift
	unshare --uts bash -c 'echo "$1" > /proc/sys/kernel/hostname; shift; exec "$@"' - "$name" "$@"
}
on() { # NAME STATE WORDS...: the agent there
	local name=$1 state=$2
	shift 2
	as "$name" "$bin/holdfast-agent" --state "$work/agent-$state" --machine-id "$work/id-$state" "$@"
}
sequences() { operator points old-name --json | python3 -c 'import json,sys; print(*sorted(p["sequence"] for p in json.load(sys.stdin)))'; }
loop=
drop() {
	local status=$?
	set +e
	trap - ERR
	[ -z "$loop" ] || losetup -d "$loop"
	(exit $status)
	cleanup
}
trap drop EXIT
server_init
server_start
echo 1111 > "$work/id-a"
echo 2222 > "$work/id-b"
echo 3333 > "$work/id-c"
ntfs_make "$work/v.img" 64 20 1
loop=$(losetup -f --show "$work/v.img")

note "renamed: the same host, and the point says what its computer is called"
on old-name a enroll "$(operator enroll-token)" > "$work/out"
grep -q 'enrolled as old-name' "$work/out" || fail "$(cat "$work/out")"
on old-name a backup "v=$loop" > "$work/out"
on old-name a status > "$work/out"
! grep -q 'computer name' "$work/out" || fail "a name that did not change is told of"
on new-name a backup "v=$loop" > "$work/out"
on new-name a status > "$work/out"
grep -q 'computer name   new-name; it stays the host old-name' "$work/out" || fail "$(cat "$work/out")"
[ "$(sequences)" = "1 2" ] || fail "points $(sequences)"
operator show old-name/1 | grep '^called  *old-name$' > /dev/null || fail "$(operator show old-name/1)"
operator show old-name/2 | grep '^called  *new-name$' > /dev/null || fail "$(operator show old-name/2)"
operator hosts --json | grep new-name > /dev/null && fail "a second host"

note "installed anew: its name only by approval, its points go on"
refuses 'old-name' on old-name b enroll "$(operator enroll-token)"
on new-name b enroll "$(operator enroll-token --replace old-name)" --name old-name > "$work/out"
refuses 'revoked' on new-name a points
on new-name b backup "v=$loop" --json --quiet > "$work/out"
python3 -c 'import json,sys; r=json.load(open(sys.argv[1])); sys.exit(r["sequence"] != 3 or r["new_bytes"] > 1 << 20)' "$work/out" ||
	fail "not point 3 of known data: $(cat "$work/out")"
[ "$(on new-name b points | wc -l)" = 3 ] || fail "it does not see its points: $(on new-name b points)"
on new-name b restore 1 --volume v --to "$work/r.img" > "$work/out"
ntfs_equal "$work/v.img" "$work/r.img"
operator audit > "$work/audit" || fail "the chain is broken: $(cat "$work/audit")"

note "a key that another Windows sealed: one line, and the way out"
printf 'HFSEALED\1\0\1\0\4\0\0\0abcd' > "$work/agent-b/key"
refuses 'key: sealed by .*enroll TOKEN --replace' on new-name b points
refuses 'key: sealed by ' on new-name b enroll "$(operator enroll-token --replace old-name)" --name old-name
on new-name b enroll "$(operator enroll-token --replace old-name)" --name old-name --replace > "$work/out"
[ "$(on new-name b points | wc -l)" = 3 ] || fail "it lost its points: $(on new-name b points)"

note "retired: no more backups, all its points, and a successor if somebody says so"
operator revoke old-name
refuses 'revoked' on new-name b backup "v=$loop" --retry-for 0s
operator hosts | grep -E 'old-name .* revoked  *3' > /dev/null || fail "$(operator hosts)"
operator policy set --keep-last 2 > "$work/out"
operator prune > "$work/out"
[ "$(sequences)" = "2 3" ] || fail "not what the policy keeps: points $(sequences)"
rm "$work/r.img"
operator restore old-name --volume v --to "$work/r.img" > "$work/out"
ntfs_equal "$work/v.img" "$work/r.img"
refuses 'old-name' on old-name c enroll "$(operator enroll-token)"
on old-name c enroll "$(operator enroll-token --replace old-name)" > "$work/out"
on old-name c backup "v=$loop" --json --quiet > "$work/out"
grep -q '"sequence":4,' "$work/out" || fail "not point 4: $(cat "$work/out")"
server_stop
