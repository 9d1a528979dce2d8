#!/bin/bash
# run.sh BUILD_ROOT [NAME [MINUTES]] - the long forms of what CI tests in short.
# Each soak is one executable file, tests/soak/NAME.sh, whose second line says what it
# does.  It is run from the top of the tree as
#	tests/soak/NAME.sh MINUTES
# with HOLDFAST_BUILD (the release build, made whole before), HOLDFAST_BUILD_ROOT,
# HOLDFAST_SEED (what it draws comes from this; given or drawn here) and HOLDFAST_WORK
# (an empty directory of its own, removed afterwards; kept if it fails).  It ends by
# itself after about MINUTES, or earlier if it has done all there is, prints what it
# counted, and exits non-zero if anything failed.  NAME "all" runs one after the other.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
shift
. tests/build.sh
export PATH=$PATH:/usr/sbin:/sbin

list() {
	local f
	echo "usage: ./dev soak NAME|all [MINUTES]	(10; HOLDFAST_SEED=N repeats a run)"
	for f in tests/soak/*.sh; do
		[ "$f" = tests/soak/run.sh ] || printf '%s\t%s\n' "$(basename "$f" .sh)" "$(sed -n '2s/^# *//p' "$f")"
	done | expand -t 20
}

# soak NAME MINUTES SEED
soak() {
	local name=$1 minutes=$2 seed=$3 rc=0 began=$SECONDS
	local work=$build/soak/$name
	rm -rf "$work"
	mkdir -p "$work"
	say "soak $name: $minutes min, seed $seed"
	HOLDFAST_BUILD=$build/release HOLDFAST_BUILD_ROOT=$build HOLDFAST_SEED=$seed HOLDFAST_WORK=$work \
	    "tests/soak/$name.sh" "$minutes" || rc=$?
	if [ "$rc" != 0 ]; then
		say "soak $name FAILED ($rc) after $((SECONDS - began)) s, seed $seed; its files are in $work"
		return 1
	fi
	rm -rf "$work"
	say "soak $name passed in $((SECONDS - began)) s, seed $seed"
}

name=${1:-}
minutes=${2:-10}
seed=${HOLDFAST_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
[ -n "$name" ] || { list; exit 0; }
[[ $minutes =~ ^[1-9][0-9]*$ ]] || die "minutes are a number from 1 on, not '$minutes'"
[[ $seed =~ ^[1-9][0-9]*$ ]] || die "HOLDFAST_SEED is a number from 1 on, not '$seed'"
[ "$name" != run ] || die "no soak 'run'"
[ "$name" = all ] || [ -x "tests/soak/$name.sh" ] || { list >&2; die "no soak '$name'"; }
configure release
compile release
if [ "$name" != all ]; then
	soak "$name" "$minutes" "$seed"
	exit
fi
failed=()
for f in tests/soak/*.sh; do
	n=$(basename "$f" .sh)
	[ "$n" = run ] || soak "$n" "$minutes" "$seed" || failed+=("$n")
done
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
