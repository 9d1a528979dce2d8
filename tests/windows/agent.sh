#!/bin/bash
# Goal: the agent as a Windows program, under Wine, against a real server: it enrols, backs
# up an NTFS volume that is mapped as a drive and one in a file whose path is long and not
# ASCII, sends only what changed, and restores; trees and bytes are those of the Linux agent.
. "$(dirname "$0")/wine.sh"
wine_begin


# The locale is how Wine takes our words for UTF-8.
wagent() { LC_ALL=C.UTF-8 wine_run holdfast-agent.exe --state "$(wine_path "$work/windows")" "$@"; }
root_of() { # HOST SEQUENCE: id of its only volume's tree
	operator points "$1" --json | python3 -c 'import json, sys
print([p["volumes"][0]["root_id"] for p in json.load(sys.stdin) if p["sequence"] == int(sys.argv[1])][0])' "$2"
}
number() { python3 -c 'import json, sys; print(json.loads(sys.stdin.read().splitlines()[-1])[sys.argv[1]])' "$1"; }

server_init
server_start
ntfs_make "$work/vol.img" 64 24 1
enrol linux

note "enrols, and says who it is"
wagent enroll "$(operator enroll-token)" --name windows > "$work/enrol.out"
grep -q '^enrolled as windows with 127.0.0.1:' "$work/enrol.out" || fail "said: $(cat "$work/enrol.out")"
refuses 'enrolled as windows' wagent enroll "$(operator enroll-token)"

note "a drive is backed up, and its tree is the one that Linux makes"
wine_drive t "$work/vol.img"
wagent backup --provider offline --json 'vol=\\.\T:' > "$work/first.out"
[ "$(number new_bytes < "$work/first.out")" -gt 10000000 ] || fail "nothing new: $(cat "$work/first.out")"
agent linux backup --json vol="$work/vol.img" > "$work/linux.out"
[ "$(number new_bytes < "$work/linux.out")" = 0 ] || fail "Linux sends what Windows sent: $(cat "$work/linux.out")"
[ "$(root_of windows 1)" = "$(root_of linux 1)" ] || fail "other trees"

note "the next one sends what changed, again as Linux"
ntfs_change "$work/vol.img" 2
wagent backup --provider offline --json 'vol=\\.\T:' > "$work/second.out"
agent linux backup --json vol="$work/vol.img" > "$work/linux.out"
[ "$(number known_bytes < "$work/second.out")" -gt "$(number new_bytes < "$work/second.out")" ] || fail "all anew: $(cat "$work/second.out")"
[ "$(number new_bytes < "$work/linux.out")" = 0 ] || fail "Linux sends what Windows sent: $(cat "$work/linux.out")"
[ "$(root_of windows 2)" = "$(root_of linux 2)" ] || fail "other trees"
[ "$(root_of windows 1)" != "$(root_of windows 2)" ] || fail "the same tree for two volumes"

note "points and status are told"
[ "$(wagent points | wc -l)" = 2 ] || fail "points: $(wagent points)"
wagent status > "$work/status.out"
grep -q 'reachable' "$work/status.out" && grep -q 'point 2' "$work/status.out" || fail "status: $(cat "$work/status.out")"

note "restored, it has the bytes that a restore on Linux has, and the files of the source"
wagent restore latest --volume vol --to "$(wine_path "$work/back.img")" > "$work/restore.out"
agent linux restore latest --volume vol --to "$work/back-linux.img" > "$work/restore-linux.out"
cmp "$work/back.img" "$work/back-linux.img"
ntfs_equal "$work/vol.img" "$work/back.img"
wagent restore 1 --volume vol --to "$(wine_path "$work/back.img")" --delta > "$work/restore.out"
agent linux restore 1 --volume vol --to "$work/back-linux.img" --delta > "$work/restore-linux.out"
cmp "$work/back.img" "$work/back-linux.img"
refuses 'exists' wagent restore 1 --volume vol --to "$(wine_path "$work/back.img")"
refuses 'state directory' wagent restore 1 --volume vol --to "$(wine_path "$work/windows/vol.img")"

note "paths are long and of any letters"
part=$(printf 'Müller-%.0s' {1..20})
deep="$work/日本/$part/$part"
mkdir -p "$deep"
cp --sparse=always "$work/vol.img" "$deep/Größe.img"
[ "$(wine_path "$deep/Größe.img" | wc -m)" -gt 280 ] || fail "that is no long path"
wagent backup --json "bild=$(wine_path "$deep/Größe.img")" > "$work/third.out"
[ "$(root_of windows 3)" = "$(root_of linux 2)" ] || fail "other trees"
wagent restore 3 --volume bild --to "$(wine_path "$deep/zurück €.img")" > "$work/restore.out"
grep -q 'zurück €.img' "$work/restore.out" || fail "said: $(cat "$work/restore.out")"
ntfs_equal "$work/vol.img" "$deep/zurück €.img"

note "what its records do not say was changed is not read, and the tree is the same"
printf '[agent]\nfast = on\nfast-recent = 0\n' > "$work/windows/agent.conf"
wagent backup --provider offline --json 'vol=\\.\T:' > "$work/fourth.out"
ntfs_change "$work/vol.img" 3
wagent backup --provider offline --json --check-changes 'vol=\\.\T:' > "$work/fifth.out"
[ "$(number kept_bytes < "$work/fifth.out")" -gt 1000000 ] || fail "all was read: $(cat "$work/fifth.out")"
server_stop
