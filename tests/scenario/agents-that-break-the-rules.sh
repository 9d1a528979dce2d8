#!/bin/bash
# Goal: an enrolled agent that breaks the protocol or lies about content is told
# in one line and turned out; nothing of it is stored as a point; others notice
# nothing.
. "$(dirname "$0")/lib/scenario.bash"
server_init
server_start
enrol h1
enrol h2
ntfs_make "$work/c.img" 64 16 1
agent h2 backup c="$work/c.img"

breaks() { # CASE REGEX
	"$bin/hostile" "$server" "$work/agent-h1" "$work/machine-id" "$1" > "$work/hostile.out" 2> "$work/hostile.err" ||
	    fail "$1 did not get far enough: $(cat "$work/hostile.err")"
	grep -Eq -- "$2" "$work/hostile.out" || fail "$1: '$(cat "$work/hostile.out")' and not /$2/"
	note "$1: $(cat "$work/hostile.out")"
}
breaks frame-too-long '^(failed: .*(length|long|limit)|closed)'
breaks unknown-kind '^failed: .*(kind|9999|unknown)'
breaks unknown-flags '^(failed: .*flag|closed)'
breaks truncated '^closed|failed'
breaks garbage-message '^failed: '
breaks hello-twice '^failed: .*Hello'
breaks put-before-begin '^failed: .*Put'
breaks commit-before-begin '^failed: '
breaks admin-message '^failed: .*NewToken.*agent|^failed: .*agent.*NewToken'
breaks wrong-chunk '^failed: .*0102030'
breaks flipped-byte '^failed: '
breaks not-a-group '^failed: '
[ "$(operator points h1 --json | grep -c '"sequence"')" = 0 ] || fail "a broken rule made a point"
breaks tree-missing-leaf '^answered: Missing'
breaks tree-missing-data '^answered: Missing'
breaks tree-wrong-sums '^failed: '
breaks tree-wrong-length '^(failed: |answered: Missing)'
[ "$(operator points h1 --json | grep -c '"sequence"')" = 0 ] || fail "a lying tree made a point"
for _ in 1 2 3 4 5 6; do
	"$bin/hostile" "$server" "$work/agent-h1" "$work/machine-id" deaf > "$work/deaf.out" 2>&1 & pids+=($!)
done
agent h2 backup c="$work/c.img"
breaks tree-good '^answered: Committed'
agent h2 restore latest --volume c --to "$work/r.img"
ntfs_equal "$work/c.img" "$work/r.img"
operator verify --trees
kill -0 "$server_pid" || fail "the server died"
server_stop
