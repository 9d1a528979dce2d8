#!/bin/bash
# run.sh BUILD_ROOT [SECONDS] [TARGET...] - fuzz every parser of foreign bytes
# under ASan and UBSan for SECONDS (60) each, then assert that seeds and finds
# together run at least 85 % of the lines of each parser in targets.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
shift
seconds=60
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
	seconds=$1
	shift
fi
mkdir -p "$build"
. tests/build.sh
least=85

say "building the fuzz targets"
configure fuzz -DCMAKE_C_COMPILER=clang -DFUZZ=ON -DSANITIZE=address
compile fuzz fuzz_targets
configure coverage -DCMAKE_C_COMPILER=clang -DCOVERAGE=ON -DCMAKE_BUILD_TYPE=Debug
compile coverage fuzz_targets

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# lines_of FILE: its share of lines run, from llvm-cov's JSON; -1 if it is not in
# there.  Names may be relative there: a compiler cache makes them so.
lines_of() {
	python3 -c 'import json, sys
want = sys.argv[1]
found = [f for f in json.load(sys.stdin)["data"][0]["files"] if f["filename"] == want or f["filename"].endswith("/" + want)]
print(int(found[0]["summary"]["lines"]["percent"]) if len(found) == 1 else -1)' "$1"
}

# one TARGET: fuzz it, then a line per parser; non-zero if any falls short.
one() {
	local target=$1 seeds=tests/fuzz/corpus/$1 log=$work/$1.log runs files file percent verdict bad=0
	[ -d "$seeds" ] || { echo "$target: no seeds in $seeds"; return 1; }
	files=$(awk -v t="$target" '$1 == t { for (i = 2; i <= NF; i++) print $i }' tests/fuzz/targets.txt)
	[ -n "$files" ] || { echo "$target: not in tests/fuzz/targets.txt"; return 1; }
	mkdir -p "$work/$target"
	if ! "$build/fuzz/fuzz/$target" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=20 -print_final_stats=1 \
	    -artifact_prefix="$build/$target." "$work/$target" "$seeds" > "$log" 2>&1; then
		tail -40 "$log"
		echo "$target: FAILED; the input is $build/$target.*"
		return 1
	fi
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	LLVM_PROFILE_FILE=$work/$target.profraw "$build/coverage/fuzz/$target" "$seeds" "$work/$target" > /dev/null
	llvm-profdata merge -o "$work/$target.profdata" "$work/$target.profraw"
	for file in $files; do
		percent=$(llvm-cov export -summary-only -instr-profile="$work/$target.profdata" \
		    "$build/coverage/fuzz/$target" | lines_of "$file")
		verdict=ok
		[ "$percent" -ge $least ] || { verdict="BELOW $least %"; bad=1; }
		printf '%-17s %9s runs in %ss  %-28s %3s %% of lines  %s\n' "$target" "$runs" "$seconds" "$file" "$percent" "$verdict"
	done
	return $bad
}
[ $# -gt 0 ] || set -- $(awk '!/^#/ && NF { print $1 }' tests/fuzz/targets.txt)
failed=0
while [ $# -gt 0 ]; do
	pids=()
	for _ in $(seq "$jobs"); do
		[ $# -gt 0 ] || break
		one "$1" & pids+=($!)
		shift
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || failed=1
	done
done
exit $failed
